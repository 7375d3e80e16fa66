"""The backend "reference" against NIR's equations: forward Euler in float64, node by node, sharing no code with it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import networks
import nir
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import neuro_deploy as nd
from neuro_deploy.graph import read_graph
from neuro_deploy.neurons import FloatNeuron, spec
from neuro_deploy.neurons.observing import observe

DT = networks.DT
STEPS, BATCH = 14, 8
MARGIN = 1e-4
Array = NDArray[np.float64]
Edge = tuple[str, str]
INTEGRATORS = (nir.LI, nir.I, nir.CubaLI)
NEURON_TYPES = (nir.LIF, nir.IF, nir.Threshold, nir.CubaLIF, *INTEGRATORS)


class Oracle:
    """A graph in time.  order: the nodes of one step; late: edges that carry what the source sent a step before.

    After step(x), x (B, *shape): sent[name] and seen[name]["spikes" | "v" | "h" | "u"] have one entry a step; margin
    (B,) is the smallest distance of a potential from its threshold.
    """

    def __init__(self, graph: nir.NIRGraph, order: str, late: tuple[Edge, ...] = ()) -> None:
        self.nodes, self.order, self.late = graph.nodes, order.split(), late
        assert sorted(self.order) == sorted(graph.nodes)
        self.sources = {name: [a for a, b in graph.edges if b == name] for name in graph.nodes}
        self.sent: dict[str, list[Array]] = {name: [] for name in graph.nodes}
        self.seen: dict[str, dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
        self.state: dict[str, dict[str, Any]] = defaultdict(lambda: {"v": 0.0, "current": 0.0})
        self.margin: Any = np.inf
        self.inner = {n: Oracle(g, *_inside(g)) for n, g in graph.nodes.items() if isinstance(g, nir.NIRGraph)}

    def step(self, x: Array) -> Array:
        t = len(self.sent["output"])
        for name in self.order:
            node = self.nodes[name]
            if isinstance(node, nir.Input):
                y = x
            elif isinstance(node, nir.Delay):
                y = self._delay(name, node, t)
            elif name in self.inner:
                y = self.inner[name].step(self._drive(name, t))
                inside = self.inner[name].seen
                extra = {"u": inside["current"]["v"][-1]} if "current" in inside else {}
                self._see(name, spikes=y, h=inside["membrane"]["v"][-1], **extra)
                self.margin = np.minimum(self.margin, self.inner[name].margin)
            elif isinstance(node, NEURON_TYPES):
                y = self._neuron(name, node, self._drive(name, t))
            else:
                y = stateless(node, self._drive(name, t))
            self.sent[name].append(y)
        return self.sent["output"][-1]

    def _drive(self, name: str, t: int) -> Array:
        total: Any = 0.0
        for source in self.sources[name]:
            row = t - ((source, name) in self.late)
            total = total + (self.sent[source][row] if row >= 0 else self._rest(source))
        return total

    def _rest(self, name: str) -> Array:
        """What comes late in the first step: the constants, since nothing has fired yet.  (1, *shape)."""
        node = self.nodes[name]
        if isinstance(node, nir.Delay):
            back = np.rint(np.asarray(node.delay) / DT)
            given = sum(self._rest(source) for source in self.sources[name]) if (back == 0).any() else 0.0
            return np.where(back == 0, given, np.zeros((1, *back.shape)))
        if isinstance(node, (nir.Input, nir.NIRGraph, *NEURON_TYPES)):
            return np.zeros((1, *next(iter(node.output_type.values()))))
        return stateless(node, sum(self._rest(source) for source in self.sources[name]))

    def _delay(self, name: str, node: Any, t: int) -> Array:
        back = np.rint(np.asarray(node.delay) / DT).astype(int)
        y = np.zeros((len(self.sent[self.order[0]][0]), *back.shape))
        for place in np.ndindex(back.shape):
            if back[place] <= t:
                y[(slice(None), *place)] = self._drive(name, t - back[place])[(slice(None), *place)]
        return y

    def _neuron(self, name: str, node: Any, x: Array) -> Array:
        state, extra = self.state[name], {}
        if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
            state["current"] = state["current"] + DT / node.tau_syn * (node.w_in * x - state["current"])
            change = DT / node.tau_mem * (node.v_leak - state["v"] + node.r * state["current"])
            extra = {"u": DT / node.tau_mem * node.r * state["current"]}
        elif isinstance(node, (nir.LIF, nir.LI)):
            change = DT / node.tau * (node.v_leak - state["v"] + node.r * x)
        else:
            change = x if isinstance(node, nir.Threshold) else DT * node.r * x
        h = v = state["v"] + change
        silent = isinstance(node, INTEGRATORS)
        theta = node.threshold if isinstance(node, nir.Threshold) else np.inf if silent else node.v_threshold
        distance = np.abs(h - theta).reshape(len(h), -1).min(axis=1)
        self.margin = np.minimum(self.margin, distance)
        spikes = (h > theta).astype(float)
        if isinstance(node, nir.Threshold):  # without memory
            self._see(name, spikes=spikes, h=h)
            return spikes
        state["v"] = v = h if silent else np.where(h > theta, node.v_reset, h)
        self._see(name, spikes=spikes, v=v, h=h, **extra)
        return v if silent else spikes

    def _see(self, name: str, **values: Array) -> None:
        for key, value in values.items():
            self.seen[name][key].append(value)


def _inside(graph: nir.NIRGraph) -> tuple[str, tuple[Edge, ...]]:
    """The order of a CF population's nodes, and its back edges."""
    first = [name for name in ("input", "current", "membrane", "negate") if name in graph.nodes]
    thresholds = [name for name in graph.nodes if name.startswith("threshold")]
    last = [name for name in ("spikes", "spikes_neg", "reset", "reset_neg", "output") if name in graph.nodes]
    late = (("reset", "membrane"), ("reset_neg", "membrane"))
    return " ".join([*first, *thresholds, *last]), late


