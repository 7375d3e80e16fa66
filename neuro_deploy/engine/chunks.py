"""A few samples at a time: all rows of a program, in blocks of rows, with the compiled loops.

Populations without feedback take a whole block of rows at once, the others row after row.  Spikes and states that are
not recorded live in a worker's own arrays, small enough for a cache, and are written over by the next samples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..fixed import wrap_bits
from ..neurons import part
from .kernels import SLACK, blocks, dense
from .layout import Cell, Network, Table, Wire, aligned
from .plain import kept_of
from .scans import Scan, scan

Array = NDArray[Any]
Span = tuple[int, int]
NEVER = int(np.iinfo(np.int64).max)
BLOCK_BYTES = 1 << 21
"""How large the sums of a block of rows may become."""
VISIBLE = ("v", "h", "u")
NOTHING = np.zeros((1, 1, 1), np.int32)
"""What is not recorded."""


class Feed(Protocol):
    """Where the integers of an input come from."""

    def fill(self, rows: Span, samples: Span, out: Array, first: int) -> int:
        """out[r, first + i] = the spikes of sample samples[0] + i in row r; gives how many values were clipped."""


@dataclass(frozen=True, eq=False)
class Task:
    """What all workers share.

    feeds: of each encoder.   steps: T.   samples: the most that a worker takes at a time.
    data: the results, population -> variable -> (rows, B, N).
    """

    network: Network
    feeds: Mapping[str, Feed]
    steps: int
    samples: int
    data: Mapping[str, Mapping[str, Array]]

    @property
    def rows(self) -> int:
        """T + depth."""
        return self.steps + self.network.program.depth


class Worker:
    """One thread's arrays, and what it does with them."""

    def __init__(self, task: Task) -> None:
        self.task, cells, samples = task, task.network.cells, task.samples
        width = max([1, *(cell.width for cell in cells)])
        self.step = max(1, min(task.rows, BLOCK_BYTES // (samples * width * 4)))
        room = self.step * samples * width
        self.sums, self.spare = aligned((room,), np.int32), aligned((room,), np.int32)
        shapes = {cell.population.name: (self.step, samples, cell.width) for cell in cells}
        self.totals = {name: self.sums[: math.prod(shape)].reshape(shape) for name, shape in shapes.items()}
        self.wide = aligned((room if any(c.careful for c in cells) else 0,), np.int64)
        self.seen = np.zeros(samples, np.int64)
        self.counters: Counter[tuple[str, str]] = Counter()
        self.span: Span = (0, 0)
        self.states: dict[str, Any] = {}
        self.spikes: dict[str, Array] = {}
        last = {cell.population.name for cell in cells if cell.channels > 1}
        for name, size in task.network.sizes.items():
            if "spikes" not in task.data[name] or name in last:
                self.spikes[name] = aligned((task.rows, samples, size), task.network.dtypes[name])
        self.events = np.zeros(max(task.network.sizes.values()) + SLACK, np.int32)

    def run(self, span: Span) -> tuple[Counter[tuple[str, str]], Array]:
        """The samples span[0] .. span[1] - 1.

        Gives the counters (population or encoder, event) -> how often, and for each sample the first row in which a
        register wrapped or clipped, int64; NEVER if none did.
        """
        self.span, self.counters = span, Counter()
        self.seen[:] = NEVER
        for cell in self.task.network.cells:
            self.states[cell.population.name] = self.start(cell)
        for r0 in range(0, self.task.rows, self.step):
            r1 = min(self.task.rows, r0 + self.step)
            for name, feed in self.task.feeds.items():
                self.feed(name, feed, r0, r1)
            for group, cyclic in zip(self.task.network.groups, self.task.network.cyclic, strict=True):
                for r in range(r0, r1) if cyclic else (r0,):
                    for cell in group:
                        self.advance(cell, r, r + 1 if cyclic else r1)
        return self.counters, self.seen[: span[1] - span[0]].copy()

    def start(self, cell: Cell) -> Any:
        """The state before the first row."""
        samples, p = self.span[1] - self.span[0], cell.population
        if cell.scan is None:
            return part(p.kind, "integer").start(p.params, samples, p.size)
        v = np.zeros((samples, cell.scan.params.shape[1]), np.int32)
        room = np.zeros(v.shape[1], self.task.network.dtypes[p.name])
        return v, np.zeros_like(v) if cell.scan.has_current else v, room

    def fired(self, name: str) -> tuple[Array, int]:
        """The spikes of a population or encoder, (rows, samples, N), and where these samples begin in them."""
        return (self.spikes[name], 0) if name in self.spikes else (self.task.data[name]["spikes"], self.span[0])

    def feed(self, name: str, feed: Feed, r0: int, r1: int) -> None:
        """The integers of an input; 0 after its end."""
        (spikes, first), end = self.fired(name), max(r0, min(r1, self.task.steps))
        if r0 < end:
            self.counters[name, "clipped"] += feed.fill((r0, end), self.span, spikes, first)
        spikes[end:r1, first : first + self.span[1] - self.span[0]] = 0

    def advance(self, cell: Cell, r0: int, r1: int) -> None:
        """The rows r0 .. r1 - 1 of a population."""
        total = self.totals[cell.population.name]
        if cell.careful:
            self.add_carefully(cell, r0, r1, total)
        else:
            self.add(cell, r0, r1, total)
        if cell.scan is not None:
            self.scan(cell, cell.scan, r0, r1, total)
        else:
            for r in range(r0, r1):
                self.take_step(cell, r, total[r - r0])

    def add(self, cell: Cell, r0: int, r1: int, total: Array) -> None:
        """The sums of its synapses, which cannot wrap: int32 (r1 - r0, samples, width)."""
        samples = self.span[1] - self.span[0]
        part_of = np.s_[: r1 - r0, :samples]
        if not cell.wires:
            total[part_of] = 0
        for i, wire in enumerate(cell.wires):
            if wire.down:
                spare = self.spare[: total.size].reshape(total.shape)
                self.add_wire(wire, r0, r1, spare, False)
                shifted = spare[part_of] >> wire.down
                total[part_of] = total[part_of] + shifted if i else shifted
            else:
                self.add_wire(wire, r0, r1, total, i > 0)

    def add_wire(self, wire: Wire, r0: int, r1: int, total: Array, add: bool) -> None:
        """total = or += what one synapse adds."""
        spikes, first = self.fired(wire.source)
        place = (r0, r1, wire.lag, first, self.span[1] - self.span[0])
        if isinstance(wire.body, Table):
            self.add_table(wire.body, spikes, place, add, total)
        else:
            body = wire.body
            dense(spikes, place, body.weight, (add, body.mode, body.most, wire.scale), self.events, total)

    def add_table(self, body: Table, spikes: Array, place: tuple[int, ...], add: bool, total: Array) -> None:
        """The same for a table; total: int32 or int64."""
        blocks(spikes, place, body.where, body.weight, body.width, add, self.events, total)  # type: ignore[arg-type]

    def add_carefully(self, cell: Cell, r0: int, r1: int, total: Array) -> None:
        """The sums by the definition's rules, wraps counted."""
        rows, samples, size = r1 - r0, self.span[1] - self.span[0], cell.population.size
        kept, exact = (np.zeros((rows, samples, size), np.int64) for _ in range(2))
        for wire in cell.wires:
            assert isinstance(wire.body, Table)
            spikes, first = self.fired(wire.source)
            wide = self.wide[: total.size].reshape(total.shape)
            self.add_table(wire.body, spikes, (r0, r1, wire.lag, first, samples), False, wide)
            one, other = kept_of(wire.synapse, wide[:rows, :samples, :size])
            kept, exact = kept + one, exact + other
        sums = wrap_bits(kept, 32)
        total[:rows, :samples, :size], total[:rows, :samples, size:] = sums, 0
        self.count(cell.population.name, "a_wraps", r0, sums != exact)

    def count(self, name: str, event: str, r0: int, where: NDArray[np.bool_]) -> None:
        """Count an event; where: (rows, samples, N), from row r0 on."""
        self.counters[name, event] += int(where.sum())
        rows, samples = np.nonzero(where.any(axis=2))
        np.minimum.at(self.seen, samples, rows + r0)

    def scan(self, cell: Cell, neurons: Scan, r0: int, r1: int, total: Array) -> None:
        """The neurons, compiled."""
        name, samples = cell.population.name, self.span[1] - self.span[0]
        (spikes, first), kept = self.fired(name), self.task.data[name]
        again = name in self.spikes and "spikes" in kept
        arrays: Any = (*(kept.get(v, NOTHING) for v in VISIBLE), kept["spikes"] if again else spikes)
        keeps: Any = (*(v in kept for v in VISIBLE), again)
        place, counts = (r0, r1, samples, first, self.span[0]), np.zeros(2, np.int64)
        scan(
            total, place, neurons.neuron, neurons.params, neurons.numbers, self.states[name],
            spikes, arrays, keeps, counts, self.seen,
        )  # fmt: skip
        if neurons.has_current:
            self.counters[name, "u_wraps"] += int(counts[0])
        self.counters[name, "v_clips"] += int(counts[1])

    def take_step(self, cell: Cell, r: int, total: Array) -> None:
        """One row by the kind's integer step."""
        p, samples = cell.population, self.span[1] - self.span[0]
        spikes, first = self.fired(p.name)
        registers, a = self.task.network.program.registers, total[:samples, : p.size].astype(np.int64)
        step = part(p.kind, "integer").step(p.params, self.states[p.name], a, r >= p.latency, registers)
        self.states[p.name] = step.state
        spikes[r, first : first + samples] = step.spikes
        for event, where in step.events.items():
            self.count(p.name, event, r, where[None])
        for variable, values in step.values.items():
            if variable in self.task.data[p.name]:
                self.task.data[p.name][variable][r, self.span[0] : self.span[1]] = values
