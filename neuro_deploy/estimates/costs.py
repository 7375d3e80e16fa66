"""Energy and time of a run on a chip, as a range, from counts (events.py) and the target's published costs.

Energy of a population in one inference, with every cost at its lowest and at its highest:

    idle    = neurons * steps * neuron_update
    active  = operations * synaptic_op + active * neuron_active + spikes * spike + messages * (message + hops * hop)

Lowest: operations with a weight that is not zero, neurons active only where they fire, no hop.  Highest: every stored
connection, every neuron active in every step, each message across the tiles in use, filled by rows or columns.

Time of a step: that of the busiest core, then the barrier.  Lowest: work spread evenly over a population's cores, its
neurons and synapses at the same time.  Highest: the busiest core of the placement of `lower.fit`, one thing after the
other, then the hops.  Steps are those of the run, T + depth; a chip that takes the next sample at once needs T.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import TargetError
from ..lower.fit import Fit, fit
from ..neurons import spec
from ..program import ChipProgram
from ..shown import Shown
from ..target import Costs, SourcedRange, Target, load_target
from ..trace import Trace
from .events import CoreEvents, core_events
from .neurobench import Benchmark, benchmark

PICO, NANO = 1e-12, 1e-9


class Span(NamedTuple):
    """A lowest and a highest estimate."""

    low: float
    high: float

    @staticmethod
    def total(spans: Sequence[Span]) -> Span:
        """The sums of the lowest and of the highest."""
        return Span(sum(s.low for s in spans), sum(s.high for s in spans))


@dataclass(frozen=True)
class LayerEstimate:
    """One population with its incoming synapses, or an input; means of one inference.

    neurons, cores: 0 for an input.   spikes: neuron-steps that fire, as the target counts them.
    synaptic_ops: with a weight that is not zero, and of all stored connections.   messages: spikes times cores reached.
    active, idle: J.   busy: s, its busiest core in each step, added up.
    """

    name: str
    neurons: int
    cores: int
    spikes: float
    synaptic_ops: Span
    messages: float
    active: Span
    idle: Span
    busy: Span


@dataclass(frozen=True)
class Estimate(Shown):
    """An estimate, not a measurement: what a run would cost on a target; means of one inference.

    basis: what the target's costs are.   samples: inferences in the run.   steps: of the chip, T + depth.
    cores, tiles, chips: in use (chips 0: no public figure).   active, idle: J, over all layers.   time: s.
    neurobench: counts that do not depend on the target.   notes: what the numbers leave out.
    """

    target: str
    basis: str
    samples: int
    steps: int
    cores: int
    tiles: int
    chips: int
    layers: tuple[LayerEstimate, ...]
    active: Span
    idle: Span
    time: Span
    neurobench: Benchmark
    notes: tuple[str, ...] = ()

    @property
    def energy(self) -> Span:
        """J, active and idle."""
        return Span.total([self.active, self.idle])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; energies in J, times in s, each as {"low", "high"}."""
        spans = ("active", "idle", "time", "energy")
        layers = [
            asdict(layer) | {n: getattr(layer, n)._asdict() for n in ("synaptic_ops", "active", "idle", "busy")}
            for layer in self.layers
        ]
        told = asdict(self) | {"layers": layers, "notes": list(self.notes)}
        return told | {name: getattr(self, name)._asdict() for name in spans}


def estimate(program: ChipProgram, trace: Trace, target: Target | str | os.PathLike[str] | None = None) -> Estimate:
    """Energy and time that a run of a program would take on a chip, and the counts that NeuroBench defines.

    trace: a run of the program by `sim` or `lava`, with the spikes of every population.
    target: whose costs are taken; by default the program's.
    Raises: InputError for another trace; TargetError for an unknown target, or one without [costs].
    Source: the target's file names one for each cost.
    """
    chip = target if isinstance(target, Target) else load_target(target or program.target)
    if chip.costs is None:
        raise TargetError(f"{chip.name}: its description has no [costs], so energy and time cannot be estimated")
    placed = fit(program, chip)
    ways = _Ways.of(placed, chip.costs)
    events = list(core_events(program, trace, placed, chip.costs.graded.value))
    layers = tuple(_layer(e, chip.costs, ways) for e in events)
    return Estimate(
        target=chip.name,
        basis=chip.costs.basis,
        samples=trace.batch,
        steps=len(events[0].spikes),
        cores=sum(p.cores for p in placed.populations),
        tiles=ways.tiles,
        chips=placed.chips,
        layers=layers,
        active=Span.total([layer.active for layer in layers]),
        idle=Span.total([layer.idle for layer in layers]),
        time=_time(events, chip.costs, ways),
        neurobench=benchmark(program, trace, chip),
        notes=tuple(_notes(program, placed)),
    )


