"""What `inspect FILE.nir` finds out: nodes, counts, hints, what others misread, targets; as plain JSON types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import nir
import numpy as np

from ..errors import InputError, UnsupportedError
from ..graph import Node, Reading, read_graph
from ..graph.algebra import convolution, pooling
from ..graph.digest import digest_of
from ..graph.misread import misreadings
from ..graph.nesting import Shape
from ..graph.nodes import Convolution, Dense, Pool, arrays_of
from ..graph.readers import LEAKING, walk
from ..graph.told import metadata_of, told_of
from ..neurons.base import FloatNeuron
from ..neurons.scheme import numbers_of
from ..program.data import plain
from .nir_families import try_families
from .nir_targets import try_targets
from .summary import ranges

USUAL = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
"""Settings that are shown only where they differ from this."""
TAU_IN_STEPS = 1.0
"""A time constant from here on (in s) is hardly one of a neuron: tau may be in steps, or in ms."""
LONGEST = 1e6
"""So many steps in a time constant are hardly meant."""


def nir_summary(
    graph: nir.NIRGraph, dt: float | None = None, *, targets: bool = True, dt_from: str = ""
) -> dict[str, Any]:
    """A NIR graph as we read it, or as it is stored where we cannot run it ("problem" says why).

    targets: try to compile it for each.   dt_from: who said the time step, where the graph itself does not tell.
    """
    try:
        reading, problem = read_graph(graph, dt), ""
    except (InputError, UnsupportedError) as error:
        reading, problem = None, str(error)
    nodes = _read(reading) if reading else _stored(graph)
    return {
        "kind": "nir",
        "problem": problem,
        **(_meaning(graph, reading, dt_from) if reading else {}),
        "nodes": nodes,
        "totals": {key: sum(n[key] for n in nodes.values()) for key in ("neurons", "parameter_count", "connections")},
        "families": try_families(graph),
        "hints": list(_hints(graph, reading.dt if reading else dt)),
        "misreadings": [{**asdict(m), "who": list(m.who)} for m in misreadings(graph, reading)],
        "targets": try_targets(graph, reading) if reading and targets else [],
    }


def _meaning(graph: nir.NIRGraph, reading: Reading, dt_from: str) -> dict[str, Any]:
    return {
        "dt": reading.dt,
        "dt_from": dt_from or ("the file's metadata" if "dt" in metadata_of(graph) else "--dt"),
        "family": told_of(graph).family,
        "proof": _proof(graph, reading),
        "scheme": asdict(reading.scheme),
        "steps": reading.steps,
        "rounding": dict(reading.rounding),
        "readout": plain(reading.readout) if reading.readout else None,
        "input_range": asdict(reading.input_range) if reading.input_range else None,
    }


def _proof(graph: nir.NIRGraph, reading: Reading) -> dict[str, Any] | None:
    """What the file says of its own proof, and whether it is a proof of this network."""
    told = metadata_of(graph).get("proof")
    if not isinstance(told, Mapping):
        return None
    runs = {key: dict(value) for key, value in told.items() if isinstance(value, Mapping) and "differences" in value}
    plainly = {
        key: {k: v.item() if isinstance(v, np.generic) else v for k, v in run.items()} for key, run in runs.items()
    }
    return {"holds": _text(told.get("digest")) == digest_of(reading), "runs": plainly}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _read(reading: Reading) -> dict[str, dict[str, Any]]:
    shapes = {node.name: node.shape for node in reading.nodes}
    result = {}
    for node in reading.nodes:
        operation, arrays = node.operation, arrays_of(node.operation)
        neuron = isinstance(operation, FloatNeuron)
        result[node.name] = {
            "operation": operation.kind.upper() if isinstance(operation, FloatNeuron) else _label(operation),
            "inputs": list(node.inputs),
            "late": list(node.late),
            "shape": list(node.shape),
            "settings": {} if neuron else _settings(operation),
            "parameters": ranges(arrays),
            "parameter_count": sum(a.size for a in arrays.values()),
            "connections": _connections(node, shapes),
            "neurons": operation.size if isinstance(operation, FloatNeuron) else 0,
        }
    return result


def _label(operation: object) -> str:
    return type(operation).__name__.lower()


def _settings(operation: object) -> dict[str, Any]:
    """Numbers that are no parameters: stride, padding, and so on, but for the usual ones."""
    found = {k: v for k, v in vars(operation).items() if v is not None and not isinstance(v, np.ndarray)}
    usual = {k for k, v in found.items() if k in USUAL and set(np.atleast_1d(v).tolist()) == {USUAL[k]}}
    return {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in found.items()
        if k not in usual and k not in ("shape", "into")
    }


def _connections(node: Node, shapes: dict[str, Shape]) -> int:
    """Pairs of elements that a node with weights connects; a kernel's beyond the border do not count."""
    operation = node.operation
    if isinstance(operation, Dense):
        return int(operation.weight.size)
    if isinstance(operation, Convolution):
        return convolution(operation, shapes[node.inputs[0]]).connections
    if isinstance(operation, Pool):
        return pooling(operation, shapes[node.inputs[0]]).connections
    return 0


def _stored(graph: nir.NIRGraph) -> dict[str, dict[str, Any]]:
    """The nodes of the file, not understood."""
    result = {}
    for name, node in sorted(graph.nodes.items()):
        held = vars(node).items()
        arrays = {k: v for k, v in held if isinstance(v, np.ndarray) and v.dtype.kind in "fiu" and k not in USUAL}
        told = next(iter((getattr(node, "output_type", None) or {}).values()), None)
        result[str(name)] = {
            "operation": type(node).__name__,
            "inputs": [str(a) for a, b in graph.edges if str(b) == str(name)],
            "late": [],
            "shape": None if told is None else [int(n) for n in np.atleast_1d(told)],
            "settings": {},
            "parameters": ranges(arrays),
            "parameter_count": sum(a.size for a in arrays.values()),
            "connections": 0,
            "neurons": 0,
        }
    return result


def _hints(graph: nir.NIRGraph, dt: float | None) -> Iterator[str]:
    """Where dt and the time constants hardly belong together."""
    for name, node in walk(graph):
        held = numbers_of(node).items() if isinstance(node, LEAKING) else ()
        for key, value in held:
            tau = np.asarray(value, np.float64)
            if not key.startswith("tau") or tau.size == 0:
                continue
            low, high = float(np.min(tau)), float(np.max(tau))
            if dt is not None and low < dt * (1 - 1e-6):
                yield f"{name}: {key} = {low:.4g} s is below dt = {dt:g} s, so its leak is below 0: is dt in ms?"
            elif dt is not None and high > dt * LONGEST:
                yield f"{name}: {key} = {high:.4g} s is {high / dt:.3g} steps of {dt:g} s: is dt, or {key}, in ms?"
            elif high >= TAU_IN_STEPS and (dt is None or dt < TAU_IN_STEPS):
                yield f"{name}: {key} = {high:.4g} s is long for a neuron: is it in ms, or in steps (dt = 1)?"
