"""From NIR to integers: scales, roundings, proofs, refusals."""

from __future__ import annotations

import itertools
from pathlib import Path

import networks
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro_deploy as nd
from neuro_deploy.errors import InputError, TargetError, UnsupportedError
from neuro_deploy.graph import InputRange, compose, read_graph
from neuro_deploy.neurons import spec
from neuro_deploy.target import load_target


def test_integers_mean_the_network() -> None:
    """Every integer times its unit is the float parameter, within half a step; thresholds exactly."""
    graph = networks.chain()
    network = compose(read_graph(graph))
    program = nd.compile(graph, "loihi2")
    (encoder,) = program.encoders
    assert (encoder.numerator, encoder.denominator, encoder.low, encoder.high) == (16, 1, 0, 16)
    gains = {encoder.name: 16.0}
    for population, wanted in zip(program.populations, network.populations, strict=True):
        weight_unit = population.unit * 64
        theta = wanted.neuron.flat("theta")
        np.testing.assert_allclose(population.params["vth"] * weight_unit, theta, rtol=1e-15)
        beta = 1 - population.params["dv"] / 4096
        assert np.abs(beta - wanted.neuron.flat("beta")).max() <= 0.5 / 4096
        bias = (population.params["bias_mant"] << population.params["bias_exp"]) * population.unit
        half = 0.5 * (1 << population.params["bias_exp"]) * population.unit
        assert (np.abs(bias - wanted.bias) <= half).all()
    for synapse, wanted in zip(program.synapses, network.synapses, strict=True):
        unit = program.population(synapse.target).unit * 64 * gains.get(synapse.source, 1.0)
        assert (synapse.weight % 2 == 0).all(), "mixed signs lose the last bit"
        assert np.abs(synapse.weight).max() <= 254
        assert (np.abs(synapse.weight * unit[:, None] - wanted.weight) <= unit[:, None] * (1 + 1e-12)).all()
        assert np.abs(synapse.weight).max(axis=1).min() >= 120, "each neuron uses its 8 bits"


def test_report_tells_each_rounding() -> None:
    program = nd.compile(networks.chain(), "loihi2")
    named = {(r[0], r[1]) for r in program.report["roundings"]}
    assert {("fc1", "weight"), ("cf1", "beta"), ("cf1", "bias"), ("lif", "beta")} <= named
    with pytest.raises(UnsupportedError, match=r"fc1: weight is rounded by up to"):
        nd.compile(networks.chain(), "loihi2", exact=True)


def dyadic() -> nir.NIRGraph:
    """A network that 8 bits hold exactly."""
    weight = np.array([[254, -128, 64], [32, 254, -6]], np.float32) / 64
    neuron = nd.neurons.FloatNeuron(
        "cf",
        (2,),
        {
            "beta": np.float32(0.75),
            "theta": np.float32(2.0),
            "theta_neg": np.float32(1.0),
            "circulations": np.float32(2),
            "circulations_neg": np.float32(0),
        },
    )
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "fc": nir.Affine(weight=weight, bias=np.array([0.25, -0.5], np.float32)),
        "cf": spec("cf").write(neuron, networks.DT),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [("input", "fc"), ("fc", "cf"), ("cf", "output")]
    return networks.graph(nodes, edges, input={"low": 0.0, "high": 3.0, "quantum": 1.0})


def test_exact_keeps_a_network_that_fits() -> None:
    program = nd.compile(dyadic(), "loihi2", exact=True, max_steps=12)
    assert all(r[2] == 0 for r in program.report["roundings"])
    x = np.random.default_rng(0).integers(0, 4, (12, 30, 3)).astype(np.float32)
    float_run = nd.simulate(dyadic(), x, "reference")
    chip = nd.simulate(program, x, "sim")
    np.testing.assert_array_equal(float_run.aligned("cf", "spikes"), chip.aligned("cf", "spikes"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rounds_neg=st.integers(0, 2), steps=st.integers(1, 12))
def test_bounds_hold_for_the_worst_input(seed: int, rounds_neg: int, steps: int) -> None:
    """No input drives a register beyond its bound; extreme and random inputs are tried."""
    program = nd.compile(networks.chain(seed=seed, rounds_neg=rounds_neg), "loihi2", max_steps=steps)
    first = program.synapses[0].weight
    rng = np.random.default_rng(seed)
    extremes = [(first[n] > 0).astype(np.float32) for n in range(4)] + [(first[n] < 0) * 1.0 for n in range(4)]
    x = np.concatenate([np.stack(extremes), rng.integers(0, 2, (8, first.shape[1]))]).astype(np.float32)
    trace = nd.simulate(program, np.repeat(x[None], steps, axis=0), "sim", ("spikes", "v", "h", "u"))
    for population in program.populations:
        bounds = program.report["bounds"][population.name]
        for register in ("v", "h", "u"):
            if register in bounds and register in trace.populations[population.name].data:
                seen = int(np.abs(trace.populations[population.name].data[register].astype(np.int64)).max())
                assert seen <= bounds[register]["largest"], (population.name, register)
    if program.proven:
        assert not any(n for events in trace.counters.values() for n in events.values())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 12))
