"""How fast is `sim`?  Microseconds for one sample and step: our engines, Lava on the CPU, snnTorch in float.

    python benchmarks/sim.py
    python benchmarks/sim.py --networks dense --runs 3 --no-lava

Networks of LIF neurons over T steps of binary spikes, of which 10 % are 1: dense 784-256-10, and conv 1x28x28 ->
3x3, 8 channels, stride 2 -> 3x3, 16 channels, stride 2 -> 10.  Everyone runs the same weights.  Times are medians of
several runs in one process, after one that is not counted; everything that `nd.simulate` does is included.

* sim, sim-plain: `nd.simulate`; "output": the last population's spikes are recorded, "all": spikes, v, u of everyone.
* Lava, nd.simulate: one sample more, its time divided by its steps: neither start-up nor encoding counts.
* Lava alone: its runtime without our record, in a process of its own; a run of many steps less one of few.
* snnTorch: `snn.Leaky` on float32 input, step by step, without gradients; only spikes of the output are kept.
  It is no dependency of ours: pip install --no-deps snntorch
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import neuro_deploy as nd
from neuro_deploy.backends.base import Job
from neuro_deploy.engine import fast
from neuro_deploy.program import ChipProgram, Encoder, Population, Readout, Synapse
from neuro_deploy.wiring import Conv, Dense, Wiring

DENSITY, STEPS = 0.1, 100
BATCHES = (1, 16, 256, 1000)
LEAK = 410
"""dv: the potential keeps 1 - 410/4096 = 0.9 of itself."""
WIDTH = 120
LIMIT = 600
"""Seconds that Lava may take."""


def lif(name: str, shape: tuple[int, ...], latency: int, vth: int) -> Population:
    """LIF neurons without a synaptic current."""
    params = {"dv": LEAK, "du": 4095, "vth": vth, "bias_mant": 0, "bias_exp": 0}
    return Population(name, "lif", shape, {k: np.asarray(v) for k, v in params.items()}, latency, np.asarray(1.0))


def program_of(shape: tuple[int, ...], layers: list[tuple[Wiring, tuple[int, ...], int]]) -> ChipProgram:
    """A chain.  layers: (wiring, shape, threshold) of each."""
    populations, synapses, source = [], [], "input"
    for i, (wiring, size, vth) in enumerate(layers):
        populations.append(lif(f"lif{i}", size, i + 1, vth))
        synapses.append(Synapse(f"w{i}", source, f"lif{i}", wiring))
        source = f"lif{i}"
    encoder = Encoder("input", shape, 1, 1, 1, False, 0, 1)
    return ChipProgram("loihi2", 1e-3, 100_000, (encoder,), tuple(populations), tuple(synapses), Readout(source), False)


def dense_network() -> ChipProgram:
    """784-256-10, 8-bit weights of both signs."""
    rng = np.random.default_rng(0)
    first, second = 2 * rng.integers(-64, 64, (256, 784)), 2 * rng.integers(-64, 64, (10, 256))
    return program_of((784,), [(Dense(first), (256,), 1200), (Dense(second), (10,), 500)])


def conv_network() -> ChipProgram:
    """Two convolutions of stride 2, and a dense layer."""
    rng = np.random.default_rng(0)
    first = Conv(rng.integers(-128, 128, (8, 1, 3, 3)), (1, 28, 28), (2, 2), (1, 1))
    second = Conv(rng.integers(-128, 128, (16, 8, 3, 3)), first.target_shape, (2, 2), (1, 1))
    third = Dense(2 * rng.integers(-64, 64, (10, second.target_size)))
    layers = [(first, first.target_shape, 250), (second, second.target_shape, 500), (third, (10,), 500)]
    return program_of((1, 28, 28), layers)


NETWORKS: dict[str, Callable[[], ChipProgram]] = {"dense": dense_network, "conv": conv_network}


def spikes(program: ChipProgram, steps: int, batch: int) -> NDArray[np.uint8]:
    """Input (T, B, *shape)."""
    rng = np.random.default_rng(1)
    return (rng.random((steps, batch, *program.encoders[0].shape), np.float32) < DENSITY).astype(np.uint8)


def times(action: Callable[[], object], runs: int) -> list[float]:
    """Seconds of each run but the first."""
    found = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return found[1:]


def per_step(seconds: float, x: NDArray[Any]) -> float:
    """Microseconds for one sample and step."""
    return 1e6 * seconds / (x.shape[0] * x.shape[1])


def bench_sim(program: ChipProgram, x: NDArray[Any], backend: str, everything: bool, runs: int) -> float:
    """Our engines."""
    record = ("spikes", "v", "u") if everything else ("spikes",)
    only = None if everything else [program.populations[-1].name]
    return per_step(median(times(lambda: nd.simulate(program, x, backend, record, only=only), runs)), x)


def bench_lava(program: ChipProgram, steps: int, runs: int) -> float:
    """Lava by nd.simulate: what one sample more costs."""

    def seconds(samples: int) -> float:
        x = spikes(program, steps, samples)
        only = [program.populations[-1].name]
        return median(times(lambda: nd.simulate(program, x, "lava", ("spikes",), only=only), runs))

    few, many = 1, 9
    return 1e6 * (seconds(many) - seconds(few)) / ((many - few) * (steps + program.depth))


def lava_alone(name: str) -> None:
    """In a process of its own: print Lava's microseconds a step, by its own processes and models, unwatched."""
    from neuro_deploy.backends.lava import plan_of
    from neuro_deploy.backends.lava_mend import import_lava

    program = NETWORKS[name]()
    plan = plan_of(program, Job(spikes(program, STEPS, 1), ("spikes",)))
    import_lava()
    network = importlib.import_module("neuro_deploy.backends.lava_network").Network(plan)
    conditions = importlib.import_module("lava.magma.core.run_conditions")
    configs = importlib.import_module("lava.magma.core.run_configs")
    nodes = [*network.sources.values(), *network.cells.values(), *network.wires]
    models = {node.process: node.model for node in nodes}
    config = configs.Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
    process = nodes[0].process

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        process.run(condition=conditions.RunSteps(num_steps=steps), run_cfg=config)
        return time.perf_counter() - start

    seconds(50)
    found = [(seconds(1100) - seconds(100)) / 1000 for _ in range(3)]
    print(json.dumps({"us": 1e6 * median(found)}), flush=True)
    process.stop()


