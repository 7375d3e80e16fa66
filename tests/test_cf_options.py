"""CF's optional parameters on the chip: what one round takes away (theta_reset), and a drift of the potential."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import nir
import numpy as np
import oracle
import pytest

import neuro_deploy as nd
from neuro_deploy.comparison.margins import margins
from neuro_deploy.fixed import LOIHI
from neuro_deploy.graph import compose, read_graph
from neuro_deploy.neurons import FloatNeuron, spec
from neuro_deploy.neurons.base import Interval
from neuro_deploy.neurons.cf.spec import _left

ALL = ("spikes", "v", "h", "u")
LIMIT = LOIHI.v_limit


def cf(size: int, rounds: int = 3, **params: Any) -> FloatNeuron:
    given = {"beta": 0.75, "theta": 1.0, "theta_neg": 1.0, "circulations": rounds, "circulations_neg": 0} | params
    return FloatNeuron("cf", (size,), {k: np.float32(v) for k, v in given.items()})


def network(*neurons: FloatNeuron, seed: int = 0, scale: float = 2.0, steps: int = 8) -> nir.NIRGraph:
    """input (6) -> populations, each behind an Affine."""
    rng, last = np.random.default_rng(seed), 6
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([6])})}
    for index, neuron in enumerate(neurons):
        nodes[f"fc{index}"] = networks.affine(neuron.size, last, rng, scale=scale)
        nodes[f"n{index}"] = spec(neuron.kind).write(neuron, networks.DT)
        last = neuron.size
    nodes["output"] = nir.Output({"output": np.array([last])})
    return networks.graph(nodes, list(itertools.pairwise(nodes)), steps=steps)


def silenced(graph: nir.NIRGraph) -> nir.NIRGraph:
    """The network with nothing but zeros in its first Affine."""
    given = graph.nodes["fc0"]
    given.weight, given.bias = np.zeros_like(given.weight), np.zeros_like(given.bias)
    return graph


def varied(size: int, seed: int, rounds: int = 3, **more: Any) -> FloatNeuron:
    """theta_reset below and above theta, and 0 in every fourth neuron; drifts of both signs."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.5, 1.5, size)
    taken = theta * np.where(np.arange(size) % 2, rng.uniform(0.2, 0.9, size), rng.uniform(1.1, 1.8, size))
    taken[3::4] = 0
    params = {"beta": rng.uniform(0.4, 0.95, size), "theta": theta, "theta_reset": taken}
    return cf(size, rounds, **{**params, "drift": rng.uniform(-0.2, 0.4, size), **more})