def test_bounds_hold_for_signed_input_and_in_the_tail(seed: int, steps: int) -> None:
    """Signed input at both of its ends, by the signs of a neuron's weights; all rows, the tail too."""
    graph = networks.chain(seed=seed, rounds_neg=seed % 3, input={"low": -1.0, "high": 0.5})
    program = nd.compile(graph, "loihi2", max_steps=steps, scale="full")
    first = program.synapses[0].weight
    up, down = np.where(first > 0, 0.5, -1.0), np.where(first < 0, 0.5, -1.0)
    x = np.concatenate([up, down]).astype(np.float32)
    trace = nd.simulate(program, np.repeat(x[None], steps, axis=0), "sim", ("spikes", "v", "h", "u"))
    for population in program.populations:
        bounds, data = program.report["bounds"][population.name], trace.populations[population.name].data
        for register in bounds.keys() & data.keys():
            seen = int(np.abs(data[register].astype(np.int64)).max())
            assert seen <= bounds[register]["largest"], (population.name, register)
    # a neuron without leak in its bounds: the first layer's worst input is among those tried, so h is nearly reached
    h = int(np.abs(trace.populations["cf1"].data["h"].astype(np.int64)).max())
    assert h >= 0.5 * min(program.report["bounds"]["cf1"]["h"]["largest"], (1 << 23) - 1)


