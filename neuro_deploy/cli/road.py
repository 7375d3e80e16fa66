"""train, export, compile, simulate: one arrow of the road each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from ..errors import BackendError, InputError
from ..files import read_input
from ..graph import read_graph, read_nir
from ..neurons.scheme import METADATA
from ..program import RULES, ChipProgram, save_program
from ..trace import Trace, save_trace
from .show import (
    AS,
    DISCRETIZATION,
    DT,
    RESET,
    ROUNDS,
    err,
    given_input,
    keep_inputs,
    load_any,
    meant,
    names,
    network_file,
    progress,
    say,
)
from .training import live

PRECISIONS = {"32": "32-true"}
QUIET_EPOCHS = 10
"""Without a terminal, every so many epochs get a line."""


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    for command in (train, export, compile_, simulate):
        app.command(name=command.__name__.strip("_"))(command)


def train(
    recipe: str = typer.Argument(
        "", help="A recipe's name ('models' lists them) or a RECIPE.toml; with --resume it may be left out."
    ),
    out: Path = typer.Option(..., "--out", help="Run directory: weights, recipe, metrics, a test input."),
    device: str = typer.Option("auto", "--device", help="auto, cpu or cuda."),
    devices: int | None = typer.Option(
        None, "--devices", help="GPUs, or processes on the CPU, that share each batch; torchrun works as well."
    ),
    precision: str = typer.Option("", "--precision", help="32, bf16-mixed or 16-mixed: training.precision."),
    accumulate: int | None = typer.Option(
        None, "--accumulate", help="Batches whose gradients make one step of the optimizer: training.accumulate."
    ),
    checkpoint_seconds: float | None = typer.Option(
        None, "--checkpoint-seconds", min=0, help="The most training that a kill can cost; default: 60."
    ),
    overrides: list[str] = typer.Option([], "--set", help="section.key=value; may be given again."),
    data: Path | None = typer.Option(
        None, "--data", help="The dataset's files, where they are not those of the cache: a file or a folder."
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in --out, by its own recipe; or start it."),
    chip: str = typer.Option("", "--chip", help="A target: train in its integers, so that spikes are the chip's."),
    source: Path | None = typer.Option(
        None, "--from", help="With --chip: the finished float run to go on from; default: train one in OUT/float first."
    ),
) -> None:
    """Train a network by a recipe.

    With --chip the forward pass is the chip: its integer weights, thresholds, 12-bit leaks and registers; 'export' and
    'compile' then find the same integers.  The recipe's \\[chip] says how long, and how fast (chip.epochs, chip.lr).
    A run that was interrupted or killed, at any moment, goes on by the same command with --resume, to the same weights.

    Example: [bold]neuro_deploy train digits_mlp --out runs/digits --set training.epochs=30 --set seed=1[/bold]
    Or: [bold]neuro_deploy train digits_mlp --out runs/digits --devices 2 --accumulate 4 --precision bf16-mixed[/bold]
    Or: [bold]torchrun --nproc-per-node 2 -m neuro_deploy train digits_mlp --out runs/digits[/bold]
    Then: [bold]neuro_deploy train digits_mlp --chip loihi2 --from runs/digits --out runs/digits_chip[/bold]
    """
    from ..road import train_run
    from ..train.helpers import dismiss, follow

    if data is not None:
        overrides = [*overrides, f"data.path={json.dumps(str(data.resolve()))}"]
    if follow(device, devices):
        return
    changes = [
        *overrides,
        *([f'training.precision="{PRECISIONS.get(precision, precision)}"'] if precision else []),
        *([f"training.accumulate={accumulate}"] if accumulate is not None else []),
    ]
    history: list[Mapping[str, Any]] = []
    with dismiss(), progress(f"training {recipe}") as update:

        def note(metrics: Mapping[str, Any]) -> None:
            history.append(metrics)
            update.beneath(live(history, err.options.ascii_only))
            text = f"loss {metrics['loss']:.3f}, accuracy {metrics['test_accuracy']:.1%}"
            update.note(text)
            if not err.is_terminal and metrics["epoch"] % QUIET_EPOCHS == 0:
                err.print(f"epoch {metrics['epoch']}: {text}", highlight=False)

        given: dict[str, Any] = {"device": device, "devices": devices, "checkpoint_seconds": checkpoint_seconds}
        given |= {"overrides": changes, "chip": chip, "source": source, "resume": resume}
        result = train_run(recipe, out, progress=update, on_epoch=note, **given)
    say(f"trained {result.name}: {result.measured} accuracy {result.accuracy:.2%} in {result.seconds:.1f} s, in {out}")
    if chip and (count := result.metrics.get("scaled_back")):
        say(f"{count} neurons act with weights scaled back, so that no register can overflow")
    for event in ("clips", "wraps"):
        if count := result.metrics.get(event):
            say(f"[yellow]registers: {count:,} {event} on the test set[/yellow]")
    say(f"test input: {result.test_input}    curves: tensorboard --logdir {out}")


def export(
    run: Path = typer.Argument(help="A run directory of 'train'."),
    nir: Path = typer.Option(..., "--nir", help="The NIR file to write."),
    strict: bool = typer.Option(False, "--strict", help="Refuse what would make other readers compute something else."),
    readers: str = typer.Option(
        "", "--readers", help="The readers that count, such as 'snnTorch,Norse'; default: all."
    ),
) -> None:
    """Export a trained network to NIR, and prove that the file gives the same spikes, on the test set and at random.

    What other readers of the file would lose is listed; 'inspect' lists it again.

    Example: [bold]neuro_deploy export runs/digits --nir digits.nir[/bold]
    """
    from ..road import export_run

    result = export_run(run, nir, strict=strict, readers=names(readers))
    proof = result.graph.metadata[METADATA]["proof"]
    if result.program:
        say(f"wrote {nir}: compiled, it is the trained program (digest {result.program[:12]})")
        say(f"on the test set training and sim agree in each of {proof['sample']['numbers']:,} spikes and potentials")
    else:
        say(
            f"wrote {nir}: on the test set the file's {result.spikes:,} spike counts and potentials equal the folded "
            f"model's, every one of them"
        )
        say(f"folding the batch norm changed {result.changed} of {result.spikes:,} spike counts")
    for which, text in (("random", "random input"), ("sample", "the test set")):
        if silent := proof[which].get("silent"):
            say(f"[yellow]not shown by {text}, where it never fires: {escape(silent)}[/yellow]")
    for found in result.lost:
        say(f"[yellow]other readers: {escape(found.node or 'the file')}: {escape(found.what)}[/yellow]")


def compile_(
    file: Path = typer.Argument(help="A NIR file, or a model of the zoo ('models' lists them)."),
    out: Path = typer.Option(..., "--out", help="The ChipProgram to write (.program.h5)."),
    target: str = typer.Option("loihi2", "--target", help="A target's name, or a TOML file."),
    calibrate: Path | None = typer.Option(
        None, "--calibrate", help="Typical input (.npz): its range, and what --scale calibrated looks at."
    ),
    dt: float | None = DT,
    family: str | None = AS,
    reset: str | None = RESET,
    rounds: int | None = ROUNDS,
    discretization: str | None = DISCRETIZATION,
    input_bits: int | None = typer.Option(None, "--input-bits", help="Width of the input's payload."),
    weight_bits: int | None = typer.Option(None, "--weight-bits", help="Width of the weights; the target's, or fewer."),
    scale: str = typer.Option("auto", "--scale", help="auto, proven, calibrated or full: precision against proof."),
    max_steps: int | None = typer.Option(
        None, "--max-steps", help="Longest run that the bounds hold for; by default the file's, else 1000."
    ),
    exact: bool = typer.Option(False, "--exact", help="Refuse any rounding."),
) -> None:
    """Turn a NIR network into integers for a chip.

    Example: [bold]neuro_deploy compile digits.nir --target loihi2 --out digits.program.h5[/bold]
    """
    from ..lower import compile as lower
    from ..report.tables import program_table
    from .show import out as console

    file = network_file(file)
    keep_inputs([file, *([calibrate] if calibrate else []), Path(target)], out)
    known = read_input(calibrate)[0] if calibrate else None
    program = lower(
        meant(read_nir(file), dt, family, reset, rounds, discretization),
        target,
        calibrate=known,
        input_bits=input_bits,
        weight_bits=weight_bits,
        scale=scale,
        max_steps=max_steps,
        exact=exact,
    )
    save_program(program, out)
    console.print(program_table(program))
    say(f"wrote {escape(str(out))}")


def simulate(
    file: Path = typer.Argument(help="A ChipProgram (sim, lava) or a NIR file (reference, lava-float)."),
    out: Path = typer.Option(..., "--out", help="The trace to write (.trace.h5)."),
    input_: Path | None = typer.Option(
        None,
        "--input",
        help="An .npz with 'input' (T, B, ...) and optionally 'label' (B,); a case of 'shrink' has its own.",
    ),
    backend: str = typer.Option("sim", "--backend", help="sim, lava, reference, lava-float; or sim-plain."),
    record: str = typer.Option("spikes,v,u", "--record", help="Which of spikes,v,h,u."),
    samples: int | None = typer.Option(None, "--samples", help="Only the first so many samples."),
    only: str | None = typer.Option(None, "--only", help="Keep these populations alone, such as 'out' or 'cf1,out'."),
    strict: bool = typer.Option(False, "--strict", help="Stop at the first wrap or clip of a register (sim)."),
    dt: float | None = DT,
    family: str | None = AS,
    reset: str | None = RESET,
    rounds: int | None = ROUNDS,
    discretization: str | None = DISCRETIZATION,
    timeout: float | None = typer.Option(None, "--timeout", help="Seconds that a Lava run may take."),
) -> None:
    """Run a network on an input and record its spikes and states.

    Example: [bold]neuro_deploy simulate digits.program.h5 --input test.npz --backend sim --out sim.trace.h5[/bold]
    """
    from ..backends import simulate as run
    from ..comparison import counter_remarks

    keep_inputs([file, *([input_] if input_ else [])], out)
    source = load_any(file)
    if isinstance(source, Trace):
        raise BackendError(f"{file}: is a trace; give a ChipProgram or a NIR file")
    if not isinstance(source, ChipProgram):
        source = meant(source, dt, family, reset, rounds, discretization)
    elif any(value is not None for value in (dt, family, reset, rounds, discretization)):
        raise InputError(
            f"{file}: is a ChipProgram, which says its time step and resets itself; leave those options out"
        )
    x, label = given_input(file, input_)
    variables, kept = names(record), None if only is None else names(only)
    with progress(f"{backend}: {file.name}") as update:
        trace = run(
            source,
            x,
            backend,
            variables,
            samples,
            only=kept,
            strict=strict,
            timeout=timeout,
            progress=update,
        )
    save_trace(trace, out)
    say(f"wrote {escape(str(out))}: {trace.batch} samples, {trace.steps} steps, {len(trace.populations)} populations")
    readout = source.readout if isinstance(source, ChipProgram) else read_graph(source).readout
    if readout and label is not None and not readout.readable(trace):
        variable = RULES[readout.rule][0]
        say(f"no accuracy: it is read by {readout.rule} of {readout.population}; record its '{variable}'")
    elif readout and label is not None:
        decided = readout.decide(trace)
        say(f"accuracy {(decided == label[: len(decided)]).mean():.2%} over {len(decided)} samples")
    for remark in counter_remarks(trace):
        say(f"[yellow]{escape(remark)}[/yellow]")
