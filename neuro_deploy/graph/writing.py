"""A Reading as a NIR graph again: standard nodes under forward Euler, whatever scheme they were read by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np

from ..errors import UnsupportedError, Violation
from ..neurons import spec
from ..neurons.base import FloatNeuron
from ..neurons.scheme import METADATA
from .nesting import Shape
from .nodes import Convolution, Delay, Dense, Diagonal, Flatten, Passing, Pool, Sink, Slice, Source
from .reading import Node, Reading, read_graph

OF_A_FOREIGN_FILE = ("rounds", "family")
"""Entries of our metadata that a graph of our own nodes does not need: those say it themselves."""
OURS = {"discretization": "forward Euler", "reset": "value", "fires": ">"}
"""What our own nodes are written for."""


def write_graph(reading: Reading) -> nir.NIRGraph:
    """The graph that was read, so that reading it again gives the same operations, number by number.

    Nesting, names, joins and metadata stay.  Neurons become nodes with unit gain and our metadata; the gain that a
    foreign file put into r, w_in and tau is a Scale named NEURON.in before them.
    Raises: UnsupportedError for a neuron that no NIR node can be, or a loop that would be cut elsewhere, because such a
    Scale is now a node of it.
    """
    names = [name for name, _ in reading.inputs]
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[tuple[str, str]] = []
    by_name = {node.name: node for node in reading.nodes}
    violations: list[Violation] = []
    for node in reading.nodes:
        if isinstance(node.operation, Source) and node.name not in names:
            continue
        given = by_name[node.inputs[0]].shape if node.inputs else ()
        try:
            made = _node(node, given, reading.dt)
        except UnsupportedError as error:
            violations += [Violation(node.name, f"{v.node}: {v.what}", v.remedy) for v in error.violations]
            continue
        made.metadata = {**node.metadata, **made.metadata}
        nodes[node.name] = made
        if not isinstance(node.operation, Slice):
            edges += [(source, node.name) for source in node.inputs]
    if violations:
        raise UnsupportedError("cannot write the graph to NIR", violations)
    metadata = _metadata(reading.metadata)
    metadata[METADATA] = {**metadata.get(METADATA, {}), "dt": reading.dt}
    graph = _nested(nodes, edges, "", reading, metadata)
    late = {node.name: node.late for node in read_graph(graph).nodes}
    moved = [node.name for node in reading.nodes if node.late != late.get(node.name)]
    if moved:
        remedy = "say which connection takes a step: put a nir.Delay of one step on it"
        violations = [Violation(name, "its loop would be cut elsewhere", remedy) for name in moved]
        raise UnsupportedError("cannot write the graph to NIR", violations)
    return graph


def _metadata(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A graph's metadata, with what is true of its new nodes."""
    if METADATA not in stored:
        return dict(stored)
    kept = {key: value for key, value in stored[METADATA].items() if key not in OF_A_FOREIGN_FILE}
    kept |= {key: value for key, value in OURS.items() if key in kept}
    return {**stored, METADATA: kept}


def _nested(
    nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], graph: str, reading: Reading, metadata: dict[str, Any]
) -> nir.NIRGraph:
    """The nodes that stand in a graph ("": the outermost one), and in graphs within it."""
    homes = reading.homes

    def place(name: str) -> str | None:
        """The node of this graph that `name` is, or lies in; None for one that lies elsewhere."""
        while homes[name] != graph:
            if not homes[name]:
                return None
            name = homes[name]
        return name

    def own(name: str) -> str:
        return name.removeprefix(f"{graph}.") if graph else name

    here: dict[str, nir.NIRNode] = {}
    for name in nodes:
        owner = place(name)
        if owner is not None and own(owner) not in here:
            lower = owner != name
            here[own(owner)] = (
                _nested(nodes, edges, owner, reading, _metadata(reading.graphs[owner])) if lower else nodes[name]
            )
    ways = []
    for source, target in edges:
        a, b = place(source), place(target)
        if a is not None and b is not None and (a != b or a == source):
            ways.append((own(a), own(b)))
    return nir.NIRGraph(here, ways, metadata=metadata, type_check=False)


def _node(node: Node, given: Shape, dt: float) -> nir.NIRNode:
    if isinstance(node.operation, FloatNeuron):
        return spec(node.operation.kind).write(node.operation, dt)
    made: nir.NIRNode = _WRITERS[type(node.operation)](node.operation, given, node.shape, dt)
    return made


def _input(operation: Source | Slice, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Input({"input": np.array(shape)})


def _output(operation: Sink, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Output({"output": np.array(shape)})


def _port(operation: Passing, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Input({"input": np.array(shape)}) if operation.into else nir.Output({"output": np.array(shape)})


def _dense(operation: Dense, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    if operation.bias is None:
        return nir.Linear(weight=operation.weight)
    return nir.Affine(weight=operation.weight, bias=operation.bias)


def _diagonal(operation: Diagonal, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Scale(scale=np.broadcast_to(operation.scale, shape).copy())


def _flatten(operation: Flatten, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Flatten({"input": np.array(given)}, operation.start, operation.end)


def _convolution(operation: Convolution, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    weight, groups = operation.weight, operation.groups
    bias = np.zeros(weight.shape[0], weight.dtype) if operation.bias is None else operation.bias
    options = (operation.stride, operation.padding, operation.dilation)
    if weight.ndim == 3:
        return nir.Conv1d(given[1], weight, *(value for (value,) in options), groups, bias)
    return nir.Conv2d(given[1:], weight, *options, groups, bias)


def _pool(operation: Pool, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    kind = nir.AvgPool2d if operation.mean else nir.SumPool2d
    return kind(np.array(operation.kernel), np.array(operation.stride), np.array(operation.padding))


def _delay(operation: Delay, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    return nir.Delay(delay=np.broadcast_to(operation.steps * dt, shape).copy())


_WRITERS: dict[type, Callable[[Any, Shape, Shape, float], nir.NIRNode]] = {
    Source: _input,
    Slice: _input,
    Sink: _output,
    Passing: _port,
    Dense: _dense,
    Diagonal: _diagonal,
    Flatten: _flatten,
    Convolution: _convolution,
    Pool: _pool,
    Delay: _delay,
}
