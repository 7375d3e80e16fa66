"""The same numbers as `plain`, bit for bit, in compiled loops (Numba): a whole test set in seconds.

Numba is imported when something is run.  Samples are independent, so threads take a few of them at a time.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fixed import Ints
from ..neurons import part
from ..program import ChipProgram, Encoder, Population
from . import plain
from .base import Execution, Request

if TYPE_CHECKING:
    from .chunks import Feed, Task, Worker
    from .layout import Network

Array = NDArray[Any]
log = logging.getLogger(__name__)
WORKER_BYTES = 4 << 20
"""How large one worker's arrays may become, as long as it can take more than one sample."""
BLOCK_ROWS = 1 << 15
"""A worker takes so few samples that several rows of sums fit this size."""
PLAIN_POPULATION, PLAIN_MATRIX, PLAIN_NEURON, PLAIN_WEIGHT = 1e-4, 1.5e-9, 4.5e-8, 3e-11
"""Seconds that a row takes in `plain`: for a population, for a weight; for a neuron and a weight of each sample."""
START, WARM = 1.0, 3e-3
"""Seconds of `plain` from which on compiled loops pay off: in a process that has run none yet, and later."""


def available() -> bool:
    """True if Numba is installed."""
    return find_spec("numba") is not None


def threads() -> int:
    """How many threads may run at the same time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Ready:
    """An input that is integers already, (T, B, N), within the encoder's range: the sums' bounds rest on that."""

    def __init__(self, encoder: Encoder, q: Array) -> None:
        self.encoder, self.q = encoder, q

    def fill(self, rows: tuple[int, int], samples: tuple[int, int], out: Array, first: int) -> int:
        """Copy; nothing is clipped.  Raises: InputError for values beyond the encoder's range."""
        part, e = self.q[slice(*rows), slice(*samples)], self.encoder
        if part.min(initial=0) < min(0, e.low) or part.max(initial=0) > max(0, e.high):
            raise InputError(f"input '{e.name}': integers beyond [{e.low}, {e.high}]; encode them first")
        out[slice(*rows), first : first + samples[1] - samples[0]] = part
        return 0


def choose(program: ChipProgram, request: Request, batch: int) -> bool:
    """True if the compiled loops finish earlier than `plain`, their start-up included.

    That is about 0.7 s in a process that has not run any, some seconds more where Numba's cache does not hold them.
    """
    rows, neurons = request.steps + program.depth, sum(p.size for p in program.populations)
    weights = sum(s.weight.size for s in program.synapses)
    each = PLAIN_NEURON * neurons + PLAIN_WEIGHT * weights
    row = PLAIN_POPULATION * len(program.populations) + PLAIN_MATRIX * weights + batch * each
    started = f"{__package__}.kernels" in sys.modules
    return available() and rows * row > (WARM if started else START)


def run(program: ChipProgram, inputs: Mapping[str, Array], request: Request) -> Execution:
    """Execute a program; where Numba is missing, by `plain`.

    inputs: encoder -> integers (T, B, N).   Raises: InputError beyond an encoder's range; RegisterError in strict mode.
    """
    if not available():
        return _plainly(program, inputs, request)
    batch = next(iter(inputs.values())).shape[1]
    feeds = {e.name: Ready(e, np.asarray(inputs[e.name])) for e in program.encoders}
    done, seen, _ = _execute(program, feeds, request, batch)
    if request.strict and (chosen := _earliest(seen)).size:
        _tell(program, {name: q[:, chosen] for name, q in inputs.items()}, request, chosen, batch)
    return done


def simulate(program: ChipProgram, x: Array, request: Request) -> tuple[Execution, dict[str, dict[str, int]]]:
    """Encode and execute: what `run` gives for `program.encode(x)`, and that one's counters; x is read once.

    x: (T, B, *shape), finite numbers.   Raises: InputError; RegisterError in strict mode.
    """
    if not available() or len(program.encoders) != 1:
        inputs, counters = program.encode(x)
        return run(program, inputs, request), counters
    from .encode import Rounding

    encoder = program.encoders[0]
    done, seen, clipped = _execute(program, {encoder.name: Rounding(encoder, x)}, request, x.shape[1])
    if request.strict and (chosen := _earliest(seen)).size:
        _tell(program, program.encode(x[:, chosen])[0], request, chosen, x.shape[1])
    return done, {encoder.name: {"clipped": clipped[encoder.name]}}


def _plainly(program: ChipProgram, inputs: Mapping[str, Array], request: Request) -> Execution:
    log.warning("numba is not installed: the slow engine runs instead (pip install numba)")
    return plain.run(program, inputs, request)


