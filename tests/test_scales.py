"""How `compile` chooses integers: scales by group, exponents, proofs that are met, calibration, refusals."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.errors import InputError, RegisterError, UnsupportedError
from neuro_deploy.graph import compose, read_graph
from neuro_deploy.neurons import FloatNeuron, spec
from neuro_deploy.neurons.scheme import Scheme
from neuro_deploy.program import ChipProgram

DT = networks.DT
ALL = ("spikes", "v", "h", "u")


def one_layer(
    neuron: FloatNeuron, weight: np.ndarray, bias: np.ndarray | float = 0.0, **told: Any
) -> tuple[nir.NIRGraph, ChipProgram]:
    """input -> dense -> neuron -> output, binary input unless told."""
    nodes = {
        "input": nir.Input({"input": np.array([weight.shape[1]])}),
        "fc": nir.Affine(weight.astype(np.float32), np.broadcast_to(bias, len(weight)).astype(np.float32)),
        "n": spec(neuron.kind).write(neuron, DT),
        "output": nir.Output({"output": np.array([len(weight)])}),
    }
    told = {"input": {"low": 0.0, "high": 1.0, "quantum": 1.0}, "steps": 5, **told}
    graph = networks.graph(nodes, list(itertools.pairwise(nodes)), **told)
    return graph, nd.compile(graph)


def lif(size: int, **params: Any) -> FloatNeuron:
    given = {"beta": 0.875, "theta": 1.0} | params
    return FloatNeuron("lif", (size,), {k: np.float32(v) for k, v in given.items()})


def test_a_kernel_is_shared_and_its_channel_has_one_unit() -> None:
    graph = networks.everything()
    program, network = nd.compile(graph), compose(read_graph(graph))
    wanted = {s.name: s for s in network.synapses}
    gains = {e.name: e.numerator / e.denominator for e in program.encoders}
    seen = []
    for synapse in (s for s in program.synapses if s.kind == "conv"):
        unit = (program.population(synapse.target).unit * 64).reshape(synapse.wiring.target_shape[0], -1)
        assert (unit == unit[:, :1]).all() and len(np.unique(unit)) > 1
        step = unit[:, 0].reshape(-1, 1, 1, 1) * gains.get(synapse.source, 1.0) * 2.0**synapse.exponent
        assert (np.abs(synapse.weight * step - wanted[synapse.name].weight) <= step * (1 + 1e-9)).all()
        assert synapse.weight.shape == wanted[synapse.name].weight.shape and np.abs(synapse.weight).max() > 100
        seen.append(synapse.name)
    assert seen == ["conv1", "avg+conv2", "conv3", "sum+fade"]


def test_potentials_that_are_compared_have_one_unit() -> None:
    program = nd.compile(networks.everything())
    assert program.readout is not None and program.readout.rule == "mean_v"
    assert len(np.unique(program.population("out").unit)) == 1
    assert len(np.unique(program.population("cuba").unit)) > 1


@pytest.mark.parametrize(("bits", "mixed"), [(8, True), (4, True), (2, False), (5, False)])
def test_fewer_weight_bits(bits: int, mixed: bool) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 40)) if mixed else np.abs(rng.normal(size=(6, 40)))
    graph, _ = one_layer(lif(6), weight)
    program = nd.compile(graph, weight_bits=bits)
    step = 1 << (8 - bits + mixed)
    found = program.synapses[0].weight
    assert not (found % step).any() and np.abs(found).max() == 256 - step
    assert len(np.unique(found)) <= 1 << bits
    with pytest.raises(InputError, match=r"weight_bits must be in \[2, 8\]"):
        nd.compile(graph, weight_bits=9)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("beta_syn", [None, 0.5])
def test_the_bound_is_met_by_the_input_that_the_report_names(sign: int, beta_syn: float | None) -> None:
    """An integrator, so nothing fires: the worst input brings u and h exactly to their bounds."""
    rng = np.random.default_rng(1)
    weight, current = rng.normal(size=(4, 30)), {} if beta_syn is None else {"beta_syn": np.float32(beta_syn)}
    neuron = FloatNeuron("li", (4,), {"beta": np.float32(0.75), **current})
    _, program = one_layer(neuron, weight, 0.0, input={"low": -1.0, "high": 1.0, "quantum": 0.25})
    worst = np.sign(program.synapses[0].weight) * sign
    trace = nd.simulate(program, np.tile(worst, (5, 1, 1)).astype(float), "sim", ALL)
    rows = trace.populations["n"].data
    assert program.proven
    bounds = program.report["bounds"]["n"]
    for variable in ("h", "u"):
        met = np.abs(rows[variable].astype(np.int64)).max()
        limit = bounds[variable]["largest"]
        assert limit - 64 * 5 <= met <= limit, (variable, met, limit)


def test_strict_stops_at_the_first_event_and_counts_agree() -> None:
    graph, _ = one_layer(lif(3, theta=1.0, beta=0.99), np.full((3, 50), -1.0), steps=400)
    program = nd.compile(graph, scale="full")
    assert not program.proven
    text = " ".join(program.report["remarks"])
    assert "register h can reach" in text and "positive weight send their smallest value" in text
    x = np.ones((400, 2, 50))
    trace = nd.simulate(program, x, "sim", ALL)
    clips = trace.counters["n"]["v_clips"]
    limit = (1 << 23) - 1
    first = int((trace.aligned("n", "h") == -limit).argmax(axis=0).min())
    assert clips > 100
    with pytest.raises(RegisterError, match=rf"n: the potential h clips in neuron 0, step {first}, sample 0"):
        nd.simulate(program, x, "sim", strict=True)
    with pytest.raises(InputError, match="strict"):
        nd.simulate(graph, x, "reference", strict=True)
    proven = nd.compile(graph)
    assert proven.proven
    nd.simulate(proven, x, "sim", strict=True)


def test_calibrated_uses_the_registers_further_than_the_proof() -> None:
    rng = np.random.default_rng(2)
    neuron = FloatNeuron(
        "cf",
        (8,),
        {k: np.float32(v) for k, v in (("beta", 0.9), ("theta", 1.0), ("theta_neg", 1.0))}
        | {"circulations": np.float32(3), "circulations_neg": np.float32(0)},
    )
    weight = rng.normal(0, 1.0, (8, 600))
    graph, proven = one_layer(neuron, weight, 0.1, input={"low": 0.0, "high": 1.0, "quantum": 1 / 255}, steps=8)
    x = (rng.integers(0, 256, (8, 20, 600)) * (rng.random((8, 20, 600)) < 0.1) / 255).astype(np.float32)
    with pytest.raises(InputError, match="needs calibration input"):
        nd.compile(graph, scale="calibrated")
    calibrated = nd.compile(graph, scale="calibrated", calibrate=x)
    assert proven.proven and not calibrated.proven and calibrated.report["scale"] == "calibrated"
    assert (calibrated.populations[0].params["vth"] > 2 * proven.populations[0].params["vth"]).all()
    trace = nd.simulate(calibrated, x, "sim", ALL)
    assert not any(n for events in trace.counters.values() for n in events.values())
    most = np.abs(trace.populations["n"].data["h"].astype(np.int64)).max()
    assert (1 << 21) < most <= 1 << 23
    assert calibrated.encoders[0] == proven.encoders[0], "the grid of the input is kept"


def test_loihi1_keeps_exponents_and_sums_in_the_safe_subset() -> None:
    rng = np.random.default_rng(3)
    graph, _ = one_layer(lif(6), rng.normal(size=(6, 300)))
    program = nd.compile(graph, "loihi1")
    (synapse,) = program.synapses
    assert program.proven and synapse.exponent >= 0 and not (synapse.weight % 2).any()
    assert (np.abs(synapse.weight.astype(np.int64)) << synapse.exponent).sum(axis=1).max() < 1 << 15
    assert len(np.unique(program.populations[0].params["vth"])) == 1


def test_what_loihi1_cannot_do_is_refused_with_the_remedy() -> None:
    rng = np.random.default_rng(4)
    weight = rng.normal(0, 0.1, (4, 5))
    reset, _ = one_layer(lif(4, v_reset=0.5), weight)
    with pytest.raises(UnsupportedError, match=r"n: resets to 0\.5, loihi1 only to 0; .*loihi2"):
        nd.compile(reset, "loihi1")
    with pytest.raises(UnsupportedError, match=r"beta = 0 leaves .* memoryless neurons such as loihi2"):
        nd.compile(one_layer(lif(4, beta=0.0, theta=100.0), weight)[0], "loihi1")
    soft = {"theta_neg": 1.0, "circulations": 1.0, "circulations_neg": 0.0, "beta_syn": 0.5, "beta": 0.5, "theta": 1.0}
    current = FloatNeuron("cf", (4,), {k: np.float32(v) for k, v in soft.items()})
    with pytest.raises(UnsupportedError, match="resets by subtraction"):
        nd.compile(one_layer(current, weight)[0], "loihi1")
    late, _ = one_layer(lif(4), weight)
    late.nodes["wait"] = nir.Delay(np.full(4, 70 * DT))
    late.edges = [("input", "fc"), ("fc", "wait"), ("wait", "n"), ("n", "output")]
    with pytest.raises(UnsupportedError, match=r"needs a delay of 70 steps, loihi1 has at most 62"):
        nd.compile(late, "loihi1")


def test_registers_come_from_the_target() -> None:
    """A chip with potentials of 16 bits: the scale fits them, and sim clips there."""
    chip = nd.load_target("loihi2")
    narrow = chip.model_copy(
        update={
            "state": chip.state.model_copy(
                update={
                    "v_bits": chip.state.v_bits.model_copy(update={"value": 16}),
                    "u_bits": chip.state.u_bits.model_copy(update={"value": 16}),
                    "input_shift": chip.state.input_shift.model_copy(update={"value": 2}),
                }
            ),
            "threshold": chip.threshold.model_copy(
                update={"shift": chip.threshold.shift.model_copy(update={"value": 2})}
            ),
        }
    )
    rng = np.random.default_rng(5)
    graph, wide = one_layer(lif(6), rng.normal(size=(6, 60)))
    program = nd.compile(graph, narrow)
    assert program.registers.v_bits == 16 and program.registers.input_shift == 2 and program.proven
    assert program.digest != replace(program, registers=wide.registers).digest
    x = (rng.random((5, 9, 60)) < 0.4).astype(float)
    trace, other = nd.simulate(program, x, "sim", ALL), nd.simulate(wide, x, "sim", ALL)
    assert np.abs(trace.populations["n"].data["h"]).max() < 1 << 15
    assert (trace.aligned("n", "spikes") == other.aligned("n", "spikes")).mean() > 0.95
    assert trace.aligned("n", "spikes").any()


def test_a_threshold_has_a_shift_of_its_own() -> None:
    """A target whose thresholds are shifted by 4 and sums by 6: the same threshold in float, other integers."""
    chip = nd.load_target("loihi2")
    shift = chip.threshold.shift.model_copy(update={"value": 4})
    other = chip.model_copy(update={"threshold": chip.threshold.model_copy(update={"shift": shift})})
    graph, usual = one_layer(lif(4), np.random.default_rng(6).normal(size=(4, 40)))
    program = nd.compile(graph, other)
    for compiled, own in ((program, 4), (usual, 6)):
        p = compiled.populations[0]
        np.testing.assert_allclose((p.params["vth"] << own) * p.unit, np.ones(4), rtol=1e-12)
    x = (np.random.default_rng(7).random((5, 6, 40)) < 0.5).astype(float)
    one, two = (nd.simulate(p, x, "sim").aligned("n", "spikes") for p in (program, usual))
    assert one.any() and (one == two).all()


def test_a_proof_that_leaves_few_levels_says_so() -> None:
    """Fan-in of 16,384: the exponent is below 0 at full scale already, and the loss counts from there."""
    rng = np.random.default_rng(8)
    soft = {"theta_neg": 1.0, "circulations": 3.0, "circulations_neg": 0.0, "beta": 0.9, "theta": 1.0}
    neuron = FloatNeuron("cf", (8,), {k: np.float32(v) for k, v in soft.items()})
    weight = rng.normal(size=(8, 16384)) * 0.25 / 128
    graph, alone = one_layer(neuron, weight, input={"low": 0.0, "high": 1.0, "quantum": 1 / 255}, steps=8)
    x = (rng.integers(0, 256, (8, 4, 16384)) / 255).astype(np.float32)
    assert alone.proven and alone.report["proof_loss_bits"] > 2
    helped = nd.compile(graph, calibrate=x)
    assert helped.report["scale"] == "calibrated" and np.abs(helped.synapses[0].weight).max() > 127


def test_loihi1_has_constants_for_currents() -> None:
    """The neuron that always fires resets to 0 each time, so it needs no memoryless model."""
    rng = np.random.default_rng(9)
    graph, _ = one_layer(lif(4, beta_syn=0.5), rng.normal(0, 0.3, (4, 20)), 0.1)
    program = nd.compile(graph, "loihi1")
    x = (rng.random((5, 3, 20)) < 0.5).astype(float)
    trace = nd.simulate(program, x, "sim", ALL)
    assert program.proven and trace.aligned("one", "spikes").all()
    one = trace.aligned("n", "spikes")
    float_run = nd.simulate(graph, x, "reference").aligned("n", "spikes")
    assert one.any() and (one == float_run).mean() > 0.9


@pytest.mark.parametrize(("high", "quantum"), [(1e-7, 0.0), (1e-6, 1e-7), (7e-6, 7e-7), (5e8, 0.0), (1e9, 1e8)])
def test_small_and_large_inputs_have_encoders(high: float, quantum: float) -> None:
    rng = np.random.default_rng(10)
    told = {"low": 0.0, "high": high, "quantum": quantum}
    _, program = one_layer(lif(4), rng.normal(size=(4, 20)) / high, input=told)
    (encoder,) = program.encoders
    levels = round(high / quantum) if quantum else 255
    assert encoder.high == levels
    q, clipped = encoder.encode(np.linspace(0, high, levels + 1)[None, None, :1].repeat(20, 2))
    assert clipped == 0 and not q.any()
    grid = np.linspace(0, high, levels + 1)
    whole, _ = encoder.encode(np.resize(grid, (1, 20, 20)))
    np.testing.assert_array_equal(whole.reshape(-1), np.resize(np.arange(levels + 1), 400))


def test_exact_refuses_input_that_is_rounded() -> None:
    graph, _ = one_layer(
        lif(2, theta=1.0, beta=0.5), np.array([[254.0], [-254.0]]) / 256, input={"low": 0.0, "high": 1.0}
    )
    with pytest.raises(UnsupportedError, match=r"input: input is rounded to steps of 0\.00392"):
        nd.compile(graph, exact=True)


def test_strict_refuses_input_beyond_the_encoders_range() -> None:
    _, program = one_layer(lif(2), np.ones((2, 3)))
    x = np.ones((5, 2, 3))
    nd.simulate(program, x, "sim", strict=True)
    x[1, 1, 2] = 3.0
    assert nd.simulate(program, x, "sim").counters["input"]["clipped"] == 1
    for backend in ("sim", "sim-plain"):
        with pytest.raises(RegisterError, match="input: 1 input values lie beyond"):
            nd.simulate(program, x, backend, strict=True)


def test_calibration_input_must_have_the_networks_shape() -> None:
    graph, _ = one_layer(lif(2), np.ones((2, 3)))
    with pytest.raises(InputError, match=r"shape \(5, 2, 4\), expected \(T, B, 3\)"):
        nd.compile(graph, calibrate=np.zeros((5, 2, 4)))


def test_a_time_constant_of_one_step_is_no_memory() -> None:
    """tau = dt in float32, on whichever side of it the rounding went."""
    for dt in (0.02, 0.001, 0.003):
        tau = np.full(3, dt, np.float32)
        node = nir.LIF(tau=tau, r=np.ones(3, "f4"), v_leak=np.zeros(3, "f4"), v_threshold=np.ones(3, "f4"))
        neuron = spec("lif").read("n", node, Scheme(dt))
        assert neuron is not None and not neuron.params["beta"].any()
