"""Random valid NIR graphs over all primitives, and input for them.

Hypothesis draws the structure; numbers come from a generator whose seed it draws.  All numbers are small and dyadic, so
that nearly every sum is exact in float32 (the interpreter tells which graphs have one that is not).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import nir
import nir_oracle
import numpy as np
from hypothesis import strategies as st

Shape = tuple[int, ...]
NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Threshold")
ANYWHERE = ("Scale", "Delay", *NEURONS, *NEURONS)
BY_RANK = {
    1: (*ANYWHERE, "Affine", "Linear", "Affine", "Linear"),
    2: (*ANYWHERE, *("Conv1d",) * 9, "Flatten", "Flatten"),
    3: (*ANYWHERE, *("Conv2d",) * 7, *("SumPool2d", "AvgPool2d") * 4, "Flatten", "Flatten"),
}
INPUTS: tuple[Shape, ...] = ((2,), (3,), (2, 4), (3, 3), (2, 3, 4), (1, 4, 3))
STEPS, SAMPLES = 5, 2


@dataclass
class Case:
    """A graph, its time step, and an input (T, B, *shape) for each of its Inputs.

    old: parameters that older versions of nir did not write are to be taken from the file.
    refused: graphs that were drawn on the way, with a loop that is entered in several places.
    clash: the same graph with two nodes of one name, once inlined; None where it holds no graph.
    """

    graph: nir.NIRGraph
    dt: float
    x: dict[str, np.ndarray]
    old: bool
    refused: list[nir.NIRGraph] = field(default_factory=list)
    clash: nir.NIRGraph | None = None


@st.composite
def cases(draw: Any) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dt = 2.0 ** -draw(st.integers(4, 10))
    shapes = draw(st.lists(st.sampled_from(INPUTS), min_size=1, max_size=3))
    draft = _Draft(draw, rng, dt, draw(st.sampled_from([0, 2, 3, 4])), itertools.count())
    inputs = {draft.add("Input", nir.Input({"input": np.array(shape)}), [], shape): shape for shape in shapes}
    draft.grow(draw(st.integers(2, 9)))
    draft.finish(draw(st.integers(1, 3)))
    draft.close_loops()
    x = {name: (rng.integers(-2, 7, (STEPS, SAMPLES, *shape)) / 4).astype(np.float32) for name, shape in inputs.items()}
    return Case(draft.graph(), dt, x, draw(st.booleans()), draft.refused, draft.clash())


class _Draft:
    """A graph that grows.

    loops: how many to try.   serial: numbers the nodes, those of nested graphs too, so that no two have one name, once
    inlined.   depth: of nesting.   gives, takes: the shapes of a node's output and input.
    """

    def __init__(
        self, draw: Any, rng: np.random.Generator, dt: float, loops: int, serial: Iterator[int], depth: int = 0
    ) -> None:
        self.draw, self.rng, self.dt, self.loops, self.serial, self.depth = draw, rng, dt, loops, serial, depth
        self.refused: list[nir.NIRGraph] = []
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.gives: dict[str, Shape] = {}
        self.takes: dict[str, Shape] = {}

    def graph(self) -> nir.NIRGraph:
        return nir.NIRGraph(dict(self.nodes), list(self.edges), type_check=False)

    def clash(self) -> nir.NIRGraph | None:
        """The graph with a Scale of a nested node's full name, before or behind the nested graph."""
        nested = [name for name, node in self.nodes.items() if isinstance(node, nir.NIRGraph)]
        if not nested:
            return None
        name = self.draw(st.sampled_from(nested))
        inside = self.draw(st.sampled_from(sorted(self.nodes[name].nodes)))
        twin, source = f"{name}.{inside}", next(iter(self.nodes))
        scale = {twin: nir.Scale(np.float32(1))}
        nodes = {**scale, **self.nodes} if self.draw(st.booleans()) else {**self.nodes, **scale}
        return nir.NIRGraph(nodes, [*self.edges, (source, twin)], type_check=False)

    def add(self, word: str, node: nir.NIRNode, sources: list[str], shape: Shape) -> str:
        """Any order of names, since ties are resolved by it."""
        name = f"{self.draw(st.sampled_from(['a', 'b', 'x', 'z', 'ä ', 'l.1', 'a+b']))}{word}{next(self.serial)}"
        graphs = [known for known, held in self.nodes.items() if isinstance(held, nir.NIRGraph)]
        if graphs and self.draw(st.integers(0, 3)) == 0:
            name = f"{graphs[0]}.{name}"
        self.nodes[name], self.gives[name] = node, shape
        if sources:
            self.takes[name] = self.gives[sources[0]]
        self.edges += [(source, name) for source in sources]
        return name

    def grow(self, count: int) -> None:
        for _ in range(count):
            recent = list(self.gives)[::-1]
            first = recent[min(self.draw(st.integers(0, 3)), len(recent) - 1)]
            shape = self.gives[first]
            others = [name for name in recent if name != first and self.gives[name] == shape]
            more = self.draw(st.integers(0, min(2, len(others)))) if others else 0
            kinds = BY_RANK[len(shape)] + (("NIRGraph",) * 4 if self.depth < 3 else ())
            kind = self.draw(st.sampled_from(kinds))
            node, behind = self.node(kind, shape)
            self.add(kind, node, [first, *others[:more]], behind)

    def finish(self, outputs: int) -> None:
        """Outputs for the newest signals that lead nowhere yet, then for others."""
        used = {source for source, _ in self.edges}
        ends = [name for name in self.gives if name not in used]
        ends = (ends[::-1] + [name for name in list(self.gives)[::-1] if name in used])[:outputs]
        for end in ends:
            shape = self.gives[end]
            alike = [n for n in list(self.gives) if n != end and self.gives[n] == shape and n not in self.outputs()]
            sources = [end, *alike[-1:]] if self.draw(st.booleans()) else [end]
            self.add("Output", nir.Output({"output": np.array(shape)}), sources, shape)

    def outputs(self) -> list[str]:
        return [name for name, node in self.nodes.items() if isinstance(node, nir.Output)]

    def close_loops(self) -> None:
        """Edges back, directly or by one node or two; those that nobody could order are left out."""
        for _ in range(self.loops):
            outputs = self.outputs()
            targets = [name for name in self.takes if name not in outputs]
            targets += [name for name in targets if isinstance(self.nodes[name], nir.NIRGraph)] * 2
            if not targets:
                return
            target = self.draw(st.sampled_from(targets))
            behind = nir_oracle.reached(target, {n: [b for a, b in self.edges if a == n] for n in self.nodes})
            sources = [name for name in sorted({target, *behind}) if self._ways(name, target) and name not in outputs]
            if not sources:
                continue
            nodes, edges, gives, takes = dict(self.nodes), list(self.edges), dict(self.gives), dict(self.takes)
            self._connect(self.draw(st.sampled_from(sources)), target)
            try:
                nir_oracle.Interpreter(self.graph(), self.dt)
            except nir_oracle.Ambiguous:
                self.refused.append(self.graph())
                self.nodes, self.edges, self.gives, self.takes = nodes, edges, gives, takes

    def _ways(self, source: str, target: str) -> list[str]:
        """What may stand on an edge from one to the other; "": nothing."""
        have, want = self.gives[source], self.takes[target]
        ways = ["", "Scale", "Delay", "Delay"] if have == want else []
        ways += [f"Conv{len(have) - 1}d"] * 3 if ways and len(have) > 1 else []
        return ways + (["Linear", "Affine"] * 3 if len(have) == len(want) == 1 else [])

    def _connect(self, source: str, target: str) -> None:
        have, want = self.gives[source], self.takes[target]
        kind = self.draw(st.sampled_from(self._ways(source, target)))
        if kind in ("Linear", "Affine") or kind.startswith("Conv"):
            node = self.dense(kind, have, want) if len(have) == 1 else self.image_to_image(kind, have)
            source = self.add(kind, node, [source], want)
            kind = self.draw(st.sampled_from(["", "", "Delay"]))
        if kind:
            source = self.add(kind, self.node(kind, want)[0], [source], want)
        if (source, target) not in self.edges:
            self.edges.append((source, target))

    def numbers(self, low: int, high: int, shape: Any, unit: float = 0.25) -> np.ndarray:
        """Float32, or float64 or whole numbers that float32 holds."""
        dtype = self.draw(st.sampled_from([np.float32, np.float32, np.float64, np.int16]))
        whole = np.asarray(self.rng.integers(low, high + 1, shape))
        return whole.astype(dtype) if dtype is np.int16 else np.asarray(whole * unit, dtype)

    def per_neuron(self, shape: Shape) -> Shape:
        """One parameter for all neurons, of whatever rank, or one for each."""
        kind = self.draw(st.integers(0, 7))
        return {0: (), 1: (), 2: (1,) * self.draw(st.integers(1, 4))}.get(kind, shape)

    def node(self, kind: str, shape: Shape) -> tuple[nir.NIRNode, Shape]:
        """A node of that kind for an input of that shape, and the shape that it makes of it."""
        if kind in NEURONS:
            return self.neuron(kind, self.per_neuron(shape)), shape
        if kind == "NIRGraph":
            return self.nested(shape)
        if kind in ("Linear", "Affine"):
            size = self.draw(st.integers(1, 4))
            return self.dense(kind, shape, (size,)), (size,)
        if kind == "Scale":
            across = (shape[0], *(1,) * (len(shape) - 1)) if self.draw(st.integers(0, 4)) == 0 else shape
            return nir.Scale(self.numbers(-2, 4, across, 0.5)), shape
        if kind == "Delay":
            low, high = self.draw(st.sampled_from([(0, 2), (1, 3), (1, 1)]))
            steps = self.numbers(low, high, self.per_neuron(shape), 1)
            return nir.Delay(np.asarray(steps * np.float32(self.dt))), shape
        if kind == "Flatten":
            first = self.draw(st.integers(0, len(shape) - 2))
            last = self.draw(st.sampled_from([-1, *range(first + 1, len(shape))]))
            first -= self.draw(st.sampled_from([0, len(shape)]))
            node = nir.Flatten({"input": np.array(shape)}, first, last)
        elif kind in ("Conv1d", "Conv2d"):
            node = self.convolution(kind, shape)
        else:
            node = self.pool(kind, shape)
        return node, nir_oracle.shape_behind(node, shape)

    def dense(self, kind: str, shape: Shape, behind: Shape) -> nir.NIRNode:
        weight = self.numbers(-1, 2, (*behind, *shape), 0.5)
        return nir.Linear(weight) if kind == "Linear" else nir.Affine(weight, self.numbers(-1, 3, behind))

    def neuron(self, kind: str, shape: Shape) -> nir.NIRNode:
        """Leaks of 0, 1/2, 3/4 or 7/8 a step, gains that are small numbers in steps."""

        def tau() -> np.ndarray:
            return (self.dt * 2.0 ** np.asarray(self.rng.choice([0, 1, 1, 1, 2, 2, 3], shape))).astype(np.float32)

        def gain() -> np.ndarray:
            return np.asarray(self.rng.choice([0.5, 1, 1, 1, 2, -1], shape), np.float32)

        def array(values: Any) -> np.ndarray:
            return np.asarray(values, np.float32)

        if kind == "Threshold":
            return nir.Threshold(self.numbers(1, 6, shape))
        firing = {"v_threshold": self.numbers(1, 6, shape)} if kind.endswith("IF") else {}
        if firing and self.draw(st.booleans()):
            firing["v_reset"] = self.numbers(-3, 2, shape)
        if kind in ("I", "IF"):
            return getattr(nir, kind)(r=array(gain() / self.dt), **firing)
        v_leak = self.numbers(-1, 2, shape, 0.5) if self.draw(st.booleans()) else self.numbers(0, 0, shape)
        if kind in ("LI", "LIF"):
            slow = tau()
            return getattr(nir, kind)(tau=slow, r=array(gain() * slow / self.dt), v_leak=v_leak, **firing)
        slow, fast = tau(), tau()
        gains = {"r": array(gain() * slow / self.dt), "w_in": array(gain() * fast / self.dt)}
        return getattr(nir, kind)(tau_mem=slow, tau_syn=fast, v_leak=v_leak, **gains, **firing)

    def convolution(self, kind: str, shape: Shape) -> nir.NIRNode:
        axes, rng = len(shape) - 1, self.rng
        groups = int(rng.choice([1, shape[0]]))
        padding: Any = ["same", "valid", 1, rng.integers(0, 3, axes)][rng.integers(4)]
        kernel = rng.integers(1, 4, axes)
        dilation = np.where(kernel % 2 == 1, rng.integers(1, 3, axes), 1)
        stride = np.ones(axes, int) if isinstance(padding, str) and padding == "same" else rng.integers(1, 3, axes)
        front = 0 if isinstance(padding, str) else padding
        fits = np.array(shape[1:]) + 2 * np.broadcast_to(front, axes) > dilation * (kernel - 1)
        kernel = np.where(fits | (np.ones(axes, bool) & (isinstance(padding, str) and padding == "same")), kernel, 1)
        weight = self.numbers(-1, 2, (groups * rng.integers(1, 3), shape[0] // groups, *kernel), 0.5)
        one = axes == 1
        node: nir.NIRNode = getattr(nir, kind)(
            input_shape=shape[1] if one else np.array(shape[1:]),
            weight=weight,
            stride=int(stride[0]) if one else stride,
            padding=int(padding[0]) if one and isinstance(padding, np.ndarray) else padding,
            dilation=int(dilation[0]) if one else dilation,
            groups=groups,
            bias=self.numbers(-1, 3, len(weight)),
        )
        return node

    def image_to_image(self, kind: str, shape: Shape) -> nir.NIRNode:
        """A convolution that keeps the shape."""
        weight = self.numbers(-1, 1, (shape[0], shape[0], *(3,) * (len(shape) - 1)), 0.5)
        size = shape[1] if kind == "Conv1d" else np.array(shape[1:])
        return getattr(nir, kind)(size, weight, 1, "same", 1, 1, self.numbers(-1, 2, shape[0]))

    def pool(self, kind: str, shape: Shape) -> nir.NIRNode:
        """Averages over 1, 2 or 4 elements: those are exact."""
        rng = self.rng
        kernel = rng.integers(1, 3, 2) if kind == "AvgPool2d" else rng.integers(1, 4, 2)
        padding = np.minimum(rng.integers(0, 2, 2), kernel // 2)
        kernel = np.where(np.array(shape[1:]) + 2 * padding >= kernel, kernel, 1)
        padding = np.where(kernel > 1, padding, 0)
        node: nir.NIRNode = getattr(nir, kind)(kernel_size=kernel, stride=rng.integers(1, 3, 2), padding=padding)
        return node

    def nested(self, shape: Shape) -> tuple[nir.NIRNode, Shape]:
        loops = self.loops and self.draw(st.integers(1, 2))
        inside = _Draft(self.draw, self.rng, self.dt, loops, self.serial, self.depth + 1)
        inside.add("Input", nir.Input({"input": np.array(shape)}), [], shape)
        inside.grow(self.draw(st.integers(0, 4)))
        inside.finish(1)
        inside.close_loops()
        self.refused += inside.refused
        (behind,) = (inside.gives[name] for name in inside.outputs())
        return inside.graph(), behind
