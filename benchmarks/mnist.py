"""MNIST from training to the chip's integers: how much accuracy does each scale of `compile` keep?

A 784-128-128-10 network of circulate-firing neurons (K = 3, T = 4) sees the 8-bit pixels, over 255, at each step.

    python benchmarks/mnist.py --data mnist_10000.npz --seeds 0 1 2

--data names an .npz file with `image` uint8 (10000, 28, 28) and `label` uint8 (10000,): the 10,000 test images of MNIST
(LeCun, Cortes, Burges), which have no split of their own.  After numpy.random.RandomState(0).permutation(10000) the
first 8,000 train and the last 2,000 test.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import nn

import neuro_deploy as nd
from neuro_deploy.errors import InputError, NeuroDeployError, UnsupportedError
from neuro_deploy.files import read_npz, write_npz
from neuro_deploy.program import ChipProgram
from neuro_deploy.trace import Trace

STEPS, DT, QUANTUM = 4, 0.001, 1 / 255
TRAIN, TEST, CLASSES = 8000, 2000, 10
EPOCHS, BATCH, RATE = 20, 100, 5e-3
CALIBRATION = 500
"""How many training images `--scales calibrated` sees."""

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
WIDTH = 140
"""Characters that the table needs, for a pipe or a file."""


@dataclass(frozen=True)
class Split:
    """Images (B, 784) in [0, 1] and labels (B,), to train and to test."""

    x_train: Floats
    y_train: Labels
    x_test: Floats
    y_test: Labels


@dataclass(frozen=True)
class Result:
    """One compiled network, run on the test images.

    bits: of the input.   accuracy, loss: in percent and points.   wraps, clips: counted by sim over the whole run.
    differing: share of the output's spike counts, one per image and class, that are not those of the float run.
    worst: bits of weight that a proof cost its worst neuron.   seconds: to compile, and to simulate.
    """

    proven: bool
    bits: int
    accuracy: float
    loss: float
    wraps: int
    clips: int
    differing: float
    worst: float
    seconds: tuple[float, float]


def load_split(path: Path) -> Split:
    """The permuted digits.  Raises: FileError, FormatError; InputError for other arrays."""
    arrays = read_npz(path)
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes.get("image") != (TRAIN + TEST, 28, 28) or shapes.get("label") != (TRAIN + TEST,):
        raise InputError(f"{path}: expected image (10000, 28, 28) and label (10000,), got {shapes}")
    order = np.random.RandomState(0).permutation(TRAIN + TEST)
    x = (arrays["image"][order].reshape(TRAIN + TEST, -1) / 255).astype(np.float32)
    y = arrays["label"][order].astype(np.int64)
    return Split(x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:])


def over_time(x: Floats) -> Floats:
    """Images (B, N) at each step: (T, B, N)."""
    return np.ascontiguousarray(np.broadcast_to(x, (STEPS, *x.shape)))


def build() -> nn.Sequential:
    """The untrained network; the spike counts of its last layer decide."""

    def fire() -> nn.Module:
        return nd.nn.CirculateFire(beta=0.9, theta=1.0, circulations=3, steps=STEPS)

    return nn.Sequential(
        *(nn.Linear(784, 128), nd.nn.BatchNorm(128), fire()),
        *(nn.Linear(128, 128), nd.nn.BatchNorm(128), fire()),
        *(nn.Linear(128, CLASSES), fire()),
    )


def train(split: Split, seed: int, epochs: int) -> nn.Sequential:
    """A network trained by the cross entropy of its spike counts."""
    torch.manual_seed(seed)
    model = build()
    x, y = torch.from_numpy(split.x_train), torch.from_numpy(split.y_train)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * -(-len(x) // BATCH))
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            counts = model(x[batch].expand(STEPS, -1, -1)).sum(0)
            optimizer.zero_grad()
            nn.functional.cross_entropy(counts, y[batch]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def percent(decided: Any, label: Labels) -> float:
    """Accuracy in percent."""
    return 100 * float((np.asarray(decided) == label).mean())


def measure(
    graph: nir.NIRGraph, reference: Trace, split: Split, scale: str, args: argparse.Namespace
) -> tuple[Result, ChipProgram]:
    """Compile with a scale and run on the test images.  Raises: InputError, UnsupportedError."""
    options: dict[str, Any] = {"target": args.target, "scale": scale, "input_bits": args.input_bits}
    if scale == "calibrated":
        options["calibrate"] = over_time(split.x_train[:CALIBRATION])
    start = time.perf_counter()
    program = nd.compile(graph, **options)
    compiled = time.perf_counter()
    trace = nd.simulate(program, over_time(split.x_test), backend="sim", record=("spikes",))
    ended = time.perf_counter()
    if program.readout is None:
        raise InputError("the program has no readout")
    was = percent(program.readout.decide(reference), split.y_test)
    accuracy = percent(program.readout.decide(trace), split.y_test)
    counts = [t.aligned(program.readout.population, "spikes").sum(0) for t in (reference, trace)]
    events = [item for counter in trace.counters.values() for item in counter.items()]
    result = Result(
        program.proven,
        program.encoders[0].bits,
        accuracy,
        was - accuracy,
        sum(n for name, n in events if name.endswith("wraps")),
        sum(n for name, n in events if name.endswith("clips")),
        100 * float((counts[0] != counts[1]).mean()),
        float(program.report.get("proof_loss_bits", 0.0)),
        (compiled - start, ended - compiled),
    )
    return result, program


def cells(result: Result) -> list[str]:
    """A result as a row of the table."""
    return [
        f"{result.accuracy:.2f}",
        f"{result.loss:+.2f}",
        "yes" if result.proven else "no",
        f"{result.bits}",
        f"{result.worst:.1f}",
        f"{result.wraps:,}",
        f"{result.clips:,}",
        f"{result.differing:.1f} %",
        f"{result.seconds[0]:.1f} + {result.seconds[1]:.1f} s",
    ]


def table_of(args: argparse.Namespace) -> Table:
    """The empty table."""
    table = Table(title=f"MNIST 784-128-128-10, CF (K = 3, T = {STEPS}), {TEST:,} test digits, {args.target}")
    for name in ("seed", "run"):
        table.add_column(name)
    for name in ("accuracy %", "loss", "proven", "input bits", "bits lost", "wraps", "clips", "counts differ", "time"):
        table.add_column(name, justify="right")
    return table


def bench_seed(split: Split, seed: int, args: argparse.Namespace, table: Table, console: Console) -> dict[str, Result]:
    """Train, export, and add a row for each run; results by scale."""
    start = time.perf_counter()
    model = train(split, seed, args.epochs)
    seconds = time.perf_counter() - start
    x = over_time(split.x_test)
    with torch.no_grad():
        decided = nd.nn.decide(model(torch.from_numpy(x))).numpy()
    graph = nd.export_nir(
        model, dt=DT, input_shape=(784,), steps=STEPS, input_low=0.0, input_high=1.0, input_quantum=QUANTUM
    )
    if args.out:
        nd.write_nir(graph, args.out / f"mnist_{seed}.nir")
    start = time.perf_counter()
    reference = nd.simulate(graph, x, backend="reference", record=("spikes",))
    run = time.perf_counter() - start
    table.add_section()
    table.add_row(f"{seed}", "torch", f"{percent(decided, split.y_test):.2f}", *[""] * 7, f"train {seconds:.1f} s")
    last = reference.aligned(list(reference.populations)[-1], "spikes").sum(0).argmax(1)
    table.add_row("", "reference", f"{percent(last, split.y_test):.2f}", *[""] * 7, f"{run:.1f} s")
    results: dict[str, Result] = {}
    for scale in args.scales:
        try:
            result, program = measure(graph, reference, split, scale, args)
        except InputError as error:
            if not str(error).startswith("scale must be"):
                raise
            table.add_row("", scale, "not available")
            continue
        except UnsupportedError as error:
            table.add_row("", scale, "refused")
            console.print(f"seed {seed}, {scale}: {error}", markup=False)
            continue
        table.add_row("", scale, *cells(result))
        results[scale] = result
        if args.verbose:
            explain(program, f"seed {seed}, {scale}", console)
    return results


def explain(program: ChipProgram, title: str, console: Console) -> None:
    """What limits a program: the integers that its weights became, and how near each register comes to its limit."""
    console.print(f"[bold]{title}[/bold]: {'; '.join(program.report['remarks'])}")
    for population in program.populations:
        into = [s for s in program.synapses if s.target == population.name]
        largest = np.concatenate([np.abs(s.weight).max(axis=1, initial=0) for s in into])
        zeros = 100 * float(np.mean([(s.weight == 0).mean() for s in into]))
        bounds = program.report["bounds"][population.name].items()
        reach = ", ".join(f"{r} {b['largest'] / b['limit']:.2f}" for r, b in bounds)
        console.print(
            f"  {population.name}: threshold {np.median(population.params['vth']):.0f} (median), largest weight of a "
            f"neuron {np.median(largest):.0f} (median; least {largest.min()}), {zeros:.0f} % zeros; "
            f"bound / limit: {reach}",
            markup=False,
        )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the digits: image and label, .npz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scales", nargs="+", default=["auto", "full", "calibrated"])
    parser.add_argument("--target", default="loihi2")
    parser.add_argument("--input-bits", type=int, help="width of the input's payload; by default compile's choice")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, help="keep the .nir files and the test input (.npz) in this folder")
    parser.add_argument("--verbose", action="store_true", help="also say what limits each program")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the benchmark and print its table."""
    args = parse()
    torch.set_num_threads(args.threads)
    split = load_split(args.data)
    if args.out:
        write_npz(args.out / "mnist_test.npz", input=over_time(split.x_test), label=split.y_test)
    table = table_of(args)
    found: dict[str, list[Result]] = {scale: [] for scale in args.scales}
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=WIDTH)
    for seed in args.seeds:
        console.print(f"seed {seed} ...")
        for scale, result in bench_seed(split, seed, args, table, console).items():
            found[scale].append(result)
    table.add_section()
    for scale, results in found.items():
        if results:
            mean, loss = (float(np.mean([getattr(r, key) for r in results])) for key in ("accuracy", "loss"))
            table.add_row("mean", scale, f"{mean:.2f}", f"{loss:+.2f}")
    console.print(table)


if __name__ == "__main__":
    try:
        main()
    except NeuroDeployError as error:
        sys.exit(f"{type(error).__name__}: {error}")
