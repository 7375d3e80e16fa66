"""verify: does the chip do what was trained?  And the same once more, from a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from ..errors import InputError
from .asked import CALIBRATE, INPUT, INPUT_BITS, SCALE, TARGET, WEIGHT_BITS, asked
from .explain import SAMPLES, study
from .show import AS, DISCRETIZATION, DT, JUNIT, RESET, ROUNDS, bars, command_line, options_given, out, say

if TYPE_CHECKING:
    from ..road import Verified


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="verify")(verify)


def verify(
    context: typer.Context,
    source: Path = typer.Argument(help="A NIR file, a model of the zoo ('models' lists them), or a bundle's folder."),
    input_: Path | None = INPUT,
    target: str = TARGET,
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
    input_bits: int | None = INPUT_BITS,
    weight_bits: int | None = WEIGHT_BITS,
    scale: str = SCALE,
    calibrate: Path | None = CALIBRATE,
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
    from ..report.junit import cases_of_verdict, write_junit
    from ..road import MOST_LAVA_SAMPLES, verify_graph, write_verdict
    from ..zoo import LAVA_SAMPLES

    if is_bundle(source):
        if more := [option for option in options_given(context) if option not in ("--timeout", "--junit", "--json")]:
            raise InputError(f"{source}: a bundle says itself what is run; leave out {', '.join(more)}")
        raise typer.Exit(_again(source, timeout, junit, as_json))
    if bundle:
        check_new(bundle)
    if explain and not report:
        raise InputError("--explain goes into a report: add --report FILE.html, or use 'neuro_deploy explain'")
    widths = {"input_bits": input_bits, "weight_bits": weight_bits, "scale": scale}
    meaning = (dt, family, reset, rounds, discretization)
    what = asked(source, input_, target, meaning, widths, calibrate, (report, junit))
    if lava_samples is None:
        context.params["lava_samples"] = lava_samples = LAVA_SAMPLES if what.zoo else MOST_LAVA_SAMPLES
    options, command = what.options, command_line(context)
    with bars() as start:
        result = verify_graph(
            what.graph,
            target,
            what.x,
            what.label,
            lava_samples=lava_samples,
            options=options,
            timeout=timeout,
            start=start,
        )
    if report:
        found = study(what, SAMPLES) if explain else None
        told = {"title": what.title, "command": command, "graph": what.graph, "files": what.files}
        write_verdict(report, result, explained=found, **told)
    if bundle:
        write_bundle(bundle, what.graph, target, what.x, what.label, result, options=options, command=command)
    if junit:
        write_junit(junit, command, cases_of_verdict(result.verdict))
    _tell(result, as_json)
    for name, path in (("report", report), ("bundle", bundle)):
        if path and not as_json:
            again = f"; 'neuro_deploy verify {path}' runs it again" if path is bundle else ""
            say(f"{name}: {path}{again}")
    raise typer.Exit(result.verdict.exit_code if lava_samples else 0)


def _tell(result: Verified, as_json: bool) -> None:
    """Print the verdict and the estimate."""
    from ..report.estimate_table import estimate_table
    from ..report.tables import verdict_table

    program, estimate = result.program, result.estimate
    if as_json:
        made = {"digest": program.digest, "max_steps": program.max_steps, "read_as": program.report["scheme"]}
        estimated = estimate.to_dict() if estimate else None
        typer.echo(json.dumps({**result.verdict.to_dict(), "program": made, "estimate": estimated}, indent=2))
        return
    out.print(verdict_table(result.verdict))
    if estimate:
        out.print()
        out.print(estimate_table(estimate))
    same = f"'compile --max-steps {program.max_steps}' makes the same"
    say(f"program {program.digest[:12]}, for runs of {program.max_steps} steps, as the input has: {same}")


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
