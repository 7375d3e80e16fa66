"""margins: how near a program comes to other spikes on an input."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ..errors import BackendError, InputError
from ..files import join_inputs, read_input
from ..program import ChipProgram
from .show import load_any, out, progress


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="margins")(margins)


def margins(
    program: Path = typer.Argument(help="A ChipProgram (.program.h5)."),
    input_: Path = typer.Option(..., "--input", help="An .npz with 'input' (T, B, ...)."),
    samples: int | None = typer.Option(None, "--samples", help="Only the first so many samples."),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> None:
    """Run a program in 'sim' and show how near its potentials come to the firing levels.

    Spikes at risk (a potential within one weight unit of a level), neurons that never or always fire, rounds that were
    missing, and how full each register is.

    Example: [bold]neuro_deploy margins digits.program.h5 --input runs/digits/test.npz[/bold]
    """
    from ..comparison.margins import margins as measure
    from ..report.margins_table import margins_table

    chip = load_any(program)
    if not isinstance(chip, ChipProgram):
        raise BackendError(f"{program}: is not a ChipProgram; make one with 'neuro_deploy compile'")
    x = join_inputs(read_input(input_)[0], chip.inputs)
    if samples is not None and not 1 <= samples <= x.shape[1]:
        raise InputError(f"samples must be in [1, {x.shape[1]}] for this input, got {samples}")
    with progress(f"sim: {program.name}") as update:
        result = measure(chip, x[:, :samples], progress=update)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2))
    else:
        out.print(margins_table(result))
