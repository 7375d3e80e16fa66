"""Chains of linear nodes between populations, composed in float64 into one synapse each (design ruling 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError, Violation
from ..neurons.base import FloatNeuron
from ..program import Readout
from .nodes import Dense, Diagonal, Shape, Sink, Source
from .reading import InputRange, Node, Reading

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class ComposedInput:
    """An input of the network."""

    name: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class ComposedPopulation:
    """A population.  bias: float64 (N,), added to x in every step; latency: chip steps until its logical step 0."""

    name: str
    neuron: FloatNeuron
    bias: Matrix
    latency: int


@dataclass(frozen=True, eq=False)
class ComposedSynapse:
    """weight: float64 (N_target, N_source); delay: chip steps beyond the synapse's own one."""

    name: str
    source: str
    target: str
    weight: Matrix
    delay: int


@dataclass(frozen=True, eq=False)
class Composed:
    """A network of populations and dense synapses, in float64."""

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


@dataclass(frozen=True, eq=False)
class _Value:
    """A sum over sources of matrix @ spikes, plus a constant.  path: the linear nodes passed, by source."""

    terms: Mapping[str, Matrix]
    constant: Matrix
    path: Mapping[str, tuple[str, ...]]

    def through(self, name: str, matrix: Callable[[Matrix], Matrix], offset: Matrix) -> _Value:
        terms = {source: matrix(m) for source, m in self.terms.items()}
        path = {source: (*names, name) for source, names in self.path.items()}
        return _Value(terms, matrix(self.constant[:, None])[:, 0] + offset, path)


def _synapse_name(drive: _Value, source: str, target: str) -> str:
    """The linear nodes on the way, and the source where another one comes the same way."""
    name = "+".join(drive.path[source]) or f"{source}-{target}"
    return name if list(drive.path.values()).count(drive.path[source]) == 1 else f"{name}[{source}]"


def _add(values: list[_Value], size: int) -> _Value:
    terms: dict[str, Matrix] = {}
    path: dict[str, tuple[str, ...]] = {}
    for value in values:
        for source, matrix in value.terms.items():
            terms[source] = terms[source] + matrix if source in terms else matrix
            path[source] = path.get(source, ()) + value.path[source]
    return _Value(terms, sum((v.constant for v in values), np.zeros(size)), path)


def _apply(node: Node, value: _Value) -> _Value:
    operation = node.operation
    zero = np.zeros(value.constant.shape)
    if isinstance(operation, Dense):
        weight = operation.weight.astype(np.float64)
        bias = np.zeros(len(weight)) if operation.bias is None else operation.bias.astype(np.float64)
        return value.through(node.name, lambda m: np.asarray(weight @ m), bias)
    if isinstance(operation, Diagonal):
        scale, offset = _flat(operation.scale, node.shape), _flat(operation.offset, node.shape)
        return value.through(node.name, lambda m: np.asarray(scale[:, None] * m), zero if offset is None else offset)
    return value


def _flat(array: NDArray[Any] | None, shape: Shape) -> Any:
    return None if array is None else np.broadcast_to(array, shape).reshape(-1).astype(np.float64)


def compose(reading: Reading) -> Composed:
    """Compose the linear nodes of a graph and place its populations in time.

    A population's latency is 1 + the largest latency of its sources; earlier sources get a delay, so that branches
    of unequal depth meet in step (design section 6).
    Raises: UnsupportedError if a linear node feeds the output, or a population has no input.
    """
    values: dict[str, _Value] = {}
    latency: dict[str, int] = {}
    inputs: list[ComposedInput] = []
    populations: list[ComposedPopulation] = []
    synapses: list[ComposedSynapse] = []
    violations: list[Violation] = []
    for node in reading.nodes:
        size = int(np.prod(node.shape, dtype=np.int64))
        if isinstance(node.operation, Source):
            inputs.append(ComposedInput(node.name, node.shape))
            latency[node.name] = 0
        elif isinstance(node.operation, FloatNeuron):
            drive = _add([values[s] for s in node.inputs], size)
            latency[node.name] = 1 + max((latency[s] for s in drive.terms), default=0)
            populations.append(ComposedPopulation(node.name, node.operation, drive.constant, latency[node.name]))
            synapses += [
                ComposedSynapse(
                    _synapse_name(drive, source, node.name),
                    source,
                    node.name,
                    matrix,
                    latency[node.name] - 1 - latency[source],
                )
                for source, matrix in drive.terms.items()
            ]
        elif isinstance(node.operation, Sink):
            violations += _borders(reading, node)
            continue
        else:
            values[node.name] = _apply(node, _add([values[s] for s in node.inputs], _size_in(reading, node)))
            continue
        values[node.name] = _Value({node.name: np.eye(size)}, np.zeros(size), {node.name: ()})
    if violations:
        raise UnsupportedError("cannot lower the graph", violations)
    return Composed(
        reading.dt,
        tuple(inputs),
        tuple(populations),
        tuple(synapses),
        reading.readout,
        reading.input_range,
        reading.steps,
    )


def _size_in(reading: Reading, node: Node) -> int:
    shapes = {n.name: n.shape for n in reading.nodes}
    return int(np.prod(shapes[node.inputs[0]], dtype=np.int64))


def _borders(reading: Reading, sink: Node) -> list[Violation]:
    linear = [s for s in sink.inputs if s not in reading.neurons]
    return [
        Violation(name, "feeds the output without a neuron behind it", "end the network in a spiking population")
        for name in linear
    ]


__all__ = ["Composed", "ComposedInput", "ComposedPopulation", "ComposedSynapse", "compose"]