def stateless(node: Any, x: Array) -> Array:
    if isinstance(node, nir.Output):
        return x
    if isinstance(node, (nir.Linear, nir.Affine)):
        return x @ np.float64(node.weight).T + (node.bias if isinstance(node, nir.Affine) else 0.0)
    if isinstance(node, nir.Scale):
        return x * node.scale
    if isinstance(node, nir.Flatten):
        end = node.end_dim % (x.ndim - 1)
        return x.reshape(*x.shape[: node.start_dim + 1], -1, *x.shape[end + 2 :])
    return convolve(node, x) if isinstance(node, (nir.Conv1d, nir.Conv2d)) else pool(node, x)


def padded(x: Array, sides: list[tuple[int, int]]) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *sides])


def convolve(node: Any, x: Array) -> Array:
    """Multiply and add, one weight at a time."""
    weight, axes = np.float64(node.weight), node.weight.ndim - 2
    stride, dilation = np.broadcast_to(node.stride, axes), np.broadcast_to(node.dilation, axes)
    reach = dilation * (np.array(weight.shape[2:]) - 1)
    sides = [(0, 0)] * axes
    if isinstance(node.padding, str) and node.padding == "same":
        sides = [(int(n) // 2, int(n) - int(n) // 2) for n in reach]
    elif not isinstance(node.padding, str):
        sides = [(int(n), int(n)) for n in np.broadcast_to(node.padding, axes)]
    x = padded(x, sides)
    image = (np.array(x.shape[2:]) - reach - 1) // stride + 1
    y = np.zeros((len(x), len(weight), *image)) + node.bias.reshape(-1, *[1] * axes)
    for out, part, *tap in np.ndindex(weight.shape):
        channel = out * node.groups // len(weight) * weight.shape[1] + part
        for place in np.ndindex(*image):
            at = place * stride + np.array(tap) * dilation
            y[(slice(None), out, *place)] += weight[(out, part, *tap)] * x[(slice(None), channel, *at)]
    return y


def pool(node: Any, x: Array, number: type = np.float64) -> Array:
    """Row by row; an average is the sum, divided once."""
    kernel, stride, padding = (np.broadcast_to(n, 2) for n in (node.kernel_size, node.stride, node.padding))
    x = padded(x, [(int(n), int(n)) for n in padding]).astype(number)
    y = np.zeros((*x.shape[:2], *(np.array(x.shape[2:]) - kernel) // stride + 1), number)
    for place in np.ndindex(*y.shape[2:]):
        for tap in np.ndindex(*kernel):
            y[(..., *place)] += x[(..., *(place * stride + tap))]
    return y / number(kernel.prod()) if isinstance(node, nir.AvgPool2d) else y


def check(
    nodes: dict[str, nir.NIRNode], edges: str, order: str, x: NDArray[np.float32], late: tuple[Edge, ...] = ()
) -> Oracle:
    """Build the graph ("a>b>c d>b") and compare."""
    pairs = [pair for chain in edges.split() for pair in itertools.pairwise(chain.split(">"))]
    graph = networks.graph({"input": nir.Input({"input": np.array(x.shape[2:])}), **nodes}, pairs)
    return compare(graph, order, x, late)


def compare(graph: nir.NIRGraph, order: str, x: NDArray[np.float32], late: tuple[Edge, ...] = ()) -> Oracle:
    """Run both, compare every population; no vacuous agreement.

    Samples in which a potential comes near its threshold are left out: there, rounding decides.
    """
    want = Oracle(graph, order, late)
    sent = np.array([want.step(np.float64(row)) for row in x])
    clear = np.broadcast_to(want.margin > MARGIN, x.shape[1])
    assert clear.sum() >= 2, "choose another seed"
    trace = nd.simulate(graph, x[:, clear], "reference", ("spikes", "v", "h", "u"))
    assert set(want.seen) == set(trace.populations) - {"input"}
    for name, states in want.seen.items():
        got = trace.populations[name].data
        assert ("u" in got) == ("u" in states)
        for key, rows in states.items():
            values = np.array(rows)[:, clear]
            np.testing.assert_allclose(got[key], values, rtol=1e-5, atol=1e-5, err_msg=f"{name}.{key}")
        fired = np.array(states["spikes"])[:, clear]
        np.testing.assert_array_equal(got["spikes"], fired)
        if isinstance(graph.nodes[name], INTEGRATORS):
            assert not fired.any() and np.abs(got["v"]).max() > 0.1
        else:
            assert 0.02 < (fired != 0).mean() < 0.98, (name, fired.mean())
    with torch.no_grad():
        got = nd.import_nir(graph)(torch.from_numpy(x[:, clear]))
    np.testing.assert_allclose(got, sent[:, clear], rtol=1e-5, atol=1e-5)
    return want


def f32(values: Any) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def between(rng: np.random.Generator, low: float, high: float, shape: Any) -> NDArray[np.float32]:
    return f32(rng.uniform(low, high, shape))


def lif(shape: Any, rng: np.random.Generator, *, reset: bool = False) -> nir.LIF:
    tau = DT / between(rng, 0.1, 0.5, shape)
    return nir.LIF(
        tau=tau,
        r=tau / DT * between(rng, 0.8, 1.2, shape),
        v_leak=between(rng, -0.1, 0.1, shape),
        v_threshold=between(rng, 0.4, 0.9, shape),
        v_reset=between(rng, -0.5, 0.3, shape) if reset else np.zeros(shape, np.float32),
    )


def cuba(kind: type, shape: Any, rng: np.random.Generator) -> Any:
    tau_syn, tau_mem = DT / between(rng, 0.2, 0.7, shape), DT / between(rng, 0.1, 0.5, shape)
    gains = {"r": tau_mem / DT * between(rng, 0.7, 1.1, shape), "w_in": tau_syn / DT * between(rng, 0.6, 1.2, shape)}
    fires = {"v_threshold": between(rng, 0.6, 1.3, shape), "v_reset": between(rng, -0.5, 0.3, shape)}
    leak = between(rng, -0.4, 0.4, shape)
    return kind(tau_syn=tau_syn, tau_mem=tau_mem, v_leak=leak, **gains, **(fires if kind is nir.CubaLIF else {}))


def linear(targets: int, sources: int, rng: np.random.Generator, scale: float = 1.0) -> nir.Linear:
    return nir.Linear(weight=f32(rng.normal(1 / sources, scale / np.sqrt(sources), (targets, sources))))


def end(*shape: int) -> nir.Output:
    return nir.Output({"output": np.array(shape)})


def drawn(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return between(rng, 0, 1, (STEPS, BATCH, *shape))


NEURONS = {
    "LIF": lambda rng: lif(7, rng),
    "LIF to a value": lambda rng: lif(7, rng, reset=True),
    "IF": lambda rng: nir.IF(
        r=between(rng, 0.3, 0.6, 7) / np.float32(DT), v_threshold=between(rng, 0.4, 0.9, 7), v_reset=np.zeros(7)
    ),
    "IF to a value": lambda rng: nir.IF(
        r=between(rng, 0.3, 0.6, 7) / np.float32(DT), v_threshold=between(rng, 0.4, 0.9, 7), v_reset=f32([0.2] * 7)
    ),
    "Threshold": lambda rng: nir.Threshold(threshold=between(rng, 0.2, 0.7, 7)),
    "CubaLIF": lambda rng: cuba(nir.CubaLIF, 7, rng),
    "LI": lambda rng: nir.LI(tau=f32(DT / between(rng, 0.1, 0.5, 7)), r=f32([1.5] * 7), v_leak=f32([0.3] * 7)),
    "I": lambda rng: nir.I(r=between(rng, 0.5, 1, 7) / np.float32(DT)),
    "CubaLI": lambda rng: cuba(nir.CubaLI, 7, rng),
}


@pytest.mark.parametrize("kind", NEURONS)
def test_neurons(kind: str) -> None:
    """Each behind a LIF and in front of a LIF: potentials of integrators go on as they are."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    nodes = {"fc": linear(7, 5, rng, 2.0), "a": NEURONS[kind](rng), "fd": linear(4, 7, rng, 2.0), "b": lif(4, rng)}
    nodes |= {"output": end(4)}
    want = check(nodes, "input>fc>a>fd>b>output", "input fc a fd b output", drawn(rng, 5))
    assert ("u" in want.seen["a"]) == kind.startswith("Cuba")
    # the neuron last: an integrator's potential reaches the output
    nodes = {"fc": nodes["fc"], "a": nodes["a"], "output": end(7)}
    want = check(nodes, "input>fc>a>output", "input fc a output", drawn(rng, 5))
    assert bool(np.array(want.seen["a"]["spikes"]).any()) == (kind not in ("LI", "I", "CubaLI"))


CF = {"circulations": np.float32(3), "circulations_neg": np.float32(0)}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("current", [False, True])
def test_circulate_firing_is_its_standard_nodes(signed: bool, current: bool) -> None:
    rng = np.random.default_rng(30 + signed + 2 * current)
    neuron = networks.cf(6, rng, rounds=2, rounds_neg=2 * signed)
    more = {"beta_syn": between(rng, 0.2, 0.6, 6)} if current else {}
    node = spec("cf").write(FloatNeuron("cf", (6,), {**neuron.params, **more}), DT)
    nodes = {"fc": linear(6, 5, rng, 3.0), "a": node, "output": end(6)}
    want = check(nodes, "input>fc>a>output", "input fc a output", drawn(rng, 5) * 2)
    assert set(np.unique(want.seen["a"]["spikes"])) == ({-2, -1, 0, 1, 2} if signed else {0, 1, 2})


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((4, 3, 3, 2), {}),
    "stride": ((4, 3, 3, 2), {"stride": (2, 1)}),
    "padding": ((4, 3, 3, 2), {"padding": (2, 1), "stride": 2}),
    "dilation": ((4, 3, 2, 3), {"dilation": (3, 2), "padding": 1}),
    "groups": ((6, 1, 3, 3), {"groups": 3}),
    "same": ((4, 3, 3, 5), {"padding": "same"}),
    "same, even": ((4, 3, 2, 4), {"padding": "same"}),
    "same, dilated": ((4, 3, 3, 2), {"padding": "same", "dilation": (2, 1)}),
    "valid": ((4, 3, 2, 2), {"padding": "valid"}),
    "1-D": ((4, 3, 3), {}),
    "1-D, everything": ((6, 1, 3), {"stride": 2, "padding": 3, "dilation": 2, "groups": 3}),
    "1-D, same, even": ((4, 3, 4), {"padding": "same"}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case: str) -> None:
    rng = np.random.default_rng(sum(map(ord, case)))
    shape, options = CONVOLUTIONS[case]
    options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    weight = f32(rng.normal(0.1, 1.5 / np.sqrt(np.prod(shape[1:])), shape))
    kind = nir.Conv1d if len(shape) == 3 else nir.Conv2d
    node = kind(input_shape=None, weight=weight, bias=between(rng, -0.2, 0.3, shape[0]), **options)
    x = drawn(rng, 3, 8, 7) if kind is nir.Conv2d else drawn(rng, 3, 11)
    image = stateless(node, np.float64(x[0])).shape[1:]
    flat = int(np.prod(image))
    nodes = {"conv": node, "a": lif(image, rng), "flat": nir.Flatten(start_dim=0, end_dim=-1, input_type=None)}
    nodes |= {"fc": linear(4, flat, rng, 2.0), "b": lif(4, rng), "output": end(4)}
    check(nodes, "input>conv>a>flat>fc>b>output", "input conv a flat fc b output", x)


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((2, 2), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 0)), ((3, 3), (1, 2), (2, 2))]
)
def test_pools_bit_for_bit(kind: type, kernel: Any, stride: Any, padding: Any) -> None:
    node = kind(kernel_size=np.array(kernel), stride=np.array(stride), padding=np.array(padding))
    rng = np.random.default_rng(4)
    x = f32(rng.normal(0, 1, (2, 3, 4, 7, 6)))
    want = np.stack([pool(node, row, np.float32) for row in x])
    nodes = {"input": nir.Input({"input": np.array(x.shape[2:])}), "pool": node, "output": end(*want.shape[2:])}
    module = nd.import_nir(networks.graph(nodes, [("input", "pool"), ("pool", "output")]))
    np.testing.assert_array_equal(module(torch.from_numpy(x)), want)
    nodes = {"pool": node, "a": lif(want.shape[2:], rng), "output": end(*want.shape[2:])}
    x = drawn(rng, 4, 7, 6) / (np.prod(kernel) if kind is nir.SumPool2d else 1)
    check(nodes, "input>pool>a>output", "input pool a output", f32(x))


@pytest.mark.parametrize(
    "steps", [[3] * 6, [0, 1, 2, 5, 1, 0], [4, 1, 9, 2, 40, 1]], ids=["uniform", "some without", "per element"]
)
def test_delays(steps: list[int]) -> None:
    rng = np.random.default_rng(sum(steps))
    delay = nir.Delay(delay=f32(np.array(steps) * DT))
    nodes = {"fc": linear(6, 5, rng, 2.0), "a": lif(6, rng), "delay": delay, "fd": linear(4, 6, rng, 2.0)}
    nodes |= {"b": lif(4, rng), "output": end(4)}
    check(nodes, "input>fc>a>delay>fd>b>output", "input fc a delay fd b output", drawn(rng, 5))


def test_a_population_that_feeds_itself() -> None:
    rng = np.random.default_rng(1)
    nodes = {"fc": linear(6, 5, rng, 2.0), "a": lif(6, rng), "back": linear(6, 6, rng), "output": end(6)}
    check(nodes, "input>fc>a>output a>back>a", "input fc a back output", drawn(rng, 5), (("back", "a"),))
    nodes = {"fc": nodes["fc"], "a": nodes["a"], "output": end(6)}
    check(nodes, "input>fc>a>output a>a", "input fc a output", drawn(rng, 5), (("a", "a"),))


def test_a_loop_over_two_populations_with_parts_before_beside_and_behind() -> None:
    """Two loops, one feeding the other; CF, CubaLIF and an integrator within them; a branch round the first."""
    rng = np.random.default_rng(2)
    cf = FloatNeuron("cf", (5,), {**networks.cf(5, rng).params, "beta_syn": between(rng, 0.2, 0.5, 5)})
    nodes = {
        "fc": linear(6, 5, rng, 2.0),
        "z": lif(6, rng),
        "ab": linear(5, 6, rng, 1.5),
        "cf": spec("cf").write(cf, DT),
        "ba": linear(6, 5, rng, 0.5),
        "side": linear(4, 6, rng),
        "bc": linear(4, 5, rng),
        "m": cuba(nir.CubaLIF, 4, rng),
        "mem": nir.LI(tau=f32([DT / 0.4] * 4), r=f32([0.5] * 4), v_leak=np.zeros(4, np.float32)),
        "out": linear(3, 4, rng, 2.0),
        "last": lif(3, rng),
        "output": end(3),
    }
    edges = "input>fc>z>ab>cf>ba>z z>side>m cf>bc>m>mem>m m>out>last>output"
    late = (("ba", "z"), ("mem", "m"))
    check(nodes, edges, "input fc z ab cf ba side bc m mem out last output", drawn(rng, 5), late)


@pytest.mark.parametrize("steps", [[1] * 6, [2, 1, 3, 7, 1, 30]], ids=["uniform", "per element"])
@pytest.mark.parametrize("name", ["delay", "a_delay"])
def test_a_loop_through_a_delay(steps: list[int], name: str) -> None:
    """A Delay of a step or more closes a loop without one more step, wherever its name puts it in the order."""
    rng = np.random.default_rng(3 + sum(steps))
    nodes = {"fc": linear(6, 5, rng, 2.0), "b": lif(6, rng), "back": linear(6, 6, rng), "output": end(6)}
    nodes[name] = nir.Delay(delay=f32(np.array(steps) * DT))
    check(nodes, f"input>fc>b>output b>back>{name}>b", f"input fc {name} b back output", drawn(rng, 5))


def test_a_loop_through_a_delay_without_a_step_in_one_element() -> None:
    rng = np.random.default_rng(6)
    nodes = {"fc": linear(6, 5, rng, 2.0), "b": lif(6, rng), "back": linear(6, 6, rng), "output": end(6)}
    nodes["delay"] = nir.Delay(delay=f32(np.array([0, 1, 2, 0, 5, 1]) * DT))
    order, late = "input fc b back delay output", (("delay", "b"),)
    check(nodes, "input>fc>b>output b>back>delay>b", order, drawn(rng, 5), late)


def test_a_convolution_and_a_pool_in_a_loop() -> None:
    rng = np.random.default_rng(7)
    conv = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "bias": np.zeros(2, np.float32)}
    nodes = {
        "conv": nir.Conv2d(input_shape=None, weight=f32(rng.normal(0.1, 0.4, (2, 1, 3, 3))), **conv),
        "a": lif((2, 4, 5), rng),
        "back": nir.Conv2d(input_shape=None, weight=f32(rng.normal(0.0, 0.2, (2, 2, 3, 3))), **conv),
        "pool": nir.AvgPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 1]), padding=np.array([0, 0])),
        "b": lif((2, 2, 4), rng),
        "output": end(2, 2, 4),
    }
    nodes["b"].v_threshold[:] = 0.3
    order = "input conv a back pool b output"
    check(nodes, "input>conv>a>back>a a>pool>b>output", order, drawn(rng, 1, 4, 5), (("back", "a"),))


def test_constants_in_a_loop_are_there_before_the_first_step() -> None:
    """Through an affine map, a scale and a delay; from a neuron outside, and from the input."""
    rng = np.random.default_rng(10)
    nodes = {
        "fc": linear(6, 5, rng, 2.0),
        "z": lif(6, rng),
        "zb": networks.affine(6, 6, rng),
        "ib": networks.affine(6, 5, rng),
        "a": lif(6, rng),
        "back": networks.affine(6, 6, rng),
        "delay": nir.Delay(delay=f32(np.array([0, 1, 2, 0, 5, 1]) * DT)),
        "scale": nir.Scale(scale=between(rng, 0.5, 1.5, 6)),
        "output": end(6),
    }
    edges = "input>fc>z a>back>scale>a back>delay>a z>zb>scale input>ib>scale a>output"
    order, late = "input fc z zb ib scale a back delay output", (("back", "scale"), ("delay", "a"))
    want = check(nodes, edges, order, drawn(rng, 5), late)
    assert np.abs(want._rest("scale")).min() > 1e-3 and (want._rest("delay")[0] != 0).tolist() == [1, 0, 0, 1, 0, 0]


def test_a_linear_memory_within_a_loop() -> None:
    """f[t] = W (a[t] + f[t-2]) + b, and a gets f a step late: in the first step b, since the memory is empty."""
    rng = np.random.default_rng(12)
    memory = networks.affine(6, 6, rng, scale=0.6)
    nodes = {"fc": linear(6, 5, rng, 2.0), "a": lif(6, rng), "f": memory, "output": end(6)}
    nodes["delay"] = nir.Delay(delay=f32(np.full(6, 2) * DT))
    edges = "input>fc>a>output a>f>a f>delay>f"
    want = check(nodes, edges, "input fc a delay f output", drawn(rng, 5), (("f", "a"),))
    np.testing.assert_array_equal(want._rest("f")[0], memory.bias)


def test_every_kind_at_once() -> None:
    order = (
        "input conv1 cf keep echo avg conv2 lif conv3 sum fade signed flat fc4 cuba back fc5 current wait fc6 if fc7 "
        "threshold"
    )
    x = networks.pixels(8, 12, 128).reshape(8, 12, 2, 8, 8)
    compare(networks.everything(), f"{order} fc8 out output", x, (("back", "cuba"),))


def test_a_loop_of_weight_zero_changes_no_bit() -> None:
    """Step by step and over whole sequences, observed states included; sums of these numbers are exact."""
    rng = np.random.default_rng(8)
    x = networks.pixels(9, 5, 12)
    chain = networks.chain()
    for name in ("fc1", "fc2", "fc3"):
        for array in (chain.nodes[name].weight, chain.nodes[name].bias):
            array[:] = np.rint(array * 256) / 256
    loop = networks.graph({**chain.nodes, "back": linear(20, 9, rng)}, [*chain.edges, ("cf2", "back"), ("back", "cf1")])
    record = ("spikes", "v", "h")
    one = nd.simulate(chain, x, "reference", record)
    for scale in (0.0, 1.0):
        loop.nodes["back"].weight = f32(loop.nodes["back"].weight * scale if scale else rng.normal(0, 1, (20, 9)) * 0)
        two = nd.simulate(loop, x, "reference", record)
        assert list(two.populations) == list(one.populations)
        for name, recording in one.populations.items():
            for key, values in recording.data.items():
                np.testing.assert_array_equal(two.populations[name].data[key], values)


def test_gradients_go_round_a_loop() -> None:
    rng = np.random.default_rng(9)
    nodes = {"input": nir.Input({"input": np.array([5])}), "fc": linear(6, 5, rng, 2.0), "a": lif(6, rng)}
    nodes |= {"back": linear(6, 6, rng), "output": end(6)}
    edges = [("input", "fc"), ("fc", "a"), ("a", "back"), ("back", "a"), ("a", "output")]
    module = nd.import_nir(networks.graph(nodes, edges))
    x = torch.from_numpy(drawn(rng, 5)).requires_grad_()
    module(x)[-1].sum().backward()
    assert x.grad is not None and x.grad[0].abs().max() > 0


ENDS = {
    "LI": lambda: nd.nn.Integrator([0.5, 0.7, 0.9]),
    "I": lambda: nd.nn.Integrator(1.0),
    "CubaLI": lambda: nd.nn.Integrator(0.9, beta_syn=0.6),
    "CubaLIF": lambda: nd.nn.LIF(0.8, 0.4, reset="hard", beta_syn=0.5, v_reset=[-0.2, 0.1, 0.0]),
    "LIF": lambda: nd.nn.LIF(0.8, 0.6, reset="hard", v_reset=0.1),
    "NIRGraph": lambda: nd.nn.LIF(0.8, 0.6, beta_syn=[0.5, 0.25, 0.75]),
}


@pytest.mark.parametrize("kind", ENDS)
def test_exported_and_read_back_bit_for_bit(kind: str, tmp_path: Any) -> None:
    torch.manual_seed(0)
    first = nd.nn.CirculateFire(0.8, 0.7, 2, polarity="signed", beta_syn=torch.linspace(0.3, 0.6, 9))
    net = nn.Sequential(nn.Linear(5, 9), first, nn.Linear(9, 3), ENDS[kind]()).eval()
    with torch.no_grad():
        net[0].weight *= 3
        net[2].weight *= 2
    x = torch.from_numpy(drawn(np.random.default_rng(5), 5))
    graph = nd.export_nir(net, dt=0.003, input_shape=(5,))
    assert type(graph.nodes["3"]).__name__ == kind and "current" in graph.nodes["1"].nodes
    nd.write_nir(graph, tmp_path / "net.nir")
    with torch.no_grad(), observe(net) as states:
        sent = net(x)
        assert torch.equal(nd.import_nir(tmp_path / "net.nir")(x), sent)
    assert states["1"].spikes.any() and sent.any()
    trace = nd.simulate(nd.read_nir(tmp_path / "net.nir"), x.numpy(), "reference", ("spikes", "v", "h", "u"))
    for name in ("1", "3"):
        for key, values in states[name]._asdict().items():
            assert (values is None) == (key not in trace.populations[name].data)
            if values is not None:
                np.testing.assert_array_equal(trace.populations[name].data[key], values, err_msg=f"{name}.{key}")
    assert read_graph(graph).neurons["3"].kind == {"I": "li", "NIRGraph": "cf"}.get(kind, kind[-3:].strip("a").lower())