def bench_lava_alone(name: str) -> float | None:
    """Lava's own time a step, or None if it said nothing."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--lava-alone", name]
    worker = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        out, _ = worker.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
    lines = [line for line in out.splitlines() if line.startswith('{"us"')]
    return float(json.loads(lines[-1])["us"]) if lines else None


def snntorch_network(program: ChipProgram) -> Callable[[NDArray[Any]], object]:
    """The same network in snnTorch: weights as float32, thresholds in their units, reset to zero."""
    torch, snn = importlib.import_module("torch"), importlib.import_module("snntorch")
    layers = []
    for p, s in zip(program.populations, program.synapses, strict=True):
        w, weight = s.wiring, torch.from_numpy(s.weight.astype(np.float32))
        leaky = snn.Leaky(1 - LEAK / 4096, threshold=float(p.params["vth"]), reset_mechanism="zero")
        options = {"stride": w.stride, "padding": w.padding} if isinstance(w, Conv) else {}
        layers.append((weight, leaky, options))

    def run(x: NDArray[Any]) -> object:
        states = [leaky.init_leaky() for _, leaky, _ in layers]
        kept = []
        with torch.no_grad():
            for step in torch.from_numpy(x):
                for i, (weight, leaky, options) in enumerate(layers):
                    if options:
                        step = torch.nn.functional.conv2d(step, weight, **options)
                    else:
                        step = torch.nn.functional.linear(step.flatten(1), weight)
                    step, states[i] = leaky(step, states[i])
                kept.append(step)
        return torch.stack(kept)

    return run


def rows_of(name: str, args: argparse.Namespace, console: Console) -> list[tuple[str, str, str, float | str]]:
    """(who, batch, what is kept, microseconds or why there are none)."""
    program = NETWORKS[name]()
    rows: list[tuple[str, str, str, float | str]] = []

    def add(who: str, batch: str, kept: str, value: float | str | None) -> None:
        rows.append((who, batch, kept, "not measured" if value is None else value))
        console.print(f"  {name}: {who}, batch {batch}, {kept}: {value}", style="dim")

    importlib.import_module("neuro_deploy.engine.kernels")  # else small runs would take the definition
    for dtype, everything in ((np.uint8, False), (np.uint8, True), (np.float32, False)):
        for batch in BATCHES:
            x = spikes(program, args.steps, batch).astype(dtype)
            kept = ("all" if everything else "output") + ("" if dtype is np.uint8 else ", float32 input")
            add("sim", str(batch), kept, bench_sim(program, x, "sim", everything, args.runs))
    for batch in (1, 16, 256):
        add(
            "sim-plain",
            str(batch),
            "output",
            bench_sim(program, spikes(program, args.steps, batch), "sim-plain", False, 2),
        )
    if not args.no_lava:
        add("Lava, nd.simulate", "1", "output", bench_lava(program, args.steps, 3))
        add("Lava alone", "1", "nothing", bench_lava_alone(name))
    if find_spec("snntorch") is None:
        add("snnTorch", "", "", "not installed")
    else:
        run = snntorch_network(program)
        for batch in BATCHES:
            x = spikes(program, args.steps, batch).astype(np.float32)
            add("snnTorch", str(batch), "output", per_step(median(times(lambda x=x: run(x), args.runs)), x))
    return rows


def table_of(name: str, rows: list[tuple[str, str, str, float | str]], args: argparse.Namespace) -> Table:
    """Times, and how many times as fast `sim` is with the largest batch."""
    best = min(r[3] for r in rows if r[0] == "sim" and r[1] == str(BATCHES[-1]) and isinstance(r[3], float))
    table = Table(
        title=f"{name}: microseconds per sample and step (T = {args.steps}, {DENSITY:.0%} of the input spikes)"
    )
    table.add_column("who")
    for column in ("batch", "recorded", "us", f"sim at {BATCHES[-1]} is faster by"):
        table.add_column(column, justify="right")
    for who, batch, kept, value in rows:
        shown = (f"{value:,.2f}", f"{value / best:,.1f} x") if isinstance(value, float) else (value, "")
        table.add_row(who, batch, kept, *shown)
    return table


def processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--runs", type=int, default=7, help="of which the median counts")
    parser.add_argument("--no-lava", action="store_true")
    parser.add_argument("--lava-alone", choices=list(NETWORKS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.lava_alone:
        lava_alone(args.lava_alone)
        return
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=WIDTH)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    console.print(f"{processor()}, {fast.threads()} cores, Python {platform.python_version()}{load}")
    for name in args.networks:
        console.print(table_of(name, rows_of(name, args, console), args))


if __name__ == "__main__":
    main()
