"""targets, models, doctor, install-lava: what is here, and whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from ..report.text import percent
from ..resources import resource_dir
from ..target import load_target, target_names
from .show import out, progress, say


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(name="targets")(targets)
    app.command(name="models")(models)
    app.command(name="doctor")(doctor)
    app.command(name="install-lava")(install_lava)


def targets() -> None:
    """List the hardware targets.

    Example: [bold]neuro_deploy targets[/bold]
    """
    table = Table("target", "chip", "spikes", "weights", "threshold", "neurons")
    for name in target_names():
        chip = load_target(name)
        bits = chip.spike.payload_bits.value
        table.add_row(
            name,
            chip.title,
            f"graded, {bits} bits" if bits else "binary",
            f"{chip.synapse.weight_bits.value} bits",
            chip.threshold.granularity.value.replace("_", " "),
            f"{chip.core.cores.value} x {chip.core.neurons_per_core.value:,}",
        )
    out.print(table)


def models(
    name: str = typer.Argument("", help="A model, to see its card: what was measured of it, and its commands."),
) -> None:
    """List the models that came with this installation: trained ones, and recipes to train; or show one's card.

    Example: [bold]neuro_deploy models[/bold], then [bold]neuro_deploy verify digits_mlp[/bold]
    Or: [bold]neuro_deploy models digits_mlp[/bold], [bold]neuro_deploy train digits_mlp --out runs/digits[/bold]
    """
    from rich.markdown import Markdown

    from ..zoo import TARGET, zoo, zoo_model

    if name:
        out.print(Markdown(zoo_model(name).page))
        return
    columns = ("float", f"on {TARGET}", "spikes a sample", "cores")
    table = Table("model", "data", "steps", "what it is", *columns, "model.nir", caption=f"in {resource_dir('models')}")
    table.columns[0].no_wrap = True
    for model in zoo():
        recipe = model.recipe
        facts = (model.name, recipe.data.name, str(recipe.network.steps), escape(recipe.title))
        table.add_row(*facts, *_measured(model.card))
    out.print(table)


def _measured(card: Mapping[str, Any]) -> tuple[str, ...]:
    """What a card says, as cells; of a model that is not trained here that it is not."""
    if not card:
        return ("", "not trained here", "", "", "")
    accuracy, spikes = card["accuracy"], f"{card['spikes']['sum']:,.0f}"
    size = f"{card['file']['bytes'] / 1000:,.0f} KB"
    return percent(accuracy["float"]), percent(accuracy["sim"]), spikes, str(card["fit"]["cores"]), size


def doctor() -> None:
    """Report Python, torch, GPU, Lava and NIR: their versions, and whether each works.

    Example: [bold]neuro_deploy doctor[/bold]
    """
    from ..backends.doctor import check_all

    with progress("checking"):
        checks = check_all()
    table = Table("", "part", "version", "what was seen", "remedy")
    for check in checks:
        mark = "[green]ok[/green]" if check.works else "[red]no[/red]"
        table.add_row(mark, check.name, escape(check.version), escape(check.detail), escape(check.remedy))
    out.print(table)


def install_lava(
    timeout: float = typer.Option(120.0, "--timeout", help="Seconds that the proof may take."),
) -> None:
    """Install Lava (lava-nc 0.10.0, its last release) and prove that it runs here.

    Example: [bold]neuro_deploy install-lava[/bold]
    """
    from ..backends.lava_install import install_lava as install

    with progress("installing Lava"):
        status = install(timeout)
    say(f"Lava {status.version}: {status.detail}")
