"""When a population computes its first step on the chip (design section 6)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..errors import UnsupportedError, Violation

Edge = tuple[str, str, int]
"""Source, target, and by how many logical steps the network itself delays it."""


def place(inputs: Sequence[str], populations: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The latency of each input (0) and population (>= 1): the smallest with which every synapse can be in time.

    A synapse takes a step, so latency(target) >= latency(source) + 1 - delay.
    Raises: UnsupportedError for loops with fewer logical steps than synapses; it names them.
    """
    names = [*inputs, *populations]
    violations: list[Violation] = []
    while True:
        latency = {**dict.fromkeys(inputs, 0), **dict.fromkeys(populations, 1)}
        loop = _settle(latency, edges)
        if not loop:
            break
        loop = _turned(loop, names)
        violations.append(_violation(loop, edges))
        steps = list(itertools.pairwise(loop))
        edges = [edge for edge in edges if edge[:2] not in steps]  # look for further ones
    if violations:
        raise UnsupportedError("the network cannot be placed in time:", violations)
    return latency


def _settle(latency: dict[str, int], edges: Sequence[Edge]) -> list[str]:
    """Raise latencies until every synapse is in time: []; or a loop that never is, from its end to its end."""
    cause: dict[str, str] = {}
    changed = ""
    for _ in range(len(latency) + 1):
        changed = ""
        for source, target, delay in edges:
            if latency[source] + 1 - delay > latency[target]:
                latency[target], cause[target], changed = latency[source] + 1 - delay, source, target
        if not changed:
            return []
    path = [changed]
    while path.count(path[-1]) < 2:
        path.append(cause[path[-1]])
    return path[path.index(path[-1]) :][::-1]


def _turned(loop: list[str], order: Sequence[str]) -> list[str]:
    """The same loop, from its population that comes first in `order`."""
    ring = loop[1:]
    first = ring.index(min(ring, key=order.index))
    return [*ring[first:], *ring[:first], ring[first]]


def _violation(loop: list[str], edges: Sequence[Edge]) -> Violation:
    steps = 0
    for source, target in itertools.pairwise(loop):
        steps += min(delay for s, t, delay in edges if (s, t) == (source, target))
    synapses = len(loop) - 1
    return Violation(
        " -> ".join(loop),
        f"the loop takes {steps} step{'s' * (steps != 1)} in the network, but {synapses} on the chip, one for each "
        "synapse",
        f"train it with delays that sum up to at least {synapses} steps (nir.Delay in the loop)",
    )
