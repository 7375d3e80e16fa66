"""What a NIR graph says under a time step: operations in order, joins, shapes, and our metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import nir
import numpy as np

from ..errors import UnsupportedError, Violation
from ..neurons import fires, specs
from ..neurons.base import FloatNeuron
from ..neurons.scheme import Scheme, told_kind
from ..program import Readout, default_rule
from .nesting import KEEPING, Flat, Port, Shape, flat, shape_before, shape_told, unused
from .nodes import Convolution, Diagonal, Flatten, Operation, Passing, Sink, arrays_of, read_node
from .order import TITLE, order
from .rounding import change_of, lost
from .shapes import output_shape
from .told import ToldInput, ToldReadout, inner_scheme, scheme_of, strange, told_of


@dataclass(frozen=True)
class InputRange:
    """The values that the input takes: low..high, in multiples of quantum (0: unknown, any value)."""

    low: float
    high: float
    quantum: float = 0.0


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    inputs: names of the nodes whose sum it gets.   late: those of them that close a loop: their output of the step
    before arrives; in the first step, what they give when all neurons and inputs are silent (their constants).
    shape: of its output, without time and batch.   metadata: the file's.
    """

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    operation: Operation
    late: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reading:
    """A graph under a scheme: nodes from input to output, and what our metadata says (None: nothing).

    inputs: name and shape of each Input of the file; where there are several, `nodes` hold one that joins them (see
    graph/nesting.py).   metadata: the graph's, as the file has it.   graphs: name and metadata of each nested graph.
    homes: of each node of the file and each nested graph, the graph that it stands in ("": the outermost).
    rounding: the nodes of the file with numbers that float32 rounds, and the largest relative change.
    """

    scheme: Scheme
    nodes: tuple[Node, ...]
    readout: Readout | None
    input_range: InputRange | None
    steps: int | None
    inputs: tuple[tuple[str, Shape], ...]
    metadata: Mapping[str, Any]
    graphs: Mapping[str, Mapping[str, Any]]
    homes: Mapping[str, str]
    rounding: Mapping[str, float]

    @property
    def dt(self) -> float:
        """Seconds a step."""
        return self.scheme.dt

    @property
    def neurons(self) -> dict[str, FloatNeuron]:
        """The populations by name."""
        return {n.name: n.operation for n in self.nodes if isinstance(n.operation, FloatNeuron)}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the nodes that feed the graph's outputs; ports of nested graphs are looked through."""
        return _senders({n.name: n for n in self.nodes})