def test_what_firing_leaves_is_bounded_exactly() -> None:
    """The interval of h - taken * s against every h in it, one by one."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        theta, rounds, taken = int(rng.integers(1, 12)), int(rng.integers(1, 5)), int(rng.integers(0, 25))
        low, high = sorted(rng.integers(-30, 70, 2).tolist())
        left = [h - taken * sum(h > k * theta for k in range(1, rounds + 1)) for h in range(low, high + 1)]
        got = _left(Interval(*(np.array([v]) for v in (low, high))), *(np.array(v) for v in (theta, rounds, taken)))
        assert (got.low.item(), got.high.item()) == (min(left), max(left)), (theta, rounds, taken, low, high)


def test_integers_are_64ths_of_a_weight_unit_and_their_rounding_is_told() -> None:
    neuron = cf(5, theta=[1.0, 0.8, 0.6, 1.2, 0.9], theta_reset=[0.3, 1.1, 0.6, 1e-9, 0.0])
    program = nd.compile(network(neuron), scale="full")
    (p,) = program.populations
    wanted, kept = neuron.flat("theta_reset"), p.params["theta_reset"] * p.unit
    assert (np.abs(kept - wanted)[:3] <= 0.5 * p.unit[:3]).all() and p.params["theta_reset"][3:].tolist() == [1, 0]
    assert p.params["theta_reset"][2] == p.params["vth"][2] << 6, "a neuron's threshold is an integer exactly"
    told = {parameter: error for _, parameter, error, _ in program.report["roundings"]}
    assert told["theta_reset"] == pytest.approx(np.abs(kept - wanted).max(), rel=1e-12) and told["theta_reset"] > 0
    assert "theta_reset" not in nd.compile(network(cf(4)), scale="full").populations[0].params


def test_firing_at_the_threshold_takes_exactly_the_threshold() -> None:
    theta = np.float32([0.7, 1.0, 1.3])
    neuron = cf(3, 1, theta=np.nextafter(theta, np.float32(0)), theta_reset=theta)
    (p,) = nd.compile(network(neuron), scale="full").populations
    np.testing.assert_array_equal(p.params["theta_reset"], p.params["vth"] << 6)


@pytest.mark.parametrize("rounds", [1, 3, 7, 200])
@pytest.mark.parametrize("ratio", [0.125, 1.0, 3.7, 500.0])
def test_the_scale_leaves_room_for_all_rounds(rounds: int, ratio: float) -> None:
    """With weights that do not matter the scale is as large as rounds * theta and rounds * theta_reset allow."""
    graph = silenced(network(cf(2, rounds, theta_reset=ratio)))
    (p,) = nd.compile(graph, scale="full").populations
    top = rounds * max(int(p.params["theta_reset"].max()), int(p.params["vth"].max()) << 6)
    assert LIMIT - rounds * 64 * (1 + ratio) <= top <= LIMIT


def test_what_has_no_room_is_refused() -> None:
    with pytest.raises(nd.NeuroDeployError, match=r"n0: theta_reset in \[\d+, \d+\] exceeds \[0, 8388607\]"):
        nd.compile(network(cf(2, theta_reset=1e9)))
    with pytest.raises(nd.NeuroDeployError, match=r"rounds \* theta_reset = \d+ is not below 2\^23"):
        nd.compile(network(cf(2, 200, theta_reset=1000.0)))


def test_wrong_integers_are_named() -> None:
    right = {"dv": 100, "bias_mant": 0, "bias_exp": 0, "vth": 5, "vth_neg": 5, "rounds": 3, "rounds_neg": 0}
    params = {k: np.asarray(v) for k, v in right.items()}

    def problems(**changed: int) -> list[str]:
        return spec("cf").check({**params, **{k: np.asarray(v) for k, v in changed.items()}}, LOIHI)

    assert problems() == problems(theta_reset=0) == problems(theta_reset=LIMIT // 3) == []
    assert problems(theta_reset=LIMIT // 3 + 1) == ["rounds * theta_reset = 8388609 is not below 2^23"]
    assert problems(theta_reset=-1) == ["theta_reset in [-1, -1] exceeds [0, 8388607]"]
    assert problems(theta_reset=9, rounds_neg=1) == ["theta_reset needs rounds_neg = 0"]


@pytest.mark.parametrize("scale", ["auto", "full"])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold(seed: int, scale: str) -> None:
    """No input of extremes leaves what is proven, and the oracle says the same as sim."""
    neurons = varied(8, seed), varied(7, seed + 10, 2, beta_syn=0.5), varied(5, seed + 20, 1)
    program = nd.compile(network(*neurons, seed=seed), scale=scale)
    assert program.proven or scale == "full"
    rng = np.random.default_rng(seed)
    x = rng.choice([0.0, 1.0], (8, 40, 6))
    x[:, 0], x[:, 1] = 0, 1
    trace = nd.simulate(program, x, "sim", ALL)
    for p in program.populations:
        data, bounds = trace.populations[p.name].data, program.report["bounds"][p.name]
        assert data["spikes"].any(), p.name
        for register in bounds.keys() & data.keys():
            assert np.abs(data[register].astype(np.int64)).max() <= bounds[register]["largest"], (p.name, register)
    first = trace.populations["n0"].data
    assert first["spikes"].max() == 3 and (first["v"][first["spikes"] > 0] < 0).any()
    expected = oracle.run(program, program.encode(x[:, :4])[0]["input"])
    for p in program.populations:
        for variable, values in trace.populations[p.name].data.items():
            np.testing.assert_array_equal(values[:, :4], expected[p.name, variable], err_msg=f"{p.name}.{variable}")


def test_a_bound_is_met() -> None:
    """Without input a neuron fires once by its drift and falls as deep as the bound says."""
    graph = silenced(network(cf(1, 2, theta_reset=1.75, drift=2.5, beta=0.5)))
    program = nd.compile(graph, scale="full", max_steps=1)
    trace = nd.simulate(program, np.zeros((1, 1, 6)), "sim", ALL)
    (p,) = program.populations
    assert trace.aligned("n0", "spikes").item() == 2
    left = trace.aligned("n0", "v").item()
    assert left == int(p.params["bias_mant"][0] << p.params["bias_exp"][0]) - 2 * int(p.params["theta_reset"][0]) < 0
    assert program.report["bounds"]["n0"]["v"]["largest"] == -left
    assert program.report["bounds"]["n0"]["h"]["largest"] == trace.aligned("n0", "h").item()


def test_the_chip_does_what_the_file_says() -> None:
    """sim against the float network, step by step: the drift begins with a population's first step, not before."""
    neurons = varied(12, 42), varied(9, 39, 2), varied(7, 37, 1, drift=2.5)
    graph = network(*neurons, seed=3, steps=10)
    x = networks.pixels(10, 60, 6, seed=5)
    program, real = nd.compile(graph), nd.simulate(graph, x, "reference", ALL)
    trace = nd.simulate(program, x, "sim", ALL)
    assert [p.latency for p in program.populations] == [1, 2, 3]
    for p in program.populations:
        mine, theirs = trace.aligned(p.name, "spikes"), real.aligned(p.name, "spikes")
        assert theirs.any() and (mine == theirs).mean() > 0.95, p.name
    h = trace.aligned("n0", "h") * program.populations[0].unit
    same = (trace.aligned("n0", "spikes") == real.aligned("n0", "spikes")).all(axis=0)
    assert same.mean() > 0.8 and np.abs(h - real.aligned("n0", "h"))[:, same].max() < 0.1
    early = replace(program, populations=tuple(replace(p, latency=1) for p in program.populations))
    silent, eager = (nd.simulate(p, 0 * x, "sim").populations["n2"].data["spikes"][:2] for p in (program, early))
    assert eager.any() and not silent.any()
    other = {k: v for k, v in program.populations[0].params.items() if k != "theta_reset"}
    changed = (replace(program.populations[0], params=other), *program.populations[1:])
    wrong = nd.simulate(replace(program, populations=changed), x, "sim", ALL).aligned("n0", "spikes")
    assert (wrong == real.aligned("n0", "spikes")).mean() < 0.9, "theta instead of theta_reset would be seen"


