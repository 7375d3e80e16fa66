"""NIR in and out: files, reading, CF as standard nodes, composed chains."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import networks
import nir
import numpy as np
import pytest
import torch

import neuro_deploy as nd
from neuro_deploy.errors import FileError, FormatError, InputError, UnsupportedError
from neuro_deploy.graph import assume, compose, read_graph, write_graph
from neuro_deploy.neurons import FloatNeuron, spec
from neuro_deploy.neurons.scheme import METADATA


def run_nodes(node: nir.NIRGraph, x: np.ndarray, dt: float) -> np.ndarray:
    """The nested graph executed node by node in float64, its feedback a step late: a plain interpreter."""
    state = np.zeros(x.shape[1:])
    back = {"reset": np.zeros(x.shape[1:]), "reset_neg": np.zeros(x.shape[1:])}
    outs = []
    for step in x:
        membrane = node.nodes["membrane"]
        drive = step + back["reset"] + back["reset_neg"]
        if isinstance(membrane, nir.I):
            state = state + dt * membrane.r * drive
        else:
            state = state + dt / membrane.tau * (membrane.v_leak - state + membrane.r * drive)
        spikes = {"spikes": np.zeros_like(step), "spikes_neg": np.zeros_like(step)}
        for name, part in node.nodes.items():
            if isinstance(part, nir.Threshold):
                side = "spikes_neg" if "neg" in name else "spikes"
                seen = state * (node.nodes["negate"].scale if side == "spikes_neg" else 1)
                spikes[side] += seen > part.threshold
        total = spikes["spikes"] * node.nodes["spikes"].scale
        back["reset"] = total * node.nodes["reset"].scale
        if "spikes_neg" in node.nodes:
            negative = spikes["spikes_neg"] * node.nodes["spikes_neg"].scale
            back["reset_neg"] = negative * node.nodes["reset_neg"].scale
            total = total + negative
        outs.append(total)
    return np.array(outs)


@pytest.mark.parametrize(
    ("rounds_neg", "beta", "more"),
    [
        *((rounds_neg, beta, {}) for rounds_neg in (0, 2) for beta in (0.75, 1.0)),
        *((0, 0.75, {"theta_reset": taken, "drift": 0.125}) for taken in (0.0, 0.25, 0.8125)),
        *((0, 1.0, {"theta_reset": taken}) for taken in (0.0, 0.8125)),
        (2, 0.75, {"drift": -0.375}),
    ],
)
def test_cf_nodes_mean_the_equation(rounds_neg: int, beta: float, more: dict[str, float]) -> None:
    """The standard nodes, run by a plain interpreter, give s of design section 2; dyadic numbers, so exactly."""
    params = {"beta": beta, "theta": 0.5, "theta_neg": 0.75, "circulations": 3, "circulations_neg": rounds_neg} | more
    neuron = FloatNeuron("cf", (4,), {k: np.float32(v) for k, v in params.items()})
    dt = 2.0**-9
    node = spec("cf").write(neuron, dt)
    x = np.random.default_rng(3).integers(-24, 40, (30, 4)) / 16
    v, expected = np.zeros(4), []
    for step in x:
        h = beta * v + step + more.get("drift", 0.0)
        s = sum((h > k * 0.5).astype(int) for k in (1, 2, 3))
        s = s - sum(((h < -k * 0.75).astype(int) for k in range(1, rounds_neg + 1)), np.zeros(4, int))
        v = h - np.where(s > 0, more.get("theta_reset", 0.5), 0.75) * s
        expected.append(s)
    assert set(np.unique(expected)) >= ({0, 1, 2, 3, -1, -2} if rounds_neg else {0, 1, 2, 3})
    np.testing.assert_array_equal(run_nodes(node, x, dt), np.array(expected))


@pytest.mark.parametrize("rounds_neg", [0, 2])
def test_file_round_trip_keeps_every_parameter(tmp_path: Path, rounds_neg: int) -> None:
    graph = networks.chain(rounds_neg=rounds_neg)
    before = read_graph(graph)
    nd.write_nir(graph, tmp_path / "x.nir")
    after = read_graph(nd.read_nir(tmp_path / "x.nir"))
    stock = nir.read(tmp_path / "x.nir")
    assert {"fc1", "cf1", "cf2", "lif"} <= set(stock.nodes)
    assert before.dt == after.dt == networks.DT
    assert before.neurons.keys() == after.neurons.keys() == {"cf1", "cf2", "lif"}
    for name, neuron in before.neurons.items():
        other = after.neurons[name]
        assert (neuron.kind, neuron.shape) == (other.kind, other.shape)
        assert neuron.params.keys() == other.params.keys()
        for key, values in neuron.params.items():
            np.testing.assert_array_equal(values, other.params[key], err_msg=f"{name}.{key}")
    assert after.steps == 6
    assert after.input_range is not None and after.input_range.quantum == 1 / 16


def values(rng: np.random.Generator, **ranges: tuple[float, float]) -> dict[str, np.ndarray]:
    return {name: rng.uniform(*ends, (2, 3)).astype(np.float32) for name, ends in ranges.items()}


def optional_neurons() -> dict[str, FloatNeuron]:
    """Populations with distinct values in every parameter that a kind can have, the optional ones among them."""
    rng = np.random.default_rng(6)
    common = {"beta": (0.3, 0.9), "theta": (0.4, 1.2), "drift": (-0.4, 0.3)}
    current, reset = {"beta_syn": (0.2, 0.8)}, {"theta_reset": (0.2, 1.5)}
    signed = {"theta_neg": np.float32(0.75), "circulations": np.float32(3), "circulations_neg": np.float32(2)}
    one = {"theta_neg": np.float32(1.25), "circulations": np.float32(2), "circulations_neg": np.float32(0)}
    found = {
        "reset": ("cf", values(rng, **common, **reset) | one),
        "reset, current": ("cf", values(rng, **common, **reset, **current) | one),
        "scalars": ("cf", one | {k: np.float32(v) for k, v in {"theta_reset": 0.3, "drift": 0.7}.items()}),
        "no leak": ("cf", values(rng, **reset, theta=(0.4, 1.2)) | one | {"beta": np.float32(1.0)}),
        "no reset": ("cf", values(rng, **common) | one | {"theta_reset": np.float32(0)}),
        "no reset, current": ("cf", values(rng, **common, **current) | one | {"theta_reset": np.eye(2, 3) / 4}),
        "no memory": ("cf", values(rng, **common, **reset) | one | {"beta": np.float32(0.0)}),
        "signed": ("cf", values(rng, **common, **current) | signed),
        "lif": ("lif", values(rng, **common, v_reset=(-0.5, 0.5))),
        "lif, current": ("lif", values(rng, **common, **current, v_reset=(-0.5, 0.5))),
        "li": ("li", values(rng, beta=(0.3, 0.9), drift=(-0.4, 0.3))),
        "li, current": ("li", values(rng, beta=(0.3, 0.9), drift=(-0.4, 0.3), **current)),
    }
    found["scalars"][1].update({k: np.float32(v) for k, v in {"beta": 0.9, "theta": 0.6}.items()})
    return {name: FloatNeuron(kind, (2, 3), params) for name, (kind, params) in found.items()}


def alone(node: nir.NIRNode) -> nir.NIRGraph:
    shape = np.array([2, 3])
    nodes = {"input": nir.Input({"input": shape}), "n": node, "output": nir.Output({"output": shape})}
    return networks.graph(nodes, list(itertools.pairwise(nodes)))


@pytest.mark.parametrize("name", optional_neurons())
def test_optional_parameters_survive_the_file(tmp_path: Path, name: str) -> None:
    """Every parameter comes back bit for bit, nothing besides, and the input has neither gain nor offset."""
    before = optional_neurons()[name]
    nd.write_nir(alone(spec(before.kind).write(before, networks.DT)), tmp_path / "x.nir")
    reading = read_graph(nd.read_nir(tmp_path / "x.nir"))
    assert [n.name for n in reading.nodes] == ["input", "n", "output"]
    after = reading.neurons["n"]
    assert (after.kind, after.shape, after.params.keys()) == (before.kind, (2, 3), before.params.keys())
    for key, values in before.params.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, after.params[key], err_msg=key)
    again = spec(after.kind).write(after, networks.DT)
    nd.write_nir(alone(again), tmp_path / "y.nir")
    assert (tmp_path / "x.nir").read_bytes() == (tmp_path / "y.nir").read_bytes()
    assert "n" in nir.read(tmp_path / "x.nir").nodes


def test_v_leak_without_our_metadata_is_a_drift() -> None:
    node = spec("lif").write(optional_neurons()["lif"], networks.DT)
    node.metadata = {}
    reading = read_graph(alone(node))
    told = optional_neurons()["lif"].params["drift"]
    np.testing.assert_allclose(reading.neurons["n"].params["drift"], told, rtol=1e-5)


def spoiled(name: str, key: str, factor: float = 0.9) -> nir.NIRGraph:
    neuron = optional_neurons()[name]
    node = spec(neuron.kind).write(neuron, networks.DT)
    if factor:
        node.metadata[METADATA][key] = node.metadata[METADATA][key] * np.float32(factor)
    else:
        del node.metadata[METADATA][key]
    return alone(node)


@pytest.mark.parametrize("factor", [0.9, 0.0], ids=["changed", "missing"])
@pytest.mark.parametrize("key", ["theta_reset", "drift"])
def test_metadata_of_optional_parameters_that_contradicts_the_nodes_is_refused(key: str, factor: float) -> None:
    read_graph(spoiled("reset", key, 1.0))
    with pytest.raises(UnsupportedError, match=r"node '(reset|membrane)' is not what the metadata says"):
        read_graph(spoiled("reset", key, factor))


def test_a_drift_that_contradicts_v_leak_is_refused() -> None:
    for name in ("lif", "lif, current", "li", "li, current"):
        with pytest.raises(UnsupportedError, match="metadata's drift is not what tau, v_leak"):
            read_graph(spoiled(name, "drift"))


@pytest.mark.parametrize("node", ["reset", "membrane"])
def test_nodes_that_contradict_the_metadata_of_optional_parameters_are_refused(node: str) -> None:
    graph = alone(spec("cf").write(optional_neurons()["reset"], networks.DT))
    part, field = graph.nodes["n"].nodes[node], {"reset": "scale", "membrane": "v_leak"}[node]
    setattr(part, field, np.nextafter(getattr(part, field), np.float32(9)))
    with pytest.raises(UnsupportedError, match=f"node '{node}' is not what the metadata says"):
        read_graph(graph)


def test_what_nodes_cannot_say_is_refused_all_at_once() -> None:
    rng = np.random.default_rng(2)
    mixed = np.float32([[0.5, 1, 0.5], [1, 1, 1]])
    wrong = {"beta": mixed, "beta_syn": mixed, "theta_reset": np.float32(-0.5), "circulations_neg": np.float32(1)}
    params = {"theta": np.float32(1), "theta_neg": np.float32(1), "circulations": np.float32(2), **wrong}
    with pytest.raises(UnsupportedError) as error:
        spec("cf").write(FloatNeuron("cf", (2, 3), params), networks.DT)
    assert [v.node for v in error.value.violations] == ["beta", "beta_syn", "theta_reset", "theta_reset"]
    drifting = {"beta": np.float32(1), **values(rng, drift=(0.1, 0.2))}
    with pytest.raises(UnsupportedError, match=r"nir\.I has no v_leak"):
        spec("cf").write(FloatNeuron("cf", (2, 3), params | drifting | {"circulations_neg": 0}), networks.DT)
    for kind, more in (("lif", {"theta": np.float32(1)}), ("li", {})):
        with pytest.raises(UnsupportedError, match="1 means an infinite time constant"):
            spec(kind).write(FloatNeuron(kind, (2, 3), drifting | more), networks.DT)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nir", "b.nir"):
        nd.write_nir(networks.chain(), tmp_path / name)
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()
    times = []
    with h5py.File(tmp_path / "a.nir") as file:
        file.visit(lambda name: times.append(h5py.h5g.get_objinfo(file.id, name.encode()).mtime))
        times.append(h5py.h5g.get_objinfo(file.id, b".").mtime)
    assert len(times) > 50 and not any(times)


@pytest.mark.parametrize("dtype", ["?", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(1,), (3, 4, 2), (0, 3), (700, 3)])
def test_arrays_keep_their_dtype(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    given = np.random.default_rng(3).integers(0, 100, shape[::-1]).astype(dtype).T
    graph = networks.chain()
    graph.metadata["kept"] = given
    nd.write_nir(graph, tmp_path / "x.nir")
    for found in (nd.read_nir(tmp_path / "x.nir"), nir.read(tmp_path / "x.nir")):
        kept = found.metadata["kept"]
        assert kept.dtype == given.dtype and np.array_equal(kept, given) and kept.shape == shape


def test_a_file_is_not_full_of_indices(tmp_path: Path) -> None:
    """In the layout that h5py takes unless told, each array costs 3 KB, and each group 1 KB, whatever is in it."""
    layers = [f"scale{i}" for i in range(100)]
    nodes = {"input": nir.Input({"input": np.array([30, 20])}), **{n: nir.Scale(np.ones((30, 20))) for n in layers}}
    nodes["output"] = nir.Output({"output": np.array([30, 20])})
    nd.write_nir(nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False), tmp_path / "x.nir")
    assert (tmp_path / "x.nir").stat().st_size < 1_000 * len(layers)
    assert len(nir.read(tmp_path / "x.nir").nodes) == len(nodes)


def test_metadata_that_contradicts_the_nodes_is_refused() -> None:
    def planted(change: str) -> nir.NIRGraph:
        graph = networks.chain()
        cf1 = graph.nodes["cf1"]
        if change == "threshold":
            cf1.nodes["threshold_2"].threshold = cf1.nodes["threshold_2"].threshold * np.float32(1.01)
        elif change == "beta":
            cf1.metadata[METADATA]["beta"] = cf1.metadata[METADATA]["beta"] * np.float32(0.9)
        elif change == "edge":
            cf1.edges.remove(("reset", "membrane"))
        elif change == "node":
            del cf1.nodes["threshold_3"]
        elif change == "dt":
            cf1.metadata[METADATA]["dt"] = networks.DT * 2
        elif change == "lif":
            graph.nodes["lif"].tau = graph.nodes["lif"].tau * 2
        return graph

    read_graph(planted("nothing"))
    for change in ("threshold", "beta", "edge", "node", "dt", "lif"):
        with pytest.raises(UnsupportedError, match=r"metadata|written for dt"):
            read_graph(planted(change))


def test_dt_is_never_guessed() -> None:
    with pytest.raises(InputError, match="--dt"):
        read_graph(networks.chain(dt=None))
    with pytest.raises(InputError, match="says dt"):
        read_graph(networks.chain(), dt=0.005)
    assert read_graph(networks.chain(dt=None), dt=networks.DT).dt == networks.DT


@pytest.mark.parametrize(
    "wrong",
    [
        {"dt": "abc"},
        {"dt": 0.0},
        {"dt": -1.0},
        {"dt": [1.0, 2.0]},
        {"steps": 0},
        {"steps": "x"},
        {"schema": 99},
        {"readout": "x"},
        {"readout": {"population": "lif", "start": -1}},
        {"readout": {"population": "lif", "rule": "loudest"}},
        {"input": {"low": "a", "high": 1.0}},
        {"input": {"low": 0.0, "high": 1.0, "quantum": -1.0}},
    ],
    ids=str,
)
def test_metadata_of_the_graph_is_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="metadata is not valid"):
        read_graph(networks.chain(**wrong))


def test_metadata_of_a_node_is_checked() -> None:
    for kind, value in (("lif", "q"), ("lif", np.ones(3)), ("cf1", "q"), ("cf1", np.ones(3))):
        graph = networks.chain()
        graph.nodes[kind].metadata[METADATA]["beta"] = value
        with pytest.raises(UnsupportedError, match=f"{kind}: "):
            read_graph(graph)


def test_foreign_lif_gain_and_leak_act_on_the_input() -> None:
    """r*dt/tau and v_leak*dt/tau become a gain and an offset before the neuron; v_reset != 0 is kept."""
    dt, tau = 2.0**-6, 2.0**-3

    def foreign(v_reset: float) -> nir.NIRGraph:
        node = nir.LIF(
            tau=np.full(3, tau),
            r=np.full(3, 2.0),
            v_leak=np.full(3, 0.5),
            v_threshold=np.ones(3),
            v_reset=np.full(3, v_reset),
        )
        nodes = {
            "input": nir.Input({"input": np.array([3])}),
            "lif": node,
            "output": nir.Output({"output": np.array([3])}),
        }
        return nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")], type_check=False)

    reading = read_graph(foreign(0.0), dt=dt)
    composed = compose(reading)
    np.testing.assert_array_equal(composed.synapses[0].weight, np.eye(3) * 2.0 * dt / tau)
    np.testing.assert_array_equal(composed.populations[0].bias, np.full(3, 0.5 * dt / tau))
    np.testing.assert_array_equal(reading.neurons["lif"].params["beta"], np.full(3, 1 - dt / tau, np.float32))
    assert "v_reset" not in reading.neurons["lif"].params
    np.testing.assert_array_equal(read_graph(foreign(0.25), dt=dt).neurons["lif"].params["v_reset"], np.full(3, 0.25))


def test_chains_of_linear_nodes_are_composed() -> None:
    rng = np.random.default_rng(5)
    a, b = networks.affine(4, 6, rng), networks.affine(3, 4, rng)
    nodes = {
        "input": nir.Input({"input": np.array([2, 3])}),
        "flat": nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array([2, 3])}),
        "a": a,
        "scale": nir.Scale(scale=rng.uniform(0.5, 2, 4).astype(np.float32)),
        "b": b,
        "cf": spec("cf").write(networks.cf(3, rng), networks.DT),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    composed = compose(read_graph(networks.graph(nodes, list(itertools.pairwise(names)))))
    (synapse,), (population,) = composed.synapses, composed.populations
    scale = nodes["scale"].scale.astype(np.float64)
    weight = b.weight.astype(np.float64) @ (scale[:, None] * a.weight)
    np.testing.assert_allclose(synapse.weight, weight, rtol=1e-14)
    np.testing.assert_allclose(population.bias, b.weight.astype(np.float64) @ (scale * a.bias) + b.bias, rtol=1e-14)
    assert (synapse.source, synapse.target, synapse.delay) == ("input", "cf", 0)


def test_branches_of_unequal_depth_meet_in_step() -> None:
    composed = compose(read_graph(networks.residual()))
    assert {p.name: p.latency for p in composed.populations} == {"cf1": 1, "cf2": 2, "cf3": 3}
    assert {s.name: s.delay for s in composed.synapses} == {"fc1": 0, "fc2": 0, "fc3": 0, "skip": 1}


def test_what_cannot_be_read_is_named() -> None:
    rng = np.random.default_rng(0)

    def with_node(name: str, node: nir.NIRNode) -> nir.NIRGraph:
        graph = networks.chain()
        graph.nodes[name] = node
        return graph

    nan = networks.affine(9, 20, rng)
    nan.weight[2, 3] = np.nan
    with pytest.raises(UnsupportedError, match=r"fc2: weight holds 1 values that are NaN"):
        read_graph(with_node("fc2", nan))
    with pytest.raises(UnsupportedError, match=r"fc2: weight \(9, 21\) does not fit"):
        read_graph(with_node("fc2", networks.affine(9, 21, rng)))
    graph = networks.chain()
    graph.nodes["lif"].metadata[METADATA]["kind"] = "newer"
    with pytest.raises(UnsupportedError, match="lif: its metadata calls it a neuron of kind 'newer'"):
        read_graph(graph)
    still = networks.chain()
    still.nodes["lif"] = nir.LIF(tau=np.zeros(5), r=np.ones(5), v_leak=np.zeros(5), v_threshold=np.ones(5))
    with pytest.raises(UnsupportedError, match="lif: tau or r"):
        read_graph(still)
    loose = networks.chain()
    loose.edges.append(("cf9", "fc2"))
    with pytest.raises(UnsupportedError, match="does not exist"):
        read_graph(loose)


def test_files_that_are_not_nir(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        nd.read_nir(tmp_path / "absent.nir")
    (tmp_path / "text.nir").write_text("not a network")
    with pytest.raises(FormatError, match=r"text\.nir"):
        nd.read_nir(tmp_path / "text.nir")
    nd.write_nir(networks.chain(), tmp_path / "whole.nir")
    whole = (tmp_path / "whole.nir").read_bytes()
    for part in (0.05, 0.3, 0.6, 0.9, 0.99):
        (tmp_path / "cut.nir").write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(FormatError):
            nd.read_nir(tmp_path / "cut.nir")


@pytest.mark.parametrize("entry", ["text", "mankind", 5, ["kind"], np.array([1, 2]), np.float32(0.5)])
@pytest.mark.parametrize("where", ["graph", "lif", "g", "g.scale"])
def test_metadata_of_our_name_that_is_none_of_ours_is_refused(entry: object, where: str) -> None:
    """In a graph, a node, a nested graph and a node of that: one clear sentence, whoever reads it."""
    lif = nir.LIF(tau=np.full(2, 0.02), r=np.ones(2), v_leak=np.zeros(2), v_threshold=np.ones(2))
    inner = {"i": nir.Input({"input": np.array([2])}), "scale": nir.Scale(np.ones(2)), "o": nir.Output(None)}
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "g": nir.NIRGraph(inner, list(itertools.pairwise(inner)), type_check=False),
        "lif": lif,
        "output": nir.Output({"output": np.array([2])}),
    }
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)
    held = {"graph": graph, "lif": lif, "g": nodes["g"], "g.scale": inner["scale"]}[where]
    held.metadata = {METADATA: entry, "other": 5}
    says = f"{where}: its metadata '{METADATA}' is .*, not a group of entries; remove it"
    with pytest.raises((InputError, UnsupportedError), match=says):
        read_graph(graph, 0.01)
    if where == "graph":
        with pytest.raises(InputError, match=says):
            assume(graph, dt=0.01)
    held.metadata = {}
    assert read_graph(assume(graph, dt=0.01)).dt == 0.01


def single(node: nir.NIRNode, shape: tuple[int, ...] = (2,)) -> nir.NIRGraph:
    """input -> n -> output."""
    ends = (nir.Input({"input": np.array(shape)}), nir.Output(None))
    nodes = {"input": ends[0], "n": node, "output": ends[1]}
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)


def foreign(tau: float, theta: float = 1.0, v_leak: float = 0.0) -> nir.LIF:
    return nir.LIF(*(np.full(2, value) for value in (tau, tau / 0.01, v_leak, theta)))


@pytest.mark.parametrize(
    ("node", "scheme", "says"),
    [
        (foreign(1e9, v_leak=1e9), {}, "n: beta: 1 means an infinite time constant"),
        (foreign(-0.02), {}, "n: beta: 1.5 is above 1, as a time constant below 0 gives it"),
        (foreign(-0.02), {"reset": "subtract"}, "n: beta: 1.5 is above 1, as a time constant below 0 gives it"),
        (nir.LI(*(np.full(2, v) for v in (-0.02, -2.0, 0.0))), {}, "n: beta: 1.5 is above 1"),
        (foreign(0.0), {"reset": "subtract-late"}, "n: its time constant gives a leak of -inf a step, below 0"),
        (foreign(0.005), {"reset": "subtract-late"}, "n: its time constant gives a leak of -1 a step, below 0"),
        (foreign(0.01), {"reset": "subtract-late"}, "n: beta = 0 forgets what"),
        (foreign(0.02, theta=-1), {"fires": ">="}, "n: fires at a threshold of -1, so without input too"),
        (foreign(0.02, theta=0), {"fires": ">=", "reset": "subtract"}, "n: fires at a threshold of 0, so"),
        (nir.Threshold(np.zeros(2)), {"fires": ">="}, "n: fires at a threshold of 0, so without input too"),
    ],
)
def test_what_cannot_be_written_or_read_is_named_by_its_node(
    node: nir.NIRNode, scheme: dict[str, str], says: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        write_graph(read_graph(assume(single(node), dt=0.01, **scheme)))
    assert [v.node for v in caught.value.violations] == ["n"] and all(v.remedy for v in caught.value.violations)
    assert f"  {says}" in str(caught.value)


def test_all_neurons_that_cannot_be_written_are_named() -> None:
    nodes = {"input": nir.Input({"input": np.array([2])}), "one": foreign(-0.02), "two": foreign(-0.04)}
    graph = nir.NIRGraph({**nodes, "output": nir.Output(None)}, [("input", "one"), ("one", "two"), ("two", "output")])
    with pytest.raises(UnsupportedError) as caught:
        write_graph(read_graph(graph, 0.01))
    assert [v.node for v in caught.value.violations] == ["one", "two"]


def test_what_float32_rounds_is_told_and_what_it_loses_refused() -> None:
    node = foreign(0.03, theta=1 / 3)
    reading = read_graph(single(node), 0.01)
    want = abs(float(np.float32(1 / 3)) * 3 - 1)
    assert reading.rounding.keys() == {"n"} and want <= reading.rounding["n"] < 2**-24
    assert read_graph(single(foreign(0.5, theta=0.5)), 2.0**-7).rounding == {}
    exact = nir.Scale(np.array([0.5, 3.0]))
    assert exact.scale.dtype == np.float64 and read_graph(single(exact), 0.01).rounding == {}
    whole = nir.Scale(np.array([3, 2**24 + 2]))
    assert read_graph(single(whole), 0.01).rounding == {}
    for value, says in (
        (np.array([1.0, 1e-50]), "n: scale holds np.float64(1e-50), which is 0 in float32"),
        (np.array([1.0, -1e300]), "n: scale holds np.float64(-1e+300), which is -inf in float32"),
        (np.array([1, 2**24 + 1]), "n: scale holds np.int64(16777217), which is 16777216 in float32"),
    ):
        with pytest.raises(UnsupportedError) as caught:
            read_graph(single(nir.Scale(value)), 0.01)
        assert says in str(caught.value)
    for name in ("v_threshold", "tau", "r"):
        node = foreign(0.5)
        setattr(node, name, np.array([1.0, 1e-60]))
        with pytest.raises(UnsupportedError, match=f"n: {name} holds"):
            read_graph(single(node), 0.01)


@pytest.mark.parametrize(("start", "end"), [(-3, -1), (-2, -1), (-3, -2), (-2, 2)])
def test_axes_of_a_flatten_may_be_counted_from_the_end(start: int, end: int) -> None:
    graph = single(nir.Flatten({"input": np.array([2, 3, 4])}, start, end), (2, 3, 4))
    x = np.random.default_rng(0).uniform(0, 1, (5, 3, 2, 3, 4)).astype(np.float32)
    for each in (graph, write_graph(read_graph(graph, 0.01))):
        y = nd.import_nir(each, dt=None if "neuro_deploy" in each.metadata else 0.01)(torch.from_numpy(x))
        want = torch.from_numpy(x).flatten(start, end if end < 0 else end + 2)
        assert torch.equal(y, want)
    with pytest.raises(UnsupportedError, match=r"n: axes -1\.\.-1 are not those of \(2, 3, 4\)"):
        read_graph(single(nir.Flatten({"input": np.array([2, 3, 4])}, -4, -1), (2, 3, 4)), 0.01)
