"""NIR files, read without trusting them.  (Written: storing.py.)

A file is HDF5: `version` (text), and the group `node`, which is a graph.  A node is a group that holds `type`, the
parameters of that type and, in a group `metadata`, anything else; a graph's parameters are the group `nodes` and
`edges`, pairs of names.  Source: nir 1.0.8, serialization.py, and the wheels of 0.0.1 to 1.0.7.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import nir
import numpy as np

from ..errors import FormatError, Violation
from ..files import open_h5

KINDS: dict[str, Any] = {
    name: kind
    for name, kind in vars(nir).items()
    if isinstance(kind, type) and issubclass(kind, nir.NIRNode) and kind is not nir.NIRNode
}
"""The node types of stock `nir`, by name."""
NEURONS = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)
OPTIONAL = ("input_shape", "input_type", "w_in", "v_reset")
"""Parameters that versions before 0.2, 1.0 and 1.0.6 do not write: shapes are inferred, w_in is 1, v_reset is 0.

The pages of nir before 1.0.6 say that LIF, IF and CubaLIF reset by subtraction; what the writer of such a file meant,
only its user knows (`--reset`).
"""
LEAST: dict[str, int] = {
    **dict.fromkeys(("shape", "input_shape", "input_type", "kernel_size", "stride", "dilation", "groups"), 1),
    "padding": 0,
    "start_dim": -32,
    "end_dim": -32,
}
"""Parameters that are whole numbers, and their smallest value (an array has at most 32 axes in old numpy)."""
MOST = 2**31 - 1
"""The largest of them, and the most elements of a shape."""
DEEPEST = 64
"""Graphs within graphs: more is taken for damage."""
VERSION = 1
"""The newest major version of nir whose layout is known."""


def read_nir(path: str | os.PathLike[str]) -> nir.NIRGraph:
    """Read a NIR file, of any version since 0.1, without stock `nir`'s type check (`read_graph` makes its own).

    Raises: FileError; FormatError with all nodes that cannot be read, each with its remedy.
    """
    with open_h5(path, "a NIR file") as handle:
        if isinstance(handle.get("nodes"), h5py.Group) and "node" not in handle:
            raise FormatError(f"{path}: a file of nir 0.0.x, whose nodes have no names; write it with nir 0.1 or later")
        linked = handle.get("node", getlink=True)
        if not isinstance(linked, h5py.HardLink) or not isinstance(handle["node"], h5py.Group):
            raise FormatError(f"{path}: not a NIR file (it has no group 'node' of its own)")
        reader = _Reader()
        try:
            reader.check_version(handle)
            graph = reader.node(handle["node"], "", 0)
        except MemoryError as error:
            raise FormatError(f"{path}: does not fit into memory ({error})") from error
    if reader.violations:
        raise FormatError("\n".join([f"{path}: cannot be read as NIR", *(f"  {v}" for v in reader.violations)]))
    if not isinstance(graph, nir.NIRGraph):
        raise FormatError(
            f"{path}: holds a single {type(graph).__name__} node, not a NIRGraph; put it between an Input and an Output"
        )
    return graph


def parameters(kind: Any) -> list[str]:
    """What a file holds of a node type, without `type` and `metadata`."""
    if kind in (nir.Input, nir.Output):
        return ["shape"]
    return [field.name for field in dataclasses.fields(kind) if field.init and field.name != "metadata"]


class _Reader:
    """Makes nodes of HDF5 groups, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.seen: dict[int, str] = {}

    def refuse(self, where: str, what: str, remedy: str) -> None:
        """Note a problem of a node ("" is the whole graph)."""
        self.violations.append(Violation(where or "the graph", what, remedy))

    def check_version(self, handle: h5py.File) -> None:
        """Versions before 0.2 say none."""
        told = _text(handle["version"]) if isinstance(handle.get("version"), h5py.Dataset) else None
        major = re.match(r"\d+", told or "")
        if major and int(major.group()) > VERSION:
            remedy = f"write it with nir {VERSION}.x, or take a newer neuro_deploy"
            self.refuse("version", f"the file is of nir {told}, whose layout is not known here", remedy)

    def node(self, group: h5py.Group, where: str, depth: int) -> nir.NIRNode | None:
        """The node of a group, or None after a problem."""
        before = len(self.violations)
        entries = dict(self._entries(group, where))
        if len(self.violations) > before:
            return None
        told = _text(entries.pop("type", None))
        kind = KINDS.get(told or "")
        if told is None or kind is None:
            what = "it has no type" if told is None else f"unknown node type '{told}'"
            near = difflib.get_close_matches(told or "", KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"write it as one of {', '.join(sorted(KINDS))}"
            self.refuse(where, what, hint)
            return None
        told_about = self._metadata(entries.pop("metadata", {}), where)
        self._names(told, kind, entries, where)
        if kind is nir.NIRGraph:
            return self._graph(entries, told_about, where, depth)
        values = {key: self._value(entry, kind, key, where) for key, entry in entries.items()}
        if kind in NEURONS and len(self.violations) == before:
            values = self._one_shape(values, where)
        if len(self.violations) > before:
            return None
        if kind in (nir.Conv1d, nir.Conv2d, nir.Flatten):
            values = {**dict.fromkeys(["input_type" if kind is nir.Flatten else "input_shape"]), **values}
        try:
            made: nir.NIRNode = kind.from_dict({"type": told, **values, "metadata": told_about})
        except (AssertionError, ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
            self.refuse(where, f"{told} cannot be made of its parameters ({error})", "mend its shapes")
            return None
        return made

    def _entries(self, group: h5py.Group, where: str) -> Iterator[tuple[str, Any]]:
        """What a group holds itself.  Links to elsewhere are refused: they are no content of this file."""
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                self.refuse(joined(where, key), "is a link to elsewhere", "store the content itself")
                continue
            entry = group[key]
            address = int(h5py.h5o.get_info(entry.id).addr)
            if address in self.seen:
                what = f"is the same object as '{self.seen[address]}'"
                self.refuse(joined(where, key), what, "store the content itself, once for each")
                continue
            self.seen[address] = joined(where, key)
            yield key, entry

    def _names(self, told: str, kind: Any, entries: Mapping[str, Any], where: str) -> None:
        """Refuse parameters that are missing, or that the type does not have."""
        known = parameters(kind)
        missing = [key for key in known if key not in entries and key not in OPTIONAL]
        for key in entries:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                remedy = f"did you mean '{near[0]}'?" if near else "remove it, or move it into 'metadata'"
                self.refuse(where, f"{told} has no parameter '{key}' in NIR", remedy)
                missing = [name for name in missing if name not in near]
        for key in missing:
            self.refuse(where, f"{told} has no '{key}'", "add it, or export the network again")

    def _graph(
        self, entries: Mapping[str, Any], metadata: dict[str, Any], where: str, depth: int
    ) -> nir.NIRGraph | None:
        if "nodes" not in entries or "edges" not in entries:
            return None
        if depth == DEEPEST:
            self.refuse(where, f"graphs are nested more than {DEEPEST} deep", "flatten them")
            return None
        if not isinstance(entries["nodes"], h5py.Group):
            self.refuse(where, "'nodes' is not a group of nodes", "export the network again")
            return None
        nodes: dict[str, nir.NIRNode] = {}
        for name, entry in self._entries(entries["nodes"], where):
            if not isinstance(entry, h5py.Group):
                self.refuse(joined(where, name), "is not a node but a single value", "remove it from 'nodes'")
                continue
            made = self.node(entry, joined(where, name), depth + 1)
            if made is not None:
                nodes[name] = made
        return nir.NIRGraph(nodes, self._edges(entries["edges"], where), metadata=metadata, type_check=False)

    def _edges(self, entry: Any, where: str) -> list[tuple[str, str]]:
        """Pairs of names; whether such nodes exist is for `read_graph` to say."""
        values = np.asarray(entry[()]) if isinstance(entry, h5py.Dataset) and entry.shape is not None else None
        if values is not None and values.size == 0:
            return []
        if values is None or values.ndim != 2 or values.shape[1] != 2:
            what = "a group" if isinstance(entry, h5py.Group) else f"an array of shape {getattr(values, 'shape', None)}"
            self.refuse(where, f"its edges are {what}, not pairs", "write one (source, target) for each")
            return []
        if not all(isinstance(end, (bytes, str)) for end in values.flat):
            self.refuse(where, f"its edges are of dtype {values.dtype}, not names", "name the nodes as 'nodes' does")
            return []
        try:
            source, target = ([_decoded(end) for end in column] for column in values.T)
        except UnicodeDecodeError as error:
            self.refuse(where, f"its edges hold a name that is not UTF-8 ({error})", "mend the names")
            return []
        return list(zip(source, target, strict=True))

    def _value(self, entry: Any, kind: Any, key: str, where: str) -> Any:
        """The numbers of a parameter, or the text of a padding; None after a problem."""
        if not isinstance(entry, h5py.Dataset):
            self.refuse(where, f"{key} is a group, not numbers", "export the network again")
            return None
        if key == "padding" and _text(entry) in ("same", "valid"):
            return _text(entry)
        if entry.shape is None or entry.dtype.kind not in "fiub":
            held = "nothing" if entry.shape is None else f"dtype {entry.dtype}"
            if _text(entry) is not None:
                held = f"the text '{_text(entry)}'"
            self.refuse(where, f"{key} holds {held}, not numbers", "export it as a float or integer array")
            return None
        value = entry[()]
        if entry.dtype.kind == "f" and (np.abs(value[np.isfinite(value)]) > np.finfo(np.float32).max).any():
            self.refuse(where, f"{key} holds numbers beyond float32's range", "mend the training run or the file")
            return None
        few, many = _counts(kind, key)
        if key in LEAST and not (_whole(value, LEAST[key]) and np.ndim(value) < 2 and few <= np.size(value) <= many):
            count = f"{few}" if few == many else f"{few} to {many}"
            what = f"{key} is {np.asarray(value).tolist()}, not {count} whole numbers from {LEAST[key]} to {MOST}"
            self.refuse(where, what, "mend the node")
        return value

    def _one_shape(self, values: dict[str, Any], where: str) -> dict[str, Any]:
        """The parameters of a neuron, numbers beside arrays spread over them."""
        shapes = {key: np.shape(value) for key, value in values.items()}
        arrays = sorted({shape for shape in shapes.values() if shape})
        if len(arrays) > 1:
            told = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
            self.refuse(where, f"its parameters have different shapes ({told})", "one value per neuron, or one for all")
        if len(arrays) != 1 or () not in shapes.values():
            return values
        return {key: np.full(arrays[0], value) if not np.shape(value) else value for key, value in values.items()}

    def _metadata(self, entry: Any, where: str, depth: int = 0) -> dict[str, Any]:
        """Any text, number, array or group of them: it is somebody else's."""
        if isinstance(entry, h5py.Dataset) or depth == DEEPEST:
            self.refuse(where, "metadata is not a group, or nested for ever", "remove it")
            return {}
        found: dict[str, Any] = {}
        for key, value in self._entries(entry, f"{where}.metadata") if isinstance(entry, h5py.Group) else ():
            if isinstance(value, h5py.Group):
                found[key] = self._metadata(value, where, depth + 1)
            elif value.shape is None:
                self.refuse(where, f"metadata '{key}' holds nothing", "remove it")
            else:
                text = _text(value)
                found[key] = value[()] if text is None else text
        return found


def _text(entry: Any) -> str | None:
    """The text of a dataset, or None if it holds another thing."""
    if not isinstance(entry, h5py.Dataset) or entry.shape != () or h5py.check_string_dtype(entry.dtype) is None:
        return None
    value = entry[()]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _decoded(name: bytes | str) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else name


def joined(where: str, name: str) -> str:
    """The name of a node or entry within another."""
    return f"{where}.{name}" if where else name


def _whole(value: Any, least: int) -> bool:
    """True for whole numbers in their range; they and what they span stay below MOST."""
    numbers = np.asarray(value, np.float64)
    sound = np.isfinite(numbers) & (numbers == np.rint(numbers)) & (numbers >= least)
    return bool(sound.all() and (np.abs(numbers) <= MOST).all() and math.prod(numbers.flat) <= MOST)


def _counts(kind: Any, key: str) -> tuple[int, int]:
    """How many numbers a parameter of whole numbers holds, at least and at most."""
    if key in ("groups", "start_dim", "end_dim") or kind is nir.Conv1d:
        return 1, 1
    if key in ("shape", "input_type"):
        return 0, 32
    return (2, 2) if key == "input_shape" else (1, 2)
