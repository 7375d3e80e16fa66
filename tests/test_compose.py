"""Convolutions, pools, delays, loops and currents: the composed network does what the nodes say, step by step."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.graph import algebra, compose, read_graph
from neuro_deploy.graph.nodes import Pool
from neuro_deploy.graph.timing import place
from neuro_deploy.wiring import Conv, Dense, Sparse

DT = networks.DT


def shaped(*shape: int) -> np.ndarray:
    return np.array(shape)


def lif(shape: tuple[int, ...], beta: float = 0.8, theta: float = 1.0) -> nir.LIF:
    tau = DT / (1 - beta)
    return nir.LIF(
        tau=np.full(shape, tau), r=np.full(shape, tau / DT), v_leak=np.zeros(shape), v_threshold=np.full(shape, theta)
    )


def conv(rng: np.random.Generator, shape: tuple[int, ...], image: Any, **options: Any) -> Any:
    kind = nir.Conv1d if len(shape) == 3 else nir.Conv2d
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    weight = rng.normal(0.1, 0.4, shape).astype(np.float32)
    return kind(input_shape=image, weight=weight, bias=rng.normal(0.05, 0.1, shape[0]).astype(np.float32), **given)


def line(*nodes: tuple[str, nir.NIRNode]) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
    names = [name for name, _ in nodes]
    return dict(nodes), list(itertools.pairwise(names))


def direct(weight: np.ndarray, x: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int) -> np.ndarray:
    """A convolution by its definition, output by output."""
    c_out, per_group, kh, kw = weight.shape
    padded = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))
    height = (padded.shape[1] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    width = (padded.shape[2] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((c_out, height, width))
    for o in range(c_out):
        first = o // (c_out // groups) * per_group
        for y in range(height):
            for z in range(width):
                for c in range(per_group):
                    for i in range(kh):
                        for j in range(kw):
                            at = padded[first + c, y * stride[0] + i * dilation[0], z * stride[1] + j * dilation[1]]
                            out[o, y, z] += weight[o, c, i, j] * at
    return out


@pytest.mark.parametrize(
    ("shape", "image", "options"),
    [
        ((4, 2, 3, 3), (2, 7, 6), {"stride": 2, "padding": 1}),
        ((4, 1, 3, 2), (2, 7, 6), {"groups": 2, "stride": (1, 2), "padding": (2, 0), "dilation": (2, 1)}),
        ((3, 2, 2, 4), (2, 5, 6), {"padding": "same"}),
        ((3, 2, 5, 5), (2, 6, 6), {"padding": "valid"}),
        ((6, 3, 4), (3, 11), {"stride": 2, "padding": 1, "dilation": 2}),
        ((6, 1, 3), (3, 11), {"groups": 3}),
    ],
)
def test_a_convolution_is_its_definition(shape: Any, image: Any, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    node = conv(rng, shape, image[1:] if len(image) == 3 else image[1], **options)
    probe = nir.NIRGraph(*line(("input", nir.Input({"input": shaped(*image)})), ("conv", node)), type_check=False)
    out = {n.name: n.shape for n in read_graph(probe, DT).nodes}["conv"]
    nodes, edges = line(
        ("input", nir.Input({"input": shaped(*image)})),
        ("conv", node),
        ("lif", lif(out)),
        ("output", nir.Output({"output": shaped(*out)})),
    )
    network = compose(read_graph(networks.graph(nodes, edges)))
    (synapse,) = network.synapses
    assert isinstance(synapse.wiring, Conv)
    x = rng.normal(size=image)
    axes = len(image) - 1
    weight = node.weight if axes == 2 else node.weight[:, :, None]
    picture = x if axes == 2 else x[:, None]

    def two(value: Any, fill: int) -> tuple[int, int]:
        return (fill, value) if axes == 1 else value if isinstance(value, tuple) else (value, value)

    padding = {"same": (0, 0), "valid": (0, 0)}.get(str(node.padding)) or two(node.padding, 0)
    if node.padding == "same":
        spare = [k - 1 for k in weight.shape[2:]]
        picture = np.pad(picture, ((0, 0), *((s // 2, s - s // 2) for s in spare)))
    wanted = direct(weight, picture, two(node.stride, 1), padding, two(node.dilation, 1), node.groups)
    got = synapse.wiring.apply(x.reshape(1, -1))[0].reshape(out)
    np.testing.assert_allclose(got, wanted.reshape(out), rtol=1e-12, atol=1e-12)
    bias = network.populations[0].bias.reshape(out[0], -1)
    np.testing.assert_array_equal(bias, np.repeat(node.bias.astype(float)[:, None], bias.shape[1], axis=1))
    targets, sources, weights = synapse.wiring.triples()
    expanded = np.zeros((synapse.wiring.target_size, synapse.wiring.source_size))
    expanded[targets, sources] = weights
    np.testing.assert_allclose(expanded @ x.reshape(-1), wanted.reshape(-1), rtol=1e-12, atol=1e-12)


def test_chains_stay_convolutions_where_they_can() -> None:
    """Scale by channel joins the kernel; a pool is a convolution; pool and dense become a matrix."""
    rng = np.random.default_rng(1)
    per_channel = np.broadcast_to(rng.uniform(0.5, 2, (2, 1, 1)), (2, 6, 6)).astype(np.float32)
    after = np.broadcast_to(rng.uniform(0.5, 2, (3, 1, 1)), (3, 4, 4)).astype(np.float32)
    first = conv(rng, (3, 2, 3, 3), (6, 6))
    nodes, edges = line(
        ("input", nir.Input({"input": shaped(2, 6, 6)})),
        ("before", nir.Scale(per_channel)),
        ("conv", first),
        ("after", nir.Scale(after)),
        ("one", lif((3, 4, 4))),
        ("pool", nir.AvgPool2d(shaped(2, 2), shaped(2, 2), shaped(0, 0))),
        ("two", lif((3, 2, 2))),
        ("sum", nir.SumPool2d(shaped(2, 2), shaped(1, 1), shaped(1, 1))),
        ("flat", nir.Flatten(start_dim=0, end_dim=-1, input_type=None)),
        ("fc", networks.affine(4, 27, rng)),
        ("three", lif((4,))),
        ("output", nir.Output({"output": shaped(4)})),
    )
    network = compose(read_graph(networks.graph(nodes, edges)))
    kinds = [type(s.wiring) for s in network.synapses]
    assert kinds == [Conv, Conv, Dense]
    scale = first.weight * per_channel[:, 0, 0][None, :, None, None] * after[:, 0, 0][:, None, None, None]
    np.testing.assert_allclose(network.synapses[0].wiring.weight, scale, rtol=1e-6)
    np.testing.assert_array_equal(network.synapses[1].wiring.weight, np.full((3, 1, 2, 2), 0.25))
    x = rng.normal(size=(3, 2, 2))
    pooled = direct(np.ones((3, 1, 2, 2)), x, (1, 1), (1, 1), (1, 1), 3)
    wanted = nodes["fc"].weight.astype(float) @ pooled.reshape(-1)
    np.testing.assert_allclose(network.synapses[2].wiring.apply(x.reshape(1, -1))[0], wanted, rtol=1e-12)
    assert [p.latency for p in network.populations] == [1, 2, 3]


def test_two_convolutions_become_one_where_that_is_exact() -> None:
    """Drawn pairs, pools among them: always the same map, and one convolution unless the padding would see pixels."""
    rng = np.random.default_rng(6)
    met: Counter[str] = Counter()
    while met["pairs"] < 300:
        pair: list[Conv] = []
        shape = (int(rng.integers(1, 5)), int(rng.integers(3, 10)), int(rng.integers(3, 10)))
        for _ in range(2):
            if rng.integers(3) == 0:
                side = int(rng.integers(2, 4))
                pool = Pool((side, side), (int(rng.integers(1, 4)),) * 2, (int(rng.integers(0, 2)),) * 2, True)
                made = algebra.pooling(pool, shape)
            else:
                groups = int(rng.choice([g for g in range(1, 5) if shape[0] % g == 0]))
                weight = rng.normal(size=(groups * int(rng.integers(1, 4)), shape[0] // groups, *rng.integers(1, 4, 2)))
                pairs = ((int(a), int(b)) for a, b in (rng.integers(low, 3, 2) for low in (1, 0, 1)))
                made = Conv(weight, shape, *pairs, groups)
            if made.problems:
                break
            shape = made.target_shape
            pair.append(made)
        else:
            before, after = pair
            found = algebra.product(after, before)
            x = rng.normal(size=(3, before.source_size))
            np.testing.assert_allclose(found.apply(x), after.apply(before.apply(x)), rtol=1e-9, atol=1e-9)
            met["pairs"] += 1
            met[found.kind] += 1
            if isinstance(found, Conv):
                met["padded twice"] += max(after.padding) > 0 and max(before.padding) > 0
                met["padded behind a pool"] += max(after.padding) > 0 and before.groups == before.channels > 1
                met["strided"] += max(before.stride) > 1
                met["grouped"] += found.groups > 1
                met["grouped otherwise"] += 1 < after.groups != before.groups > 1
    wanted = {"conv": 50, "sparse": 50, "padded twice": 9, "padded behind a pool": 9, "strided": 30, "grouped": 9}
    wanted |= {"grouped otherwise": 2}
    assert not {name: met[name] for name, least in wanted.items() if met[name] < least}, met


def test_a_pool_that_tiles_its_image_joins_the_convolution_behind_it() -> None:
    pool = algebra.pooling(Pool((2, 2), (2, 2), (0, 0), True), (3, 8, 8))
    conv_behind = Conv(np.random.default_rng(0).normal(size=(5, 3, 3, 3)), (3, 4, 4), (1, 1), (1, 1))
    found = algebra.product(conv_behind, pool)
    assert isinstance(found, Conv) and found.weight.shape == (5, 3, 6, 6)
    assert (found.stride, found.padding, found.target_shape) == ((2, 2), (2, 2), (5, 4, 4))
    odd = algebra.pooling(Pool((2, 2), (2, 2), (0, 0), True), (3, 9, 9))
    assert isinstance(algebra.product(conv_behind, odd), Sparse)


def test_large_sparse_maps_stay_sparse() -> None:
    """A scale that differs within a channel breaks the shared kernel."""
    rng = np.random.default_rng(2)
    uneven = rng.uniform(0.5, 2, (4, 8, 8)).astype(np.float32)
    nodes, edges = line(
        ("input", nir.Input({"input": shaped(2, 8, 8)})),
        ("conv", conv(rng, (4, 2, 3, 3), (8, 8), padding=1)),
        ("uneven", nir.Scale(uneven)),
        ("lif", lif((4, 8, 8))),
        ("output", nir.Output({"output": shaped(4, 8, 8)})),
    )
    (synapse,) = compose(read_graph(networks.graph(nodes, edges))).synapses
    assert isinstance(synapse.wiring, Sparse)
    x = rng.normal(size=(2, 8, 8))
    wanted = direct(nodes["conv"].weight, x, (1, 1), (1, 1), (1, 1), 1) * uneven
    np.testing.assert_allclose(synapse.wiring.apply(x.reshape(1, -1))[0], wanted.reshape(-1), rtol=1e-12, atol=1e-12)


def looped(**more: nir.NIRNode) -> nir.NIRGraph:
    rng = np.random.default_rng(3)
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": shaped(5)}),
        "fc": networks.affine(4, 5, rng, scale=2.0),
        "lif": lif((4,)),
        "back": networks.affine(4, 4, rng),
        "output": nir.Output({"output": shaped(4)}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output"), ("lif", "back")]
    path = ["back", *more, "lif"]
    return networks.graph(nodes | more, edges + list(itertools.pairwise(path)))


def test_a_self_loop_takes_one_step() -> None:
    reading = read_graph(looped())
    assert {n.name: n.late for n in reading.nodes}["lif"] == ("back",)
    network = compose(reading)
    assert [(s.source, s.target, s.delay) for s in network.synapses] == [("input", "lif", 0), ("lif", "lif", 0)]
    assert network.populations[0].latency == 1
    both = reading.nodes[1].operation.bias.astype(float) + nir_bias(looped(), "back")
    np.testing.assert_allclose(network.populations[0].bias, both, rtol=1e-12)


def nir_bias(graph: nir.NIRGraph, name: str) -> np.ndarray:
    return graph.nodes[name].bias.astype(float)


def test_a_delay_in_a_loop_is_the_loops_own() -> None:
    reading = read_graph(looped(wait=nir.Delay(np.full(4, 3 * DT))))
    assert not any(n.late for n in reading.nodes)
    network = compose(reading)
    assert [(s.source, s.delay) for s in network.synapses if s.source == "lif"] == [("lif", 2)]


def test_delays_differ_by_element_and_shift_latency() -> None:
    """Each delay is a synapse of its own; a delayed constant comes from the neuron that always fires."""
    rng = np.random.default_rng(4)
    nodes, edges = line(
        ("input", nir.Input({"input": shaped(5)})),
        ("fc", networks.affine(4, 5, rng, scale=2.0)),
        ("wait", nir.Delay(np.array([0, 2, 0, 5]) * DT)),
        ("lif", lif((4,))),
        ("output", nir.Output({"output": shaped(4)})),
    )
    network = compose(read_graph(networks.graph(nodes, edges)))
    delays = {s.delay: np.flatnonzero(np.abs(s.wiring.weight).sum(axis=1)).tolist() for s in network.synapses[:3]}
    assert network.synapses[0].source == "input" and network.populations[-1].latency == 1
    assert delays == {0: [0, 2], 2: [1], 5: [3]}
    ones = [s for s in network.synapses if s.source == "one"]
    bias = nodes["fc"].bias.astype(float)
    assert {s.delay: s.wiring.weight[:, 0].tolist() for s in ones} == {
        1: [0.0, bias[1], 0.0, 0.0],
        4: [0.0, 0.0, 0.0, bias[3]],
    }
    np.testing.assert_array_equal(network.populations[-1].bias, np.where([1, 0, 1, 0], bias, 0))


def test_a_delay_that_is_no_whole_number_of_steps_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"wait: a delay of 0\.003 s is not a whole number of steps"):
        read_graph(looped(wait=nir.Delay(np.full(4, 1.5 * DT))))


def two_populations(delay: float) -> nir.NIRGraph:
    rng = np.random.default_rng(5)
    nodes = {
        "input": nir.Input({"input": shaped(3)}),
        "fc": networks.affine(4, 3, rng, scale=2.0),
        "a": lif((4,)),
        "to_b": networks.affine(6, 4, rng),
        "b": lif((6,)),
        "to_a": networks.affine(4, 6, rng),
        "output": nir.Output({"output": shaped(6)}),
    }
    edges = [("input", "fc"), ("fc", "a"), ("a", "to_b"), ("to_b", "b"), ("b", "output"), ("b", "to_a")]
    if delay:
        nodes["wait"] = nir.Delay(np.full(4, delay))
        return networks.graph(nodes, [*edges, ("to_a", "wait"), ("wait", "a")])
    return networks.graph(nodes, [*edges, ("to_a", "a")])


def test_a_loop_must_be_as_long_as_its_synapses() -> None:
    with pytest.raises(UnsupportedError, match=r"a -> b -> a: the loop takes 1 step .* but 2 on the chip"):
        compose(read_graph(two_populations(0)))
    network = compose(read_graph(two_populations(2 * DT)))
    assert {(s.source, s.target): s.delay for s in network.synapses} == {
        ("input", "a"): 0,
        ("b", "a"): 0,
        ("a", "b"): 0,
        ("one", "a"): 1,
    }, "the bias on the way back passes the Delay, too"
    assert {p.name: p.latency for p in network.populations} == {"one": 1, "a": 1, "b": 2}


def test_a_current_gets_constants_from_the_neuron_that_always_fires() -> None:
    rng = np.random.default_rng(6)
    tau = np.full(4, 4 * DT)
    cuba = nir.CubaLIF(
        tau_syn=tau, tau_mem=2 * tau, r=np.full(4, 3.0), v_leak=np.full(4, 0.5), v_threshold=np.ones(4), w_in=2.0
    )
    nodes, edges = line(
        ("input", nir.Input({"input": shaped(3)})),
        ("fc", networks.affine(4, 3, rng)),
        ("cuba", cuba),
        ("output", nir.Output({"output": shaped(4)})),
    )
    network = compose(read_graph(networks.graph(nodes, edges)))
    gain = 2.0 / 4 * 3.0 / 8
    by_source = {s.source: s for s in network.synapses}
    np.testing.assert_allclose(by_source["input"].weight, nodes["fc"].weight.astype(float) * gain, rtol=1e-12)
    np.testing.assert_allclose(by_source["one"].weight[:, 0], nodes["fc"].bias.astype(float) * gain, rtol=1e-12)
    assert [p.name for p in network.populations] == ["one", "cuba"]
    assert [p.latency for p in network.populations] == [1, 2] and by_source["input"].delay == 1
    np.testing.assert_allclose(network.populations[1].bias, np.full(4, 0.5 / 8), rtol=1e-6)
    trace = nd.simulate(nd.compile(networks.graph(nodes, edges)), networks.pixels(6, 3, 3), "sim", ("spikes",))
    assert trace.aligned("one", "spikes").all(), "it fires in every step of the network"


def test_what_has_no_place_on_a_chip_is_named() -> None:
    rng = np.random.default_rng(7)
    integrator = nir.LI(tau=np.full(4, 4 * DT), r=np.full(4, 4.0), v_leak=np.zeros(4))
    nodes, edges = line(
        ("input", nir.Input({"input": shaped(3)})),
        ("fc", networks.affine(4, 3, rng)),
        ("li", integrator),
        ("on", networks.affine(4, 4, rng)),
        ("lif", lif((4,))),
        ("output", nir.Output({"output": shaped(4)})),
    )
    with pytest.raises(UnsupportedError, match="li: is an integrator"):
        compose(read_graph(networks.graph(nodes, edges)))
    linear = looped()
    linear.nodes["end"] = lif((4,))
    linear.nodes["lif"] = nir.Scale(np.full(4, 0.5))
    linear.edges = [e for e in linear.edges if e != ("lif", "output")] + [("lif", "end"), ("end", "output")]
    with pytest.raises(UnsupportedError, match="a loop without a neuron"):
        compose(read_graph(linear))
    linear.edges.append(("lif", "output"))
    with pytest.raises(UnsupportedError, match="lif: feeds the output without a neuron"):
        compose(read_graph(linear))


def two_loops(first: str, second: str, **extra: tuple[str, str]) -> nir.NIRGraph:
    """P -> P, P -> Q, Q -> Delay(2) -> P, and the input into both."""
    rng = np.random.default_rng(9)
    nodes = {
        "input": nir.Input({"input": shaped(3)}),
        "to_p": networks.affine(4, 3, rng),
        "to_q": networks.affine(4, 3, rng),
        first: lif((4,)),
        second: lif((4,)),
        "pp": networks.affine(4, 4, rng),
        "pq": networks.affine(4, 4, rng),
        "qp": networks.affine(4, 4, rng),
        "wait": nir.Delay(np.full(4, 2 * DT)),
        "output": nir.Output({"output": shaped(4)}),
    }
    edges = [("input", "to_p"), ("to_p", first), ("input", "to_q"), ("to_q", second), (first, "pp"), ("pp", first)]
    edges += [(first, "pq"), ("pq", second), (second, "qp"), ("qp", "wait"), ("wait", first), (second, "output")]
    return networks.graph(nodes, edges + list(extra.values()))


def test_names_do_not_say_where_a_loop_is_cut() -> None:
    """A feed-forward edge beside a delayed loop stays one, whatever its ends are called."""
    late = []
    for first, second in (("a", "b"), ("b", "a")):
        reading = read_graph(two_loops(first, second))
        late.append({n.name: n.late for n in reading.nodes if n.late})
    assert late == [{"a": ("pp",)}, {"b": ("pp",)}]


def test_a_loop_that_is_entered_twice_is_not_guessed_at() -> None:
    graph = two_loops("a", "b")
    graph.nodes["wait"] = nir.Scale(np.ones(4, np.float32))
    with pytest.raises(UnsupportedError, match=r"entered in 2 places \(a, b\); say which connection takes a step"):
        read_graph(graph)


def test_convolutions_of_other_shapes_into_one_population_share_its_scales() -> None:
    """4 x 2 x 2 and 2 x 2 x 4, flattened: neurons that share a kernel in either of them have one unit."""
    rng = np.random.default_rng(10)
    flat = {"start_dim": 0, "end_dim": -1}
    nodes = {
        "input": nir.Input({"input": shaped(1, 2, 4)}),
        "one": conv(rng, (4, 1, 1, 3), (2, 4)),
        "two": conv(rng, (2, 1, 1, 1), (2, 4)),
        "f1": nir.Flatten(**flat, input_type={"input": shaped(4, 2, 2)}),
        "f2": nir.Flatten(**flat, input_type={"input": shaped(2, 2, 4)}),
        "lif": lif((16,), theta=2.0),
        "output": nir.Output({"output": shaped(16)}),
    }
    nodes["one"].weight *= np.array([1, 20, 3, 50]).reshape(4, 1, 1, 1)
    edges = [("input", "one"), ("one", "f1"), ("f1", "lif"), ("input", "two"), ("two", "f2"), ("f2", "lif")]
    graph = networks.graph(nodes, [*edges, ("lif", "output")])
    network, program = compose(read_graph(graph)), nd.compile(graph)
    unit = program.populations[0].unit.reshape(2, 2, 4)
    assert (unit == unit[:, :1, :1]).all() and len(np.unique(unit)) == 2
    for wanted, synapse in zip(network.synapses, program.synapses, strict=True):
        assert synapse.kind == "conv"
        targets, _, weights = synapse.wiring.triples()
        step = (program.populations[0].unit * 64)[targets] * 2.0**synapse.exponent * 16
        assert (np.abs(weights * step - wanted.wiring.triples()[2]) <= step * (1 + 1e-9)).all()


def test_a_kernel_stays_beside_a_skip_from_the_same_source() -> None:
    """Convolution plus identity: two synapses, not one matrix of all connections."""
    rng = np.random.default_rng(11)
    nodes = {
        "input": nir.Input({"input": shaped(2, 9, 9)}),
        "conv": conv(rng, (2, 2, 3, 3), (9, 9), padding=1),
        "lif": lif((2, 9, 9)),
        "output": nir.Output({"output": shaped(2, 9, 9)}),
    }
    edges = [("input", "conv"), ("conv", "lif"), ("input", "lif"), ("lif", "output")]
    first, second = compose(read_graph(networks.graph(nodes, edges))).synapses
    assert isinstance(first.wiring, Conv) and first.wiring.weight.shape == (2, 2, 3, 3)
    assert isinstance(second.wiring, Sparse) and second.wiring.weight.tolist() == [1.0] * 162
    x = rng.normal(size=(2, 9, 9))
    wanted = direct(nodes["conv"].weight, x, (1, 1), (1, 1), (1, 1), 1) + x
    got = sum(s.wiring.apply(x.reshape(1, -1))[0] for s in (first, second))
    np.testing.assert_allclose(got, wanted.reshape(-1), rtol=1e-12, atol=1e-12)


def test_every_short_loop_is_named_at_once() -> None:
    with pytest.raises(UnsupportedError, match="the loop takes") as caught:
        place(["i"], ["a", "b", "c"], [("i", "a", 0), ("a", "b", 0), ("b", "a", 1), ("b", "c", 0), ("c", "b", 1)])
    assert sorted(v.node for v in caught.value.violations) == ["a -> b -> a", "b -> c -> b"]


def test_a_port_does_not_take_a_nodes_name() -> None:
    """The gain of a foreign LIF becomes a node `lif.in`, unless the file has one."""
    rng = np.random.default_rng(13)
    nodes, edges = line(
        ("input", nir.Input({"input": shaped(3)})),
        ("lif.in", networks.affine(4, 3, rng)),
        ("lif", nir.LIF(tau=np.full(4, DT * 4), r=np.full(4, 3.0), v_leak=np.zeros(4), v_threshold=np.ones(4))),
        ("output", nir.Output({"output": shaped(4)})),
    )
    (synapse,) = compose(read_graph(networks.graph(nodes, edges))).synapses
    np.testing.assert_allclose(synapse.weight, nodes["lif.in"].weight.astype(float) * 0.75, rtol=1e-6)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"population": "out", "rule": "spike_count"}, "never fires, so its spikes decide nothing"),
        ({"population": "nobody"}, "readout 'nobody': is no population; name one of"),
        ({"population": "out", "start": 5, "stop": 3}, r"is read in steps 5 \.\. 2: none"),
    ],
)
def test_a_readout_that_cannot_work_is_refused(told: dict[str, Any], says: str) -> None:
    graph = networks.everything()
    graph.metadata["neuro_deploy"]["readout"] = told
    with pytest.raises(UnsupportedError, match=says):
        read_graph(graph)


def test_a_chain_may_be_longer_than_pythons_stack() -> None:
    nodes: list[tuple[str, nir.NIRNode]] = [
        (f"s{i:04d}", nir.Scale(np.full(2, 2.0 ** (i % 2 or -1)))) for i in range(1500)
    ]
    lif = nir.LIF(tau=np.full(2, DT * 4), r=np.full(2, 4.0), v_leak=np.zeros(2), v_threshold=np.ones(2))
    names, edges = line(
        ("input", nir.Input({"input": shaped(2)})), *nodes, ("lif", lif), ("output", nir.Output({"output": shaped(2)}))
    )
    (synapse,) = compose(read_graph(networks.graph(names, edges))).synapses
    np.testing.assert_array_equal(synapse.weight, np.eye(2))
