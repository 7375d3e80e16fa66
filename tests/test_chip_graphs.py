"""Graphs of every structure trained in a chip's arithmetic: the same numbers as sim, Lava and the file that is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

import nir
import numpy as np
import pytest
import test_lowered
import torch
from chip_graphs import GRAPHS, given, inputs
from chip_networks import VARIABLES, differences
from chip_oracle import Unrolled
from test_architectures import exported
from test_chip_programs import shaken

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.chip import chip_graph
from neuro_deploy.errors import NeuroDeployError, UnsupportedError
from neuro_deploy.road import verify_graph
from neuro_deploy.target import load_target
from neuro_deploy.train.chip import Chip

LOIHI2 = load_target("loihi2")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", list(GRAPHS))
def test_every_structure_can_be_trained(name: str) -> None:
    """Forward is sim, at the start, with other weights and after a step of training; the file is what was trained."""
    graph = GRAPHS[name]()
    x, chip = inputs(graph), nd.to_chip(graph)
    original = nd.compile(graph)
    assert sorted(p.size for p in chip.frozen.populations) == sorted(p.size for p in original.populations)
    for change in ("none", "shaken", "trained"):
        if change == "shaken":
            shaken(chip, 1)
        elif change == "trained":
            before = chip.program()
            optimizer = torch.optim.SGD(chip.train().parameters(), lr=0.02)
            (chip(given(x)) ** 2).mean().backward()  # type: ignore[no-untyped-call]
            learned = [*chip.weights.items(), *chip.biases.items()]
            assert all(p.grad is not None and torch.isfinite(p.grad).all() for _, p in learned)
            assert sum(bool(p.grad.any()) for _, p in learned if p.grad is not None) > len(learned) / 2
            with torch.no_grad():
                for key, weight in chip.weights.items():
                    assert weight.grad is not None
                    weight -= weight.grad.sign() * 2 * chip.synapse(key).size.float().mean()
            optimizer.step()
            assert chip.program() != before
        program = chip.program()
        trace = simulate(program, x, "sim", VARIABLES)
        found = differences(chip, x, trace)
        assert len(found) > 2 * len(chip.frozen.populations) and not any(found.values())
        if change == "none":
            for p in program.populations:
                data = trace.populations[p.name].data
                assert (data["spikes"] if p.kind != "li" else data["v"]).any(), p.name
        assert nd.compile(chip_graph(chip), exact=True) == program
    again = nd.to_chip(nd.export_nir(chip))
    assert again.program() == chip.program() and list(again.weights) == list(chip.weights)
    assert {k: p.shape for k, p in again.biases.items()} == {k: p.shape for k, p in chip.biases.items()}


def test_the_structures_are_what_they_say() -> None:
    programs = {name: nd.to_chip(f()).frozen for name, f in GRAPHS.items()}
    assert {s.kind for s in programs["everything"].synapses} == {"dense", "sparse", "conv"}
    assert any(s.source == s.target and s.kind == "conv" for s in programs["recurrent_images"].synapses)
    assert [s.wiring.weight.shape for s in programs["pooled"].synapses if s.kind == "conv"][1] == (4, 3, 6, 6)
    joins = Counter(s.target for s in programs["residual"].synapses)
    assert joins["cf2"] == joins["cf3"] == 2 and any(s.delay for s in programs["residual"].synapses)
    assert len(programs["inputs_joined"].inputs) == 3
    assert (programs["memoryless"].population("gate").params["dv"] == 4096).all()
    loops = [g for g in nd.to_chip(GRAPHS["recurrent"]()).schedule.groups if g.cyclic]
    assert sorted(len(g.names) for g in loops) == [1, 2]


def test_drawn_graphs_can_be_trained_or_are_refused_for_a_reason() -> None:
    rng, met = np.random.default_rng(5), Counter[str]()
    reasons = ("by a matrix, which no NIR node can be", "infinite time constant", "beside beta = 1 cannot be said")
    reasons += ("that none of its layers can hold", "mixes 1 (an integrator)")
    for index in range(80):
        try:
            graph, x = test_lowered.drawn(rng)
            nd.compile(graph)
        except NeuroDeployError:
            continue
        try:
            chip = nd.to_chip(graph)
        except UnsupportedError as error:
            assert all(any(reason in v.what for reason in reasons) for v in error.violations), error
            met["refused"] += 1
            continue
        chip = shaken(chip, index) if index % 2 else chip
        program = chip.program()
        assert not any(differences(chip, x, simulate(program, x, "sim", VARIABLES)).values())
        assert nd.compile(chip_graph(chip), exact=True) == program
        met["trained"] += 1
        met["cyclic"] += any(group.cyclic for group in chip.schedule.groups)
        met["delayed"] += any(lag for s, lag in chip.schedule.lags.items() if "constant" not in s)
        met["scaled back"] += chip.scaled_back() > 0
        met.update({s.kind: 1 for s in program.synapses})
        met.update({p.kind: 1 for p in program.populations})
    wanted = {"trained": 40, "cyclic": 10, "delayed": 10, "scaled back": 4, "conv": 6, "dense": 40}
    assert not {key: met[key] for key, least in wanted.items() if met[key] < least} and met["refused"] < 20, met


def agreeing(graph: nir.NIRGraph, chip: Chip) -> tuple[Unrolled, Any, Any]:
    """The float network, and what both do with an input on which no rounding changes a spike."""
    for seed in range(20):
        x, oracle = given(inputs(graph, 3, seed)), Unrolled(chip)
        sent, states = chip.run(x)
        wanted = oracle.run(chip.encode(chip._joined(x)))
        pairs = [(states[key].spikes.float(), s) for key, s in wanted[0].items() if key in chip.firing()]
        if len(pairs) > 1 and all(torch.equal(a, b) and bool(a.any()) for a, b in pairs):
            return oracle, (sent, states), wanted
    raise AssertionError("a rounding changes a spike in every input")


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "everything"])
def test_gradients_are_those_of_the_float_network(name: str) -> None:
    """Weights and biases: against the float network at the chip's weights, unrolled step by step."""
    graph, rng = GRAPHS[name](), torch.Generator().manual_seed(3)
    chip = nd.to_chip(graph)
    oracle, (sent, states), (wanted, levels) = agreeing(graph, chip)
    mine, theirs = sent.flatten(2).sum(), wanted[chip.output].sum()
    for key, level in levels.items():
        tilt = torch.randn(level.shape, generator=rng)
        mine, theirs = mine + (states[key].level * tilt).sum(), theirs + (level * tilt).sum()
    mine.backward()
    theirs.backward()
    integers, _ = chip.integers()
    for key, weight in chip.weights.items():
        synapse, got, want = chip.synapse(key), weight.grad, oracle.weights[key].grad
        assert got is not None and want is not None
        inside = synapse.connected & (integers[key].abs() < 254)  # a clipped weight has a gradient to one side only
        if synapse.each > 1:
            assert bool(inside.all())
            got, want = got.repeat_interleave(synapse.each, 0), want.reshape(len(got), -1).sum(1, keepdim=True)
            want = want.repeat_interleave(synapse.each, 0)
        assert bool(want[inside].any()) == bool(inside.any()), key
        largest = float(want.abs().max())
        assert torch.allclose(got[inside], want[inside], rtol=5e-3, atol=5e-3 * largest), key
        assert not got[~synapse.connected].any()
    for key, bias in chip.biases.items():
        got, want = bias.grad, oracle.biases[key].grad
        assert got is not None and want is not None
        want = want.reshape(len(got), -1).sum(1)
        assert torch.allclose(got, want, rtol=5e-3, atol=5e-3 * float(want.abs().max())), key


