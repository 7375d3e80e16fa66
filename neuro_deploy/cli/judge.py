"""compare, verify: what is the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from ..backends.base import Progress
from ..errors import InputError
from ..files import NetworkInput, join_inputs, read_input
from ..graph import read_graph, read_nir
from ..program import ChipProgram, load_program
from ..trace import Trace, load_trace
from .explain import SAMPLES
from .show import (
    AS,
    DISCRETIZATION,
    DT,
    RESET,
    ROUNDS,
    command_line,
    given_case,
    keep_inputs,
    meant,
    network_file,
    options_given,
    out,
    progress,
    say,
)

if TYPE_CHECKING:
    from ..comparison.account import Programs
    from ..explanation import Diagnosis, Explanation


JUNIT = typer.Option(None, "--junit", help="Write the result as JUnit XML, for a CI system.")


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    for command in (compare, verify):
        app.command(name=command.__name__)(command)


@contextmanager
def bars() -> Iterator[Any]:
    """A `road.Starter` that shows one progress bar after the other."""
    with ExitStack() as stack:

        def start(title: str) -> Progress:
            stack.close()
            return stack.enter_context(progress(title))

        yield start


def compare(
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
    if len(program) > 2:
        raise InputError(f"--program: one for both runs, or one for each, got {len(program)}")
    known = [load_program(path) for path in program]
    if b:
        one, other = load_trace(a), load_trace(b)
    else:
        one, other, known = _rerun(a, known)
    files = (a, b) if b else (a,)
    title = " against ".join(file.name for file in files)
    exact = one.kind == other.kind
    if exact and label:
        raise InputError(
            "--label: accuracy is a statistic of a float and an integer run; these two are compared exactly"
        )
    if not exact and known:
        whole = one if one.kind == "integer" else other
        if whole.digest and whole.digest not in [p.digest for p in known]:
            raise InputError(
                f"--program: {whole.backend} is a run of {whole.digest[:12]}, not of {known[0].digest[:12]}"
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
        notes = (*notes, f"the report's drawings have the thresholds of {program[0].name} for both runs")
    result = replace(result, notes=(*result.notes, *notes))
    if report:
        options = [word for path in program for word in ("--program", str(path))]
        options += ["--label", str(label)] if label else []
        options += ["--distances"] if distances else []
        command = shlex.join(["neuro_deploy", "compare", *map(str, files), *options])
        write_report(
            report,
            title=title,
            result=result,
            a=one,
            b=other,
            program=known[0] if known else None,
            provenance=provenance(command, [*files, *program, *([label] if label else [])]),
        )
    if junit:
        write_junit(junit, title, cases_of(result))
    if as_json:
        typer.echo(json.dumps(result.to_dict() | ({"diagnosis": found.to_dict()} if found else {}), indent=2))
    else:
        out.print(comparison_table(result))
    raise typer.Exit(result.exit_code)


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


def verify(
    context: typer.Context,
    source: Path = typer.Argument(help="A NIR file, a model of the zoo ('models' lists them), or a bundle's folder."),
    input_: Path | None = typer.Option(
        None, "--input", help="An .npz with 'input' (T, B, ...) and optionally 'label' (B,); the zoo's have a test set."
    ),
    target: str = typer.Option("loihi2", "--target", help="A target's name, or a TOML file."),
    lava_samples: int | None = typer.Option(
        None, "--lava-samples", help="Most samples that Lava runs, 1000, of the zoo's models 50; 0: without Lava."
    ),
    report: Path | None = typer.Option(None, "--report", help="Write an HTML report."),
    explain: bool = typer.Option(
        False, "--explain", help="Add to --report what each number format costs, as 'explain' does; it takes a while."
    ),
    bundle: Path | None = typer.Option(
        None, "--bundle", help="Write all that was done into this new folder; 'verify FOLDER' does it again anywhere."
    ),
    junit: Path | None = JUNIT,
    dt: float | None = DT,
    family: str | None = AS,
    reset: str | None = RESET,
    rounds: int | None = ROUNDS,
    discretization: str | None = DISCRETIZATION,
    input_bits: int | None = typer.Option(None, "--input-bits", help="Width of the input's payload; see 'compile'."),
    weight_bits: int | None = typer.Option(None, "--weight-bits", help="Width of the weights; see 'compile'."),
    scale: str = typer.Option("auto", "--scale", help="auto, proven, calibrated or full; see 'compile'."),
    calibrate: Path | None = typer.Option(None, "--calibrate", help="Typical input (.npz); see 'compile'."),
    timeout: float | None = typer.Option(None, "--timeout", help="Seconds that the Lava run may take."),
    as_json: bool = typer.Option(False, "--json", help="Print the verdict as JSON."),
) -> None:
    """Compile a network, run it in float, in sim and in Lava, and judge.

    PASSED, exit 0: sim and Lava agree in every spike and state.  FAILED, exit 1: they do not.  NOT JUDGED: you asked
    for no Lava samples (exit 0), or not one neuron fired (exit 1).  The float network is compared by statistics, since
    integers only approximate it.  Energy and time on the chip are estimates, counted from the spikes of sim.

    Example: [bold]neuro_deploy verify digits.nir --target loihi2 --input runs/digits/test.npz --report out.html[/bold]
    Or: [bold]neuro_deploy verify digits_mlp[/bold], a model of the zoo on the test set of its data
    Or: [bold]neuro_deploy verify digits_mlp --bundle handover --junit verify.xml[/bold], then
    [bold]neuro_deploy verify handover[/bold]: exit 0 if the same comes out again, else 1
    """
    from ..bundle import check_new, is_bundle, write_bundle
    from ..report.estimate_table import estimate_table
    from ..report.junit import cases_of_verdict, write_junit
    from ..report.tables import verdict_table
    from ..road import MOST_LAVA_SAMPLES, verify_graph, write_verdict
    from ..target import target_file
    from ..zoo import LAVA_SAMPLES, named

    if is_bundle(source):
        if more := [option for option in options_given(context) if option not in ("--timeout", "--junit", "--json")]:
            raise InputError(f"{source}: a bundle says itself what is run; leave out {', '.join(more)}")
        raise typer.Exit(_again(source, timeout, junit, as_json))
    if bundle:
        check_new(bundle)
    if explain and not report:
        raise InputError("--explain goes into a report: add --report FILE.html, or use 'neuro_deploy explain'")
    model = named(source)
    file = network_file(source)
    if lava_samples is None:
        lava_samples = LAVA_SAMPLES if model else MOST_LAVA_SAMPLES
    keep_inputs([file, Path(target), *(path for path in (input_, calibrate) if path)], report, junit)
    if input_:
        x, label = read_input(input_)
    elif model:
        x, label = model.test_input()
    else:
        raise InputError(f"{source}: which input?  --input X.npz, with 'input' (T, B, ...) and optionally 'label' (B,)")
    options: dict[str, Any] = {"input_bits": input_bits, "weight_bits": weight_bits, "scale": scale}
    if calibrate:
        options["calibrate"] = read_input(calibrate)[0]
    graph = meant(read_nir(file), dt, family, reset, rounds, discretization)
    with bars() as start:
        result = verify_graph(
            graph,
            target,
            x,
            label,
            lava_samples=lava_samples,
            options=options,
            timeout=timeout,
            start=start,
        )
    said: dict[str, Any] = {"--input": input_, "--target": target, "--lava-samples": lava_samples, "--scale": scale}
    said |= {"--dt": dt, "--as": family, "--reset": reset, "--rounds": rounds, "--discretization": discretization}
    said |= {"--calibrate": calibrate, "--input-bits": input_bits, "--weight-bits": weight_bits, "--explain": explain}
    command = command_line("verify", source, said)
    if report:
        given = [path for path in (file, target_file(target), input_, calibrate) if path]
        title = f"{source.name} on {target}"
        found = _explained(graph, target, x, label, options, source) if explain else None
        write_verdict(report, result, title=title, command=command, graph=graph, files=given, explained=found)
    if bundle:
        write_bundle(bundle, graph, target, x, label, result, options=options, command=command)
    if junit:
        write_junit(junit, command, cases_of_verdict(result.verdict))
    program = result.program
    if as_json:
        made = {"digest": program.digest, "max_steps": program.max_steps, "read_as": program.report["scheme"]}
        estimated = result.estimate.to_dict() if result.estimate else None
        typer.echo(json.dumps({**result.verdict.to_dict(), "program": made, "estimate": estimated}, indent=2))
    else:
        out.print(verdict_table(result.verdict))
        if result.estimate:
            out.print()
            out.print(estimate_table(result.estimate))
        same = f"'compile --max-steps {program.max_steps}' makes the same"
        say(f"program {program.digest[:12]}, for runs of {program.max_steps} steps, as the input has: {same}")
        if report:
            say(f"report: {report}")
        if bundle:
            say(f"bundle: {bundle}; 'neuro_deploy verify {bundle}' runs it again")
    raise typer.Exit(result.verdict.exit_code if lava_samples else 0)


def _explained(graph: Any, target: str, x: NetworkInput, label: Any, options: Any, source: Path) -> Explanation:
    """What `explain` finds on the first samples."""
    from ..explanation import explain

    joined = join_inputs(x, dict(read_graph(graph).inputs))[:, :SAMPLES]
    with progress(f"explain: {source.name}") as update:
        return explain(graph, target, joined, label, options=options, progress=update)


def _again(folder: Path, timeout: float | None, junit: Path | None, as_json: bool) -> int:
    """Run a bundle again; the exit code."""
    from ..bundle import check_bundle
    from ..report.junit import Case, write_junit
    from ..report.tables import BAD, GOOD, WARN
    from ..report.text import table

    with bars() as start:
        found = check_bundle(folder, timeout=timeout, start=start)
    if junit:
        told = [
            ("then", found.manifest.passed, found.manifest.sentence),
            *((c.name, c.passed, c.text) for c in found.checks),
        ]
        cases = [
            Case(name, text, failure=text if passed is False else None, skipped=text if passed is None else None)
            for name, passed, text in told
        ]
        write_junit(junit, f"neuro_deploy verify {folder}", cases)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        styles = {True: Text("yes", GOOD), False: Text("NO", BAD), None: Text("not judged", WARN)}
        rows = [("then", styles[found.manifest.passed], found.manifest.sentence)]
        rows += [(c.name, styles[c.passed], c.text) for c in found.checks]
        label, style = (" PASSED ", GOOD) if found.passed else (" FAILED ", BAD)
        if found.passed and found.manifest.passed is None:
            label, style = " THE SAME AS THEN, NOT JUDGED ", WARN
        out.print(Text(label, f"reverse {style}"), table("", ("", "as it should be", ""), rows), sep="\n")
    return found.exit_code
