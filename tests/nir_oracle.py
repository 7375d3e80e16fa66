"""A plain scalar interpreter of a raw NIR graph: Python floats, one sample, one step, one node after the other.

Written from NIR's equations under forward Euler; it shares no line with neuro_deploy and knows nothing of its readings.
Graphs within a graph are inlined: `outer.inner`, with their Input and Output as nodes that pass on what they get.

A loop takes a step.  Edges that leave a Delay of a step or more in all elements deliver what the Delay took before,
so they close no loop within a step.  Of the loops that are left (strongly connected parts of all other edges), the one
node that gets something from outside the loop is its entry, and what comes back there is of the step before.  A loop
that gets nothing from outside at once is entered where it gets something through such a Delay, which gets nothing from
the loop; else at its alphabetically first node.  Two entries are `Ambiguous`.  Without the edges that were cut so,
smaller loops may be left: the same again.  Before the first step, inputs, neurons and such
Delays send 0, and linear nodes what they make of that, but in a loop of linear nodes alone, and behind it, all is 0.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nir
import numpy as np

Shape = tuple[int, ...]
Row = list[float]
FIRING = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)
NEURONS = (*FIRING, nir.I, nir.LI, nir.CubaLI)
CURRENT = (nir.CubaLI, nir.CubaLIF)
MUTANTS = (
    "fires at the threshold",
    "a loop two steps late",
    "a loop without constants",
    "resets to zero",
    "the potential takes the old current",
    "a delay one step short",
    "no bias",
    "no leak",
    "no v_leak",
    "means without padding",
    "kernels turned over",
    "same padding in front",
    "the last edge is lost",
    "the first element's delay for all",
    "w_in is 1",
    "r is 1",
)


class Ambiguous(Exception):
    """A loop that is entered in several places."""


def flattened(graph: nir.NIRGraph, prefix: str = "") -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
    """All nodes by their full name, and all edges between them."""
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[tuple[str, str]] = []
    ends: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        full = prefix + name
        ends[name] = full, full
        inside, between = flattened(node, full + ".") if isinstance(node, nir.NIRGraph) else ({full: node}, [])
        assert not nodes.keys() & inside.keys(), "two nodes of one name, once inlined"
        nodes.update(inside)
        edges += between
        if isinstance(node, nir.NIRGraph):
            (entry,) = (f"{full}.{k}" for k, n in node.nodes.items() if isinstance(n, nir.Input))
            (leave,) = (f"{full}.{k}" for k, n in node.nodes.items() if isinstance(n, nir.Output))
            ends[name] = entry, leave
    return nodes, edges + [(ends[a][1], ends[b][0]) for a, b in graph.edges]


def each(values: Any, shape: Shape) -> Row:
    """One number per element; a single one, of whatever rank, serves all."""
    if np.size(values) == 1:
        return [float(np.reshape(values, ()))] * math.prod(shape)
    spread: Row = np.broadcast_to(np.asarray(values, np.float64), shape).reshape(-1).tolist()
    return spread


class Interpreter:
    """A graph at a time step of dt seconds.

    late: edges that arrive a step later.   rounds: how often loops were left to cut.   met: what occurred.
    exact: False once a sum that float32 may round was met.
    mutant: one of MUTANTS, a mistake made on purpose.
    """

    def __init__(self, graph: nir.NIRGraph, dt: float, mutant: str = "") -> None:
        assert mutant in ("", *MUTANTS)
        self.dt, self.mutant, self.met, self.exact = dt, mutant, Counter[str](), True
        self.nodes, self.edges = flattened(graph)
        self.outputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
        self.sources: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            self.sources[target].append(source)
        self.lagging = [name for name, node in self.nodes.items() if self._lags(node)]
        self.rounds = 0
        self.late = self._late()
        self.order = self._order()

    def _lags(self, node: nir.NIRNode) -> bool:
        return isinstance(node, nir.Delay) and min(self._steps(node, np.shape(node.delay))) >= 1

    def _steps(self, node: Any, shape: Shape) -> list[int]:
        steps = [round(seconds / self.dt) for seconds in each(node.delay, shape)]
        if self.mutant == "the first element's delay for all":
            steps = [steps[0]] * len(steps)
        return steps

    def _late(self) -> set[tuple[str, str]]:
        now = {name: [s for s in found if s not in self.lagging] for name, found in self.sources.items()}
        late: set[tuple[str, str]] = set()
        while True:
            left = {name: [s for s in found if (s, name) not in late] for name, found in now.items()}
            behind = {name: reached(name, left) for name in left}
            loops = {tuple(sorted(m for m in behind[n] if n in behind[m])) for n in left if n in behind[n]}
            if not loops:
                return late
            self.rounds += 1
            for loop in loops:
                entries = [name for name in loop if any(s not in loop for s in now[name])]
                entries = entries or [
                    name for name in loop if any(self._from_outside(s, loop) for s in self.sources[name])
                ]
                if len(entries) > 1:
                    raise Ambiguous(loop)
                entry = entries[0] if entries else min(loop)
                late |= {(s, entry) for s in left[entry] if s in loop}

    def _from_outside(self, name: str, loop: tuple[str, ...]) -> bool:
        """True for a Delay that gets nothing from the loop, on however long a way."""
        return name in self.lagging and not set(loop) & set(reached(name, self.sources))

    def _order(self) -> list[str]:
        order: list[str] = list(self.lagging)
        while len(order) < len(self.nodes):
            for name, found in self.sources.items():
                if name not in order and all(s in order or (s, name) in self.late for s in found):
                    order.append(name)
        return order[len(self.lagging) :]

    def run(self, inputs: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """(what each neuron shows, what each Output gives), as arrays (T, B, *shape).  inputs: the same, by name."""
        steps, samples = next(iter(inputs.values())).shape[:2]
        shown: dict[str, dict[str, Any]] = {}
        given: dict[str, Any] = {}
        runs = [_Sample(self, {k: x[:, b] for k, x in inputs.items()}) for b in range(samples)]
        for t, sample in itertools.product(range(steps), runs):
            sample.step(t)
        for name, node in self.nodes.items():
            shape = runs[0].shapes[name]
            if isinstance(node, NEURONS):
                keys = ("spikes", "v", "h", *(("u",) if isinstance(node, CURRENT) else ()))
                shown[name] = {key: _array([run.shown[name, key] for run in runs], shape) for key in keys}
            elif name in self.outputs:
                given[name] = _array([run.sent[name] for run in runs], shape)
        return shown, given

    def total(self, terms: Iterable[float]) -> float:
        """Their sum.  Exact in float32 in any order if all are multiples of a unit, together 2^24 units at most."""
        values = list(terms)
        unit = max((value.as_integer_ratio()[1] for value in values), default=1)
        self.exact = self.exact and sum(map(abs, values)) * unit <= 2**24
        return sum(values)


def reached(name: str, sources: Mapping[str, Sequence[str]]) -> set[str]:
    """All from which a way leads to the node."""
    found: set[str] = set()
    path = [name]
    while path:
        for source in sources[path.pop()]:
            if source not in found:
                found.add(source)
                path.append(source)
    return found


def _array(runs: Sequence[Any], shape: Shape) -> Any:
    return np.array(runs, np.float64).swapaxes(0, 1).reshape(len(runs[0]), len(runs), *shape)


class _Sample:
    """One sample: what was sent and taken so far, and the neurons' state."""

    def __init__(self, net: Interpreter, inputs: Mapping[str, Any]) -> None:
        self.net, self.inputs = net, inputs
        self.shapes: dict[str, Shape] = {}
        self.sent: dict[str, list[Row]] = {name: [] for name in net.nodes}
        self.taken: dict[str, list[Row]] = {name: [] for name in net.nodes}
        self.v: dict[str, Row] = {}
        self.i: dict[str, Row] = {}
        self.shown: dict[tuple[str, str], list[Row]] = {}
        self._shape_all()
        self.rest = self._rest()

    def _shape_all(self) -> None:
        """Shapes go along the edges; a loop gets its shape from what enters it, or from the nodes themselves."""
        while len(self.shapes) < len(self.net.nodes):
            before = len(self.shapes)
            for name, node in self.net.nodes.items():
                if name not in self.shapes:
                    known = [self.shapes[s] for s in self.net.sources[name] if s in self.shapes]
                    own = tuple(self.inputs[name].shape[1:]) if name in self.inputs else None
                    if own is not None or known:
                        self.shapes[name] = own if own is not None else shape_behind(node, known[0])
            assert len(self.shapes) > before, "a node without input"

    def _rest(self) -> dict[str, Row]:
        rest = {name: [0.0] * math.prod(shape) for name, shape in self.shapes.items()}
        quiet = {n for n, node in self.net.nodes.items() if isinstance(node, NEURONS) or n in self.inputs}
        known = quiet | set(self.net.lagging)
        if self.net.mutant == "a loop without constants":
            return rest
        while True:
            ready = [n for n in self.net.nodes if n not in known and all(s in known for s in self.net.sources[n])]
            if not ready:
                return rest
            for name in ready:
                node, drive = self.net.nodes[name], self._sum([rest[s] for s in self.net.sources[name]])
                if isinstance(node, nir.Delay):
                    steps = self.net._steps(node, self.shapes[name])
                    rest[name] = [0.0 if k else value for k, value in zip(steps, drive, strict=True)]
                else:
                    rest[name] = self._linear(node, drive, self._shape_before(name), self.shapes[name])
                known.add(name)

    def _shape_before(self, name: str) -> Shape:
        return self.shapes[self.net.sources[name][0]] if self.net.sources[name] else self.shapes[name]

    def step(self, t: int) -> None:
        """All nodes, once."""
        net = self.net
        for name in net.lagging:
            self.sent[name].append(self._delayed(name, t))
        for name in net.order:
            node = net.nodes[name]
            if name in self.inputs:
                self.sent[name].append(each(self.inputs[name][t], self.shapes[name]))
                continue
            drive = self._drive(name, t)
            self.taken[name].append(drive)
            if isinstance(node, NEURONS):
                self.sent[name].append(self._neuron(name, node, drive))
            elif isinstance(node, nir.Delay):
                self.sent[name].append(self._delayed(name, t))
            else:
                self.sent[name].append(self._linear(node, drive, self._shape_before(name), self.shapes[name]))
        for name in net.lagging:
            self.taken[name].append(self._drive(name, t))

    def _drive(self, name: str, t: int) -> Row:
        rows = []
        for source in self.net.sources[name]:
            if (source, name) in self.net.late:
                back = 2 if self.net.mutant == "a loop two steps late" else 1
                rows.append(self.sent[source][t - back] if t >= back else self.rest[source])
                self.net.met["constants in a loop"] += t == 0 and any(self.rest[source])
            else:
                rows.append(self.sent[source][t])
        if self.net.mutant == "the last edge is lost":
            rows = rows[: max(1, len(rows) - 1)]
        return self._sum(rows)

    def _sum(self, rows: Sequence[Row]) -> Row:
        return [self.net.total(terms) for terms in zip(*rows, strict=True)]

    def _delayed(self, name: str, t: int) -> Row:
        steps = self.net._steps(self.net.nodes[name], self.shapes[name])
        if self.net.mutant == "a delay one step short":
            steps = [k - 1 if k > 1 else k for k in steps]
        return [self.taken[name][t - k][n] if k <= t else 0.0 for n, k in enumerate(steps)]

    def _neuron(self, name: str, node: Any, drive: Row) -> Row:
        shape, fires = self.shapes[name], isinstance(node, FIRING)
        v = self.v.setdefault(name, [0.0] * len(drive))
        h = self._charge(name, node, drive, v)
        theta = each(node.threshold if isinstance(node, nir.Threshold) else node.v_threshold, shape) if fires else []
        reset = each(getattr(node, "v_reset", 0.0), shape)
        if self.net.mutant == "resets to zero":
            reset = [0.0] * len(h)
        spikes = [0.0] * len(h)
        for n, limit in enumerate(theta):
            self.net.met[f"{type(node).__name__} at its threshold"] += h[n] == limit
            if h[n] > limit or (h[n] == limit and self.net.mutant == "fires at the threshold"):
                spikes[n] = 1.0
        after = [reset[n] if spikes[n] else h[n] for n in range(len(h))]
        self.net.met[f"{type(node).__name__} fires"] += any(spikes)
        self.net.met[f"{type(node).__name__} is silent"] += fires and not all(spikes)
        self.v[name] = after
        for key, row in (("spikes", spikes), ("v", after), ("h", h)):
            self.shown.setdefault((name, key), []).append(row)
        return spikes if fires else after

    def _charge(self, name: str, node: Any, drive: Row, v: Row) -> Row:
        """The potential before firing."""
        shape, dt, total = self.shapes[name], self.net.dt, self.net.total
        if isinstance(node, nir.Threshold):
            return drive
        r = each(node.r, shape)
        if self.net.mutant == "r is 1":
            r = [1.0] * len(r)
        if isinstance(node, (nir.I, nir.IF)):
            return [total((v[n], r[n] * dt * x)) for n, x in enumerate(drive)]
        tau = each(node.tau_mem if isinstance(node, CURRENT) else node.tau, shape)
        keep = [1.0 if self.net.mutant == "no leak" else 1 - dt / tau[n] for n in range(len(tau))]
        rest = [0.0 if self.net.mutant == "no v_leak" else value for value in each(node.v_leak, shape)]
        current = self._current(name, node, drive) if isinstance(node, CURRENT) else drive
        gain = [r[n] * dt / tau[n] for n in range(len(tau))]
        if isinstance(node, CURRENT):
            self.shown.setdefault((name, "u"), []).append([gain[n] * i for n, i in enumerate(self.i[name])])
        return [total((keep[n] * v[n], gain[n] * x, rest[n] * dt / tau[n])) for n, x in enumerate(current)]

    def _current(self, name: str, node: Any, drive: Row) -> Row:
        """The synaptic current takes its input first; the potential takes the new current."""
        shape, dt = self.shapes[name], self.net.dt
        old = self.i.setdefault(name, [0.0] * len(drive))
        tau, w_in = each(node.tau_syn, shape), each(node.w_in, shape)
        if self.net.mutant == "w_in is 1":
            w_in = [1.0] * len(w_in)
        self.i[name] = [
            self.net.total(((1 - dt / tau[n]) * old[n], w_in[n] * dt / tau[n] * x)) for n, x in enumerate(drive)
        ]
        return old if self.net.mutant == "the potential takes the old current" else self.i[name]

    def _linear(self, node: Any, x: Row, before: Shape, shape: Shape) -> Row:
        """What a node without memory makes of its input."""
        if isinstance(node, nir.Scale):
            return [self.net.total([a * b]) for a, b in zip(x, each(node.scale, shape), strict=True)]
        if isinstance(node, (nir.Linear, nir.Affine)):
            bias = each(node.bias, shape) if isinstance(node, nir.Affine) else [0.0] * shape[0]
            bias = [0.0] * len(bias) if self.net.mutant == "no bias" else bias
            rows = np.asarray(node.weight, np.float64).tolist()
            return [
                self.net.total([*(w * a for w, a in zip(row, x, strict=True)), b])
                for row, b in zip(rows, bias, strict=True)
            ]
        if isinstance(node, (nir.Conv1d, nir.Conv2d)):
            return self._convolved(node, x, before, shape)
        if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
            return self._pooled(node, x, before, shape)
        assert isinstance(node, (nir.Input, nir.Output, nir.Flatten))
        return x

    def _convolved(self, node: Any, x: Row, before: Shape, shape: Shape) -> Row:
        kernel, stride, dilation, front, _ = window(node)
        if self.net.mutant == "same padding in front" and isinstance(node.padding, str) and node.padding == "same":
            front = [d * (k - 1) - f for d, k, f in zip(dilation, kernel, front, strict=True)]
        weight, channels = np.asarray(node.weight, np.float64), int(np.shape(node.weight)[1])
        per_group = shape[0] // int(node.groups)
        turned = self.net.mutant == "kernels turned over"
        y = []
        for out, *place in itertools.product(*map(range, shape)):
            terms = [0.0 if self.net.mutant == "no bias" else float(node.bias[out])]
            for part, *tap in itertools.product(range(channels), *map(range, kernel)):
                at = [p * s + k * d - f for p, s, k, d, f in zip(place, stride, tap, dilation, front, strict=True)]
                if all(0 <= a < n for a, n in zip(at, before[1:], strict=True)):
                    kept = [n - 1 - k for n, k in zip(kernel, tap, strict=True)] if turned else tap
                    channel = out // per_group * channels + part
                    terms.append(float(weight[(out, part, *kept)]) * x[index((channel, *at), before)])
            y.append(self.net.total(terms))
        return y

    def _pooled(self, node: Any, x: Row, before: Shape, shape: Shape) -> Row:
        kernel, stride, _, front, _ = window(node)
        y = []
        for channel, *place in itertools.product(*map(range, shape)):
            terms = []
            for tap in itertools.product(*map(range, kernel)):
                at = [p * s + k - f for p, s, k, f in zip(place, stride, tap, front, strict=True)]
                if all(0 <= a < n for a, n in zip(at, before[1:], strict=True)):
                    terms.append(x[index((channel, *at), before)])
            count = len(terms) if self.net.mutant == "means without padding" else math.prod(kernel)
            total = self.net.total(terms)
            y.append(self.net.total([total / max(count, 1)]) if isinstance(node, nir.AvgPool2d) else total)
        return y


