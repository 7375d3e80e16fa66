"""What a NIR graph says under a time step: operations in order, joins, shapes, and our metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from ..errors import InputError, UnsupportedError, Violation
from ..neurons import specs
from ..neurons.base import METADATA, FloatNeuron
from ..program import Readout
from .nodes import Diagonal, Operation, Shape, Sink, arrays_of, output_shape, read_node

TITLE = "cannot read the graph"


@dataclass(frozen=True)
class InputRange:
    """The values that the input takes: low..high, in multiples of quantum (0: unknown, any value)."""

    low: float
    high: float
    quantum: float = 0.0


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.  inputs: names of the nodes whose sum it gets; shape: of its output, without time and batch."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    operation: Operation


@dataclass(frozen=True, eq=False)
class Reading:
    """A graph at a time step of dt seconds: nodes from input to output, and what our metadata says (None: nothing)."""

    dt: float
    nodes: tuple[Node, ...]
    readout: Readout | None
    input_range: InputRange | None
    steps: int | None

    @property
    def neurons(self) -> dict[str, FloatNeuron]:
        """The populations by name."""
        return {n.name: n.operation for n in self.nodes if isinstance(n.operation, FloatNeuron)}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the nodes that feed the graph's outputs."""
        return tuple(source for n in self.nodes if isinstance(n.operation, Sink) for source in n.inputs)


def metadata_of(node: nir.NIRNode) -> Mapping[str, Any]:
    """Our entry in a node's metadata, or an empty mapping."""
    told = node.metadata.get(METADATA) if isinstance(node.metadata, dict) else None
    return told if isinstance(told, dict) else {}


def read_graph(graph: nir.NIRGraph, dt: float | None = None) -> Reading:
    """Read a graph.

    dt: seconds a step; needed if the file does not say, and must agree if it does.
    Raises: InputError if dt is unknown or contradicts the file; UnsupportedError with all nodes that cannot be read.
    """
    told = metadata_of(graph)
    step = _time_step(told, dt)
    order = _order(graph)
    violations: list[Violation] = []
    nodes: dict[str, Node] = {}
    for name, sources in order:
        try:
            for node in _read(name, graph.nodes[name], sources, step, nodes):
                nodes[node.name] = node
        except UnsupportedError as error:
            violations += error.violations
            nodes[name] = Node(name, sources, (), Sink())
            if not isinstance(graph.nodes[name], (nir.Input, nir.Output)):
                break
    violations += [v for n in nodes.values() for v in _finite(n)]
    if violations:
        raise UnsupportedError(TITLE, violations)
    steps = int(told["steps"]) if "steps" in told else None
    return Reading(step, tuple(nodes.values()), _readout(told, nodes), _range(told), steps)


def _time_step(told: Mapping[str, Any], dt: float | None) -> float:
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise InputError(f"dt must be a positive number of seconds, got {dt}")
    stored = float(told["dt"]) if "dt" in told else None
    if stored is None and dt is None:
        raise InputError("the file does not say its time step, and a guess would change its spikes; give --dt SECONDS")
    if stored is not None and dt is not None and stored != dt:
        raise InputError(f"the file says dt = {stored!r} s, not {dt!r} s; leave --dt out")
    return stored if stored is not None else float(dt or 0)


def _order(graph: nir.NIRGraph) -> list[tuple[str, tuple[str, ...]]]:
    """Nodes from input to output with their sources, ties in alphabetical order.  Raises: UnsupportedError."""
    incoming: dict[str, list[str]] = {name: [] for name in sorted(graph.nodes)}
    for source, target in sorted((str(a), str(b)) for a, b in graph.edges):
        if source not in incoming or target not in incoming:
            raise UnsupportedError(TITLE, [Violation(f"{source} -> {target}", "an edge to a node that does not exist")])
        if source in incoming[target]:
            raise UnsupportedError(TITLE, [Violation(f"{source} -> {target}", "the edge stands twice")])
        incoming[target].append(source)
    waiting = dict(incoming)
    done: dict[str, bool] = {}
    order: list[tuple[str, tuple[str, ...]]] = []
    while waiting:
        ready = next((n for n, sources in waiting.items() if all(s in done for s in sources)), None)
        if ready is None:
            raise UnsupportedError(
                TITLE,
                [Violation(" -> ".join(_cycle(waiting)), "a recurrent connection between nodes is not supported here")],
            )
        order.append((ready, tuple(waiting.pop(ready))))
        done[ready] = True
    return order


def _cycle(waiting: Mapping[str, Sequence[str]]) -> list[str]:
    path = [next(iter(waiting))]
    while path.count(path[-1]) < 2:
        path.append(next(s for s in waiting[path[-1]] if s in waiting))
    return path[path.index(path[-1]) :][::-1]


def _read(
    name: str, node: nir.NIRNode, sources: tuple[str, ...], dt: float, nodes: Mapping[str, Node]
) -> Iterable[Node]:
    """The node, and before it a Diagonal for a neuron whose input has a gain or an offset."""
    shapes = {nodes[s].shape for s in sources}
    if len(shapes) > 1:
        raise UnsupportedError(TITLE, [Violation(name, f"its inputs have different shapes {sorted(shapes)}")])
    shape = next(iter(shapes), None)
    for kind in specs():
        neuron = kind.read(name, node, dt)
        if neuron is None:
            continue
        drive = kind.drive(node, dt)
        if drive is not None:
            before = Diagonal(*drive)
            yield Node(f"{name}.in", sources, output_shape(name, before, shape), before)
            sources = (f"{name}.in",)
        shape = output_shape(name, neuron, shape)
        yield Node(name, sources, shape, replace(neuron, shape=shape))
        return
    operation = read_node(name, node)
    yield Node(name, sources, output_shape(name, operation, shape), operation)


def _finite(node: Node) -> Iterable[Violation]:
    for key, array in arrays_of(node.operation).items():
        bad = int((~np.isfinite(array)).sum()) if array.dtype.kind == "f" else 0
        if bad or array.dtype.kind not in "fiub":
            what = f"{key} holds {bad} values that are NaN or infinite" if bad else f"{key} has dtype {array.dtype}"
            yield Violation(node.name, what, "mend the training run or the file")


def _readout(told: Mapping[str, Any], nodes: Mapping[str, Node]) -> Readout | None:
    outputs = [s for n in nodes.values() if isinstance(n.operation, Sink) for s in n.inputs]
    stored = told.get("readout", {})
    name = str(stored.get("population", outputs[0] if len(outputs) == 1 else ""))
    if name not in nodes or not isinstance(nodes[name].operation, FloatNeuron):
        return None
    return Readout(
        name, str(stored.get("rule", "spike_count")), int(stored.get("start", 0)), int(stored.get("stop", 0))
    )


def _range(told: Mapping[str, Any]) -> InputRange | None:
    stored = told.get("input")
    if not isinstance(stored, dict):
        return None
    return InputRange(float(stored["low"]), float(stored["high"]), float(stored.get("quantum", 0.0)))
