"""inspect: what a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import typer

from ..errors import InputError
from ..files import read_input
from ..program import ChipProgram
from ..trace import Trace
from .show import AS, DISCRETIZATION, DT, RESET, ROUNDS, keep_inputs, load_any, meant, network_file, out, progress


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="inspect")(inspect)


def inspect(
    file: Path = typer.Argument(help="A .nir, .program.h5 or .trace.h5 file, or a model of the zoo."),
    dt: float | None = DT,
    family: str | None = AS,
    reset: str | None = RESET,
    rounds: int | None = ROUNDS,
    discretization: str | None = DISCRETIZATION,
    svg: Path | None = typer.Option(None, "--svg", help="Draw a NIR file into this SVG file."),
    png: Path | None = typer.Option(None, "--png", help="Draw a NIR file into this PNG file."),
    input_: Path | None = typer.Option(
        None, "--input", help="An .npz with 'input' (T, B, ...): estimate a program's energy and time on it."
    ),
    samples: int | None = typer.Option(None, "--samples", help="Only the first so many samples of --input."),
    target: str | None = typer.Option(
        None, "--target", help="Whose costs the estimate takes; by default the program's target.  Or a TOML file."
    ),
    targets: bool = typer.Option(True, "--targets/--no-targets", help="Try on which targets a NIR file compiles."),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> None:
    """Show what a file holds, as a table; draw a NIR file.

    For a NIR file: nodes, shapes, parameters and counts; whose file it may be, if it does not say, and what the network
    does in each reading; what other readers would misunderstand; and on which targets it compiles.  For a program with
    --input: what its run would cost on the chip, layer by layer, as an estimate.

    Example: [bold]neuro_deploy inspect digits.nir --svg digits.svg[/bold]
    or [bold]neuro_deploy inspect digits.program.h5 --input runs/digits/test.npz[/bold]
    """
    from ..backends.base import check_program
    from ..report.summary import program_summary, trace_summary
    from ..report.tables import program_table, trace_table

    file = network_file(file)
    keep_inputs([file, *([input_] if input_ else [])], svg, png)
    content = load_any(file)
    if (svg or png) and not isinstance(content, nir.NIRGraph):
        raise InputError(f"{file}: only a NIR file can be drawn")
    said = [value for value in (dt, family, reset, rounds, discretization) if value is not None]
    if said and not isinstance(content, nir.NIRGraph):
        raise InputError(f"{file}: is no NIR file, so it says its time step and resets itself; leave those options out")
    if (input_ or samples or target) and not isinstance(content, ChipProgram):
        raise InputError(f"{file}: only a program can be estimated; --input, --samples and --target go with one")
    result: Any
    if isinstance(content, ChipProgram):
        check_program(content)
        result = program_summary(content) if as_json else program_table(content)
        if input_ is not None:
            result = _estimated(content, input_, samples, target, result, as_json)
        elif samples or target:
            raise InputError("an estimate is counted from a run; give its input, --input FILE.npz")
    elif isinstance(content, Trace):
        result = trace_summary(content) if as_json else trace_table(content)
    else:
        content = meant(content, dt, family, reset, rounds, discretization)
        dt_from = "--dt" if dt is not None else f"--as {family}" if family else ""
        result = _graph(content, svg, png, targets, as_json, dt_from)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        out.print(result)


def _estimated(
    program: ChipProgram, input_: Path, samples: int | None, target: str | None, shown: Any, as_json: bool
) -> Any:
    """What is shown of a program, and the estimate of its run."""
    from rich.console import Group

    from ..backends import simulate
    from ..estimates import estimate
    from ..report.estimate_table import estimate_table

    with progress("sim") as update:
        trace = simulate(program, read_input(input_)[0], "sim", ("spikes",), samples, progress=update)
    found = estimate(program, trace, target)
    return {**shown, "estimate": found.to_dict()} if as_json else Group(shown, estimate_table(found))


def _graph(graph: nir.NIRGraph, svg: Path | None, png: Path | None, targets: bool, as_json: bool, dt_from: str) -> Any:
    from ..report.nir_facts import nir_summary
    from ..report.nir_table import nir_table

    if svg or png:
        from ..report.nir_drawing import draw

        draw(graph, svg=svg, png=png)
    return (nir_summary if as_json else nir_table)(graph, targets=targets, dt_from=dt_from)
