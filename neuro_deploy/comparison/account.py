"""Why a neuron differs: both runs' inputs, sums, potentials and thresholds, by their programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.plain import kept_of
from ..errors import InputError
from ..fixed import Ints, wrap_bits
from ..neurons import part, spec
from ..program import ChipProgram, Population, Synapse
from ..trace import Trace
from .cause import Account, Cause, Input
from .levels import nearest

FIRST = 12
"""So many connections are listed."""
Programs = ChipProgram | tuple[ChipProgram, ChipProgram]


class Side(NamedTuple):
    """A run and the program that it is measured against."""

    trace: Trace
    program: ChipProgram


class Place(NamedTuple):
    """A neuron (flat index) of a population, in one row of the trace, of one sample."""

    population: str
    neuron: int
    row: int
    sample: int


class Term(NamedTuple):
    """One connection: its weight and the spike that it carries."""

    synapse: Synapse
    weight: int
    spike: int

    @property
    def value(self) -> int | float:
        """In weight units."""
        product, exponent = self.weight * self.spike, self.synapse.exponent
        return product << exponent if exponent >= 0 else product / (1 << -exponent)


def sides(a: Trace, b: Trace, programs: Programs) -> tuple[Side, Side]:
    """Each run with its program; a single program serves both.

    Raises: InputError for a float run; for programs that are not those of the runs, or one that is of neither.
    """
    given = (programs, programs) if isinstance(programs, ChipProgram) else programs
    if "float" in (a.kind, b.kind):
        raise InputError("a program explains integer runs only; compare a float run without one")
    pairs = list(zip((a, b), given, strict=True))
    fitting = [not t.digest or t.digest == p.digest for t, p in pairs]
    needed = any(fitting) if given[0] == given[1] else all(fitting)
    if not needed:
        found = ", ".join(f"{t.backend} is a run of {t.digest[:12]}, given is {p.digest[:12]}" for t, p in pairs)
        raise InputError(f"the programs are not those of the runs ({found})")
    for trace, program in pairs:
        for p in program.populations:
            recording = trace.populations.get(p.name)
            if recording is not None and recording.shape != p.shape:
                raise InputError(f"{p.name}: shape {recording.shape} in the run and {p.shape} in the program")
    return Side(*pairs[0]), Side(*pairs[1])


def column(values: NDArray[Any], place: Place, row: int) -> Any:
    """The neuron's value in a row."""
    return values[row, place.sample].reshape(-1)[place.neuron]


def terms(side: Side, place: Place) -> dict[tuple[str, int], Term] | None:
    """(synapse, source neuron) -> what arrives in the row; None if some spikes were not recorded."""
    found: dict[tuple[str, int], Term] = {}
    for s in side.program.synapses:
        if s.target != place.population:
            continue
        recording, row = side.trace.populations.get(s.source), place.row - 1 - s.delay
        if recording is None or "spikes" not in recording.data:
            return None
        if row >= len(recording.data["spikes"]):
            return None
        sources, weights = s.wiring.row(place.neuron)
        spikes = np.zeros(recording.size, np.int64) if row < 0 else recording.data["spikes"][row, place.sample]
        arriving = spikes.reshape(-1)[sources]
        found |= {(s.name, int(j)): Term(s, int(w), int(x)) for j, w, x in zip(sources, weights, arriving, strict=True)}
    return found


def sums(side: Side, place: Place, arriving: Mapping[tuple[str, int], Term] | None) -> dict[str, int | None]:
    """What each synapse adds, as the chip keeps it."""
    found: dict[str, int | None] = {}
    for s in side.program.synapses:
        if s.target == place.population:
            found[s.name] = None
            if arriving is not None:
                product = sum(t.weight * t.spike for t in arriving.values() if t.synapse is s)
                found[s.name] = int(kept_of(s, np.asarray(product, np.int64))[0])
    return found


def of_neuron(population: Population, neuron: int) -> dict[str, Ints]:
    """The parameters of one neuron, each (1,)."""
    return {k: np.broadcast_to(v, (population.size,))[neuron : neuron + 1] for k, v in population.params.items()}


def account(side: Side, place: Place, kept: Mapping[str, int | None]) -> Account:
    """What the program makes of the run's records there."""
    trace, program = side
    population = program.population(place.population)
    recording, params = trace.populations[place.population], of_neuron(population, place.neuron)
    h = int(column(recording.data["h"], place, place.row)) if "h" in recording.data else None
    known = not any(value is None for value in kept.values())
    total = int(wrap_bits(np.asarray(sum(v or 0 for v in kept.values()), np.int64), 32)) if known else None
    kind = part(population.kind, "integer")
    state = kind.start(params, 1, 1)
    if place.row > 0:
        known = known and all(name in recording.data for name in state)
        state = {n: np.full((1, 1), int(column(recording.data[n], place, place.row - 1))) for n in state if known}
    if not known:
        return _levelled(Account(total, h=h), population, params, program)
    biased = place.row >= population.latency
    step = kind.step(params, state, np.full((1, 1), total), biased, program.registers)
    expected = int(step.values.get("h", step.values["v"]).item())
    clipped = bool(step.events.get("v_clips", np.zeros(1)).any())
    found = Account(total, expected, expected if h is None else h, clipped)
    return _levelled(found, population, params, program)


def _levelled(found: Account, population: Population, params: Mapping[str, Ints], program: ChipProgram) -> Account:
    """With the nearest firing level."""
    levels = spec(population.kind).levels(params, program.registers)
    if levels is None or found.h is None:
        return found
    k, level = nearest(found.h, levels)
    return replace(found, level=level, k=k)


def cause(a: Side, b: Side, population: str, neuron: int, step: int, sample: int) -> Cause | None:
    """Why a neuron differs at a logical step; None for an input, which no program computes."""
    programs = (a.program, b.program)
    if any(population not in {p.name for p in program.populations} for program in programs):
        return None
    both = []
    for side in (a, b):
        row = step + side.trace.populations[population].latency
        place = Place(population, neuron, row, sample)
        arriving = terms(side, place)
        kept = sums(side, place, arriving)
        both.append((account(side, place, kept), kept, arriving))
    (one, kept_a, from_a), (other, kept_b, from_b) = both
    names = dict.fromkeys([*kept_a, *kept_b])
    listed = tuple((name, kept_a.get(name), kept_b.get(name)) for name in names)
    if from_a is None or from_b is None:
        return Cause(one, other, listed)
    inputs = _differing(a.trace, b.trace, from_a, from_b)
    return Cause(one, other, listed, tuple(inputs[:FIRST]), max(0, len(inputs) - FIRST))


def _differing(
    a: Trace, b: Trace, from_a: Mapping[tuple[str, int], Term], from_b: Mapping[tuple[str, int], Term]
) -> list[Input]:
    found = []
    for key in dict.fromkeys([*from_a, *from_b]):
        x, y = from_a.get(key), from_b.get(key)
        values = (x.value if x else 0, y.value if y else 0)
        if values[0] == values[1]:
            continue
        synapse = (x or y).synapse  # type: ignore[union-attr]
        shape = (a if x else b).populations[synapse.source].shape
        index = tuple(int(i) for i in np.unravel_index(key[1], shape)) if shape else ()
        weights = (x.weight if x else None, y.weight if y else None)
        spikes = (x.spike if x else 0, y.spike if y else 0)
        found.append(Input(synapse.name, synapse.source, index, *weights, *spikes, *values))
    return sorted(found, key=lambda i: -abs(i.a - i.b))
