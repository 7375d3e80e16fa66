"""explain: which number format costs how much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ..errors import InputError
from ..files import join_inputs, read_input
from ..graph import read_graph, read_nir
from .show import (
    AS,
    DISCRETIZATION,
    DT,
    RESET,
    ROUNDS,
    command_line,
    keep_inputs,
    meant,
    network_file,
    out,
    progress,
    say,
)

SAMPLES = 200


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="explain")(explain)


def explain(
    source: Path = typer.Argument(help="A NIR file, or a model of the zoo ('models' lists them)."),
    input_: Path | None = typer.Option(
        None, "--input", help="An .npz with 'input' (T, B, ...) and optionally 'label' (B,); the zoo's have a test set."
    ),
    target: str = typer.Option("loihi2", "--target", help="A target's name, or a TOML file."),
    samples: int = typer.Option(SAMPLES, "--samples", help="Only the first so many samples."),
    report: Path | None = typer.Option(None, "--report", help="Write an HTML report."),
    dt: float | None = DT,
    family: str | None = AS,
    reset: str | None = RESET,
    rounds: int | None = ROUNDS,
    discretization: str | None = DISCRETIZATION,
    input_bits: int | None = typer.Option(None, "--input-bits", help="Width of the input's payload; see 'compile'."),
    weight_bits: int | None = typer.Option(None, "--weight-bits", help="Width of the weights; see 'compile'."),
    scale: str = typer.Option("auto", "--scale", help="auto, proven, calibrated or full; see 'compile'."),
    calibrate: Path | None = typer.Option(None, "--calibrate", help="Typical input (.npz); see 'compile'."),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> None:
    """Switch the chip's number formats on one at a time, and show which costs how many spikes and how much accuracy.

    Each format alone (weights, thresholds, leak, potential, input, ...), all but each, and each in every layer; then
    what other scales, calibration or more bits would give, and the cheapest change that removes half of it or more.

    Example: [bold]neuro_deploy explain digits.nir --target loihi2 --input runs/digits/test.npz --report why.html[/bold]
    """
    from ..explanation import explain as study
    from ..report.explain_table import explanation_table
    from ..zoo import named

    model = named(source)
    file = network_file(source)
    keep_inputs([file, Path(target), *(path for path in (input_, calibrate) if path)], report)
    if input_ is None and model is None:
        raise InputError(f"{source}: which input?  --input X.npz, with 'input' (T, B, ...) and optionally 'label' (B,)")
    x, label = read_input(input_) if input_ else model.test_input()  # type: ignore[union-attr]
    graph = meant(read_nir(file), dt, family, reset, rounds, discretization)
    x = join_inputs(x, dict(read_graph(graph, dt).inputs))
    if samples < 1:
        raise InputError(f"--samples must be 1 or more, got {samples}")
    options: dict[str, Any] = {"input_bits": input_bits, "weight_bits": weight_bits, "scale": scale}
    if calibrate:
        options["calibrate"] = read_input(calibrate)[0]
    with progress(f"explain: {source.name}") as update:
        found = study(graph, target, x[:, :samples], label, options=options, progress=update)
    if report:
        from ..report.explain_html import write_explanation

        said: dict[str, Any] = {"--input": input_, "--target": target, "--samples": samples, "--scale": scale}
        said |= {"--dt": dt, "--as": family, "--reset": reset, "--rounds": rounds, "--discretization": discretization}
        said |= {"--calibrate": calibrate, "--input-bits": input_bits, "--weight-bits": weight_bits}
        command = command_line("explain", source, said)
        write_explanation(report, found, title=f"{source.name} on {target}", command=command)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        out.print(explanation_table(found))
        if report:
            say(f"report: {report}")
