"""datasets: which there are, what is known of them, whether they are here; and the one command that downloads."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import DatasetError, RecipeError
from .show import out, progress, say


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(name="datasets")(datasets)


def datasets(
    name: str = typer.Argument("", help="A dataset, to be shown alone: shape, split, licence, source, digest."),
    download: bool = typer.Option(False, "--download", help="Get it into the cache folder; needs the network."),
    data: Path | None = typer.Option(None, "--data", help="Its files, where they are not those of the cache."),
    steps: int = typer.Option(10, "--steps", help="Frames that recordings of events are counted into."),
) -> None:
    """List the datasets that a recipe can name, or show one of them; --download fetches it.

    Nothing else goes to the network: what is not here is an error that names its remedy.

    Example: [bold]neuro_deploy datasets[/bold], then [bold]neuro_deploy datasets mnist --download[/bold]
    Files that are here already: [bold]neuro_deploy datasets mnist --data mnist_10000.npz[/bold]
    """
    if not name:
        if download or data:
            raise RecipeError("which dataset?  'neuro_deploy datasets' lists them")
        out.print(_listing())
        return
    if download:
        _download(name)
    _show(name, data, steps)


def _listing() -> Table:
    from ..train.datasets import about, dataset_names
    from ..train.datasets.cache import cache_dir

    table = Table("dataset", "what it is", "sample", "steps", "classes", "train + test", "licence", "is it here?")
    table.columns[0].no_wrap = True
    for name in dataset_names():
        known = about(name)
        table.add_row(
            name,
            escape(known.title),
            " x ".join(map(str, known.shape)),
            {"static": "any", "series": str(known.steps), "events": "any, as frames"}[known.kind],
            str(known.classes),
            f"{known.train:,} + {known.test:,}",
            escape(known.licence),
            _here(known),
        )
    table.caption = f"downloads are kept in {escape(str(cache_dir()))}"
    return table


def _here(known: Any) -> str:
    """Whether a dataset can be used now, or what is needed first."""
    from ..train.datasets.cache import prepared

    if known.package:
        return "yes" if find_spec(known.package) else f"pip install {known.package}"
    if known.files:
        return "yes" if prepared(known).exists() else f"--download, {known.size:,.0f} MB"
    return "yes"


def _download(name: str) -> None:
    from ..train.datasets import about, module_of
    from ..train.datasets.cache import fetch

    known, module = about(name), module_of(name)
    if not known.files:
        raise DatasetError(f"{name}: nothing is to be downloaded; it comes with {known.package or 'this installation'}")
    with progress(f"downloading {name}") as update:
        path = fetch(known, module.prepare, lambda done, total: update(done // 1_000_000, total // 1_000_000))
    say(f"wrote {escape(str(path))}")


def _show(name: str, data: Path | None, steps: int) -> None:
    """One dataset: what is known, and what was loaded."""
    import numpy as np

    from ..train.datasets import about, load
    from ..train.recipe import DataSettings

    known = about(name)
    rows = {
        "what it is": known.title,
        "licence": known.licence,
        "source": known.source,
        "sample": " x ".join(map(str, known.shape)),
        "classes": str(known.classes),
        "published split": f"{known.train:,} to train, {known.test:,} to test",
    }
    try:
        found = load(DataSettings(name=name, path=str(data or "")), steps if known.kind == "events" else 0)
    except DatasetError as error:
        out.print(_facts(name, {**rows, "here": f"no: {error}"}))
        return
    rows |= {
        "here": str(data or "yes"),
        "to train, to test": f"{len(found.train_y):,} and {len(found.test_y):,}",
        "samples a class": f"{_spread(np.bincount(found.train_y, minlength=known.classes))} to train, "
        f"{_spread(np.bincount(found.test_y, minlength=known.classes))} to test",
        "steps": f"{found.steps}" if found.steps else "any: the same values at each step",
        "values": f"[{found.input_low:g}, {found.input_high:g}], multiples of {found.input_quantum:g}",
        "digest": f"{found.digest}{_judged(found.digest, known.digest)}",
    }
    out.print(_facts(name, rows))


def _judged(digest: str, known: str) -> str:
    """What to say of a digest, where one is known."""
    return "" if not known else ", as it should be" if digest == known else f", but {known} was expected"


def _spread(counts: Any) -> str:
    least, most = int(counts.min()), int(counts.max())
    return f"{least}" if least == most else f"{least} to {most}"


def _facts(name: str, rows: dict[str, str]) -> Table:
    table = Table(name, "", show_header=True)
    for key, value in rows.items():
        table.add_row(key, escape(value))
    return table
