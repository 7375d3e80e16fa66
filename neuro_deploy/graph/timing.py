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
    Raises: UnsupportedError for a loop with fewer logical steps than synapses; it names the loop.
    """
    latency = {**dict.fromkeys(inputs, 0), **dict.fromkeys(populations, 1)}
    cause: dict[str, str] = {}
    for _ in range(len(latency) + 1):
        changed = ""
        for source, target, delay in edges:
            if latency[source] + 1 - delay > latency[target]:
                latency[target], cause[target], changed = latency[source] + 1 - delay, source, target
        if not changed:
            return latency
    violation = _violation(_loop(changed, cause, list(latency)), edges)
    raise UnsupportedError("the network cannot be placed in time:", [violation])


def _loop(last: str, cause: dict[str, str], order: list[str]) -> list[str]:
    """A loop among the causes, from its population that comes first in `order` back to it."""
    path = [last]
    while path.count(path[-1]) < 2:
        path.append(cause[path[-1]])
    loop = path[path.index(path[-1]) + 1 :][::-1]
    first = loop.index(min(loop, key=order.index))
    return [*loop[first:], *loop[:first], loop[first]]


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
