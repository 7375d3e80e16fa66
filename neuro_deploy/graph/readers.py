"""Other readers of NIR files: what they take for granted, and what a rule about them looks at.

nir 1.0.8 (`nir.read` with its type check), snnTorch 1.0.0, Norse 1.1.0, SpikingJelly 2.0.0 (all three by nirtorch 2.6),
Sinabs 3.1.3, Rockpool.  Source: their importers, read and, but for the last two, run on files that show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import nir

from ..neurons.scheme import told_kind
from .reading import Reading
from .signs import STEP

STOCK, SNNTORCH, NORSE, JELLY = "nir.read", "snnTorch", "Norse", "SpikingJelly"
SINABS, ROCKPOOL, EVERYBODY = "Sinabs", "Rockpool", "everybody else"
READERS = (STOCK, SNNTORCH, NORSE, JELLY, SINABS, ROCKPOOL)

FIRING = (nir.LIF, nir.IF, nir.CubaLIF)
LEAKING = (nir.LIF, nir.LI, nir.CubaLIF, nir.CubaLI)
TIMED = (*LEAKING, nir.IF, nir.I, nir.Delay)

ASSUMED = {SNNTORCH: STEP["snntorch"], JELLY: STEP["spikingjelly"], NORSE: STEP["norse"], SINABS: STEP["sinabs"]}
"""Seconds a step, if not told otherwise; Sinabs counts in steps."""

_COMMON = (nir.Input, nir.Output, nir.NIRGraph, nir.Affine, nir.Conv2d, nir.Flatten, nir.SumPool2d, nir.LIF, nir.IF)
KNOWN = {
    SNNTORCH: (*_COMMON, nir.Linear, nir.Conv1d, nir.AvgPool2d, nir.CubaLIF),
    JELLY: (*_COMMON, nir.Linear, nir.Conv1d, nir.AvgPool2d, nir.CubaLIF),
    NORSE: (*_COMMON, nir.Linear, nir.CubaLIF),
    SINABS: (*_COMMON, nir.Conv1d, nir.LI),
}
"""Nodes that a reader has a mapping for."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What rules look at.

    nodes: those of nested graphs as well, but not what is inside our CF.   reading: None if the graph cannot run.
    """

    graph: nir.NIRGraph
    nodes: Mapping[str, Any]
    reading: Reading | None

    def of(self, *types: type) -> Iterator[tuple[str, Any]]:
        """The nodes of these types."""
        return ((name, node) for name, node in self.nodes.items() if type(node) in types)

    def subtracts(self, name: str) -> bool:
        """True for a population that resets by subtraction, or not at all."""
        if self.reading is None or name not in self.reading.neurons:
            return told_kind(self.nodes[name]) == "cf"
        return self.reading.neurons[name].kind == "cf"

    def keeps(self, name: str) -> bool:
        """True for a population without reset."""
        neuron = None if self.reading is None else self.reading.neurons.get(name)
        return neuron is not None and neuron.keeps


Found = Iterator[tuple[str, str, tuple[str, ...]]]
RULES: list[Callable[[Seen], Found]] = []


def rule(function: Callable[[Seen], Found]) -> Callable[[Seen], Found]:
    """Register a rule."""
    RULES.append(function)
    return function


def rule_names() -> tuple[str, ...]:
    """The registered rules."""
    return tuple(function.__name__ for function in RULES)


def graphs_of(graph: nir.NIRGraph, prefix: str = "") -> Iterator[tuple[str, nir.NIRGraph]]:
    """The graph and its nested ones, each with the prefix of its nodes' names; not what is inside our CF."""
    yield prefix, graph
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph) and told_kind(node) is None:
            yield from graphs_of(node, f"{prefix}{name}.")


def walk(graph: nir.NIRGraph) -> Iterator[tuple[str, Any]]:
    """Name and node, those of nested graphs as `outer.inner`."""
    for prefix, inside in graphs_of(graph):
        yield from ((f"{prefix}{name}", node) for name, node in inside.nodes.items())