@pytest.mark.lava
@pytest.mark.parametrize("name", ["pooled", "residual"])
def test_lava_agrees_with_what_was_trained(name: str) -> None:
    graph = GRAPHS[name]()
    x, chip = inputs(graph, 6), shaken(nd.to_chip(graph), 4)
    exported = nd.export_nir(chip, sample=x["input"])
    result = verify_graph(exported, "loihi2", x["input"], np.zeros(6, np.int64), lava_samples=3)
    assert result.program == chip.program() and result.verdict.passed and result.verdict.differing == 0
    assert result.verdict.exact is not None and result.verdict.exact.values > 3000
    assert not any(differences(chip, x, simulate(chip.program(), x, "lava", VARIABLES, 3)).values())


@pytest.mark.parametrize("name", ["recurrent, delay 2", "vgg", "sew_resnet", "spiking_transformer"])
def test_our_architectures_can_be_trained(name: str) -> None:
    model, x, graph = exported(name)
    chip = shaken(nd.to_chip(graph, model.train()), 5, steps=3.0)
    program = chip.program()
    trace = simulate(program, x, "sim", VARIABLES)
    assert not any(differences(chip, x, trace).values())
    assert nd.compile(chip_graph(chip), exact=True) == program
    assert {key: p.surrogate for key, p in chip.firing().items()} == dict.fromkeys(chip.firing(), "sigmoid")
    if name == "spiking_transformer":  # its gates are fixed, so they still pass k where the mask fires
        k, m, out = (trace.aligned(f"attention1_body_{key}", "spikes") for key in ("k_cf", "mask", "gate_neuron"))
        assert np.array_equal(out, k * np.repeat(m, k.shape[2] // m.shape[2], axis=2)) and out.any()
        assert not [key for key in (*chip.weights, *chip.biases) if "gate" in key]
        assert not [key for key in (*chip.weights, *chip.biases) if "total" in key or "mask" in key]
        path = "attention1_body_q_cf-attention1_body_mask"
        total = next(s for s in program.synapses if s.name == path).wiring.weight
        head = np.abs(total).max((1, 2, 3), keepdims=True)  # one gain for a head, that of the batch norm folded into it
        assert total.any() and np.array_equal(np.abs(total), np.where(total != 0, head, 0))


def trained_hard(chip: Chip, factor: float = 30.0) -> Chip:
    with torch.no_grad():
        for parameter in (*chip.weights.values(), *chip.biases.values()):
            parameter.mul_(factor)
    return chip


@pytest.mark.parametrize("name", ["images", "residual", "recurrent", "recurrent_images", "everything"])
def test_training_cannot_leave_what_is_proven(name: str) -> None:
    """A channel is scaled back as a whole."""
    graph = GRAPHS[name]()
    chip = nd.to_chip(graph, max_steps=300)
    assert chip.frozen.proven and chip.scaled_back() == 0
    trained_hard(chip)
    program = chip.program()
    assert program.proven and (chip.scaled_back() > 0 or name == "recurrent_images")
    assert nd.compile(chip_graph(chip), exact=True) == program
    x = inputs(graph, 3)
    assert not any(differences(chip, x, simulate(program, x, "sim", VARIABLES)).values())
    strongest = {name: int(np.abs(s.weight).max()) for name, s in zip(chip.weights, program.synapses, strict=False)}
    assert max(strongest.values()) > 20