@pytest.mark.parametrize("low, high", [(-1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("sign", [1, -1])
def test_bounds_are_reached_on_each_side(sign: int, low: float, high: float) -> None:
    """Weights of one sign, input of one sign: the largest input comes near the bound, and not beyond it."""
    graph = dyadic()
    graph.nodes["fc"].weight = sign * np.abs(graph.nodes["fc"].weight)
    graph.nodes["fc"].bias = np.zeros(2, np.float32)
    graph.metadata["neuro_deploy"]["input"] = {"low": low, "high": high, "quantum": 1.0}
    program = nd.compile(graph, max_steps=1, scale="full")
    trace = nd.simulate(program, np.full((1, 1, 3), low + high), "sim", ("h",))
    h = int(np.abs(trace.populations["cf"].data["h"]).max())
    assert 0 < h <= program.report["bounds"]["cf"]["h"]["largest"] < 2 * h, "one step, and what is left in the tail"


def test_bounds_hold_in_the_tail() -> None:
    """An integrator with a negative bias sinks on while the deeper layer drains: rows beyond max_steps count."""
    down = nd.neurons.FloatNeuron(
        "cf",
        (1,),
        {
            "beta": np.float32(1.0),
            "theta": np.float32(1.0),
            "theta_neg": np.float32(1.0),
            "circulations": np.float32(1),
            "circulations_neg": np.float32(0),
        },
    )
    nodes = {"input": nir.Input({"input": np.array([1])})}
    for index in range(3):
        nodes[f"fc{index}"] = nir.Affine(weight=np.ones((1, 1), np.float32), bias=np.full(1, -0.5, np.float32))
        nodes[f"cf{index}"] = spec("cf").write(down, networks.DT)
    nodes["output"] = nir.Output({"output": np.array([1])})
    names = list(nodes)
    program = nd.compile(networks.graph(nodes, list(itertools.pairwise(names))), max_steps=2)
    trace = nd.simulate(program, np.zeros((2, 1, 1)), "sim", ("v",))
    sunk = -int(trace.populations["cf0"].data["v"].min())
    assert sunk == 4 * -int(trace.populations["cf0"].data["v"][1, 0, 0])
    assert sunk <= program.report["bounds"]["cf0"]["v"]["largest"]


def test_formats_are_used_to_their_ends() -> None:
    """One-sign weights reach 255 and odd numbers; a bias takes the smallest exponent that holds it."""
    rng = np.random.default_rng(4)
    for sign in (1, -1):
        graph = networks.chain()
        graph.nodes["fc2"].weight = (sign * rng.uniform(0.01, 0.3, (9, 20))).astype(np.float32)
        program = nd.compile(graph, scale="full")
        weight = program.synapses[1].weight
        assert np.abs(weight).max() == 255 and (weight % 2 == 1).any()
    for population in program.populations:
        mantissa, exponent = population.params["bias_mant"], population.params["bias_exp"]
        assert (np.abs(mantissa) <= 4095).all()
        assert (np.abs(mantissa)[exponent > 0] > 2046).all(), "a smaller exponent would have held it"
        assert (exponent > 0).any() and len(np.unique(exponent)) > 1


def test_a_narrower_input_is_tried_before_weights_lose_much() -> None:
    """Without a leak the proof for many steps leaves few bits for weights and sums."""
    rng = np.random.default_rng(0)
    some = networks.cf(6, rng)
    neuron = nd.neurons.FloatNeuron("cf", (6,), {**some.params, "beta": np.float32(1)})
    nodes = {
        "input": nir.Input({"input": np.array([300])}),
        "fc": networks.affine(6, 300, rng, scale=3.0),
        "cf": spec("cf").write(neuron, networks.DT),
        "output": nir.Output({"output": np.array([6])}),
    }
    edges = [("input", "fc"), ("fc", "cf"), ("cf", "output")]
    graph = networks.graph(nodes, edges, input={"low": 0.0, "high": 1.0}, steps=150)
    auto, wide = nd.compile(graph), nd.compile(graph, input_bits=8)
    assert wide.report["proof_loss_bits"] > max(2, auto.report["proof_loss_bits"])
    assert auto.encoders[0].bits < 8 and auto.proven and wide.proven


def test_thresholds_must_be_positive() -> None:
    graph = networks.chain()
    graph.nodes["lif"].v_threshold = np.zeros(5, np.float32)
    with pytest.raises(UnsupportedError, match="lif: threshold 0 is not above 0"):
        nd.compile(graph)
    with pytest.raises(UnsupportedError, match=r"lif: threshold 0 is not above 0(.|\n)*cf1: 3 circulations exceed 1"):
        nd.compile(graph, "loihi1")


def test_calibration_wins_over_the_files_range() -> None:
    x = networks.pixels(6, 10, 12) * 3
    assert nd.compile(networks.chain(), calibrate=x).encoders[0].high == 48, "the file's grid still holds"
    assert nd.compile(networks.chain()).encoders[0].high == 16


def test_proven_shrinks_the_scale_until_nothing_can_overflow() -> None:
    graph = networks.chain(sizes=(400, 30, 9, 5), input={"low": 0.0, "high": 1.0})
    full = nd.compile(graph, "loihi2", scale="full", input_bits=8)
    proven = nd.compile(graph, "loihi2", scale="proven", input_bits=8)
    assert not full.proven
    assert proven.proven and proven.report["scale"] == "proven" and full.report["scale"] == "full"
    assert all(b["largest"] <= b["limit"] for p in proven.report["bounds"].values() for b in p.values())
    assert (proven.populations[0].params["vth"] < full.populations[0].params["vth"]).all()
    assert proven.synapses[0].exponent < 0, "weights keep their 8 bits, finer than a unit"
    assert np.abs(proven.synapses[0].weight).max() > 127


def test_loihi1_refuses_all_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        nd.compile(networks.chain(), "loihi1")
    text = str(caught.value)
    assert "graded input" in text and "rate, latency" in text
    assert "cf1: 3 circulations exceed 1" in text and "cf2: 2 circulations exceed 1" in text
    assert "lif: thresholds from" in text and "one per population" in text


def test_loihi1_refuses_signed_input_in_words() -> None:
    with pytest.raises(UnsupportedError, match=r"graded input in \[-1, 1\]"):
        nd.compile(networks.chain(input={"low": -1.0, "high": 1.0}), "loihi1")


def test_auto_never_gives_up_a_proof_that_is_possible() -> None:
    """With 8 input bits a proof costs much: narrower input, then a smaller scale, but no clips."""
    graph = networks.chain(sizes=(300, 30, 9, 5), input={"low": 0.0, "high": 1.0})
    for bits in (None, 8):
        program = nd.compile(graph, "loihi2", input_bits=bits)
        assert program.proven
        assert "cannot overflow" in repr(program)
        x = np.ones((6, 2, 300), np.float32)
        assert not any(n for events in nd.simulate(program, x).counters.values() for n in events.values())


def test_loihi1_takes_a_binary_lif_network() -> None:
    rng = np.random.default_rng(2)
    neuron = nd.neurons.FloatNeuron("lif", (6,), {"beta": np.float32(0.8), "theta": np.float32(1.0)})
    nodes = {
        "input": nir.Input({"input": np.array([5])}),
        "fc": networks.affine(6, 5, rng, scale=2.0),
        "lif": spec("lif").write(neuron, networks.DT),
        "output": nir.Output({"output": np.array([6])}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    program = nd.compile(networks.graph(nodes, edges, input={"low": 0.0, "high": 1.0, "quantum": 1.0}), "loihi1")
    assert program.proven and program.encoders[0].bits == 1
    assert program.report["bounds"]["lif"]["sum"]["largest"] < 1 << 15
    assert np.ptp(program.populations[0].params["vth"]) == 0
    nodes["input"], nodes["fc"] = nir.Input({"input": np.array([1200])}), networks.affine(6, 1200, rng, scale=40.0)
    many = nd.compile(networks.graph(nodes, edges, input={"low": 0.0, "high": 1.0, "quantum": 1.0}), "loihi1")
    assert many.proven and many.report["proof_loss_bits"] > 0, "the proof shrinks the whole population"
    assert np.ptp(many.populations[0].params["vth"]) == 0


def test_unknown_target_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="did you mean loihi2"):
        nd.compile(networks.chain(), "lohi2")
    path = tmp_path / "mine.toml"
    path.write_text("schema = 1\nname = 'mine'\n")
    with pytest.raises(TargetError, match=r"(?s)title.*sources|sources.*title"):
        load_target(path)


def test_every_number_in_a_target_names_its_source() -> None:
    for name in ("loihi1", "loihi2"):
        chip = load_target(name)
        assert all(len(text) > 15 for text in chip.sources.values())


def test_a_target_without_a_source_is_refused(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "hardware" / "loihi2.toml").read_text()
    path = tmp_path / "t.toml"
    path.write_text(text.replace('source = "lava-lif"', 'source = "hearsay"', 1))
    with pytest.raises(TargetError, match="hearsay"):
        load_target(path)
    path.write_text(text.replace(', source = "lava-lif"', "", 1))
    with pytest.raises(TargetError, match="source"):
        load_target(path)


def test_input_range_is_never_guessed() -> None:
    graph = networks.chain(input=None)
    with pytest.raises(InputError, match="--calibrate"):
        nd.compile(graph)
    x = networks.pixels(6, 10, 12)
    encoder = nd.compile(graph, calibrate=x).encoders[0]
    assert 4 <= encoder.bits <= 8 and encoder.high == (1 << encoder.bits) - 1
    assert nd.compile(graph, calibrate=x, input_bits=8).encoders[0].high == 255
    assert nd.compile(graph, input_range=InputRange(-1.0, 1.0)).encoders[0].signed
    assert nd.compile(graph, calibrate=x, input_bits=31, scale="full").encoders[0].high == (1 << 31) - 1
    with pytest.raises(InputError, match=r"in \[1, 31\]"):
        nd.compile(graph, calibrate=x, input_bits=32)


def test_beta_zero_is_refused_where_it_would_leak() -> None:
    """A target without memoryless neurons has the leak 4095/4096 at most; loihi2 has dv = 4096."""
    graph = dyadic()
    neuron = read_graph(graph).neurons["cf"]
    params = {**neuron.params, "beta": np.float32(0.0)}
    graph.nodes["cf"] = spec("cf").write(nd.neurons.FloatNeuron("cf", (2,), params), networks.DT)
    chip = nd.load_target("loihi2")
    none = chip.neuron.memoryless.model_copy(update={"value": False})
    leaky = chip.model_copy(update={"neuron": chip.neuron.model_copy(update={"memoryless": none})})
    with pytest.raises(UnsupportedError, match="beta = 0 leaves"):
        nd.compile(graph, leaky)
    assert (nd.compile(graph).populations[0].params["dv"] == 4096).all()


def test_bounds_hold_for_the_steps_that_the_file_names() -> None:
    assert nd.compile(networks.chain(steps=9)).max_steps == 9
    assert nd.compile(networks.chain(steps=None)).max_steps == 1000
    assert nd.compile(networks.chain(), max_steps=3).max_steps == 3
    with pytest.raises(InputError, match="max_steps"):
        nd.compile(networks.chain(), max_steps=0)


def test_longer_runs_than_proven_are_refused() -> None:
    program = nd.compile(networks.chain(), max_steps=4)
    with pytest.raises(InputError, match="--max-steps 5"):
        nd.simulate(program, networks.pixels(5, 2, 12))
    with pytest.raises(InputError, match=r"expected shape \(T, B, 12\)"):
        nd.simulate(program, networks.pixels(4, 2, 11))
