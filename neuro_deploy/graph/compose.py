"""Chains of linear nodes between populations, composed in float64 into one synapse each (design ruling 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError, Violation
from ..neurons import fires
from ..neurons.base import FloatNeuron
from ..program import Readout
from ..wiring import Conv, Wiring
from ..wiring import Dense as DenseWiring
from . import algebra
from .nesting import Shape, unused
from .nodes import Convolution, Delay, Dense, Diagonal, Pool, Slice, Source
from .reading import InputRange, Node, Reading
from .timing import place

Floats = NDArray[np.float64]
TITLE = "cannot lower the graph"
ONE = "one"
"""Name of the neuron that fires in every step: the source of constants that a bias cannot give."""


@dataclass(frozen=True)
class ComposedInput:
    """An input of the network.  parts: name and shape of each Input of the file, where this one joins several."""

    name: str
    shape: Shape
    parts: tuple[tuple[str, Shape], ...] = ()


@dataclass(frozen=True, eq=False)
class ComposedPopulation:
    """A population.  bias: float64 (N,), added to h in every step; latency: chip steps until its logical step 0."""

    name: str
    neuron: FloatNeuron
    bias: Floats
    latency: int


@dataclass(frozen=True, eq=False)
class ComposedSynapse:
    """wiring: float64 weights; delay: chip steps beyond the synapse's own one; path: the linear nodes passed."""

    name: str
    source: str
    target: str
    wiring: Wiring
    delay: int
    path: tuple[str, ...] = ()

    @property
    def weight(self) -> Floats:
        """The wiring's weights."""
        return self.wiring.weight


@dataclass(frozen=True, eq=False)
class Composed:
    """A network of populations and synapses, in float64."""

    dt: float
    inputs: tuple[ComposedInput, ...]
    populations: tuple[ComposedPopulation, ...]
    synapses: tuple[ComposedSynapse, ...]
    readout: Readout | None
    input_range: InputRange | None
    steps: int | None = None

    @property
    def depth(self) -> int:
        """Largest latency."""
        return max((p.latency for p in self.populations), default=0)


Key = tuple[str, int, int]
"""A source, how many logical steps later its spikes arrive, and a number where several ways lead from it."""


@dataclass(frozen=True, eq=False)
class _Value:
    """A sum over sources of wiring @ spikes, plus constants.

    constants: delay -> (N,), what is added from that logical step on.   path: the linear nodes passed, by source.
    """

    terms: Mapping[Key, Wiring]
    constants: Mapping[int, Floats]
    path: Mapping[Key, tuple[str, ...]]

    def through(self, name: str, wiring: Wiring) -> _Value:
        """wiring @ self."""
        terms = {key: algebra.product(wiring, held) for key, held in self.terms.items()}
        constants = {d: np.asarray(wiring.apply(c[None])[0]) for d, c in self.constants.items()}
        return replace(self, terms=terms, constants=constants).passed(name)

    def passed(self, name: str) -> _Value:
        """The same, one node on."""
        return replace(self, path={key: (*names, name) for key, names in self.path.items()})

    def plus(self, offset: Floats) -> _Value:
        """self + offset, (N,)."""
        return replace(self, constants={**self.constants, 0: self.constants.get(0, 0.0) + offset})

    def a_step_later(self) -> _Value:
        """As it comes back in a loop: a step later; constants that no Delay held back were there before the first."""
        terms = {(source, delay + 1, way): held for (source, delay, way), held in self.terms.items()}
        path = {(source, delay + 1, way): names for (source, delay, way), names in self.path.items()}
        return _Value(terms, {d + (d > 0): c for d, c in self.constants.items()}, path)

    def later(self, steps: NDArray[np.int64]) -> _Value:
        """Element i arrives steps[i] steps later, and 0 before.  steps: (N,)."""
        ways = _Ways()
        constants: dict[int, Floats] = {}
        for more in np.unique(steps).tolist():
            kept = steps == more
            for (source, delay, way), held in self.terms.items():
                names = self.path[source, delay, way]
                ways.add(source, delay + more, algebra.rows_of(held, kept), names)
            for delay, constant in self.constants.items():
                constants[delay + more] = constants.get(delay + more, 0.0) + np.where(kept, constant, 0.0)
        return _Value(ways.terms, constants, ways.path)


