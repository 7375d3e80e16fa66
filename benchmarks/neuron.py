"""How fast is a spiking layer in training?  Forward and backward over T steps, ours against other frameworks.

    python benchmarks/neuron.py
    python benchmarks/neuron.py --sizes 64x512 --steps 4 32 --runs 5 --no-compile
    python benchmarks/neuron.py --device cuda

x (T, B, N) in float32 goes in, spikes come out, a gradient of ones goes back to x: LIF with reset by subtraction, and
neurons that fire up to 4 spikes a step.  Everyone runs with the same threads in one process, in turns: in each of
`--runs` rounds each does TURN runs, the first WARM of which do not count, and medians count.  The memory bandwidth is
that of a triad c = a + 2*b over tensors of the same size, c used again, in the same rounds; "of the triad" is what 20
bytes for an element and step take at that bandwidth (x read, s written; x and the gradient of s read, that of x
written), in parts of our time.

Peak memory and the first call are measured in processes of their own: the most that a run takes beyond what was there
before, in tensors (T, B, N), and the first forward and backward, with Numba's cache empty and full.
The others are no dependencies of ours: pip install --no-deps -r tests/frameworks.txt

On a GPU everything is there, times are from one event of its stream to another, each after the GPU has become idle, and
peak memory is what PyTorch's allocator gave out.  SpikingJelly then runs its Triton kernels, where Triton is installed;
with SJ_LIF_CUDA_IMPLEMENTATION=torch and SJ_ILIF_CUDA_IMPLEMENTATION=torch its steps in PyTorch.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from rich.console import Console
from torch import Tensor, nn

import neuro_deploy as nd

Run = Callable[[Tensor], Tensor]
KERNELS = ("SJ_LIF_CUDA_IMPLEMENTATION", "SJ_ILIF_CUDA_IMPLEMENTATION")
"""Where SpikingJelly, when it is imported, reads what to run on a GPU."""
BETA, THETA, ROUNDS = 0.9, 1.0, 4
SIZES, STEPS = ("64x512", "128x1024", "256x4096"), (4, 8, 32, 100)
BYTES = 20
"""For an element and step, by a backward pass that recomputes the potential."""
LIMIT = 900
TURN, WARM = 7, 3
"""Runs of one after the other, until others' tensors are out of the caches and its own threads awake."""


def ours() -> Run:
    """One spike."""
    return nd.nn.LIF(BETA, THETA)


def ours_graded() -> Run:
    """Up to four spikes."""
    return nd.nn.CirculateFire(BETA, THETA, ROUNDS)


def ours_triangle() -> Run:
    """The same with a surrogate as simple as I-LIF's own, a rectangle."""
    return nd.nn.CirculateFire(BETA, THETA, ROUNDS, surrogate="triangle")


def snntorch_leaky() -> Run:
    """snn.Leaky, step by step, as its tutorials do."""
    leaky = importlib.import_module("snntorch").Leaky(BETA, threshold=THETA, reset_mechanism="subtract")

    def run(x: Tensor) -> Tensor:
        state, sent = torch.zeros_like(x[0]), []
        for step in x:
            s, state = leaky(step, state)
            sent.append(s)
        return torch.stack(sent)

    return run


def norse_lifbox() -> Run:
    """LIFBoxCell, step by step, its membrane constant such that the leak is the same."""
    norse = importlib.import_module("norse.torch")
    p = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(1000 * (1 - BETA)), v_th=torch.tensor(0.1))
    cell = norse.LIFBoxCell(p)

    def run(x: Tensor) -> Tensor:
        state, sent = None, []
        for step in x:
            s, state = cell(step, state)
            sent.append(s)
        return torch.stack(sent)

    return run


def _spikingjelly(name: str) -> Run:
    module = importlib.import_module("spikingjelly.activation_based.neuron")
    functional = importlib.import_module("spikingjelly.activation_based.functional")
    more = {"decay_input": False, "v_reset": None} if name == "LIFNode" else {}
    node = getattr(module, name)(tau=1 / (1 - BETA), v_threshold=THETA, step_mode="m", **more)

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)  # type: ignore[no-any-return]

    return run


