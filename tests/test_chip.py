"""Training in a chip's arithmetic: the forward pass is the chip, number by number; the file gives the same integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest
import runs
import torch
from chip_networks import SIZE, STEPS, VARIABLES, Reader, Rich, chip_of, differences, exported, inputs, made, shaken
from networks import DT, chain, pixels, residual
from torch import nn

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.chip import chip_graph
from neuro_deploy.errors import BackendError, InputError, UnsupportedError
from neuro_deploy.neurons import chip as chip_neurons
from neuro_deploy.neurons.cf import chip as cf
from neuro_deploy.neurons.chip import Dynamics
from neuro_deploy.neurons.scheme import METADATA
from neuro_deploy.program import ChipProgram, DenseSynapse
from neuro_deploy.target import load_target
from neuro_deploy.train.chip import Chip

LOIHI2 = load_target("loihi2")


def sim(program: ChipProgram, x: Any, backend: str = "sim-plain", samples: int | None = None) -> Any:
    return simulate(program, x, backend, VARIABLES, samples)


@pytest.mark.parametrize("kind", [Rich, Reader])
@pytest.mark.parametrize("trained", [False, True], ids=["at the start", "other weights"])
def test_the_forward_pass_is_the_chip(kind: type[nn.Module], trained: bool) -> None:
    chip, x = chip_of(kind), inputs(kind)
    chip = shaken(chip) if trained else chip
    trace = sim(chip.program(), x)
    found = differences(chip, x, trace)
    assert found and not any(found.values())
    for name in chip.firing():
        assert trace.populations[name].data["spikes"].any(), name
    if kind is Rich:
        values = np.unique(np.concatenate([r.data["spikes"].reshape(-1) for r in trace.populations.values()]))
        assert {-1, 0, 1, 2, 3} <= set(values.tolist())
        assert {"slow.u", "lif.u", "one.spikes"} <= found.keys()
    with torch.no_grad():
        sent = chip(torch.from_numpy(x))
    if kind is Rich:
        assert np.array_equal(sent.numpy(), trace.aligned("out", "spikes"))
    else:
        unit = trace.populations["read"].unit
        assert np.allclose(sent.numpy(), trace.aligned("read", "v") * unit, rtol=1e-6)


@pytest.mark.lava
@pytest.mark.parametrize("kind", [Rich, Reader])
def test_lava_agrees(kind: type[nn.Module]) -> None:
    chip, x = shaken(chip_of(kind)), inputs(kind)
    found = differences(chip, x, simulate(chip.program(), x, "lava", VARIABLES, 6))
    assert found and not any(found.values())


@pytest.mark.parametrize("graph", [chain(), chain(rounds_neg=2), residual()], ids=["chain", "signed", "residual"])
def test_any_dense_graph_can_be_trained(graph: nir.NIRGraph) -> None:
    chip = nd.to_chip(graph)
    x = pixels(6, 20, chip.frozen.encoders[0].shape[0])
    before = nd.compile(graph)
    trace, first = sim(chip.program(), x), sim(before, x)
    assert not any(differences(chip, x, trace).values())
    for p in before.populations:
        assert np.array_equal(trace.aligned(p.name, "v"), first.aligned(p.name, "v"))
    shaken(chip)
    assert not any(differences(chip, x, sim(chip.program(), x)).values())


@pytest.mark.parametrize("kind", [Rich, Reader])
def test_the_file_compiles_to_the_trained_program(kind: type[nn.Module]) -> None:
    chip = chip_of(kind)
    start = chip.program().digest
    shaken(chip)
    graph = nd.export_nir(chip, sample=inputs(kind), metadata={"recipe": "mine"})
    program = nd.compile(graph, "loihi2", exact=True)
    assert program == chip.program() and program.digest != start
    assert program.report["scale"] == "given" and program.proven
    proof = graph.metadata[METADATA]["proof"]
    assert proof["sample"]["numbers"] > 1000 and proof["sample"]["program"] == program.digest
    assert graph.metadata[METADATA]["recipe"] == "mine"
    again = nd.to_chip(graph)
    assert again.program() == program and again.scaled_back() == 0


def test_weights_in_the_file_are_integers_times_their_unit() -> None:
    chip = shaken(chip_of(Rich))
    graph, program = chip_graph(chip), chip.program()
    unit = graph.metadata[METADATA]["chip"]["unit"]
    for s in program.synapses:
        if s.source not in ("one", "input"):
            size = np.asarray(unit[s.target])[:, None] * 2.0**s.exponent
            assert np.array_equal(graph.nodes[s.name].weight.astype(np.float64), s.weight * size)
    assert all(np.all(np.log2(u) % 1 == 0) for u in unit.values())


def test_the_proof_finds_another_program() -> None:
    chip = shaken(chip_of(Rich))
    honest = chip.program

    def lying() -> ChipProgram:
        program = honest()
        weight = program.synapses[0].weight.copy()
        weight.flat[np.abs(weight).argmin()] += 2
        other = DenseSynapse(*(getattr(program.synapses[0], k) for k in ("name", "source", "target")), weight)
        return replace(program, synapses=(replace(other, exponent=program.synapses[0].exponent), *program.synapses[1:]))

    wrong, graph = lying(), chip_graph(chip)
    assert nd.compile(graph) != wrong
    chip.program = lying  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="differs between training and sim"):
        nd.export_nir(chip)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch, Chip], None]] = {}


def mutant(change: Callable[[pytest.MonkeyPatch, Chip], None]) -> Callable[[pytest.MonkeyPatch, Chip], None]:
    MUTANTS[change.__name__] = change
    return change


@mutant
def floor_instead_of_toward_zero(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    patch.setattr(chip_neurons, "decay", lambda x, factor, bits: (x * factor) >> bits)


@mutant
def leak_in_float32(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    def decay(x: torch.Tensor, factor: torch.Tensor, bits: int) -> torch.Tensor:
        return torch.trunc(x.float() * factor.float() / 2.0**bits).long()

    patch.setattr(chip_neurons, "decay", decay)


@mutant
def weight_off_by_one_step(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    key = next(k for k in chip.weights if chip.weights[k].shape[0] > 5)
    with torch.no_grad():
        row = chip.weights[key].abs().argmin()
        size = chip.synapse(key).size.expand_as(chip.weights[key])
        chip.weights[key].view(-1)[row] += 2 * size.reshape(-1)[row].float()


@mutant
def fires_at_the_threshold(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    honest = cf.fire

    def fire(d: Dynamics, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spikes, v = honest(d, h + 1)
        return spikes, v - 1

    patch.setattr(cf, "fire", fire)


@mutant
def one_round_less(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    honest = cf.crossed
    patch.setattr(cf, "crossed", lambda x, theta, most: honest(x, theta, (most - 1).clamp(min=1)))


@mutant
def beta_rounded_otherwise(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    part = chip.firing()["fire_a"]
    part.get_buffer("q_dv").add_(1)


@mutant
def bias_off_by_one(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    with torch.no_grad():
        chip.biases["fire_a"].add_(2 * chip.firing()["fire_a"].step.float() * 64)


@mutant
def input_rounded_down(patch: pytest.MonkeyPatch, chip: Chip) -> None:
    patch.setattr(torch, "round", torch.floor)


@pytest.mark.parametrize("name", list(MUTANTS))
def test_mutants_of_the_forward_pass_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chip = chip_of(Rich)
    x = np.random.default_rng(3).uniform(0, 1, (STEPS, 200, SIZE)).astype(np.float32)
    trace = sim(chip.program(), x, "sim")
    assert not any(differences(chip, x, trace).values())
    MUTANTS[name](monkeypatch, chip)
    assert any(differences(chip, x, trace).values())


def test_a_tie_at_the_threshold_does_not_fire() -> None:
    """One neuron, no leak: v comes to lie on k * theta exactly, where > and >= differ."""
    program = replace(runs.program(), populations=(), synapses=(), readout=None)
    given = {"dv": 0, "vth": 4, "vth_neg": 4, "rounds": 3, "rounds_neg": 0, "bias_mant": 0, "bias_exp": 0}
    population = replace(runs.program().populations[0], name="n", shape=(1,), params=given, unit=np.asarray(0.5))
    program = replace(program, populations=(population,), synapses=(DenseSynapse("w", "input", "n", [[4, 0, 0]]),))
    x = np.zeros((6, 4, 3), np.float32)
    x[:, :, 0] = np.arange(4) / 4  # encoded 0, 1, 2, 3: h = 0, theta, 2 theta, 3 theta in the first step
    chip = Chip(program, LOIHI2)
    with torch.no_grad():
        spikes = chip.states(torch.from_numpy(x))["n"].spikes
    assert spikes[0, :, 0].tolist() == [0, 0, 1, 2]
    assert not any(differences(chip, x, sim(program, x)).values())


def test_registers_wrap_and_clip_as_on_the_chip() -> None:
    program = runs.program()
    loud = [replace(s, exponent=7, wiring=s.wiring.with_weight(s.weight * 25)) for s in program.synapses]
    lif = replace(program.populations[1], shape=(4,))
    program = replace(program, populations=(program.populations[0], lif), synapses=tuple(loud), proven=False)
    chip, x = Chip(program, LOIHI2), np.random.default_rng(5).random((30, 8, 3)).astype(np.float32) * 3
    trace = sim(chip.program(), x)
    assert not any(differences(chip, x, trace).values())
    states = chip.states(torch.from_numpy(x))
    for name, event, count in (("fc1", "v_clips", "clips"), ("out", "v_clips", "clips"), ("out", "u_wraps", "wraps")):
        assert int(getattr(states[name], count)) == trace.counters[name][event]
    assert trace.counters["fc1"]["v_clips"] and trace.counters["out"]["u_wraps"]


def test_autocast_changes_nothing() -> None:
    chip, x = chip_of(Rich), torch.from_numpy(inputs(Rich))
    with torch.no_grad():
        plain = chip.states(x)
        with torch.autocast("cpu", torch.bfloat16):
            cast = chip.states(x)
    assert all(torch.equal(plain[name].v, cast[name].v) for name in plain)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_a_gpu_computes_the_same(precision: str) -> None:
    chip, x = shaken(chip_of(Rich)), torch.from_numpy(inputs(Rich))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        with torch.no_grad():
            here, there = chip.states(x), chip.cuda().states(x.cuda())
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(torch.equal(here[name].v, there[name].v.cpu()) for name in here)


def test_training_reduces_the_loss() -> None:
    chip, x = chip_of(Rich).train(), torch.from_numpy(inputs(Rich, 32))
    label = torch.arange(32) % 5
    optimizer = torch.optim.Adam(chip.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nd.nn.rate_cross_entropy(chip(x), label, scale=4.0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    for name, parameter in chip.named_parameters():
        learned = parameter.requires_grad
        assert (parameter.grad is not None and bool(parameter.grad.any())) == learned, name
    assert [n for n, p in chip.named_parameters() if not p.requires_grad] == ["populations.out.raw_alpha"]
    assert not any(differences(chip, x.numpy(), sim(chip.program(), x.numpy())).values())
    assert nd.compile(nd.export_nir(chip), exact=True) == chip.program()


def test_training_cannot_leave_what_is_proven() -> None:
    """Over 500 steps potentials could pile up beyond their registers."""
    model = made(Rich)
    chip = nd.to_chip(exported(model), model, max_steps=500)
    free = Chip(chip.frozen, LOIHI2)
    assert chip.scaled_back() == 0
    for before, after in zip(chip.frozen.synapses, chip.program().synapses, strict=True):
        mixed = before.weight.min() < 0 < before.weight.max()
        assert int(np.abs(after.weight - before.weight).max()) <= (0 if mixed else 1)
    for grown in (chip, free):
        with torch.no_grad():
            for parameter in (*grown.weights.values(), *grown.biases.values()):
                parameter.mul_(30.0)
    assert chip.scaled_back() > 0 and chip.program().proven
    assert max(int(np.abs(s.weight).max()) for s in free.program().synapses) == 254
    assert nd.compile(chip_graph(chip), exact=True) == chip.program()
    unproven = nd.compile(chip_graph(free))
    assert not unproven.proven and unproven.max_steps == 500
    x = inputs(Rich)
    assert not any(differences(chip, x, sim(chip.program(), x)).values())


def told_otherwise(graph: nir.NIRGraph, **entries: Any) -> nir.NIRGraph:
    told = graph.metadata[METADATA]
    metadata = {METADATA: {**told, "chip": {**told["chip"], **entries}}}
    return nir.NIRGraph(graph.nodes, list(graph.edges), metadata=metadata, type_check=False)


def test_told_scales_are_checked() -> None:
    graph = chip_graph(chip_of(Reader))
    told = graph.metadata[METADATA]["chip"]
    cases = {
        "tells units of 3 neurons": {"unit": {**told["unit"], "read": told["unit"]["read"][:3]}},
        "units of several sizes": {"unit": {**told["unit"], "read": told["unit"]["read"] * [1, 1, 2, 1]}},
        "no multiple of the unit": {"unit": {**told["unit"], "fire": told["unit"]["fire"] * 4096}},
        "exponent is missing": {"exponent": {"a": told["exponent"]["a"]}},
        "has exponent 9": {"exponent": {**told["exponent"], "a": 9}},
        "have 12 bits, loihi2 has 8": {"weight_bits": 12},
        r"clips to \[0, 1000\]": {"encoder": {**told["encoder"], "high": 1000}},
        "beyond its 32-bit signed": {"encoder": {**told["encoder"], "bits": 32, "signed": 1, "high": 1 << 40}},
    }
    for message, change in cases.items():
        with pytest.raises((UnsupportedError, InputError), match=message):
            nd.compile(told_otherwise(graph, **change))
    assert nd.compile(graph).report["scale"] == "given"


def test_what_is_asked_for_wins_over_told_scales() -> None:
    graph = chip_graph(chip_of(Reader))
    assert nd.compile(graph, scale="proven").report["scale"] == "proven"
    assert nd.compile(graph, weight_bits=6).report["scale"] == "proven"
    assert nd.compile(graph, input_bits=4).report["scale"] == "proven"
    other = told_otherwise(graph, target="loihi3")
    assert nd.compile(other).report["scale"] == "proven"


def test_a_weight_that_was_edited_is_refused() -> None:
    graph = chip_graph(chip_of(Reader))
    weight = graph.nodes["a"].weight.copy()
    weight[2, 3] += 0.4 * np.abs(weight[weight != 0]).min()
    nodes = {**graph.nodes, "a": nir.Affine(weight=weight, bias=graph.nodes["a"].bias)}
    with pytest.raises(UnsupportedError, match="weight is no multiple of the unit"):
        nd.compile(nir.NIRGraph(nodes, list(graph.edges), metadata=graph.metadata, type_check=False))


def test_continuous_input_is_encoded_as_in_training() -> None:
    """No grid is known: the encoder rounds, in training and afterwards, and --exact has nothing against it."""
    model = made(Rich)
    graph = nd.export_nir(model, dt=0.002, input_shape=(SIZE,), steps=STEPS, input_low=-0.7, input_high=1.3)
    chip = shaken(nd.to_chip(graph, model))
    x = np.random.default_rng(2).uniform(-0.9, 1.5, (STEPS, 20, SIZE)).astype(np.float32)
    trace = sim(chip.program(), x)
    assert trace.counters["input"]["clipped"] > 0
    assert not any(differences(chip, x, trace).values())
    assert nd.compile(nd.export_nir(chip, sample=x), exact=True) == chip.program()


def test_what_cannot_be_trained_is_refused() -> None:
    model = made(Rich)
    with pytest.raises(UnsupportedError, match=r"circulations exceed 1 spike"):
        nd.to_chip(exported(model), model, "loihi1")
    with pytest.raises(nd.NeuroDeployError, match="loihi9"):
        nd.to_chip(exported(model), model, "loihi9")


def test_wrong_inputs_are_refused() -> None:
    chip, x = chip_of(Rich), torch.from_numpy(inputs(Rich))
    with pytest.raises(InputError, match="expected an input of shape"):
        chip(x[..., :5])
    with pytest.raises(InputError, match="NaN"):
        chip(x * float("nan"))
    with pytest.raises(InputError, match=f"T = {STEPS} steps"):
        chip.train()(x[:3])
    with pytest.raises(InputError, match="says all of that itself"):
        nd.export_nir(chip, dt=DT)
