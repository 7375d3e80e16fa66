"""What `inspect FILE.nir` shows: nodes, shapes, parameters, and what other readers could misunderstand."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ..errors import InputError, UnsupportedError
from ..graph import Reading, read_graph
from ..graph.nodes import Convolution, Dense, Sink, Source, arrays_of
from ..graph.told import metadata_of
from ..neurons.base import FloatNeuron


def nir_table(graph: nir.NIRGraph, dt: float | None = None) -> RenderableType:
    """The graph as a table with a verdict: readable here or not, and why."""
    try:
        reading = read_graph(graph, dt)
    except (InputError, UnsupportedError) as error:
        return Group(_raw(graph), f"[bold red]cannot be run as it is:[/bold red] {escape(str(error))}")
    table = Table("node", "operation", "from", "shape", "parameters", title="NIR graph")
    weights = neurons = 0
    for node in reading.nodes:
        operation = node.operation
        label = operation.kind.upper() if isinstance(operation, FloatNeuron) else type(operation).__name__.lower()
        weights += operation.weight.size if isinstance(operation, (Dense, Convolution)) else 0
        neurons += operation.size if isinstance(operation, FloatNeuron) else 0
        ranges = ", ".join(f"{name} {_span(array)}" for name, array in arrays_of(operation).items())
        inputs = ", ".join(node.inputs) if not isinstance(operation, Source) else ""
        shape = "x".join(map(str, node.shape)) if not isinstance(operation, Sink) else ""
        table.add_row(escape(node.name), label, escape(inputs), shape, ranges)
    lines = [f"{neurons:,} neurons, {weights:,} weights, dt = {reading.dt:g} s", *_notes(graph, reading)]
    return Group(table, *(escape(line) for line in lines))


def _raw(graph: nir.NIRGraph) -> Table:
    table = Table("node", "type", "parameters", title="NIR graph, as stored")
    for name, node in sorted(graph.nodes.items()):
        arrays = {k: v for k, v in vars(node).items() if isinstance(v, np.ndarray) and v.dtype.kind in "fiu"}
        ranges = ", ".join(f"{k} {_span(v)}" for k, v in arrays.items())
        table.add_row(escape(name), type(node).__name__, ranges)
    return table


def _span(array: np.ndarray[Any, Any]) -> str:
    if array.size == 0:
        return "empty"
    low, high = float(array.min()), float(array.max())
    text = f"{low:g}" if low == high else f"{low:.4g}..{high:.4g}"
    return text if array.ndim == 0 else f"{'x'.join(map(str, array.shape))} {text}"


def _notes(graph: nir.NIRGraph, reading: Reading) -> list[str]:
    """What a reader without our metadata would not know."""
    notes = []
    told = metadata_of(graph)
    source = "neuro_deploy's metadata" if "dt" in told else "--dt"
    notes.append(f"dt comes from {source}; the file format itself has none")
    soft = [name for name, neuron in reading.neurons.items() if neuron.kind == "cf"]
    if soft:
        notes.append(
            f"reset by subtraction in {', '.join(soft)}: written as standard nodes with a one-step feedback, "
            "exact for forward Euler at this dt only"
        )
    for node in reading.nodes:
        for source in node.late:
            notes.append(f"{source} closes a loop: it reaches {node.name} one step later, as NIR's recurrent edges do")
    if reading.readout:
        notes.append(f"decision: {reading.readout.rule} of {reading.readout.population}, lowest index wins a tie")
    if reading.input_range:
        r = reading.input_range
        grid = f" in steps of {r.quantum:g}" if r.quantum else ""
        notes.append(f"input in [{r.low:g}, {r.high:g}]{grid}")
    return notes