class _Ways(NamedTuple):
    """Tiles in use, and the longest ways between two of them on the fullest chip: hops (east-west, north-south)."""

    tiles: int
    longest: tuple[tuple[int, int], ...]

    @staticmethod
    def of(placed: Fit, costs: Costs) -> _Ways:
        """Tiles filled row by row, and column by column."""
        mesh, cores = costs.mesh, sum(p.cores for p in placed.populations)
        columns, rows = mesh.columns.value, mesh.rows.value
        tiles = max(1, -(-cores // mesh.cores_per_tile.value))
        used = min(tiles, columns * rows)
        by_row, by_column = (min(used, columns), -(-used // columns)), (-(-used // rows), min(used, rows))
        return _Ways(tiles, tuple((x - 1, y - 1) for x, y in (by_row, by_column)))

    def most(self, east_west: SourcedRange, north_south: SourcedRange) -> float:
        """The highest cost of a message's hops."""
        return max(x * east_west.high + y * north_south.high for x, y in self.longest)


def _layer(e: CoreEvents, costs: Costs, ways: _Ways) -> LayerEstimate:
    energy, samples = costs.energy, e.spikes.shape[1]
    updates = float(e.neurons * len(e.spikes))
    spikes, messages, effective, stored = (
        float(a.sum()) / samples for a in (e.spikes, e.messages, e.effective, e.stored)
    )
    active = spikes if e.neurons else 0.0
    way = ways.most(energy.hop_east_west, energy.hop_north_south)
    low = effective * energy.synaptic_op.low + messages * energy.message.low
    low += active * (energy.neuron_active.low + energy.spike.low)
    high = stored * energy.synaptic_op.high + messages * (energy.message.high + way)
    high += updates * energy.neuron_active.high + active * energy.spike.high
    idle = Span(*(updates * each * PICO for each in (energy.neuron_update.low, energy.neuron_update.high)))
    ops, busy = Span(effective, stored), Span(*(float(side.sum()) / samples for side in _busy(e, costs)))
    spans = (Span(low * PICO, high * PICO), idle, busy)
    return LayerEstimate(e.name, e.neurons, len(e.blocks), spikes, ops, messages, *spans)


def _busy(e: CoreEvents, costs: Costs) -> tuple[Any, Any]:
    """Seconds of the busiest core of a population in each step, (rows, B), lowest and highest."""
    cores, time = len(e.blocks), costs.time
    if not cores:
        return np.zeros(e.spikes.shape), np.zeros(e.spikes.shape)
    update = e.neurons * time.neuron_update.low + e.spikes * time.neuron_active.low
    low = np.maximum(update, e.effective * time.synaptic_op.low) / cores
    sizes = np.array([block.stop - block.start for block in e.blocks])
    high = sizes * (time.neuron_update.high + time.neuron_active.high) + e.spikes_on * time.spike.high
    high = high + e.sent_from * time.message_out.high + e.got_by * time.message_in.high
    high = high + e.stored * time.synaptic_op.high
    return low * NANO, high.max(axis=2) * NANO


def _time(events: Sequence[CoreEvents], costs: Costs, ways: _Ways) -> Span:
    """Seconds of one inference: the busiest core of each step, hops and barrier."""
    busiest = [np.maximum.reduce(side) for side in zip(*(_busy(e, costs) for e in events), strict=True)]
    time = costs.time
    hops = ways.most(time.hop_east_west, time.hop_north_south)
    barrier = time.barrier_chip if ways.tiles > 1 else time.barrier_tile
    fixed = Span(time.barrier_tile.low * NANO, (barrier.high + hops) * NANO)
    low, high = (float((side + each).sum(axis=0).mean()) for side, each in zip(busiest, fixed, strict=True))
    return Span(low, high)


def _notes(program: ChipProgram, placed: Fit) -> list[str]:
    notes = []
    if placed.chips > 1:
        notes.append(f"{placed.chips} chips: what messages and barriers between chips take is not counted")
    ranges = [spec(p.kind).spike_range(p.params) for p in program.populations]
    most = max((max(-low, high) for low, high in ranges), default=1)
    if most > 1:
        notes.append(f"a step of up to {most} spikes of a neuron is counted as one update: no figure is published")
    return notes
