"""explain: which number format costs how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import InputError
from .asked import CALIBRATE, INPUT, INPUT_BITS, SCALE, TARGET, WEIGHT_BITS, Asked, asked
from .show import AS, DISCRETIZATION, DT, RESET, ROUNDS, command_line, out, progress, say

if TYPE_CHECKING:
    from ..explanation import Explanation

SAMPLES = 200


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="explain")(explain)


def explain(
    context: typer.Context,
    source: Path = typer.Argument(help="A NIR file, or a model of the zoo ('models' lists them)."),
    input_: Path | None = INPUT,
    target: str = TARGET,
    samples: int = typer.Option(SAMPLES, "--samples", help="Only the first so many samples."),
    report: Path | None = typer.Option(None, "--report", help="Write an HTML report."),
    dt: float | None = DT,
    family: str | None = AS,
    reset: str | None = RESET,
    rounds: int | None = ROUNDS,
    discretization: str | None = DISCRETIZATION,
    input_bits: int | None = INPUT_BITS,
    weight_bits: int | None = WEIGHT_BITS,
    scale: str = SCALE,
    calibrate: Path | None = CALIBRATE,
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> None:
    """Switch the chip's number formats on one at a time, and show which costs how many spikes and how much accuracy.

    Each format alone (weights, thresholds, leak, potential, input, ...), all but each, and each in every layer; then
    what other scales, calibration or more bits would give, and the cheapest change that removes half of it or more.

    Example: [bold]neuro_deploy explain digits.nir --target loihi2 --input runs/digits/test.npz --report why.html[/bold]
    """
    from ..report.explain_html import write_explanation
    from ..report.explain_table import explanation_table

    if samples < 1:
        raise InputError(f"--samples must be 1 or more, got {samples}")
    widths = {"input_bits": input_bits, "weight_bits": weight_bits, "scale": scale}
    what = asked(source, input_, target, (dt, family, reset, rounds, discretization), widths, calibrate, (report,))
    found = study(what, samples)
    if report:
        write_explanation(report, found, title=what.title, command=command_line(context))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        out.print(explanation_table(found))
        if report:
            say(f"report: {report}")


def study(what: Asked, samples: int) -> Explanation:
    """The explanation of the first samples, with a progress bar."""
    from ..explanation import explain

    with progress(f"explain: {what.title}") as update:
        return explain(what.graph, what.target, what.first(samples), what.label, options=what.options, progress=update)
