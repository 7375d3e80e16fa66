"""How near a run comes to other spikes: `margins`.

A decision is one neuron in one logical step (rows latency .. latency + T - 1).  Its distance is that of the potential h
to the nearest firing level, k * theta for k = 1..K or -k * theta_neg for k = 1..K_neg, in steps of the register (LSB);
a weight of 1 moves h by 2^input_shift of them, one weight unit.  Within one weight unit a rounded weight or another
rounding of a leak can add or remove a spike: such decisions are at risk.  Firing is strict, so a tie (distance 0) does
not fire that round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import simulate
from ..backends.base import Progress, quiet
from ..errors import InputError
from ..files import NetworkInput, check_input, join_inputs
from ..fixed import Ints, Registers
from ..neurons import spec
from ..neurons.base import Levels
from ..program import ChipProgram, Population
from ..shown import Shown
from ..trace import VARIABLES, Trace
from .exact import blocks
from .levels import FAR, distance

CHUNK, BLOCK = 1 << 22, 1 << 20
"""Values of one variable that are recorded, and counted, at once: bounds the memory to some hundred MB."""
FIRST = 10
"""So many neurons are named."""


@dataclass(frozen=True)
class Near:
    """How many decisions lie within a distance, and how many of them fired."""

    decisions: int
    fired: int


@dataclass(frozen=True)
class Neurons:
    """How many neurons, and the first of them (C order)."""

    count: int
    first: tuple[int, ...]


@dataclass(frozen=True)
class Firing:
    """The decisions of a population that can fire.

    fired: decisions with a spike.   spikes: the sum of |s|.   smallest: the smallest distance in LSB.
    ties: h exactly at a level.   within_lsb, within_unit: at a distance of at most one LSB, one weight unit (at risk).
    histogram: decisions at distance 0, 1, 2..3, 4..7, ... LSB.
    saturated: s = K or s = -K_neg.   clipped: of those, h above (K + 1) * theta (mirrored: below): a further round was
    missing.   dead: neurons that never fire.   always: neurons that fire in every step of every sample.
    """

    decisions: int
    fired: int
    spikes: int
    smallest: int
    ties: int
    within_lsb: Near
    within_unit: Near
    histogram: tuple[int, ...]
    saturated: int
    clipped: int
    dead: Neurons
    always: Neurons


@dataclass(frozen=True)
class RegisterUse:
    """The largest magnitude that a register held, what it can hold, and both in bits without the sign."""

    largest: int
    limit: int
    bits: int
    of_bits: int


@dataclass(frozen=True)
class PopulationMargins:
    """One population.  firing: None if it never fires by its kind.   registers: "h", "v", "u", as far as recorded."""

    name: str
    kind: str
    neurons: int
    firing: Firing | None
    registers: Mapping[str, RegisterUse]


@dataclass(frozen=True)
class Margins(Shown):
    """The margins of one run.  unit: LSB of a weight unit, 2^input_shift."""

    steps: int
    samples: int
    unit: int
    populations: tuple[PopulationMargins, ...]

    def population(self, name: str) -> PopulationMargins:
        """The population of that name.  Raises: KeyError."""
        return {p.name: p for p in self.populations}[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self, dict_factory=lambda items: {k: list(v) if type(v) is tuple else v for k, v in items})


def margins(
    program: ChipProgram, x: NetworkInput | None = None, *, trace: Trace | None = None, progress: Progress = quiet
) -> Margins:
    """How near the potentials come to the firing levels, which neurons are idle, how full the registers are.

    x: float input (T, B, *shape), or that of each of several inputs by name; the backend "sim" runs it, some samples
        at a time.
    trace: or a recorded integer run of this program, with spikes and h (and v and u, for their registers).
    progress: called with (samples done, of how many).
    Raises: InputError for neither or both, for another program's trace, or for one that recorded too little.
    """
    if (x is None) == (trace is None):
        raise InputError("margins: give either an input x or a trace")
    tallies = {p.name: _Tally(p, program.registers) for p in program.populations}
    unit = 1 << program.registers.input_shift
    if trace is not None:
        _check(program, trace)
        _add(tallies, trace)
        kept = tuple(tally.result() for name, tally in tallies.items() if name in trace.populations)
        return Margins(trace.steps, trace.batch, unit, kept)
    assert x is not None
    x = join_inputs(x, program.inputs)
    check_input(x, "input")
    steps, samples = x.shape[:2]
    names = tuple(tallies)
    values = (steps + program.depth) * sum(p.size for p in program.populations)
    width = max(1, CHUNK // max(1, values))
    for start in range(0, samples, width):
        part = x[:, start : start + width]
        _add(tallies, simulate(program, part, "sim", VARIABLES, only=names))
        progress(min(samples, start + width), samples)
    return Margins(steps, samples, unit, tuple(tally.result() for tally in tallies.values()))


def _check(program: ChipProgram, trace: Trace) -> None:
    """Raise InputError unless the trace is an integer run of the program that recorded enough."""
    if trace.kind != "integer" or trace.digest != program.digest:
        raise InputError(f"margins: the trace ({trace.backend}) is not a run of this program; simulate it again")
    known = [p for p in program.populations if p.name in trace.populations]
    problems = [] if known else ["no population of the program is in the trace"]
    for p in known:
        needed = ("spikes", "h") if spec(p.kind).levels(p.params, program.registers) else ()
        missing = [v for v in needed if v not in trace.populations[p.name].data]
        problems += [f"{p.name}: {' and '.join(missing)} not recorded by {trace.backend}"] if missing else []
    if problems:
        remedy = "simulate with --backend sim --record spikes,v,h,u"
        raise InputError("margins:\n  " + "\n  ".join([*problems, remedy]))


def _add(tallies: Mapping[str, _Tally], trace: Trace) -> None:
    for name, recording in trace.populations.items():
        if name in tallies:
            shape = (trace.steps, trace.batch, recording.size)
            tallies[name].add({v: trace.aligned(name, v).reshape(shape) for v in recording.data})


class _Tally:
    """What was counted of one population so far."""

    def __init__(self, population: Population, registers: Registers) -> None:
        self.population, self.registers = population, registers
        self.levels = spec(population.kind).levels(population.params, registers)
        self.largest: dict[str, int] = {}
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.smallest = int(FAR)
        self.histogram = np.zeros(64, np.int64)
        self.fired, self.rested = np.zeros((2, population.size), np.bool_)

    def add(self, data: Mapping[str, NDArray[Any]]) -> None:
        """Count more samples.  data: variable -> (T, B, N)."""
        for variable in ("h", "v", "u"):
            if variable in data:
                values = data[variable]
                most = max(int(values.max(initial=0)), -int(values.min(initial=0)))
                self.largest[variable] = max(self.largest.get(variable, 0), most)
        if self.levels is None:
            return
        for rows, samples in blocks(data["h"].shape, BLOCK):
            self._decide(self.levels, *(data[v][rows, samples].astype(np.int64) for v in ("h", "spikes")))

    def _decide(self, levels: Levels, h: Ints, spikes: Ints) -> None:
        away, fired = distance(h, levels), spikes != 0
        self.fired |= fired.any(axis=(0, 1))
        self.rested |= ~fired.all(axis=(0, 1))
        self.smallest = min(self.smallest, int(away.min(initial=FAR)))
        self.histogram += np.bincount(np.frexp(away.astype(np.float64))[1].reshape(-1), minlength=64)
        lsb, unit = away <= 1, away <= 1 << self.registers.input_shift
        up = (levels.rounds > 0) & (spikes == levels.rounds)
        down = (levels.rounds_neg > 0) & (spikes == -levels.rounds_neg)
        beyond = up & (h > (levels.rounds + 1) * levels.theta)
        beyond |= down & (h < -(levels.rounds_neg + 1) * levels.theta_neg)
        found = (fired, away == 0, lsb, lsb & fired, unit, unit & fired, up | down, beyond)
        for name, where in zip(_COUNTS, found, strict=False):
            self.counts[name] += int(np.count_nonzero(where))
        self.counts["spikes"] += int(np.abs(spikes).sum())
        self.counts["decisions"] += h.size

    def result(self) -> PopulationMargins:
        """What was counted."""
        p = self.population
        limits = {"h": self.registers.v_limit, "v": self.registers.v_limit, "u": (1 << (self.registers.u_bits - 1)) - 1}
        used = {
            name: RegisterUse(most, limits[name], most.bit_length(), limits[name].bit_length())
            for name, most in self.largest.items()
        }
        return PopulationMargins(p.name, p.kind, p.size, self._firing() if self.levels else None, used)

    def _firing(self) -> Firing:
        n = self.counts
        return Firing(
            decisions=n["decisions"],
            fired=n["fired"],
            spikes=n["spikes"],
            smallest=self.smallest,
            ties=n["ties"],
            within_lsb=Near(n["lsb"], n["lsb fired"]),
            within_unit=Near(n["unit"], n["unit fired"]),
            histogram=tuple(np.trim_zeros(self.histogram, "b").tolist()),
            saturated=n["saturated"],
            clipped=n["clipped"],
            dead=_neurons(~self.fired),
            always=_neurons(~self.rested),
        )


_COUNTS = ("fired", "ties", "lsb", "lsb fired", "unit", "unit fired", "saturated", "clipped", "spikes", "decisions")


def _neurons(where: NDArray[np.bool_]) -> Neurons:
    return Neurons(int(where.sum()), tuple(np.flatnonzero(where)[:FIRST].tolist()))