def index(place: Sequence[int], shape: Shape) -> int:
    """Of an element in the row of all."""
    found = 0
    for at, size in zip(place, shape, strict=True):
        found = found * size + at
    return found


def window(node: Any) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """kernel, stride, dilation, and the zeros in front and behind, one for each axis."""
    pool = isinstance(node, (nir.SumPool2d, nir.AvgPool2d))
    axes = 1 if isinstance(node, nir.Conv1d) else 2
    kernel = [round(n) for n in each(node.kernel_size, (2,))] if pool else list(np.shape(node.weight)[2:])
    stride = [round(n) for n in each(node.stride, (axes,))]
    dilation = [1] * axes if pool else [round(n) for n in each(node.dilation, (axes,))]
    if isinstance(node.padding, str):
        reach = [d * (k - 1) if node.padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        return kernel, stride, dilation, [n // 2 for n in reach], [n - n // 2 for n in reach]
    padding = [round(n) for n in each(node.padding, (axes,))]
    return kernel, stride, dilation, padding, padding


def shape_behind(node: Any, before: Shape) -> Shape:
    """The shape that a node makes of its input's."""
    if isinstance(node, (nir.Linear, nir.Affine)):
        return (int(np.shape(node.weight)[0]),)
    if isinstance(node, nir.Flatten):
        axes = list(range(len(before)))
        first, last = axes[int(node.start_dim)], axes[int(node.end_dim)]
        return (*before[:first], math.prod(before[first : last + 1]), *before[last + 1 :])
    if isinstance(node, (nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d)):
        kernel, stride, dilation, front, behind = window(node)
        sides = zip(before[1:], kernel, stride, dilation, front, behind, strict=True)
        image = [(n + f + b - d * (k - 1) - 1) // s + 1 for n, k, s, d, f, b in sides]
        return (before[0] if not hasattr(node, "weight") else int(np.shape(node.weight)[0]), *image)
    return before
