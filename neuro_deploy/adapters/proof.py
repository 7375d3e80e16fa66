"""A conversion that proves itself: the model's own modules and the graph in `reference`, on the same random input.

Every spike of every population must be equal; potentials of integrators, which are sums in another order, within
CLOSE of the largest.  Where spikes differ, each population is run again on what the model sent it.  A first difference
of one spike with h within TIE (of the largest potential) of a multiple of the threshold is float rounding: our sums
stand in another order, and batch norm is folded.  It is counted, and the neuron (the sample, where there is a loop) is
not looked at any further.  Anything else, and more than a few of these, is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..backends import simulate
from ..backends.proofs import SEED, random_input
from ..errors import BackendError, InputError
from ..graph import read_graph
from ..graph.told import metadata_of
from ..neurons.base import FloatNeuron
from ..neurons.scheme import METADATA
from ..trace import Recording
from ..train.export import INPUT, OUTPUT
from .norms import Family, Item, by_steps

TIE, CLOSE = 2.0**-18, 2.0**-14
FEW, SHARE = 2, 1e-3
"""Ties that are rounding: at most FEW, and this share of all spikes that were compared."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Stage:
    """A population and the nodes since the one before it.   item: its module's name.   output: what it sends."""

    item: str
    population: str
    output: str
    nodes: tuple[str, ...]


def prove(
    graph: nir.NIRGraph, model: nn.Module, items: Sequence[Item], stages: Sequence[Stage], family: Family
) -> dict[str, Any]:
    """What was compared, for the graph's metadata.

    items: the model's modules in order, as they are.   stages: the graph's populations in order.
    Raises: BackendError naming the first place that differs; InputError if the model itself does not run.
    """
    x = random_input(graph, family.steps, family.samples)
    with _at_rest(model, family):
        sent = _own(items, x, family)
    neurons = read_graph(graph).neurons
    trace = simulate(graph, x, "reference", ("spikes", "v", "h"))
    wanted = {stage: sent[stage.item] for stage in stages}
    differ = [s for s, out in wanted.items() if not _agrees(neurons[s.population], trace.populations, s, graph, out)]
    ties = 0
    if differ:
        given = [x, *(sent[stage.item] for stage in stages[:-1])]
        ties = sum(_ties(graph, stage, before, wanted[stage]) for stage, before in zip(stages, given, strict=True))
        numbers = sum(out.size for out in wanted.values())
        if ties > FEW + SHARE * numbers:
            raise BackendError(
                f"not converted: {ties} of {numbers} spikes differ from the model's, too many for rounding"
            )
    fired = {s: int(np.count_nonzero(out)) for s, out in wanted.items()}
    silent = ", ".join(s.population for s, n in fired.items() if not n)
    sizes = {"steps": len(x), "samples": x.shape[1], "numbers": sum(out.size for out in wanted.values())}
    entry = {**sizes, "spikes": sum(fired.values()), "differences": ties, "seed": SEED}
    return {**entry, **({"silent": silent} if silent else {})}


@contextlib.contextmanager
def _at_rest(model: nn.Module, family: Family) -> Iterator[None]:
    """The model in eval mode and at rest, before and after."""
    training = [module for module in model.modules() if module.training]
    neurons = [module for module in model.modules() if family.name_of(module) in family.neurons]
    model.eval()
    try:
        for module in neurons:
            family.reset(module)
        with torch.no_grad():
            yield
    finally:
        for module in neurons:
            family.reset(module)
        for module in training:
            module.training = True


def _own(items: Sequence[Item], x: Floats, family: Family) -> dict[str, Floats]:
    """What each module sent, (T, B, *shape)."""
    tensors = (t for item in items for t in (*item.module.parameters(), *item.module.buffers()))
    value = torch.from_numpy(x).to(next((t.device for t in tensors), torch.device("cpu")))
    sent = {}
    for item in items:
        neurons = family.name_of(item.module) in family.neurons
        try:
            value = (family.run if neurons else by_steps)(item.module, value, item.leading)
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputError(f"{item.name}: the model itself does not run: {error}") from error
        sent[item.name] = value.cpu().numpy()
    return sent


def _agrees(
    neuron: FloatNeuron, found: Mapping[str, Recording], stage: Stage, graph: nir.NIRGraph, wanted: Floats
) -> bool:
    """True if the graph sends what the module sent."""
    data = found[stage.population].data
    node = graph.nodes[stage.output]
    if neuron.kind == "li":
        potential = data["v"] + (node.bias if stage.output != stage.population else 0)
        most = float(np.abs(wanted).max(initial=0.0))
        if not np.allclose(potential, wanted, rtol=0, atol=CLOSE * most):
            raise BackendError(f"not converted: {stage.population} does not give the model's potentials")
        return True
    return np.array_equal(data["spikes"] * _size(stage, graph), wanted)


def _size(stage: Stage, graph: nir.NIRGraph) -> Floats:
    """What a spike counts, () or one per neuron."""
    size: Floats = graph.nodes[stage.output].scale if stage.output != stage.population else np.ones((), np.float32)
    return size


def _ties(graph: nir.NIRGraph, stage: Stage, before: Floats, wanted: Floats) -> int:
    """How many neurons differ from the model, by rounding, where both get the same input.

    Raises: BackendError for any other difference.
    """
    alone = _alone(graph, stage, before.shape[2:], wanted.shape[2:])
    reading = read_graph(alone)
    neuron = reading.neurons[stage.population]
    if neuron.kind == "li":
        return 0
    data = simulate(alone, before, "reference", ("spikes", "h")).populations[stage.population].data
    counts, h, size = data["spikes"], data["h"], np.broadcast_to(_size(stage, graph), wanted.shape[2:])
    theta = np.broadcast_to(neuron.params["theta"], size.shape)
    loops, ties = any(node.late for node in reading.nodes), 0
    live = np.ones(wanted.shape[1:], bool)
    for t in range(len(wanted)):
        differ = (counts[t] * size != wanted[t]) & live
        for b, *where in np.argwhere(differ).tolist():
            at, i = (t, b, *where), tuple(where)
            near = [max(n, counts[at]) for n in counts[at] + (-1, 1) if np.float32(n) * size[i] == wanted[at]]
            room = TIE * max(float(np.abs(h).max()), float(theta[i]))
            if not near or abs(h[at] - near[0] * theta[i]) > room:
                place = f"step {t}, sample {b}, neuron {i}, h = {h[at]:g}, threshold {theta[i]:g}"
                pair = f"{wanted[at]:g} in the model, {counts[at] * size[i]:g} in the graph"
                raise BackendError(f"not converted: {stage.population} does not spike as the model ({place}: {pair})")
            ties += 1
        live &= ~(differ.any(axis=tuple(range(1, differ.ndim)), keepdims=True) if loops else differ)
    return ties


def _alone(graph: nir.NIRGraph, stage: Stage, given: tuple[int, ...], shape: tuple[int, ...]) -> nir.NIRGraph:
    """A population with the nodes since the one before it, as a graph."""
    nodes = {
        INPUT: nir.Input({"input": np.array(given)}),
        **{name: graph.nodes[name] for name in stage.nodes},
        OUTPUT: nir.Output({"output": np.array(shape)}),
    }
    inside = set(stage.nodes)
    edges = [(a if a in inside else INPUT, b) for a, b in graph.edges if b in inside]
    kept = {key: value for key, value in metadata_of(graph).items() if key not in ("readout", "input")}
    edges.append((stage.output, OUTPUT))
    return nir.NIRGraph(nodes, edges, metadata={METADATA: kept}, type_check=False)
