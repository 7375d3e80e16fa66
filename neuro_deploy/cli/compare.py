"""compare: what is the same of two runs, and where and why they differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import InputError
from ..files import read_input
from ..program import ChipProgram, load_program
from ..trace import Trace, load_trace
from .show import JUNIT, command_line, given_case, keep_inputs, out

if TYPE_CHECKING:
    from ..comparison.account import Programs
    from ..explanation import Diagnosis


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="compare")(compare)


def compare(
    context: typer.Context,
    a: Path = typer.Argument(help="A trace (.trace.h5); or a case that 'shrink' wrote, alone: it is run again."),
    b: Path | None = typer.Argument(None, help="Another trace."),
    program: list[Path] = typer.Option(
        [], "--program", help="The runs' program: the first difference tells its cause.  Twice: that of A, that of B."
    ),
    label: Path | None = typer.Option(
        None,
        "--label",
        help="An .npz with 'label' (B,): of a float and an integer run, the accuracy of both; needs --program.",
    ),
    distances: bool = typer.Option(
        False, "--distances", help="Of a float and an integer run: distances of spike trains, by elephant."
    ),
    report: Path | None = typer.Option(None, "--report", help="Write an HTML report."),
    junit: Path | None = JUNIT,
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Compare two recorded runs: exit 0 if they are equal, 1 if they differ, 2 on an error.

    Two integer or two float runs are compared exactly: the first difference, and with --program the inputs, weights,
    potentials and thresholds on both sides, and what kind of fault explains it.  A float against an
    integer run gives statistics, and with --program whether they decide alike.

    Example: [bold]neuro_deploy compare sim.trace.h5 lava.trace.h5 --program p.program.h5 --report diff.html[/bold]
    """
    from ..comparison import compare as judge
    from ..report import provenance, write_report
    from ..report.junit import cases_of, write_junit
    from ..report.tables import comparison_table

    keep_inputs([a, *([b] if b else []), *program, *([label] if label else [])], report, junit)
    one, other, known = _loaded(a, b, program)
    files, exact = (a, b) if b else (a,), one.kind == other.kind
    title = " against ".join(file.name for file in files)
    if exact and label:
        raise InputError(
            "--label: accuracy is a statistic of a float and an integer run; these two are compared exactly"
        )
    readout = None if exact else next((p.readout for p in known if p.readout and p.readout.readable(one)), None)
    programs = _programs(known) if exact and one.kind == "integer" else None
    result = judge(
        one,
        other,
        readout=readout,
        labels=read_input(label)[1] if label else None,
        programs=programs,
        distances=distances,
    )
    found, notes = (None, ()) if programs is None or result.first is None else _diagnosis(one, other, programs)
    if report and len(known) == 2 and known[0] != known[1]:
        notes = (*notes, "the report's drawings have the thresholds of the first program for both runs")
    result = replace(result, notes=(*result.notes, *notes))
    if report:
        write_report(
            report,
            title=title,
            result=result,
            a=one,
            b=other,
            program=known[0] if known else None,
            provenance=provenance(command_line(context), [*files, *program, *([label] if label else [])]),
        )
    if junit:
        write_junit(junit, title, cases_of(result))
    if as_json:
        typer.echo(json.dumps(result.to_dict() | ({"diagnosis": found.to_dict()} if found else {}), indent=2))
    else:
        out.print(comparison_table(result))
    raise typer.Exit(result.exit_code)


def _loaded(a: Path, b: Path | None, program: Sequence[Path]) -> tuple[Trace, Trace, list[ChipProgram]]:
    """Both runs, and their programs as far as they are known."""
    if len(program) > 2:
        raise InputError(f"--program: one for both runs, or one for each, got {len(program)}")
    known = [load_program(path) for path in program]
    if b is None:
        return _rerun(a, known)
    one, other = load_trace(a), load_trace(b)
    whole = one if one.kind == "integer" else other
    if known and one.kind != other.kind and whole.digest and whole.digest not in [p.digest for p in known]:
        raise InputError(f"--program: {whole.backend} is a run of {whole.digest[:12]}, not of {known[0].digest[:12]}")
    return one, other, known


def _rerun(file: Path, known: Sequence[ChipProgram]) -> tuple[Trace, Trace, list[ChipProgram]]:
    """Both runs of a case, and their programs."""
    from ..shrinking import between_backends

    case = given_case(file)
    if case is None:
        raise InputError(f"{file}: against which trace?  'compare A B'; only a case that 'shrink' wrote goes alone")
    if known:
        raise InputError(f"{file}: is a case, which has its programs; leave --program out")
    if not all(case.backends):
        raise InputError(f"{file}: an executor of its own made it, in Python; run it there, or with 'simulate'")
    one, other, _ = between_backends(*case.backends).comparison(case)
    return one, other, list(case.programs)


def _diagnosis(a: Trace, b: Trace, programs: Programs) -> tuple[Diagnosis | None, tuple[str, ...]]:
    """What is wrong with the second run, and the note that says so."""
    from ..explanation import diagnose

    try:
        found = diagnose(a, b, programs)
    except InputError as error:
        return None, (f"no diagnosis: {error}",)
    return found, (f"diagnosis: {found.kind + ': ' if found.kind else ''}{found.sentence}",)


def _programs(known: Sequence[ChipProgram]) -> Programs | None:
    """One program of both runs, or one of each."""
    return (known[0], known[1]) if len(known) == 2 else known[0] if known else None
