"""Where the boxes and arrows of a drawn graph lie: layers from left to right, in rows; plain numbers, in inches.

What closes a loop is found by a depth-first search from the inputs; the rest is a graph without loops, whose longest
paths give the layers.  Arrows over several layers get a place of their own in each of them.  The order in a layer
follows the mean place of the neighbours (Sugiyama, Tagawa, Toda, IEEE Trans. SMC 11, 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 8
COLUMNS = 10
"""Most layers side by side; more of them go on in a further row."""
GAP_X, GAP_Y, MARGIN, LANE, BESIDE = 0.45, 0.22, 0.3, 0.15, 0.05
LINE, PAD, PER_CHARACTER = 0.155, 0.09, 0.077
NARROWEST = 0.9
THREAD = 0.1
"""Height of an arrow that passes a layer."""

Edge = tuple[str, str]
Point = tuple[float, float]
Key = str | tuple[str, str, int]
"""A box, or the place of an arrow (source, target) in a layer that it passes."""


@dataclass(frozen=True)
class Box:
    """What a node shows: its lines of text, and the group that colours it."""

    name: str
    lines: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Placed:
    """A box and its centre and size."""

    box: Box
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """An arrow through these points.  back: it closes a loop."""

    source: str
    target: str
    points: tuple[Point, ...]
    back: bool


@dataclass(frozen=True)
class Picture:
    """All of it; y grows downwards."""

    width: float
    height: float
    boxes: tuple[Placed, ...]
    routes: tuple[Route, ...]


def arrange(boxes: Sequence[Box], edges: Sequence[Edge]) -> Picture:
    """Lay out a graph; the same graph gives the same numbers.  boxes: inputs first."""
    whole = {box.name: box for box in boxes}
    if not whole:
        return Picture(2 * MARGIN, 2 * MARGIN, (), ())
    edges = [e for e in dict.fromkeys(edges) if e[0] in whole and e[1] in whole]
    back = back_edges(list(whole), edges)
    ahead = [e for e in edges if e not in back]
    layer = layers(list(whole), ahead)
    threads: dict[Edge, list[Key]] = {
        (s, t): [s, *((s, t, n) for n in range(layer[s] + 1, layer[t])), t] for s, t in ahead
    }
    place: dict[Key, int] = dict(layer.items())
    place |= {key: key[2] for way in threads.values() for key in way if isinstance(key, tuple)}
    links = [link for way in threads.values() for link in pairwise(way)]
    columns = _ordered(place, links)
    return _Sheet(whole, columns, links).picture(threads, sorted(back), layer)


def back_edges(names: Sequence[str], edges: Sequence[Edge]) -> set[Edge]:
    """The edges to a node from which a depth-first search, begun at the first names, is still on its way."""
    after: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        after[source].append(target)
    open_, done, found = set[str](), set[str](), set[Edge]()
    for start in names:
        path = [] if start in done else [(start, iter(after[start]))]
        open_ |= {name for name, _ in path}
        while path:
            name, rest = path[-1]
            target = next(rest, "")
            if not target:
                path.pop()
                open_.discard(name)
                done.add(name)
            elif target in open_:
                found.add((name, target))
            elif target not in done:
                open_.add(target)
                path.append((target, iter(after[target])))
    return found


def layers(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The longest path to each node; edges: without loops."""
    before: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        before[target].append(source)
    result: dict[str, int] = {}
    waiting = list(names)
    while waiting:
        ready = [n for n in waiting if all(s in result for s in before[n])]
        result |= {n: max((result[s] + 1 for s in before[n]), default=0) for n in ready}
        waiting = [n for n in waiting if n not in result]
    return result


def _ordered(place: Mapping[Key, int], links: Sequence[tuple[Key, Key]]) -> list[list[Key]]:
    """The layers, each in an order with few crossings."""
    columns: list[list[Key]] = [[] for _ in range(max(place.values(), default=0) + 1)]
    for key, at in place.items():
        columns[at].append(key)
    before, after = _neighbours(links)
    for sweep in range(SWEEPS):
        near, walk = (before, columns[1:]) if sweep % 2 == 0 else (after, columns[-2::-1])
        for column in walk:
            rank = {key: i for other in columns for i, key in enumerate(other)}
            column.sort(key=lambda key: _mean([rank[n] for n in near.get(key, [])], rank[key]))
    return columns


