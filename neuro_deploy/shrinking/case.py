"""What is shrunk: programs and their input, and the cuts that make them smaller; all pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import ChipProgram, Encoder, Population, Synapse
from ..trace import Trace, frozen
from ..wiring import Dense, Sparse, Wiring, to_dense, to_sparse

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Case:
    """Two runs that differ: the program of each (twice the same, or two that differ) and the input of both.

    programs: with the same populations and one encoder.   x: float (T, B, *shape of the encoder).
    backends: who ran them, ("sim", "lava"); "" for a run of your own.
    """

    programs: tuple[ChipProgram, ChipProgram]
    x: NDArray[Any]
    backends: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", frozen(np.asarray(self.x)))

    @property
    def encoder(self) -> Encoder:
        """The first program's."""
        return self.programs[0].encoders[0]

    @property
    def populations(self) -> dict[str, int]:
        """Name and number of neurons of each population."""
        return {p.name: p.size for p in self.programs[0].populations}

    @property
    def neurons(self) -> int:
        """Number of neurons, inputs not counted."""
        return sum(self.populations.values())

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(np.prod(self.encoder.shape, dtype=np.int64))

    @property
    def synapses(self) -> tuple[str, ...]:
        """Names of the synapses of both programs."""
        return tuple(dict.fromkeys(s.name for p in self.programs for s in p.synapses))

    def each(self, programs: Sequence[ChipProgram]) -> Case:
        """With other programs, made of these: what was proven and reported no longer holds."""
        one, other = (replace(p, **_anew(p)) for p in programs)
        return replace(self, programs=(one, other))

    def __str__(self) -> str:
        steps, samples = self.x.shape[:2]
        counts = ((self.neurons, "neuron"), (self.inputs, "input"), (steps, "step"), (samples, "sample"))
        return ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts)


def window(case: Case, steps: Sequence[int], samples: Sequence[int]) -> Case:
    """Only these steps and samples of the input, one behind the other."""
    return replace(case, x=case.x[list(steps)][:, list(samples)])


def keep(case: Case, kept: Mapping[str, Sequence[int]]) -> Case:
    """Only these neurons of the populations (and inputs of the encoder) that are named; a population without any goes.

    Synapses without a weight other than 0 go as well.  What is not named stays whole.
    """
    name = case.encoder.name
    x = case.x
    if name in kept:
        x = x.reshape(*x.shape[:2], -1)[:, :, list(kept[name])]
    return replace(case.each([_keep(p, kept) for p in case.programs]), x=x)


def without(case: Case, synapses: Sequence[str]) -> Case:
    """Without the synapses of these names."""
    return case.each(
        [replace(p, synapses=tuple(s for s in p.synapses if s.name not in synapses)) for p in case.programs]
    )


def early(case: Case) -> int:
    """Chip steps before the first population starts."""
    return min((p.latency for p in case.programs[0].populations), default=1) - 1


def at_once(case: Case) -> Case:
    """No delays, and the first population starts in chip step 1; as many silent steps follow as it started late."""
    late = early(case)
    programs = [
        replace(
            program,
            populations=tuple(replace(p, latency=max(1, p.latency - late)) for p in program.populations),
            synapses=tuple(replace(s, delay=0) for s in program.synapses),
            max_steps=max(program.max_steps, len(case.x) + late),
        )
        for program in case.programs
    ]
    silence = np.zeros((late, *case.x.shape[1:]), case.x.dtype)
    return replace(case.each(programs), x=np.concatenate([case.x, silence]))


def unlike(case: Case) -> list[int]:
    """Inputs that have another weight in the two programs."""
    name, found = case.encoder.name, np.zeros(case.inputs, np.bool_)
    one, other = ({s.name: s.wiring for s in p.synapses if s.source == name} for p in case.programs)
    for synapse, a in one.items():
        b = other.get(synapse)
        if b is not None and a.connections == b.connections and not np.array_equal(a.weight, b.weight):
            found |= (to_dense(a).weight != to_dense(b).weight).any(axis=0)
    return [int(i) for i in np.flatnonzero(found)]


