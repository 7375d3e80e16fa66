"""normalize: a foreign NIR file in explicit form."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.markup import escape

from ..graph import read_nir, write_nir
from .show import AS, DISCRETIZATION, DT, RESET, ROUNDS, keep_inputs, meant, say


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="normalize")(normalize)


def normalize(
    file: Path = typer.Argument(help="A NIR file."),
    nir: Path = typer.Option(..., "--nir", help="The NIR file to write."),
    dt: float | None = DT,
    family: str | None = AS,
    reset: str | None = RESET,
    rounds: int | None = ROUNDS,
    discretization: str | None = DISCRETIZATION,
    stock: bool = typer.Option(
        False,
        "--stock",
        help="Also rewrite what stock nir's type check refuses: grouped convolutions, oblong kernels, names of ports "
        "in nested graphs; what it refuses still is an error.",
    ),
) -> None:
    """Write a NIR file in explicit form: whole shapes, no scalar parameters, and its time step and reset said.

    Not one spike changes against what the options say of the file.  The result needs none of them any more.

    Example: [bold]neuro_deploy normalize theirs.nir --as snntorch --reset subtract-late --nir ours.nir[/bold]
    """
    from ..graph.normalize import normalize as explicit
    from ..graph.normalize import said

    keep_inputs([file], nir)
    theirs = read_nir(file)
    ours = meant(theirs, dt, family, reset, rounds, discretization)
    graph, changes = explicit(ours, stock=stock)
    write_nir(graph, nir)
    told = said(theirs, ours)
    for change in (*told, *changes):
        say(f"{escape(change.node)}: {escape(change.what)}")
    say(f"wrote {escape(str(nir))}: {len(told)} change(s) by what was said of it, {len(changes)} of form")