def _neighbours(links: Sequence[tuple[Key, Key]]) -> tuple[dict[Key, list[Key]], dict[Key, list[Key]]]:
    before: dict[Key, list[Key]] = {}
    after: dict[Key, list[Key]] = {}
    for source, target in links:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    return before, after


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


class _Sheet:
    """The numbers of one layout: columns of boxes and threads, cut into rows."""

    def __init__(self, boxes: Mapping[str, Box], columns: list[list[Key]], links: Sequence[tuple[Key, Key]]) -> None:
        self.boxes, self.columns = boxes, columns
        self.at = {key: i for i, column in enumerate(columns) for key in column}
        rows = -(-len(columns) // COLUMNS)
        self.per_row = -(-len(columns) // rows)
        self.widths = [max((self._width(key) for key in column), default=NARROWEST) for column in columns]
        self.before, self.after = _neighbours(links)
        self.y = self._heights()
        self.x: list[float] = []
        for i, width in enumerate(self.widths):
            left = MARGIN + GAP_X if i % self.per_row == 0 else self.x[-1] + self.widths[i - 1] / 2 + GAP_X
            self.x.append(left + width / 2)

    def row(self, key: Key) -> int:
        """The row of a box or thread."""
        return self.at[key] // self.per_row

    def _width(self, key: Key) -> float:
        if not isinstance(key, str):
            return NARROWEST
        return max(NARROWEST, 2 * PAD + PER_CHARACTER * max(len(line) for line in self.boxes[key].lines))

    def height(self, key: Key) -> float:
        """Of a box; of a thread."""
        return 2 * PAD + LINE * len(self.boxes[key].lines) if isinstance(key, str) else THREAD

    def _heights(self) -> dict[Key, float]:
        """Centres: near the mean of the neighbours, apart from each other."""
        y: dict[Key, float] = {key: 0.0 for column in self.columns for key in column}
        for sweep in range(SWEEPS):
            near = self.before if sweep % 2 == 0 else self.after
            for column in self.columns if sweep % 2 == 0 else self.columns[::-1]:
                wanted = [_mean([y[n] for n in near.get(key, [])], y[key]) for key in column]
                y |= dict(zip(column, self._apart(column, wanted), strict=True))
        return y

    def _apart(self, column: Sequence[Key], wanted: Sequence[float]) -> list[float]:
        found: list[float] = []
        for i, (key, y) in enumerate(zip(column, wanted, strict=True)):
            least = found[-1] + (self.height(column[i - 1]) + self.height(key)) / 2 + GAP_Y if i else y
            found.append(max(y, least))
        shift = _mean([w - f for w, f in zip(wanted, found, strict=True)], 0.0)
        return [f + shift for f in found]

    def picture(self, threads: Mapping[Edge, Sequence[Key]], back: Sequence[Edge], layer: Mapping[str, int]) -> Picture:
        """Rows below each other, with lanes between them for what returns or goes on."""
        lanes = self._lanes(back, layer)
        self.crossing = [(s, t) for way in threads.values() for s, t in pairwise(way) if self.row(s) != self.row(t)]
        self.returns: list[float] = []
        bottom = 0.0
        for row in range(self.row(self.columns[-1][0]) + 1):
            here = [key for key in self.at if self.row(key) == row]
            used = [lanes[e] + 1 for e in back if row in (self.row(e[0]), self.row(e[1]))]
            self.returns.append(LANE * max(used, default=0))
            room = self.returns[row] + LANE * sum(self.row(target) == row for _, target in self.crossing)
            shift = bottom + MARGIN + room - self._top(row)
            for key in here:
                self.y[key] += shift
            bottom = max(self.y[key] + self.height(key) / 2 for key in here)
        self.right = max(x + w / 2 for x, w in zip(self.x, self.widths, strict=True)) + GAP_X
        boxes = [(n, box, self.at[n]) for n, box in self.boxes.items()]
        placed = tuple(Placed(box, self.x[at], self.y[n], self.widths[at], self.height(n)) for n, box, at in boxes)
        routes = [self._ahead(edge, way) for edge, way in threads.items()]
        routes += [self._back(edge, lanes[edge]) for edge in back]
        return Picture(self.right + MARGIN, bottom + MARGIN, placed, tuple(routes))

    def _lanes(self, back: Sequence[Edge], layer: Mapping[str, int]) -> dict[Edge, int]:
        """A lane for each arrow that returns, so that none lies on another; short ones inside."""
        lanes: dict[Edge, int] = {}
        for edge in sorted(back, key=lambda e: (layer[e[0]] - layer[e[1]], e)):
            low, high = layer[edge[1]], layer[edge[0]]
            taken = {lanes[e] for e in lanes if layer[e[1]] <= high and low <= layer[e[0]]}
            lanes[edge] = next(n for n in range(len(back)) if n not in taken)
        return lanes

    def _side(self, key: Key, way: int) -> Point:
        """The middle of the right (1) or left (-1) side."""
        at = self.at[key]
        return self.x[at] + way * self.widths[at] / 2, self.y[key]

    def _ahead(self, edge: Edge, way: Sequence[Key]) -> Route:
        points: list[Point] = [self._side(way[0], 1)]
        for source, target in pairwise(way):
            if (source, target) in self.crossing:
                points += self._to_next_row(source, target)
            points += [self._side(target, -1), *([self._side(target, 1)] if target != way[-1] else [])]
        return Route(*edge, tuple(points), False)

    def _to_next_row(self, source: Key, target: Key) -> list[Point]:
        """Out on the right, along a lane between the rows, in on the left."""
        row = self.row(target)
        same = [c for c in self.crossing if self.row(c[1]) == row]
        at, beside = same.index((source, target)), min(BESIDE, GAP_X / 3 / len(same))
        lane = self._top(row) - self.returns[row] - LANE * (1 + at)
        out = self.right - GAP_X / 2 - beside * at
        into = MARGIN + GAP_X / 2 + beside * (len(same) - 1 - at)
        return [(out, self.y[source]), (out, lane), (into, lane), (into, self.y[target])]

    def _top(self, row: int) -> float:
        return min(self.y[key] - self.height(key) / 2 for key in self.at if self.row(key) == row)

    def _back(self, edge: Edge, lane: int) -> Route:
        """Up from the source, along a lane above all boxes on the way, down into the target."""
        source, target = edge
        out, into = self._port(source, 1, lane), self._port(target, -1, lane)[::-1]
        if source == target:
            y = self.y[source] - self.height(source) / 2 - GAP_Y / 2
            (x0, top), (x1, _) = self._above(source, 1), self._above(source, -1)
            return Route(source, target, ((x0, top), (x0, y), (x1, y), (x1, top)), True)
        if self.row(source) == self.row(target):
            between = range(self.at[target], self.at[source] + 1)
            y = min(self.y[k] - self.height(k) / 2 for k, at in self.at.items() if at in between) - LANE * (1 + lane)
            return Route(source, target, (*out, (out[-1][0], y), (into[0][0], y), *into), True)
        low, high = (self._top(self.row(n)) - LANE * (1 + lane) for n in (source, target))
        left = max(BESIDE, MARGIN - BESIDE * lane)
        lanes = ((out[-1][0], low), (left, low), (left, high), (into[0][0], high))
        return Route(source, target, (*out, *lanes, *into), True)

    def _above(self, name: str, way: int) -> Point:
        """A point of the upper side, right (1) or left (-1) of its middle."""
        return self.x[self.at[name]] + way * self.widths[self.at[name]] / 5, self.y[name] - self.height(name) / 2

    def _port(self, name: str, way: int, lane: int) -> list[Point]:
        """From the box to where the way up is free: its upper side, or beside it if others lie above."""
        if self.columns[self.at[name]][0] == name:
            return [self._above(name, way)]
        x, y = self._side(name, way)
        y -= self.height(name) / 4
        return [(x, y), (x + way * (GAP_X / 5 + BESIDE * (lane % 4)), y)]
