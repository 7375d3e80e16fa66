"""What a graph knows of a program that was compiled from it, and whether another program has the same integers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Composed, Reading
from ...graph.nodes import Convolution, Dense, Diagonal, Slice
from ...neurons.base import FloatNeuron
from ...neurons.scheme import metadata_of
from ...program import ChipProgram, Population, Synapse
from ...wiring import Conv, Wiring
from .forms import SCALE
from .names import Origin, constants_of, plain
from .plan import Layer, Plan

WEIGHTED = (Dense, Convolution, Diagonal)
"""Operations with weights of their own."""


def origins_in(reading: Reading, network: Composed, fixed: Collection[str]) -> dict[str, Origin]:
    """The origin of each synapse of a program that was compiled from a graph, but for those that carry constants.

    fixed: nodes whose weights are not learned.
    The gain that a neuron's node puts before it (see `read_graph`) is no weight.  Of a graph that came from training in
    a chip's arithmetic the names tell all.
    """
    if "chip" in metadata_of(reading):
        return {}
    nodes = {node.name: node for node in reading.nodes}
    gains = {n.inputs[0] for n in reading.nodes if isinstance(n.operation, FloatNeuron) and len(n.inputs) == 1}
    found = {}
    for s in network.synapses:
        if any(name not in nodes for name in s.path):
            continue
        passed = [nodes[name] for name in s.path]
        weighted = [
            node.name
            for node in passed
            if isinstance(node.operation, WEIGHTED)
            and node.name not in fixed
            and not (node.name in gains and node.name.startswith(f"{s.target}.in"))
        ]
        parts = dict.fromkeys(node.name for node in passed if isinstance(node.operation, Slice))
        found[s.name] = Origin("_".join(map(plain, weighted)), tuple(parts))
    return found


def first_difference(first: ChipProgram, plan: Plan, program: ChipProgram) -> str:
    """Where a program, with the plan's names, has other integers than the first one; "" if nowhere.

    Sources of constants may have other thresholds, and weights of 0 may be missing.
    """
    constants = constants_of(first)
    known = {p.name: p for p in program.populations}
    for p in first.populations:
        name = plan.sources[p.name]
        if name not in known or not (p.name in constants or _same_neurons(p, known[name])):
            return f"population {p.name}"
    wires = {s.name: s for s in program.synapses}
    for s in first.synapses:
        other = wires.get(plan.names[s.name])
        if other is None or not _same_synapse(s, other, plan.sources):
            return f"synapse {s.name}"
    if (len(known), len(wires)) != (len(first.populations), len(first.synapses)):
        return "another number of populations or synapses"
    same = all(getattr(first, key) == getattr(program, key) for key in ("proven", "max_steps", "dt", "depth"))
    return "" if same else "steps or proof"


def connections(layer: Layer, like: Wiring) -> NDArray[np.bool_]:
    """Where a synapse has connections, in its wiring's layout: where another wiring of that map has no weight of 0.

    Where that has no other weights at all, all that its nodes can hold.
    """
    wiring = layer.synapse.wiring
    if isinstance(wiring, Conv):
        found = like.weight != 0
        return found if found.any() else np.ones_like(found)
    (targets, sources, _), (rows, columns, weights) = wiring.triples(), like.triples()
    if weights.any():
        known = (rows * like.source_size + columns)[weights != 0]
        return np.isin(targets * like.source_size + sources, known).reshape(wiring.weight.shape)
    held = np.zeros(len(targets), bool)
    for piece in layer.pieces:
        place = sources - piece.start
        inside = (place >= 0) & (place < np.prod(piece.given, dtype=np.int64))
        held |= inside & (place == targets) if piece.form == SCALE else inside
    return held.reshape(wiring.weight.shape)


def _same_neurons(one: Population, other: Population) -> bool:
    if (one.kind, one.shape, one.latency) != (other.kind, other.shape, other.latency):
        return False
    if one.params.keys() != other.params.keys():
        return False
    pairs = [np.broadcast_arrays(values, other.params[key]) for key, values in one.params.items()]
    return all(np.array_equal(a, b) for a, b in pairs)


def _same_synapse(one: Synapse, other: Synapse, sources: Mapping[str, str]) -> bool:
    ends = (sources[one.source], sources[one.target], one.exponent, one.delay)
    if ends != (other.source, other.target, other.exponent, other.delay):
        return False
    pairs = zip(_entries(one.wiring), _entries(other.wiring), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def _entries(wiring: Wiring) -> list[NDArray[Any]]:
    targets, sources, weights = wiring.triples()
    return [values[weights != 0] for values in (targets, sources, weights)]
