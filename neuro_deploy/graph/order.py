"""The order in which the nodes of a graph are computed, and where its loops are cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nir
import numpy as np

from ..errors import UnsupportedError, Violation

TITLE = "cannot read the graph"
Place = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A node, its sources in the file's order, and those of them that arrive a step later."""


def order(nodes: Mapping[str, Any], edges: Iterable[tuple[str, str]], dt: float) -> list[Place]:
    """The places of all nodes, from input to output.

    That order is the order of float additions; ties are in alphabetical order.  A loop is cut behind a Delay of a step
    or more, which needs no input of the same step; a loop without one is cut where the input enters it, at once or, if
    nothing does, through a Delay: what comes back there arrives one step later (NIR gives a recurrent edge one step).
    Where it enters in several places, that would be a guess.
    Raises: UnsupportedError.
    """
    incoming = _incoming(nodes, edges)
    waiting = dict(incoming)
    past = {name: _remembers(nodes[name], dt) for name in incoming}
    done: dict[str, bool] = {}
    places: list[Place] = []
    while waiting:
        late: tuple[str, ...] = ()
        ready = next((n for n, sources in waiting.items() if all(s in done for s in sources)), None)
        if ready is None:
            now = {n: [s for s in sources if not past[s]] for n, sources in waiting.items()}
            needed = {n: [s for s in sources if s in waiting] for n, sources in now.items()}
            ready, late = _cut(needed, now, incoming)
        places.append((ready, tuple(waiting.pop(ready)), late))
        done[ready] = True
    return places


def _incoming(nodes: Mapping[str, Any], edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The sources of each node.  Raises: UnsupportedError with all edges that cannot be."""
    incoming: dict[str, list[str]] = {name: [] for name in sorted(nodes)}
    violations: list[Violation] = []
    for source, target in edges:
        missing = [name for name in (source, target) if name not in incoming]
        if missing:
            what = f"an edge to a node that does not exist ('{missing[0]}')"
            violations.append(Violation(f"{source} -> {target}", what, "mend the file"))
        elif source in incoming[target]:
            violations.append(Violation(f"{source} -> {target}", "the edge stands twice", "scale it instead"))
        else:
            incoming[target].append(source)
    if violations:
        raise UnsupportedError(TITLE, violations)
    return incoming


def _cut(
    needed: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]], incoming: Mapping[str, Sequence[str]]
) -> tuple[str, tuple[str, ...]]:
    """The node of a loop that comes first, and those of its sources that arrive a step later.

    incoming: a node's sources; now: those that must be of the same step (what a Delay of a step or more sends is not);
    needed: those of them that are still waited for.
    Raises: UnsupportedError for a loop that can be cut in more than one place.
    """
    free = next((name for name, sources in needed.items() if not sources), None)
    if free is not None:
        return free, ()
    loop = _loop(needed)
    entered = [name for name in loop if any(s not in loop for s in now[name])]
    if not entered:  # then where a Delay leads into it that gets nothing from it
        entered = [name for name in loop if any(not {s, *_before(s, incoming)} & {*loop} for s in incoming[name])]
    if len(entered) > 1:
        what = f"a loop that is entered in {len(entered)} places ({', '.join(entered)})"
        remedy = "say which connection takes a step: put a nir.Delay of one step on it"
        raise UnsupportedError(TITLE, [Violation(" -> ".join(loop), what, remedy)])
    first = (entered or loop)[0]
    return first, tuple(s for s in needed[first] if s in loop)


def _remembers(node: nir.NIRNode, dt: float) -> bool:
    """True for a Delay of at least a step in all its elements."""
    return isinstance(node, nir.Delay) and bool((np.asarray(node.delay) > dt / 2).all())


def _before(name: str, sources: Mapping[str, Sequence[str]]) -> dict[str, None]:
    """All nodes from which a way leads to this one."""
    found: dict[str, None] = {}
    path = [name]
    while path:
        for source in sources[path.pop()]:
            if source not in found:
                found[source] = None
                path.append(source)
    return found


def _loop(needed: Mapping[str, Sequence[str]]) -> list[str]:
    """All nodes of a loop (a strongly connected part) that waits for nothing but itself, in alphabetical order."""
    reach = {name: _before(name, needed) for name in needed}
    first = min((name for name in needed if name in reach[name]), key=lambda n: (len(reach[n]), n))
    return sorted(reach[first])