class Contestant:
    """Who runs, how it is made, and with which of ours it is compared.  needs: a package."""

    def __init__(self, name: str, make: Callable[[], Run], rivals: Sequence[str] = (), needs: str = "torch") -> None:
        self.name, self.make, self.rivals, self.needs = name, make, rivals, needs


ONE, MANY, TRIANGLE = OURS = ("ours, 1 spike", "ours, 4 spikes", "ours, 4 spikes, triangle")
CONTESTANTS = (
    Contestant(ONE, ours),
    Contestant(MANY, ours_graded),
    Contestant(TRIANGLE, ours_triangle),
    Contestant("snnTorch Leaky", snntorch_leaky, [ONE], "snntorch"),
    Contestant("Norse LIFBox", norse_lifbox, [ONE], "norse"),
    Contestant("SpikingJelly LIF", lambda: _spikingjelly("LIFNode"), [ONE], "spikingjelly"),
    Contestant("SpikingJelly I-LIF", lambda: _spikingjelly("ILIFNode"), [MANY, TRIANGLE], "spikingjelly"),
)
BY_NAME = {c.name: c for c in CONTESTANTS}
COMPILED = ", compiled"


def made(name: str, device: str) -> Run:
    """A contestant by its name in the table."""
    with torch.device(device):
        run = BY_NAME[name.removesuffix(COMPILED)].make()
    if isinstance(run, nn.Module):
        run.to(device)
    return torch.compile(run) if name.endswith(COMPILED) else run


def there(compiled: bool) -> list[str]:
    """Names of those that can run here."""
    found = [c.name for c in CONTESTANTS if find_spec(c.needs)]
    return found + [n + COMPILED for n in found if compiled and n not in OURS]


def seconds(call: Callable[[], object], device: str) -> float:
    """How long a call takes."""
    if device == "cpu":
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    call()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3