class _Ways:
    """Terms of a sum.  Those of one source and delay are added up, but for convolutions: their kernels stay apart."""

    def __init__(self) -> None:
        self.terms: dict[Key, Wiring] = {}
        self.path: dict[Key, tuple[str, ...]] = {}

    def add(self, source: str, delay: int, held: Wiring, names: tuple[str, ...]) -> None:
        """One more term.  names: the linear nodes on its way."""
        way = 0
        while (source, delay, way) in self.terms:
            before = self.terms[source, delay, way]
            if not isinstance(before, Conv) and not isinstance(held, Conv):
                held, names = algebra.total(before, held), self.path[source, delay, way] + names
                break
            way += 1
        self.terms[source, delay, way], self.path[source, delay, way] = held, names


def _sum(values: list[_Value], size: int) -> _Value:
    ways = _Ways()
    constants: dict[int, Floats] = {0: np.zeros(size)}
    for value in values:
        for (source, delay, way), held in value.terms.items():
            ways.add(source, delay, held, value.path[source, delay, way])
        for delay, constant in value.constants.items():
            constants[delay] = constants.get(delay, 0.0) + constant
    return _Value(ways.terms, constants, ways.path)


class _Chains:
    """The value of every node, each computed once, backwards from the populations."""

    def __init__(self, reading: Reading) -> None:
        self.nodes = {node.name: node for node in reading.nodes}
        self.values: dict[str, _Value] = {}

    def value(self, name: str) -> _Value:
        """What a node sends.  Raises: UnsupportedError for a loop of linear nodes alone, and for an integrator."""
        path = [] if name in self.values else [name]
        while path:
            node = self.nodes[path[-1]]
            starts = isinstance(node.operation, (Source, FloatNeuron))
            missing = next((s for s in node.inputs if s not in self.values and not starts), None)
            if missing is None:
                self.values[path.pop()] = self._compute(node)
            elif missing in path:
                loop = " -> ".join([*path[path.index(missing) :], missing][::-1])
                raise _refusal(loop, "a loop without a neuron has a memory of its own", "put a neuron into the loop")
            else:
                path.append(missing)
        return self.values[name]

    def _compute(self, node: Node) -> _Value:
        size = int(np.prod(node.shape, dtype=np.int64))
        if isinstance(node.operation, FloatNeuron) and not fires(node.operation):
            what = "is an integrator: its potential is no spike that another neuron could get"
            raise _refusal(node.name, what, "read it out, or put a spiking neuron behind the layer")
        if isinstance(node.operation, (Source, FloatNeuron)):
            key = (node.name, 0, 0)
            return _Value({key: algebra.identity(size)}, {}, {key: ()})
        return self._apply(node, self.drive(node))

    def drive(self, node: Node) -> _Value:
        """The sum of a node's inputs; what closes a loop arrives a step later."""
        values = [self.value(s).a_step_later() if s in node.late else self.value(s) for s in node.inputs]
        sizes = [int(np.prod(self.nodes[s].shape, dtype=np.int64)) for s in node.inputs]
        return _sum(values, sizes[0] if sizes else int(np.prod(node.shape, dtype=np.int64)))

    def _apply(self, node: Node, value: _Value) -> _Value:
        operation, shape = node.operation, self.nodes[node.inputs[0]].shape
        if isinstance(operation, Dense):
            value = value.through(node.name, DenseWiring(operation.weight.astype(np.float64)))
            return value if operation.bias is None else value.plus(operation.bias.astype(np.float64))
        if isinstance(operation, Diagonal):
            return value.through(node.name, algebra.diagonal(_flat(operation.scale, node.shape)))
        if isinstance(operation, Slice):
            return value.through(node.name, algebra.slice_of(operation, shape))
        if isinstance(operation, Convolution):
            wiring = algebra.convolution(operation, shape)
            value = value.through(node.name, wiring)
            if operation.bias is None:
                return value
            return value.plus(np.repeat(operation.bias.astype(np.float64), wiring.target_size // len(operation.bias)))
        if isinstance(operation, Pool):
            return value.through(node.name, algebra.pooling(operation, shape))
        if isinstance(operation, Delay):
            steps = np.broadcast_to(operation.steps, node.shape).reshape(-1)
            return value.later(steps).passed(node.name)
        return value


def _flat(array: NDArray[Any], shape: Shape) -> Floats:
    return np.broadcast_to(array, shape).reshape(-1).astype(np.float64)


def _refusal(name: str, what: str, remedy: str) -> UnsupportedError:
    return UnsupportedError(TITLE, [Violation(name, what, remedy)])


def compose(reading: Reading) -> Composed:
    """Compose the linear nodes of a graph and place its populations in time.

    A population's latency is 1 + the largest latency of its sources, less what a delay of the network itself gives;
    earlier sources get a delay, so that branches of unequal depth meet in step (design section 6).  A constant that
    passes a synaptic current or a Delay comes from a neuron that fires in every step (`ONE`).
    Raises: UnsupportedError if a linear node feeds the output, a loop is shorter than its synapses, an integrator
    feeds another neuron.
    """
    chains = _Chains(reading)
    drives: dict[str, _Value] = {}
    violations: list[Violation] = []
    for node in reading.nodes:
        try:
            if isinstance(node.operation, FloatNeuron):
                drives[node.name] = chains.drive(node)
        except UnsupportedError as error:
            violations += [v for v in error.violations if v not in violations]
    violations += [
        Violation(
            name, "feeds the output without a neuron behind it", "end the network in a population (LIF, CF or LI)"
        )
        for name in reading.outputs
        if name not in reading.neurons
    ]
    if violations:
        raise UnsupportedError(TITLE, violations)
    one = unused(ONE, [n.name for n in reading.nodes])
    biases, drives = _constants(reading, drives, one)
    return _placed(reading, drives, biases, one)


def _constants(reading: Reading, drives: Mapping[str, _Value], one: str) -> tuple[dict[str, Floats], dict[str, _Value]]:
    """The bias of each population; other constants become terms of the source `one`."""
    biases: dict[str, Floats] = {}
    result: dict[str, _Value] = {}
    for name, drive in drives.items():
        neuron = reading.neurons[name]
        current = "beta_syn" in neuron.params
        biases[name] = neuron.flat("drift") if "drift" in neuron.params else np.zeros(neuron.size)
        terms, path = dict(drive.terms), dict(drive.path)
        for delay, constant in drive.constants.items():
            if delay == 0 and not current:
                biases[name] = biases[name] + constant
            elif constant.any():
                terms[one, delay, 0], path[one, delay, 0] = DenseWiring(constant[:, None]), (f"{name}.constant",)
        result[name] = _Value(terms, {}, path)
    return biases, result


def _placed(reading: Reading, drives: Mapping[str, _Value], biases: Mapping[str, Floats], one: str) -> Composed:
    neurons = dict(reading.neurons)
    if any(source == one for drive in drives.values() for source, _, _ in drive.terms):
        params = {"beta": np.zeros((), np.float32), "theta": np.full((), 0.5, np.float32)}
        neurons = {one: FloatNeuron("lif", (1,), params), **neurons}
        biases, drives = {one: np.ones(1), **biases}, {one: _Value({}, {}, {}), **drives}
    parts = reading.inputs if len(reading.inputs) > 1 else ()
    inputs = tuple(ComposedInput(n.name, n.shape, parts) for n in reading.nodes if isinstance(n.operation, Source))
    edges = [(source, target, delay) for target, drive in drives.items() for source, delay, _ in drive.terms]
    latency = place([i.name for i in inputs], list(neurons), edges)
    names: dict[str, int] = {}
    synapses = [
        ComposedSynapse(
            _synapse_name(drive, (source, delay, way), target, names),
            source,
            target,
            algebra.settled(held),
            latency[target] - 1 - latency[source] + delay,
            drive.path[source, delay, way],
        )
        for target, drive in drives.items()
        for (source, delay, way), held in drive.terms.items()
    ]
    populations = tuple(ComposedPopulation(n, neurons[n], biases[n], latency[n]) for n in neurons)
    readout, known = reading.readout, reading.input_range
    return Composed(reading.dt, inputs, populations, tuple(synapses), readout, known, reading.steps)


def _synapse_name(drive: _Value, key: Key, target: str, names: dict[str, int]) -> str:
    """The linear nodes on the way, and the source where another one comes the same way; unique in the network."""
    name = "+".join(drive.path[key]) or f"{key[0]}-{target}"
    if list(drive.path.values()).count(drive.path[key]) > 1:
        name = (
            f"{name}[{key[0]}]"
            if [source for source, _, _ in drive.path].count(key[0]) == 1
            else f"{name}[{key[0]}, {key[1]}]"
        )
    names[name] = names.get(name, 0) + 1
    return name if names[name] == 1 else f"{name}#{names[name]}"


__all__ = ["Composed", "ComposedInput", "ComposedPopulation", "ComposedSynapse", "compose"]