def _execute(
    program: ChipProgram, feeds: Mapping[str, Feed], request: Request, batch: int
) -> tuple[Execution, Array, dict[str, int]]:
    """The run; the first row of each sample in which a register wrapped or clipped, (B,); clipped values by encoder."""
    from .chunks import NEVER, Task
    from .layout import network_of

    network = network_of(program)
    shows = {p.name: _shows(program, p) for p in program.populations}
    data = _results(network, request, batch, {name: variables for name, (variables, _) in shows.items()})
    task = Task(network, feeds, request.steps, _samples(network, request, batch), data)
    seen, met, done = np.full(batch, NEVER), Counter[tuple[str, str]](), 0
    for (b0, b1), counted, rows in _work(task, batch):
        met.update(counted)
        seen[b0:b1] = rows
        done += b1 - b0
        request.progress(done, batch)
    for arrays in data.values():
        for array in arrays.values():
            array.flags.writeable = False
    counters = {name: {e: met[name, e] for e in ("a_wraps", *events)} for name, (_, events) in shows.items()}
    return Execution(data, counters), seen, {name: met[name, "clipped"] for name in feeds}


def _shows(program: ChipProgram, p: Population) -> tuple[list[str], list[str]]:
    """Which variables a population shows, and which events it counts: asked of one step without input."""
    kind = part(p.kind, "integer")
    nothing = np.zeros((1, p.size), np.int64)
    step = kind.step(p.params, kind.start(p.params, 1, p.size), nothing, False, program.registers)
    return list(step.values), list(step.events)


def _results(
    network: Network, request: Request, batch: int, shown: Mapping[str, list[str]]
) -> dict[str, dict[str, Array]]:
    """Room for what is recorded: population or encoder -> variable -> (rows, B, N)."""
    data: dict[str, dict[str, Array]] = {}
    for name, size in network.sizes.items():
        shape = (request.steps + network.program.depth, batch, size)
        kept = [v for v in ("spikes", *shown.get(name, [])) if request.keeps(name, v)]
        data[name] = {v: np.empty(shape, network.dtypes[name] if v == "spikes" else np.int32) for v in kept}
    return data


def _samples(network: Network, request: Request, batch: int) -> int:
    """How many samples a worker takes at a time."""
    rows = request.steps + network.program.depth
    each: int = sum(rows * size * np.dtype(network.dtypes[name]).itemsize for name, size in network.sizes.items())
    widest = max([1, *(cell.width for cell in network.cells)])
    return max(1, min(WORKER_BYTES // each, BLOCK_ROWS // (4 * widest), -(-batch // threads())))


def _work(task: Task, batch: int) -> Iterator[tuple[tuple[int, int], Counter[tuple[str, str]], Array]]:
    """Some samples after the other, in any order: which, and what a worker gave for them."""
    from .chunks import Worker

    spans = [(b, min(batch, b + task.samples)) for b in range(0, batch, task.samples)]
    count = min(threads(), len(spans))
    workers: SimpleQueue[Worker] = SimpleQueue()
    for _ in range(count):
        workers.put(Worker(task))

    def one(span: tuple[int, int]) -> tuple[tuple[int, int], Counter[tuple[str, str]], Array]:
        worker = workers.get()
        try:
            return span, *worker.run(span)
        finally:
            workers.put(worker)

    if count == 1:
        yield from map(one, spans)
        return
    pool = ThreadPoolExecutor(count)
    try:
        for future in as_completed([pool.submit(one, span) for span in spans]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _earliest(seen: Array) -> Array:
    """The samples in which a register wrapped or clipped first; none if it never did."""
    first = seen.min()
    return np.flatnonzero(seen == first) if first < np.iinfo(np.int64).max else np.zeros(0, np.int64)


class _Some(plain.Run):
    """The definition on some samples of a batch, which it names as the batch does."""

    def __init__(
        self, program: ChipProgram, inputs: Mapping[str, Array], request: Request, chosen: Array, batch: int
    ) -> None:
        super().__init__(program, inputs, request)
        self.chosen, self.whole = chosen, batch

    def count(self, population: Population, row: int, event: str, where: NDArray[np.bool_], value: Ints | None) -> None:
        """As the definition, for the whole batch."""
        shape = (self.whole, population.size)
        all_where, all_values = np.zeros(shape, np.bool_), np.zeros(shape, np.int64)
        all_where[self.chosen] = where
        if value is not None:
            all_values[self.chosen] = value
        super().count(population, row, event, all_where, None if value is None else all_values)


def _tell(program: ChipProgram, inputs: Mapping[str, Array], request: Request, chosen: Array, batch: int) -> None:
    """Raise the definition's RegisterError.  chosen: the samples that meet an event in the first row that any meets."""
    state = _Some(program, inputs, request, chosen, batch)
    for row in range(state.rows):
        for population in program.populations:
            state.advance(population, row)
    raise AssertionError("the compiled engine counted an event that the definition does not")