def _senders(nodes: Mapping[str, Node]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    path = [s for n in reversed(list(nodes.values())) if isinstance(n.operation, Sink) for s in reversed(n.inputs)]
    seen: set[str] = set()
    while path:
        name = path.pop()
        if name in nodes and isinstance(nodes[name].operation, Passing) and name not in seen:
            seen.add(name)
            path += reversed(nodes[name].inputs)
        elif name not in seen:
            found[name] = None
    return tuple(found)


def read_graph(graph: nir.NIRGraph, dt: float | None = None) -> Reading:
    """Read a graph; nested graphs are inlined.

    dt: seconds a step; needed if the file does not say, and must agree if it does.  (`told.assume` says more.)
    Raises: InputError if dt is unknown or contradicts the file; UnsupportedError with all nodes that cannot be read.
    """
    told = told_of(graph)
    scheme = scheme_of(told, dt)
    whole = flat(graph)
    if violations := list(_stored(whole, scheme)):
        raise UnsupportedError(TITLE, violations)
    nodes: dict[str, Node] = {}
    homes = dict(whole.homes)
    for name, sources, late in order(whole.nodes, whole.edges, scheme.dt):
        try:
            for node in _read(name, whole.nodes[name], sources, scheme, nodes, whole):
                homes.setdefault(node.name, homes.get(name, ""))
                nodes[node.name] = replace(node, late=late) if set(late) <= set(node.inputs) else node
        except UnsupportedError as error:
            violations += error.violations
            nodes[name] = Node(name, sources, (), Sink())
            if not isinstance(whole.nodes[name], (nir.Input, nir.Output)):
                break
    violations += [v for n in nodes.values() for v in _finite(n)]
    violations += [v for n in nodes.values() for v in _declared(n, whole.nodes.get(n.name), nodes)]
    violations = violations or [v for n in nodes.values() for v in _joins(n, nodes)]
    if violations:
        raise UnsupportedError(TITLE, violations)
    return Reading(
        scheme,
        tuple(nodes.values()),
        _readout(told.readout, nodes),
        _range(told.input),
        told.steps,
        whole.inputs,
        graph.metadata if isinstance(graph.metadata, dict) else {},
        whole.graphs,
        homes,
        {name: change for name, node in whole.nodes.items() if (change := change_of(node))},
    )


def _stored(whole: Flat, scheme: Scheme) -> Iterable[Violation]:
    """What is wrong with metadata and numbers as the file has them."""
    for name, metadata in whole.graphs.items():
        yield from inner_scheme(name, metadata, scheme)
    for name, node in whole.nodes.items():
        yield from strange(name, getattr(node, "metadata", None))
        yield from lost(name, node)


def _joins(node: Node, nodes: Mapping[str, Node]) -> Iterable[Violation]:
    """Inputs of different shapes, once all are known."""
    shapes = sorted({nodes[s].shape for s in node.inputs})
    if len(shapes) > 1:
        yield Violation(node.name, f"its inputs have different shapes {shapes}", "mend the file")
    elif node.late and output_shape(node.name, node.operation, shapes[0]) != node.shape:
        what = f"was taken to give {node.shape}, but its inputs have the shape {shapes[0]}"
        yield Violation(node.name, what, "give the parameters in its loop their whole shape")


DECLARING = (nir.Output, nir.Conv1d, nir.Conv2d, nir.Flatten, nir.NIRGraph, Port)
"""Nodes that declare the shape of their input; it follows from the network."""


def _declared(node: Node, stored: Any, nodes: Mapping[str, Node]) -> Iterable[Violation]:
    """A shape that the file declares and the network does not have.  stored: the file's node."""
    told = shape_told(stored) if isinstance(stored, DECLARING) else None
    given = sorted({nodes[s].shape for s in node.inputs if s in nodes and nodes[s].shape})
    if told is not None and len(given) == 1 and told != given[0] and not _mistyped(node, nodes):
        what = f"declares an input of shape {told}, but gets {given[0]}"
        yield Violation(node.name, what, "mend the declared shape, or what leads there")


def _mistyped(node: Node, nodes: Mapping[str, Node]) -> bool:
    """True behind a convolution whose shapes stock nir itself gets wrong: in groups, or with an oblong kernel."""
    path, seen = list(node.inputs), set(node.inputs)
    while path:
        before = nodes[path.pop()]
        operation = before.operation
        if isinstance(operation, Convolution) and (operation.groups > 1 or len(set(operation.weight.shape[2:])) > 1):
            return True
        path += [name for name in before.inputs if name not in seen]
        seen.update(before.inputs)
    return False


def _read(
    name: str,
    node: Any,
    sources: tuple[str, ...],
    scheme: Scheme,
    nodes: Mapping[str, Node],
    whole: Flat,
) -> Iterable[Node]:
    """The node, and before it a Diagonal for a neuron whose input has a gain.  nodes: so far; whole: all there are."""
    shapes = sorted({nodes[s].shape for s in sources if s in nodes})
    if len(shapes) > 1:
        raise UnsupportedError(TITLE, [Violation(name, f"its inputs have different shapes {shapes}", "mend the file")])
    shape = shapes[0] if shapes else _shape_ahead(name, node, sources, scheme, whole) if sources else None
    if sources and shape is None:
        what = "stands in a loop, and neither it nor its inputs tell the shape"
        raise UnsupportedError(TITLE, [Violation(name, what, "give its parameters their whole shape")])
    found = _neuron(name, node, scheme) if isinstance(node, nir.NIRNode) else None
    if found is None:
        operation = _counted(read_node(name, node, scheme.dt), shape)
        yield Node(name, sources, output_shape(name, operation, shape), operation, metadata=node.metadata)
        return
    neuron, gain = found
    if gain is not None:
        before, port = Diagonal(gain), unused(f"{name}.in", whole.nodes)
        yield Node(port, sources, output_shape(name, before, shape), before)
        sources = (port,)
    shape = output_shape(name, neuron, shape)
    yield Node(name, sources, shape, replace(neuron, shape=shape), metadata=node.metadata)


def _shape_ahead(name: str, node: Any, sources: tuple[str, ...], scheme: Scheme, whole: Flat) -> Shape | None:
    """The shape that a node of a loop gets, before its sources are read.

    It goes from the Inputs along the edges; in a loop that no Input leads to, nodes must tell it themselves.
    """
    shapes = dict(whole.inputs)
    path = list(shapes)
    for before in path:
        for target in (b for a, b in whole.edges if a == before and b not in shapes):
            passed = whole.nodes.get(target)
            keeps = isinstance(passed, KEEPING) or (isinstance(passed, nir.NIRGraph) and told_kind(passed))
            try:
                operation = Passing(into=True) if keeps else read_node(target, passed, scheme.dt)
                shapes[target] = output_shape(target, _counted(operation, shapes[before]), shapes[before])
                path.append(target)
            except UnsupportedError:
                continue  # its own turn will say why
    found = next((shapes[s] for s in sources if s in shapes), None)
    return found or shape_before(sources, whole) or shape_told(node)


def _counted(operation: Operation, shape: Shape | None) -> Operation:
    """A Flatten with its first axis counted from the front."""
    if isinstance(operation, Flatten) and operation.start < 0 and shape is not None:
        return replace(operation, start=len(shape) + operation.start)
    return operation


def _neuron(name: str, node: nir.NIRNode, scheme: Scheme) -> tuple[FloatNeuron, Any] | None:
    """The population of a node, and the gain of its input; None if it is no neuron.  Raises: UnsupportedError."""
    for kind in specs():
        try:
            neuron = kind.read(name, node, scheme)
            gain = kind.gain(node, scheme) if neuron is not None else None
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            what = f"its parameters or its metadata cannot be understood ({error})"
            raise UnsupportedError(TITLE, [Violation(name, what, "mend the file")]) from error
        if neuron is None:
            continue
        if gain is not None and not np.isfinite(gain).all():
            what = "tau or r give an input gain that is NaN or infinite"
            raise UnsupportedError(TITLE, [Violation(name, what, "mend the file")])
        return neuron, gain
    if kind_told := told_kind(node):
        what = f"its metadata calls it a neuron of kind '{kind_told}', which is unknown here or is no {_type(node)}"
        raise UnsupportedError(TITLE, [Violation(name, what, "read it with the neuro_deploy that wrote it")])
    return None


def _type(node: nir.NIRNode) -> str:
    return type(node).__name__


def _finite(node: Node) -> Iterable[Violation]:
    for key, array in arrays_of(node.operation).items():
        bad = int((~np.isfinite(array)).sum()) if array.dtype.kind == "f" else 0
        if bad or array.dtype.kind not in "fiub":
            what = f"{key} holds {bad} values that are NaN or infinite" if bad else f"{key} has dtype {array.dtype}"
            yield Violation(node.name, what, "mend the training run or the file")


def _readout(stored: ToldReadout | None, nodes: Mapping[str, Node]) -> Readout | None:
    """As the metadata says; by default the last population's spike counts, or an integrator's mean potential.

    Raises: UnsupportedError for metadata that names no population, spikes of one that never fires, or no step.
    """
    outputs = _senders(nodes)
    told = stored or ToldReadout(population=outputs[0] if len(outputs) == 1 else "")
    node = nodes.get(told.population)
    if node is None or not isinstance(node.operation, FloatNeuron):
        if stored is None:
            return None
        known = ", ".join(n.name for n in nodes.values() if isinstance(n.operation, FloatNeuron))
        raise _no_readout(stored, "is no population", f"name one of {known}")
    rule = told.rule or default_rule(fires(node.operation))
    if rule == "spike_count" and not fires(node.operation):
        raise _no_readout(told, "never fires, so its spikes decide nothing", "read it by last_v or mean_v")
    if told.stop and told.stop <= told.start:
        raise _no_readout(told, f"is read in steps {told.start} .. {told.stop - 1}: none", "let stop be above start")
    return Readout(told.population, rule, told.start, told.stop)


def _no_readout(told: ToldReadout, what: str, remedy: str) -> UnsupportedError:
    return UnsupportedError(TITLE, [Violation(f"readout '{told.population}'", what, remedy)])


def _range(stored: ToldInput | None) -> InputRange | None:
    return InputRange(stored.low, stored.high, stored.quantum) if stored else None