def fed(case: Case, trace: Trace, name: str, rows: int) -> Case:
    """The population alone, fed with what was recorded of its sources in chip steps 0..rows-1 as input.

    Its loops onto itself stay.  Where the encoder is its only source, it stays as it is.
    """
    sources = tuple(
        dict.fromkeys(s.source for p in case.programs for s in p.synapses if s.target == name and s.source != name)
    )
    if sources == (case.encoder.name,):
        return keep(case, {p: () for p in case.populations if p != name})
    recorded = [trace.populations[s] for s in sources]
    seen = [r.data["spikes"][:rows].reshape(rows, trace.batch, -1) for r in recorded]
    x = np.concatenate(seen, axis=2) if seen else np.zeros((rows, trace.batch, 1), np.int64)
    low, high = min(0, int(x.min())), max(1, int(x.max()))
    bits = max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + (low < 0)
    shape = recorded[0].shape if len(sources) == 1 else (x.shape[2],)
    encoder = Encoder(case.encoder.name, shape, 1, 1, bits, low < 0, low, high)
    ends = np.cumsum([0, *(r.size for r in recorded)])
    places = {source: slice(ends[i], ends[i + 1]) for i, source in enumerate(sources)}
    programs = [_fed(p, encoder, name, places, rows) for p in case.programs]
    return replace(case.each(programs), x=x.reshape(rows, trace.batch, *shape))


def _fed(program: ChipProgram, encoder: Encoder, name: str, places: Mapping[str, slice], rows: int) -> ChipProgram:
    total = int(np.prod(encoder.shape, dtype=np.int64))
    synapses = []
    for s in (s for s in program.synapses if s.target == name):
        if s.source == name:
            synapses.append(s)
        else:
            wiring = s.wiring if len(places) == 1 else _moved(s.wiring, places[s.source], total)
            synapses.append(replace(s, source=encoder.name, wiring=wiring))
    return replace(
        program,
        encoders=(encoder,),
        populations=(program.population(name),),
        synapses=tuple(synapses),
        readout=program.readout if program.readout and program.readout.population == name else None,
        max_steps=max(program.max_steps, rows),
    )


def _moved(wiring: Wiring, place: slice, total: int) -> Wiring:
    """The wiring as one of a part of so many sources."""
    if isinstance(wiring, Dense):
        weight = np.zeros((wiring.target_size, total), wiring.weight.dtype)
        weight[:, place] = wiring.weight
        return Dense(weight)
    sparse = to_sparse(wiring)
    return replace(sparse, columns=sparse.columns + place.start, sources=total)


def _anew(program: ChipProgram) -> dict[str, Any]:
    """What no longer holds of a program that was cut: its proof and its report."""
    return {"proven": False, "report": {k: v for k, v in program.report.items() if k == "scheme"}}


def _keep(program: ChipProgram, kept: Mapping[str, Sequence[int]]) -> ChipProgram:
    chosen = {name: np.asarray(indices, np.int64) for name, indices in kept.items()}
    gone = {p.name for p in program.populations if p.name in chosen and not len(chosen[p.name])}
    encoder = program.encoders[0]
    if encoder.name in chosen:
        encoder = replace(encoder, shape=(len(chosen[encoder.name]),), parts=())
    populations = tuple(_part(p, chosen.get(p.name)) for p in program.populations if p.name not in gone)
    ends = [s for s in program.synapses if not {s.source, s.target} & gone]
    synapses = tuple(s for s in (_between(s, chosen) for s in ends) if s.weight.any())
    readout = program.readout if program.readout and program.readout.population not in chosen else None
    made = {"encoders": (encoder,), "populations": populations, "synapses": synapses, "readout": readout}
    return replace(program, **made)  # type: ignore[arg-type]


def _part(population: Population, chosen: Indices | None) -> Population:
    if chosen is None:
        return population
    params = {k: v[chosen] if v.ndim else v for k, v in population.params.items()}
    unit = population.unit[chosen] if population.unit.ndim else population.unit
    return replace(population, shape=(len(chosen),), params=params, unit=unit)


def _between(synapse: Synapse, chosen: Mapping[str, Indices]) -> Synapse:
    wiring = synapse.wiring
    if synapse.source not in chosen and synapse.target not in chosen:
        return synapse
    targets = chosen.get(synapse.target, np.arange(wiring.target_size))
    sources = chosen.get(synapse.source, np.arange(wiring.source_size))
    if isinstance(wiring, Dense):
        return replace(synapse, wiring=Dense(wiring.weight[np.ix_(targets, sources)]))
    to, origin, weights = wiring.triples()
    rows, columns = np.full(wiring.target_size, -1), np.full(wiring.source_size, -1)
    rows[targets], columns[sources] = np.arange(len(targets)), np.arange(len(sources))
    held = (rows[to] >= 0) & (columns[origin] >= 0) & (weights != 0)
    shape = len(targets), len(sources)
    return replace(synapse, wiring=Sparse.of(rows[to[held]], columns[origin[held]], weights[held], shape))