def both(run: Run, x: Tensor, grad: Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    x.grad = None
    return seconds(lambda: run(x).backward(grad), x.device.type)


def tensors(steps: int, size: str, device: str) -> tuple[Tensor, Tensor]:
    """x and the gradient of the spikes, (T, B, N)."""
    batch, width = (int(n) for n in size.split("x"))
    x = torch.randn(steps, batch, width, generator=torch.Generator().manual_seed(0)) + 0.3
    return x.to(device).requires_grad_(), torch.ones(steps, batch, width, device=device)


def timed(steps: int, size: str, names: list[str], runs: int, device: str) -> tuple[dict[str, float], float]:
    """Median seconds of each contestant, and the triad's bandwidth, bytes a second."""
    torch.compiler.reset()  # compiled for this shape, not for any
    x, grad = tensors(steps, size, device)
    a, b, c = (torch.zeros_like(grad) for _ in range(3))
    contestants = {name: made(name, device) for name in names}
    for run in contestants.values():
        both(run, x, grad)
    found: dict[str, list[float]] = {name: [] for name in names}
    triad = []
    for _ in range(runs):
        triad.append(seconds(lambda: torch.add(a, b, alpha=2.0, out=c), device))
        for name, run in contestants.items():
            found[name] += [both(run, x, grad) for _ in range(TURN)][WARM:]
    return {name: median(s) for name, s in found.items()}, 12 * x.numel() / median(triad)


def child(*args: str, **environment: str) -> Any:
    """What this script prints as JSON in a process of its own, or None."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), *args]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, env={**os.environ, **environment}, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else None


def peak(name: str, steps: int, size: str, device: str) -> None:
    """In a process of its own: print the most memory that a run takes, in tensors (T, B, N)."""
    run = made(name, device)
    both(run, *tensors(steps, "8x600" if device == "cpu" else size, device))
    x, grad = tensors(steps, size, device)
    if device == "cpu":
        before = psutil.Process().memory_info().rss
        Path("/proc/self/clear_refs").write_text("5")
        both(run, x, grad)
        status = Path("/proc/self/status").read_text()
        most = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
    else:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        both(run, x, grad)
        most = torch.cuda.max_memory_allocated()
    print(json.dumps({"tensors": (most - before) / (4 * x.numel())}))


def first(device: str) -> None:
    """In a process of its own: print the seconds of the first call."""
    x, grad = tensors(4, "64x512", device)
    both(nn.Identity(), x, grad)
    print(json.dumps({"seconds": both(made(ONE, device), x, grad)}))


def mlp(runs: int, device: str) -> float:
    """A training step of 784-1024-1024-10 with batch norm, T = 8, batch 128, in parts of the same without neurons."""
    x = torch.rand(8, 128, 784, device=device)
    label = torch.randint(0, 10, (128,), device=device)
    models = [nd.nn.mlp(784, [1024, 1024], 10, steps=8).to(device) for _ in range(2)]
    for i in (1, 2, 3):
        setattr(models[1], f"cf{i}", nn.Identity())
    pairs = [(m, torch.optim.Adam(m.parameters())) for m in models]

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        loss = nd.nn.rate_cross_entropy(model(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    found = [[seconds(partial(step, *pair), device) for pair in pairs] for _ in range(runs + 2)][2:]
    return median(a for a, _ in found) / median(b for _, b in found)


def table(args: argparse.Namespace, console: Console) -> None:
    """Print the rows, a size at a time."""
    names = there(not args.no_compile)
    console.print("| B x N | T | who | ms | ours is faster by | of the triad | peak memory, tensors |")
    console.print("|---|---:|---|---:|---:|---:|---:|")
    for size in args.sizes:
        for steps in args.steps:
            took, bandwidth = timed(steps, size, names, args.runs, args.device)
            x = steps * math.prod(int(n) for n in size.split("x"))
            for name in names:
                rivals = BY_NAME[name.removesuffix(COMPILED)].rivals
                faster = ", ".join(f"{took[name] / took[rival]:.1f} x" for rival in rivals)
                share = "" if rivals else f"{100 * BYTES * x / took[name] / bandwidth:.0f} %"
                which = ("--peak", name, "--steps", str(steps), "--sizes", size, "--device", args.device)
                memory = None if args.no_memory else child(*which)
                used = f"{memory['tensors']:.1f}" if memory else ""
                console.print(f"| {size} | {steps} | {name} | {1e3 * took[name]:.2f} | {faster} | {share} | {used} |")
            console.print(f"| {size} | {steps} | triad: {bandwidth / 1e9:.1f} GB/s | | | | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="B x N, as in 64x512")
    parser.add_argument("--steps", nargs="+", type=int, default=list(STEPS))
    parser.add_argument("--runs", type=int, default=5, help="of which the median counts")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile, which takes minutes")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for kernels in KERNELS:
        os.environ.setdefault(kernels, "triton" if find_spec("triton") else "torch")
    if args.peak:
        peak(args.peak, args.steps[0], args.sizes[0], args.device)
        return
    if args.first:
        first(args.device)
        return
    console = Console(highlight=False, width=200, markup=False)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    where = f"{platform.machine()}, {torch.get_num_threads()} threads"
    if args.device == "cuda":
        where = f"{torch.cuda.get_device_name()}, SpikingJelly by {os.environ[KERNELS[0]]}"
    console.print(f"{where}, torch {torch.__version__}{load}\n")
    table(args, console)
    with tempfile.TemporaryDirectory() as folder:
        caches = {"NUMBA_CACHE_DIR": folder, "TRITON_CACHE_DIR": folder}
        cold, warm = (child("--first", "--device", args.device, **caches) for _ in range(2))
    compiler = "Numba" if args.device == "cpu" else "Triton"
    console.print(f"\nfirst call: {cold['seconds']:.2f} s, with {compiler}'s cache {warm['seconds']:.2f} s")
    console.print(f"training step of an MLP: {mlp(args.runs, args.device):.2f} times the step without neurons")


if __name__ == "__main__":
    main()
