"""shrink: the smallest case in which two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from ..errors import BackendError, InputError, UnsupportedError
from ..files import NetworkInput, join_inputs
from ..program import ChipProgram, load_program
from ..trace import Trace
from .show import given_case, given_input, keep_inputs, load_any, names, network_file, progress, say

if TYPE_CHECKING:
    from ..shrinking import Case, Judge, Shrunk


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="shrink")(shrink)


def shrink(
    file: Path = typer.Argument(help="A ChipProgram, a NIR file or a model of the zoo; or a case, to shrink it more."),
    out: Path = typer.Option(..., "--out", help="The case to write: one small file with network, input, difference."),
    input_: Path | None = typer.Option(None, "--input", help="An .npz with 'input' (T, B, ...); a case has its own."),
    against: str = typer.Option("", "--against", help="The two backends that differ, sim,lava; with --other one, sim."),
    other: Path | None = typer.Option(
        None, "--other", help="Another program of the same network, in the same backend."
    ),
    target: str = typer.Option("loihi2", "--target", help="Of a NIR file: what to compile it for."),
    seconds: float = typer.Option(60.0, "--seconds", help="When to stop looking and write the smallest so far."),
    samples: int | None = typer.Option(None, "--samples", help="Only the first so many samples."),
) -> None:
    """Make the smallest network, input and time window in which two runs still differ: to attach to a bug report.

    Left out is every sample, step, population, synapse, neuron and input without which the runs still differ; input
    values go towards 0.  'compare CASE' runs what was written again (exit 1 as long as it differs), 'simulate CASE'
    and 'inspect CASE' take it as a program.

    Example: [bold]neuro_deploy shrink digits.program.h5 --input test.npz --against sim,lava --out case.h5[/bold]
    """
    from ..shrinking import save_case
    from ..shrinking import shrink as search

    file = network_file(file)
    keep_inputs([file, Path(target), *(path for path in (input_, other) if path)], out)
    x = given_input(file, input_)[0]
    programs, judge = _runs(file, x, against, other, target, seconds)
    joined = join_inputs(x, programs[0].inputs)
    if samples is not None and not 1 <= samples <= joined.shape[1]:
        raise InputError(f"samples must be in [1, {joined.shape[1]}] for this input, got {samples}")
    with progress(f"shrink: {file.name}") as bar:

        def watch(case: Case, tried: int, spent: float) -> None:
            bar(min(int(spent), int(seconds)), int(seconds))
            bar.note(f"{case}; {tried} tried")

        found = search(programs, joined[:, :samples], judge, seconds=seconds, watch=watch)
    save_case(found.case, found.first, out)
    _tell(found, out)


def _runs(
    file: Path, x: NetworkInput, against: str, other: Path | None, target: str, seconds: float
) -> tuple[tuple[ChipProgram, ChipProgram], Judge]:
    """The programs and who runs them; a case's own where nothing else is said."""
    from ..lower import compile as lower
    from ..shrinking import between_backends

    case = given_case(file)
    backends = names(against) or (case.backends if case else ("sim",) if other else ("sim", "lava"))
    if other and len(backends) == 1:
        backends *= 2
    if len(backends) != 2 or not all(backends):
        raise InputError(f"--against takes two backends, such as sim,lava, or with --other one, got '{against}'")
    judge = between_backends(*backends, timeout=seconds)
    if case and not other:
        return case.programs, judge
    source = load_any(file)
    if isinstance(source, Trace):
        raise BackendError(f"{file}: is a trace; give a ChipProgram or a NIR file")
    if not isinstance(source, ChipProgram):
        steps = len(next(iter(x.values())) if isinstance(x, dict) else x)
        try:
            source = lower(source, target, max_steps=steps)
        except (InputError, UnsupportedError) as error:
            remedy = "'compile' it with the options that it needs, and shrink the program"
            raise InputError(f"{error}\n  {file}: {remedy}") from error
    return (source, load_program(other) if other else source), judge


def _tell(found: Shrunk, out: Path) -> None:
    size = out.stat().st_size / 1000
    say(f"from {escape(str(found.before))}\nto   {escape(str(found.case))}; {found.tried} smaller ones tried")
    if not found.finished:
        say("[yellow]the time was over first: it may get smaller, 'shrink' takes the written case again[/yellow]")
    say(f"differs in {escape(str(found.first))}")
    say(f"wrote {escape(str(out))}, {size:,.0f} kB; 'neuro_deploy compare {escape(str(out))}' runs it again")
