"""A foreign graph in explicit form: whole shapes, no scalar parameters, no missing entries, and our metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import nir
import numpy as np

from ..errors import UnsupportedError, Violation
from ..neurons.scheme import numbers_of
from .nesting import KEEPING
from .reading import Reading, read_graph
from .stock import REMEDY, TITLE, check_stock, usual_ports
from .told import metadata_of

BY_ELEMENT = tuple(kind for kind in KEEPING if issubclass(kind, nir.NIRNode))
"""Nodes whose parameters are one number an element."""

Shape = tuple[int, ...]


class Change(NamedTuple):
    """What was made explicit."""

    node: str
    what: str


def normalize(graph: nir.NIRGraph, *, stock: bool = False) -> tuple[nir.NIRGraph, list[Change]]:
    """The same network in explicit form, and what that changed in the file; not one spike changes.

    Parameters get the whole shape of their population, v_reset is there, Input, Output, Flatten and convolutions know
    their shapes.  graph: one that tells its dt (see `assume`, `conventions.read_as`); nesting stays.
    stock: also rewrite what stock nir's type check refuses although it is right: a grouped convolution gets the zeros
        of the other groups, a kernel that is not square a rim of zeros, ports of nested graphs their usual names; the
        result passes that check, through a file.
    Raises: InputError, UnsupportedError as `read_graph`; with stock, UnsupportedError for a kernel that no symmetric
    rim makes square, and for what stock nir refuses still.
    """
    made, changes = _whole(graph, "", read_graph(graph), stock)
    if stock:
        made, renamed = usual_ports(made)
        changes += [Change(name, f"renamed to {usual}") for name, usual in renamed]
        check_stock(made)
    return made, changes


def said(before: nir.NIRGraph, after: nir.NIRGraph) -> list[Change]:
    """What `assume` and `conventions.read_as` changed in a graph: what its file says, and parameters of its nodes."""
    old, new = metadata_of(before), metadata_of(after)
    changes = [Change("the file", f"says {key} = {new[key]}") for key in new if key not in old]
    return changes + [Change(name, what) for name, what in _parameters_changed(before, after, "")]


def _parameters_changed(before: nir.NIRGraph, after: nir.NIRGraph, prefix: str) -> Iterator[tuple[str, str]]:
    for name, node in after.nodes.items():
        old = before.nodes[name]
        if isinstance(node, nir.NIRGraph):
            yield from _parameters_changed(old, node, f"{prefix}{name}.")
        elif isinstance(node, BY_ELEMENT):
            held = numbers_of(old)
            what = [f"a {type(old).__name__} becomes a {type(node).__name__}"] if type(old) is not type(node) else []
            for key, value in numbers_of(node).items():
                was = held.get(key)
                if was is None or not np.array_equal(np.asarray(was, np.float32), np.asarray(value, np.float32)):
                    what.append(f"{key} {'none' if was is None else _span(was)} -> {_span(value)}")
            if what:
                yield f"{prefix}{name}", ", ".join(what)


def _span(values: Any) -> str:
    low, high = (float(f(values)) for f in (np.min, np.max))
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"


def _whole(graph: nir.NIRGraph, prefix: str, reading: Reading, stock: bool) -> tuple[nir.NIRGraph, list[Change]]:
    shapes = {node.name: node.shape for node in reading.nodes} | dict(reading.inputs)
    given = {node.name: shapes[node.inputs[0]] for node in reading.nodes if node.inputs}
    nodes: dict[str, Any] = {}
    changes: list[Change] = []
    violations: list[Violation] = []
    for name, node in graph.nodes.items():
        where = f"{prefix}{name}"
        try:
            if not isinstance(node, nir.NIRGraph):
                nodes[name], what = _explicit(node, given.get(where, shapes[where]), shapes[where], stock)
                changes += [Change(where, text) for text in what]
            elif "kind" in metadata_of(node):
                nodes[name] = node
            else:
                nodes[name], inner = _whole(node, f"{where}.", reading, stock)
                changes += inner
        except UnsupportedError as error:
            violations += [Violation(v.node or where, v.what, v.remedy) for v in error.violations]
    if violations:
        raise UnsupportedError(TITLE, violations)
    edges = [(str(a), str(b)) for a, b in graph.edges]
    return nir.NIRGraph(nodes, edges, metadata=dict(graph.metadata), type_check=False), changes


def _explicit(node: Any, given: Shape, shape: Shape, stock: bool) -> tuple[Any, list[str]]:
    """A node made explicit, and what was done.  given: the shape of its input."""
    if isinstance(node, BY_ELEMENT):
        return _broadcast(node, shape)
    if isinstance(node, nir.Input):
        return _told(node, nir.Input({"input": np.array(shape)}, metadata=dict(node.metadata)), "input_type", shape)
    if isinstance(node, nir.Output):
        return _told(node, nir.Output({"output": np.array(shape)}, metadata=dict(node.metadata)), "output_type", shape)
    if isinstance(node, nir.Flatten):
        made = nir.Flatten({"input": np.array(given)}, int(node.start_dim), int(node.end_dim))
        made.metadata = dict(node.metadata)
        return _told(node, made, "input_type", given)
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        return _convolution(node, given, stock)
    return node, []


def _told(before: Any, after: Any, field: str, shape: Shape) -> tuple[Any, list[str]]:
    known = next(iter((getattr(before, field) or {}).values()), None)
    same = known is not None and tuple(np.atleast_1d(known).tolist()) == shape
    return (before, []) if same else (after, [f"shape {shape} filled in"])


def _broadcast(node: Any, shape: Shape) -> tuple[Any, list[str]]:
    values: dict[str, Any] = {}
    small: list[str] = []
    for name, value in numbers_of(node).items():
        number = np.size(value) == 1
        values[name] = np.broadcast_to(np.reshape(value, ()) if number else np.asarray(value), shape).copy()
        if np.shape(value) != shape:
            small.append(f"{name} {np.shape(value)} broadcast to {shape}")
    if getattr(node, "v_reset", 0) is None:
        values["v_reset"] = np.zeros(shape, np.float32)
        small.append("v_reset = 0 filled in")
    if not small:
        return node, []
    made = type(node)(**values)
    made.metadata = dict(node.metadata)
    return made, small


def _convolution(node: Any, given: Shape, stock: bool) -> tuple[Any, list[str]]:
    image = given[1:]
    size: Any = int(image[0]) if isinstance(node, nir.Conv1d) else tuple(int(n) for n in image)
    changes = []
    known = None if node.input_shape is None else tuple(np.atleast_1d(node.input_shape).tolist())
    if known != tuple(image):
        changes.append(f"input_shape {tuple(image)} filled in")
    values = {name: getattr(node, name) for name in ("weight", "stride", "padding", "dilation", "groups", "bias")}
    if stock and int(node.groups) > 1:
        values |= {"weight": _ungrouped(np.asarray(node.weight), int(node.groups)), "groups": 1}
        changes.append(f"{int(node.groups)} groups written as one, with zeros")
    if stock and isinstance(node, nir.Conv2d) and len(set(np.shape(node.weight)[2:])) > 1:
        values |= _square(values)
        changes.append(f"kernel {np.shape(node.weight)[2:]} made square, with a rim of zeros")
    if not changes:
        return node, []
    made = type(node)(input_shape=size, **_fitting(values))
    made.metadata = dict(node.metadata)
    return made, changes


def _fitting(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of a convolution as nir's own constructors take them: ints and tuples."""
    plain = {}
    for name, value in values.items():
        if name in ("stride", "padding", "dilation") and not isinstance(value, str):
            numbers = np.atleast_1d(np.asarray(value)).tolist()
            value = tuple(numbers) if len(numbers) > 1 else int(numbers[0])
        plain[name] = int(value) if name == "groups" else value
    return plain


