"""A graph made flat: nested graphs inlined, several Inputs made one, missing input shapes inferred."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from ..errors import UnsupportedError, Violation
from ..neurons.scheme import told_kind

TITLE = "cannot read the graph"
DEEPEST = 32
"""Graphs nested deeper than that are refused."""
Shape = tuple[int, ...]
Edge = tuple[str, str]


@dataclass(frozen=True)
class Port:
    """The Input or Output of a graph that was inlined: sends what it gets.

    shape: None if the file does not say.   into: True for an Input.
    """

    shape: Shape | None
    into: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One Input of several: the elements from `start` of the joined input, in this shape."""

    start: int
    shape: Shape
    metadata: Mapping[str, Any] = field(default_factory=dict)


KEEPING = (Port, nir.Scale, nir.Delay, nir.Threshold, nir.LIF, nir.IF, nir.LI, nir.I, nir.CubaLIF, nir.CubaLI)
"""Nodes whose output has their input's shape; a single parameter of theirs may serve many elements."""


@dataclass(frozen=True)
class Flat:
    """nodes: NIR nodes, Ports and Parts by name; a nested node `b` of graph `a` is `a.b`.  inputs: name, shape.

    graphs: the name and the metadata of each graph that was inlined, outer ones first.   homes: of each node and graph,
    the graph that it stands in ("": the outermost).
    """

    nodes: Mapping[str, Any]
    edges: tuple[Edge, ...]
    inputs: tuple[tuple[str, Shape], ...]
    graphs: Mapping[str, Mapping[str, Any]]
    homes: Mapping[str, str]


def flat(graph: nir.NIRGraph) -> Flat:
    """The graph without nesting, and with one Input of all Inputs' elements, in alphabetical order of their names.

    A nested graph that our metadata calls a neuron stays what it is.
    Raises: UnsupportedError with all nested graphs whose ports are ambiguous, or an Input whose shape nothing tells.
    """
    graphs: dict[str, Mapping[str, Any]] = {}
    homes: dict[str, str] = {}
    nodes, edges, violations = _inlined(graph, "", graphs, homes)
    names = sorted(name for name, node in nodes.items() if type(node) is nir.Input)
    shapes: dict[str, Shape] = {}
    for name in names:
        shape = shape_told(nodes[name]) or _inferred(name, nodes, edges)
        if shape is None:
            violations.append(Violation(name, "has no shape, and no node behind it tells", "give the Input its shape"))
        else:
            shapes[name] = shape
    if not names:
        violations.append(Violation("graph", "has no Input node", "put one where the network's input enters"))
    violations += _fed(names, edges)
    if violations:
        raise UnsupportedError(TITLE, violations)
    inputs = tuple(shapes.items())
    for name, shape in inputs:
        nodes[name] = nir.Input({"input": np.array(shape)}, metadata=nodes[name].metadata)
    if len(inputs) > 1:
        nodes, edges = _joined(nodes, edges, inputs)
    return Flat(nodes, tuple(edges), inputs, graphs, homes)


def _fed(inputs: Iterable[str], edges: Iterable[Edge]) -> Iterable[Violation]:
    """Inputs of the network that get something from its nodes."""
    senders: dict[str, list[str]] = {name: [] for name in inputs}
    for source, target in edges:
        if target in senders:
            senders[target].append(f"'{source}'")
    for name, found in senders.items():
        if found:
            what = f"an Input gets something from {', '.join(found)}, but sends what comes from outside"
            yield Violation(name, what, "join behind it: lead both to the node that it feeds")


def _inlined(
    graph: nir.NIRGraph, home: str, graphs: dict[str, Mapping[str, Any]], homes: dict[str, str], depth: int = 0
) -> tuple[dict[str, Any], list[Edge], list[Violation]]:
    """Nodes, edges, violations; names are added to `homes`, the graphs that were inlined to `graphs`."""
    nodes: dict[str, Any] = {}
    edges: list[Edge] = []
    violations: list[Violation] = []
    entry: dict[str, str] = {}
    leave: dict[str, str] = {}
    prefix = f"{home}." if home else ""
    if depth > DEEPEST:
        return nodes, edges, [Violation(home[:60], f"is nested deeper than {DEEPEST} graphs", "flatten it")]
    for name, node in graph.nodes.items():
        whole = prefix + str(name)
        if whole in homes:
            violations.append(Violation(whole, "two nodes have this name, once inlined", "rename one"))
        homes[whole] = home
        if not isinstance(node, nir.NIRGraph) or told_kind(node) is not None:
            nodes[whole] = _inner(node) if depth else _with_scalars(node)
            continue
        graphs[whole] = node.metadata
        inner, ways, found = _inlined(node, whole, graphs, homes, depth + 1)
        nodes |= inner
        edges += ways
        violations += found
        for kind, table in ((nir.Input, entry), (nir.Output, leave)):
            ports = [f"{whole}.{n}" for n, inside in node.nodes.items() if type(inside) is kind]
            table[str(name)] = ports[0] if len(ports) == 1 else ""
    for source, target in ((str(a), str(b)) for a, b in graph.edges):
        for name, table, what in ((source, leave, "Output"), (target, entry, "Input")):
            if table.get(name) == "":
                text = f"the nested graph {prefix}{name} has not one {what}, and NIR's edge cannot say which it means"
                remedy = f"give it one {what}, or inline it"
                violations.append(Violation(f"{prefix}{source} -> {prefix}{target}", text, remedy))
        edges.append((leave.get(source) or prefix + source, entry.get(target) or prefix + target))
    return nodes, edges, violations


