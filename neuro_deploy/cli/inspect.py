"""inspect: what a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ..program import ChipProgram
from ..trace import Trace
from .show import load_any, out


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="inspect")(inspect)


def inspect(
    file: Path = typer.Argument(help="A .nir, .program.h5 or .trace.h5 file."),
    dt: float | None = typer.Option(None, "--dt", help="Seconds a step, if a NIR file does not say."),
    targets: bool = typer.Option(True, "--targets/--no-targets", help="Try on which targets a NIR file compiles."),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> None:
    """Show what a file holds, as a table.

    For a NIR file: nodes, shapes, parameters and counts; what other readers of the file would misunderstand; and on
    which targets it compiles.

    Example: [bold]neuro_deploy inspect digits.nir[/bold]
    """
    from ..backends.base import check_program
    from ..report.nir_facts import nir_summary
    from ..report.nir_table import nir_table
    from ..report.summary import program_summary, trace_summary
    from ..report.tables import program_table, trace_table

    content = load_any(file)
    result: Any
    if isinstance(content, ChipProgram):
        check_program(content)
        result = program_summary(content) if as_json else program_table(content)
    elif isinstance(content, Trace):
        result = trace_summary(content) if as_json else trace_table(content)
    else:
        result = (nir_summary if as_json else nir_table)(content, dt, targets=targets)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        out.print(result)