def _ungrouped(weight: Any, groups: int) -> Any:
    """(C_out, C_in / groups, *kernel) -> (C_out, C_in, *kernel)."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    whole = np.zeros((weight.shape[0], inputs * groups, *weight.shape[2:]), weight.dtype)
    for g in range(groups):
        rows = slice(g * outputs, (g + 1) * outputs)
        whole[rows, g * inputs : (g + 1) * inputs] = weight[rows]
    return whole


def _square(values: Mapping[str, Any]) -> dict[str, Any]:
    """Weight and padding with a symmetric rim of zeros around the kernel's shorter side."""
    weight, padding = np.asarray(values["weight"]), values["padding"]
    dilation = np.broadcast_to(np.asarray(values["dilation"]), (2,)).tolist()
    side = max(weight.shape[2:])
    missing = [side - n for n in weight.shape[2:]]
    if any(n % 2 for n in missing):
        what = f"its kernel {weight.shape[2:]} cannot be made square by a symmetric rim, and stock nir takes no other"
        raise UnsupportedError("", [Violation("", what, REMEDY)])
    rim = [n // 2 for n in missing]
    whole = np.pad(weight, [(0, 0), (0, 0), *((n, n) for n in rim)])
    if isinstance(padding, str) and padding == "same":
        return {"weight": whole}
    before = (0, 0) if isinstance(padding, str) else np.broadcast_to(np.asarray(padding), (2,)).tolist()
    return {
        "weight": whole,
        "padding": tuple(int(p) + n * int(d) for p, n, d in zip(before, rim, dilation, strict=True)),
    }
