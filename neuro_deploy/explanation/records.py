"""One population of a run, each step predicted from the run's own records: what its inputs, its state of the step
before and the program give.  A fault then shows in the population that has it, and in no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.plain import kept_of, matmul_exact
from ..errors import InputError
from ..fixed import Ints, Registers, wrap_bits
from ..neurons import part
from ..neurons.base import bias_of
from ..program import ChipProgram, Population, Synapse
from ..trace import VARIABLES, Trace

VALUES = 1 << 22
"""Values of one variable that are looked at: bounds the memory to some hundred MB."""


@dataclass(frozen=True, eq=False)
class Records:
    """What a run recorded of some neurons of a population, and of what drives them.

    Rows and samples are joined: M = rows * samples.
    neurons: their flat indices, (n,).   params: of each, (n,).   state: before each step, (M, n).
    arriving: synapse -> spikes (M, N_source).   sums: synapse -> what it adds, (M, n).   row: of each, (M, 1).
    seen: variable -> (M, n), what was recorded.
    """

    population: Population
    registers: Registers
    synapses: tuple[Synapse, ...]
    neurons: Ints
    params: Mapping[str, Ints]
    state: Mapping[str, Ints]
    arriving: Mapping[str, NDArray[Any]]
    sums: Mapping[str, Ints]
    row: Ints
    seen: Mapping[str, Ints]

    @property
    def bias(self) -> Ints:
        """The bias of each neuron in units of the potential, (n,)."""
        return np.broadcast_to(bias_of(self.params), self.neurons.shape)

    def of(self, neurons: Any) -> Records:
        """Of some of the neurons alone.  neurons: bool (n,)."""

        def some(values: Mapping[str, Ints]) -> dict[str, Ints]:
            return {name: array[..., neurons] for name, array in values.items()}

        return replace(
            self,
            neurons=self.neurons[neurons],
            params=some(self.params),
            state=some(self.state),
            sums=some(self.sums),
            seen=some(self.seen),
        )


@dataclass(frozen=True, eq=False)
class Change:
    """What a step does otherwise.  Absent: as the program says.

    params: other parameters, () or (n,).   sums: synapse -> what it adds, (M, n).   registers: other number formats.
    bias: in units of the potential, broadcasts against (M, n).
    """

    params: Mapping[str, Ints] | None = None
    sums: Mapping[str, Ints] | None = None
    registers: Registers | None = None
    bias: Ints | None = None


def records(program: ChipProgram, trace: Trace, name: str, samples: Sequence[int]) -> Records:
    """A population of a run, of some samples.

    Raises: InputError if the state or the spikes of a source are not recorded.
    """
    population, recording = program.population(name), trace.populations[name]
    kind = part(population.kind, "integer")
    chosen = list(samples)
    seen = {v: _flat(recording.data[v][:, chosen]) for v in VARIABLES if v in recording.data}
    rows = next(iter(recording.data.values())).shape[0]
    missing = [f"{name}.{v}" for v in kind.start(population.params, 1, 1) if v not in seen]
    synapses = tuple(s for s in program.synapses if s.target == name)
    missing += [f"{s.source}.spikes" for s in synapses if "spikes" not in _data(trace, s.source)]
    if missing:
        raise InputError(f"not recorded by {trace.backend}: {', '.join(dict.fromkeys(missing))}")
    state = {v: _later(recording.data[v][:, chosen], 1, rows) for v in kind.start(population.params, 1, 1)}
    arriving = {s.name: arrive(trace, s, chosen, rows) for s in synapses}
    size = population.size
    return Records(
        population,
        program.registers,
        synapses,
        np.arange(size),
        {key: np.broadcast_to(value, (size,)) for key, value in population.params.items()},
        state,
        arriving,
        {s.name: added(s, arriving[s.name]) for s in synapses},
        np.repeat(np.arange(rows), len(chosen))[:, None],
        seen,
    )


def arrive(trace: Trace, synapse: Synapse, samples: Sequence[int], rows: int, more: int = 0) -> NDArray[Any]:
    """The spikes that reach a synapse's target in each row, `more` steps late: (M, N_source)."""
    spikes = trace.populations[synapse.source].data["spikes"][:, list(samples)]
    return _later(spikes, 1 + synapse.delay + more, rows)


def added(synapse: Synapse, arriving: NDArray[Any]) -> Ints:
    """What a synapse adds, as the chip keeps it, (M, N_target)."""
    return kept_of(synapse, synapse.wiring.apply(arriving.astype(np.int64), matmul_exact))[0]


def predict(held: Records, change: Change | None = None) -> dict[str, Ints]:
    """Every step's spikes and values from its own inputs and state: variable -> (M, n)."""
    change = change or Change()
    sums = {**held.sums, **(change.sums or {})}
    total = np.zeros((len(held.row), len(held.neurons)), np.int64)
    for values in sums.values():
        total = total + values
    params = {**held.params, **(change.params or {})}
    biased = held.row >= held.population.latency
    bias = np.where(biased, bias_of(params), 0) if change.bias is None else change.bias
    params |= {"bias_mant": np.broadcast_to(bias, total.shape), "bias_exp": np.asarray(0)}
    kind = part(held.population.kind, "integer")
    step = kind.step(params, held.state, wrap_bits(total, 32), True, change.registers or held.registers)
    return {"spikes": step.spikes, **step.values}


def departs(held: Records, found: Mapping[str, Ints]) -> NDArray[np.bool_]:
    """Where any recorded value is not what was predicted, (M, n)."""
    where = np.zeros((len(held.row), len(held.neurons)), np.bool_)
    for variable, values in held.seen.items():
        if variable in found:
            where |= found[variable] != values
    return where


def explains(held: Records, found: Mapping[str, Ints]) -> bool:
    """True if every recorded value is what was predicted."""
    return all(np.array_equal(found[v], values) for v, values in held.seen.items() if v in found)


def some_samples(a: Trace, b: Trace, program: ChipProgram, samples: int) -> list[int]:
    """Samples to look at: those that differ first, as many as VALUES allow."""
    differing = np.zeros(samples, np.bool_)
    for name in a.populations:
        for variable in VARIABLES:
            data = [t.populations[name].data.get(variable) if name in t.populations else None for t in (a, b)]
            if data[0] is not None and data[1] is not None:
                rows = min(len(d) for d in data if d is not None)
                unequal = data[0][:rows, :samples] != data[1][:rows, :samples]
                differing |= unequal.any(axis=(0, *range(2, unequal.ndim)))
    widest = max([p.size for p in program.populations] + [int(np.prod(e.shape)) for e in program.encoders])
    most = max(1, VALUES // (widest * (a.steps + program.depth)))
    order = [*np.flatnonzero(differing).tolist(), *np.flatnonzero(~differing).tolist()]
    return sorted(order[:most])


def _data(trace: Trace, name: str) -> Mapping[str, NDArray[Any]]:
    return trace.populations[name].data if name in trace.populations else {}


def _flat(values: NDArray[Any]) -> Ints:
    """(rows, samples, *shape) -> int64 (M, N)."""
    return values.reshape(values.shape[0] * values.shape[1], -1).astype(np.int64)


def _later(values: NDArray[Any], steps: int, rows: int) -> Ints:
    """The same so many rows later, 0 before; of so many rows."""
    moved = np.zeros((rows, *values.shape[1:]), values.dtype)
    kept = max(0, min(rows - steps, len(values)))
    moved[steps : steps + kept] = values[:kept]
    return _flat(moved)