def _inner(node: Any) -> Any:
    """A node of a graph that is inlined: its Input and its Output pass on."""
    if type(node) in (nir.Input, nir.Output):
        return Port(shape_told(node), type(node) is nir.Input, node.metadata)
    return _with_scalars(node)


def _with_scalars(node: Any) -> Any:
    """The node with numbers for its parameters of one element and several axes: each serves all elements."""
    found = vars(node).items() if isinstance(node, KEEPING) else ()
    single = {key: value for key, value in found if isinstance(value, np.ndarray) and value.ndim > 1 == value.size}
    if single:
        node = copy.copy(node)
        for key, value in single.items():
            setattr(node, key, value.reshape(()))
    return node


def _joined(nodes: dict[str, Any], edges: list[Edge], inputs: Iterable[tuple[str, Shape]]) -> tuple[Any, list[Edge]]:
    """One Input, whose name is those of all joined by + (longer where a node has that), with a Part for each."""
    joined, start = unused(joined_name(name for name, _ in inputs), nodes), 0
    parts: dict[str, Any] = {}
    for name, shape in inputs:
        parts[name] = Part(start, shape, nodes[name].metadata)
        start += int(np.prod(shape, dtype=np.int64))
    whole = nir.Input({"input": np.array([start])})
    return {**nodes, **parts, joined: whole}, [*((joined, name) for name in parts), *edges]


def joined_name(names: Iterable[str]) -> str:
    """The name of the joined input of several: theirs in alphabetical order, joined by +."""
    return "+".join(sorted(names))


def unused(name: str, taken: Iterable[str]) -> str:
    """The name, or one made longer by underscores that is not taken."""
    names = set(taken)
    while name in names:
        name += "_"
    return name


def shape_told(node: Any) -> Shape | None:
    """The input shape that a node itself tells, or None; scalar parameters tell nothing."""
    if isinstance(node, (Port, Part)):
        return node.shape
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        if node.input_shape is None or np.ndim(node.weight) < 2:
            return None
        channels = int(np.shape(node.weight)[1]) * int(node.groups)
        return (channels, *(int(n) for n in np.atleast_1d(node.input_shape)))
    if isinstance(node, nir.NIRGraph):
        return next((shape_told(n) for n in node.nodes.values() if type(n) is nir.Input), None)
    told = next(iter((node.input_type or {}).values()), None)
    return None if told is None or np.size(told) == 0 else tuple(int(n) for n in np.atleast_1d(told))


def _inferred(name: str, nodes: Mapping[str, Any], edges: Iterable[Edge]) -> Shape | None:
    """The shape of an Input from the first node behind it that tells, through nodes that keep shapes."""
    behind: dict[str, list[str]] = {}
    for source, target in edges:
        behind.setdefault(source, []).append(target)
    path, seen = [name], {name}
    while path:
        for target in behind.get(path.pop(), []):
            if target in seen or target not in nodes:
                continue
            seen.add(target)
            shape, keeps = shape_told(nodes[target]), isinstance(nodes[target], KEEPING)
            if shape and not (keeps and set(shape) == {1}):
                return shape
            if keeps:
                path.append(target)
    return None


def shape_before(sources: Iterable[str], whole: Flat) -> Shape | None:
    """The shape that nodes send, from the nearest before them that tells, through nodes that keep shapes; or None.

    A Scale with an axis of 1 tells nothing: it may be spread; a single parameter tells its shape where nothing else
    does.
    """
    path, seen, least = list(sources), set[str](), None
    for name in path:
        node = whole.nodes[name]
        if name in seen or not isinstance(node, (Part, nir.Input, *KEEPING)):
            continue
        seen.add(name)
        shape = shape_told(node)
        if shape and isinstance(node, KEEPING[1:]) and set(shape) == {1}:
            least = least or shape
        elif shape and not (isinstance(node, nir.Scale) and 1 in shape):
            return shape
        path += [source for source, target in whole.edges if target == name]
    return least