def test_a_drift_is_a_bias_whatever_stands_before_it() -> None:
    """Beside a bias of the synapse it adds up; behind a current the synapse's bias comes from another neuron."""
    for beta_syn in (None, 0.5):
        more = {} if beta_syn is None else {"beta_syn": beta_syn}
        graph = network(cf(3, drift=[0.125, -0.25, 0.5], **more))
        given = graph.nodes["fc0"].bias.astype(np.float64)
        (population,) = [p for p in compose(read_graph(graph)).populations if p.name == "n0"]
        wanted = np.array([0.125, -0.25, 0.5]) + (given if beta_syn is None else 0)
        np.testing.assert_allclose(population.bias, wanted, rtol=1e-6)
        assert len(nd.compile(graph).populations) == 1 + (beta_syn is not None)


def test_a_program_file_keeps_what_a_round_takes(tmp_path: Path) -> None:
    program = nd.compile(network(varied(5, 1)))
    nd.save_program(program, tmp_path / "p.h5")
    after = nd.load_program(tmp_path / "p.h5")
    assert after == program and after.digest == program.digest
    np.testing.assert_array_equal(
        after.populations[0].params["theta_reset"], program.populations[0].params["theta_reset"]
    )
    params = {k: v for k, v in program.populations[0].params.items() if k != "theta_reset"}
    other = replace(program, populations=(replace(program.populations[0], params=params),))
    assert other.digest != program.digest


