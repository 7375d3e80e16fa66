"""What a NIR graph says under a time step: operations in order, joins, shapes, and our metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import nir
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError, UnsupportedError, Violation
from ..neurons import specs
from ..neurons.base import METADATA, FloatNeuron
from ..program import Readout
from .nodes import Diagonal, Operation, Shape, Sink, arrays_of, output_shape, read_node

TITLE = "cannot read the graph"


class _Metadata(BaseModel):
    """More entries are somebody else's."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ToldReadout(_Metadata):
    """How the decision is read."""

    population: str
    rule: Literal["spike_count"] = "spike_count"
    start: int = Field(default=0, ge=0)
    stop: int = Field(default=0, ge=0)


class ToldInput(_Metadata):
    """The input's range and grid."""

    low: float
    high: float
    quantum: float = Field(default=0.0, ge=0)


class Told(_Metadata):
    """Our metadata of a graph (entry "neuro_deploy"); everything may be missing in a foreign file."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dt: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    input: ToldInput | None = None
    readout: ToldReadout | None = None


@dataclass(frozen=True)
class InputRange:
    """The values that the input takes: low..high, in multiples of quantum (0: unknown, any value)."""

    low: float
    high: float
    quantum: float = 0.0


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    inputs: names of the nodes whose sum it gets.   late: those of them whose output arrives one step later: they
    close a loop.   shape: of its output, without time and batch.
    """

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    operation: Operation
    late: tuple[str, ...] = ()


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
    told = _told(graph)
    step = _time_step(told.dt, dt)
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
    return Reading(step, tuple(nodes.values()), _readout(told.readout, nodes), _range(told.input), told.steps)


def _told(graph: nir.NIRGraph) -> Told:
    """Our metadata of the graph, checked.  Raises: InputError with all problems."""
    try:
        return Told.model_validate(_plain(metadata_of(graph)))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InputError("\n".join(["the file's neuro_deploy metadata is not valid:", *lines])) from error


def _plain(value: Any) -> Any:
    """Metadata as Python types."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _time_step(stored: float | None, dt: float | None) -> float:
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise InputError(f"dt must be a positive number of seconds, got {dt}")
    if stored is None and dt is None:
        raise InputError("the file does not say its time step, and a guess would change its spikes; give --dt SECONDS")
    if stored is not None and dt is not None and stored != dt:
        raise InputError(f"the file says dt = {stored!r} s, not {dt!r} s; leave --dt out")
    return stored if stored is not None else float(dt or 0)


def _order(graph: nir.NIRGraph) -> list[tuple[str, tuple[str, ...]]]:
    """Nodes from input to output, ties in alphabetical order, each with its sources in the file's order.

    That order is the order of float additions.  Raises: UnsupportedError.
    """
    incoming: dict[str, list[str]] = {name: [] for name in sorted(graph.nodes)}
    for source, target in ((str(a), str(b)) for a, b in graph.edges):
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
        try:
            neuron = kind.read(name, node, dt)
            drive = kind.drive(node, dt) if neuron is not None else None
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            what = f"its parameters or its metadata cannot be understood ({error})"
            raise UnsupportedError(TITLE, [Violation(name, what, "mend the file")]) from error
        if neuron is None:
            continue
        if drive is not None:
            if not all(np.isfinite(values).all() for values in drive):
                what = "tau, r or v_leak give an input gain or offset that is NaN or infinite"
                raise UnsupportedError(TITLE, [Violation(name, what, "mend the file")])
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


def _readout(stored: ToldReadout | None, nodes: Mapping[str, Node]) -> Readout | None:
    outputs = [s for n in nodes.values() if isinstance(n.operation, Sink) for s in n.inputs]
    stored = stored or ToldReadout(population=outputs[0] if len(outputs) == 1 else "")
    if stored.population not in nodes or not isinstance(nodes[stored.population].operation, FloatNeuron):
        return None
    return Readout(**stored.model_dump())


def _range(stored: ToldInput | None) -> InputRange | None:
    return InputRange(stored.low, stored.high, stored.quantum) if stored else None