def test_margins_look_at_the_thresholds_alone() -> None:
    program, x = nd.compile(network(varied(5, 1), scale=6.0)), networks.pixels(8, 20, 6)
    firing = margins(program, x).population("n0").firing
    trace = nd.simulate(program, x, "sim", ALL)
    h, theta = trace.aligned("n0", "h").astype(np.int64), program.populations[0].params["vth"] << 6
    assert firing is not None
    assert firing.smallest == min(int(np.abs(h - k * theta).min()) for k in (1, 2, 3))
    assert firing.saturated == int((trace.aligned("n0", "spikes") == 3).sum()) > 0
    assert firing.clipped == int((h > 4 * theta).sum()) > 0


def still(size: int, beta: float, rounds: int = 2, **more: Any) -> FloatNeuron:
    """Neurons without reset."""
    return cf(size, rounds, beta=beta, theta_reset=0.0, **more)


@pytest.mark.parametrize("beta_syn", [None, 0.75])
@pytest.mark.parametrize("beta", [1.0, 0.999, 0.75, 0.0])
def test_what_grows_without_reset_is_bounded_exactly(beta: float, beta_syn: float | None) -> None:
    """The largest input in every step brings h, v and u to their bounds, and not beyond, however little they leak."""
    more = {} if beta_syn is None else {"beta_syn": beta_syn}
    graph = network(still(5, beta, theta=[0.5, 0.8, 1.1, 1.3, 1.7], **more), steps=12)
    graph.nodes["fc0"].weight[:] = np.abs(graph.nodes["fc0"].weight)
    graph.nodes["fc0"].bias[:] = 0
    program = nd.compile(graph)
    assert program.proven
    trace = nd.simulate(program, np.ones((12, 1, 6)), "sim", ALL)
    data, bounds = trace.populations["n0"].data, program.report["bounds"]["n0"]
    assert data["spikes"].max() == 2
    for register in ("h", "v", "u") if more else ("h", "v"):
        assert np.abs(data[register]).max() == bounds[register]["largest"], register
    np.testing.assert_array_equal(data["v"], data["h"])


def test_a_hidden_layer_without_reset_compiles_to_what_the_file_says() -> None:
    """Its float spikes are the chip's, but for those that rounding moves; a reset would be seen."""
    graph = network(still(12, 0.75, theta=np.linspace(0.8, 2.5, 12)), varied(5, 9), seed=4)
    x = networks.pixels(8, 40, 6, seed=5)
    program, real = nd.compile(graph), nd.simulate(graph, x, "reference", ALL)
    assert program.proven and not program.population("n0").params["theta_reset"].any()
    mine, theirs = nd.simulate(program, x).aligned("n0", "spikes"), real.aligned("n0", "spikes")
    assert theirs.max() == 2 and (mine == theirs).mean() > 0.97
    other = network(cf(12, 2, theta=np.linspace(0.8, 2.5, 12)), varied(5, 9), seed=4)
    assert (nd.simulate(other, x, "reference").aligned("n0", "spikes") != theirs).mean() > 0.1


@pytest.mark.parametrize("taken", [0.0, 0.5])
def test_a_file_that_contradicts_itself_about_the_reset_is_refused(taken: float) -> None:
    graph = network(cf(3, 2, theta_reset=taken))
    assert (graph.nodes["n0"].nodes["reset"].scale == -0.75 * taken).all()
    read_graph(graph)
    graph.nodes["n0"].metadata["neuro_deploy"]["theta_reset"] = np.float32(0.5 - taken)
    with pytest.raises(nd.NeuroDeployError, match="node 'reset' is not what the metadata says"):
        read_graph(graph)
