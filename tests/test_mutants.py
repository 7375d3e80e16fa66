"""The equality tests are not vacuous (design ruling 22): mutants of one executor are caught by them.

Mutated is the definition, engine/plain.py; tests of the compiled engine compare it with that.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import oracle
import pytest
from lava_drafts import random_draft
from lava_harness import differences, run_spk
from lava_programs import defined, events, program, resets, spikes_in

from neuro_deploy.neurons import integer as shared
from neuro_deploy.neurons import part
from neuro_deploy.program import ChipProgram
from neuro_deploy.trace import Trace

pytestmark = pytest.mark.lava
LAYERS = (
    ("cf-signed", "edge", "conv"),
    ("cf", "gentle", "sparse"),
    ("cf-current", "gentle", "conv"),
    ("lif-reset", "gentle", "dense"),
    ("lif", "gentle", "sparse"),
    ("cf", "violent", "dense"),
    ("li", "gentle", "dense"),
)
SEED = 311
"""A network that meets what `test_the_network_is_rich` asks for."""
KINDS = ("cf", "lif", "li")


@cache
def network() -> tuple[ChipProgram, Any]:
    draft = random_draft(SEED, LAYERS)
    return program(draft), spikes_in(draft, 10, 3)


@cache
def witness() -> Trace:
    return run_spk(*network())


def sim(case: ChipProgram) -> Trace:
    return defined(case, network()[1])


def caught(trace: Trace) -> bool:
    return any(differences(trace, witness()).values())


def integer(kind: str) -> ModuleType:
    return part(kind, "integer")


def biased_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        step = integer(kind).step
        monkeypatch.setattr(integer(kind), "step", lambda p, s, a, biased, r, step=step: step(p, s, a, True, r))


def test_the_network_is_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    case, x = network()
    trace = sim(case)
    assert not caught(trace)
    met = Counter(events(case, trace))
    oracle.run(case, case.encode(x)[0]["in"], met)
    active = {
        p.name: trace.populations[p.name].data["v" if p.kind == "li" else "spikes"].any() for p in case.populations
    }
    assert all(active.values())
    wanted = ["value -1", "value 1", "value 2", "value 3", "cf h == k*theta", "lif h == k*theta", "v_clips"]
    wanted += ["recurrent", "dense carries", "sparse carries", "conv carries", "conv padding", "conv stride"]
    assert not [name for name in wanted if not met[name]], met
    assert any(s.delay for s in case.synapses)
    biased_at_once(monkeypatch)
    early = sim(case)
    deep = [p for p in case.populations if p.latency > 1]
    fires = [early.populations[p.name].data["spikes"][: p.latency].any() for p in deep]
    quiet = [not trace.populations[p.name].data["spikes"][: p.latency].any() for p in deep]
    assert any(f and q for f, q in zip(fires, quiet, strict=True)), "no deep bias would fire before its latency"


def strict_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer("cf"), "rounds", lambda h, theta, most: np.clip(h // theta, 0, most))


def floor(x: Any, factor: Any, bits: int) -> Any:
    return (x * factor) >> bits


def leak_by_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "decay_toward_zero", floor)


def li_leaks_by_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {**vars(shared), "decay_toward_zero": floor}
    monkeypatch.setattr(integer("li"), "charge", types.FunctionType(shared.charge.__code__, names))


def one_round_less(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = integer("cf").rounds
    monkeypatch.setattr(integer("cf"), "rounds", lambda h, theta, most: rounds(h, theta, most - 1))


@pytest.mark.parametrize("mutate", [biased_at_once, strict_no_more, leak_by_floor, li_leaks_by_floor, one_round_less])
def test_a_mutant_of_sim_is_caught(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not caught(sim(network()[0]))
    mutate(monkeypatch)
    assert caught(sim(network()[0]))


def with_params(case: ChipProgram, name: str, change: Callable[[Any], dict[str, Any]]) -> ChipProgram:
    """The program with other parameters in the population of that name."""
    changed = [replace(p, params=change(p.params)) if p.name == name else p for p in case.populations]
    return replace(case, populations=tuple(changed))


def test_a_reset_value_that_is_ignored_is_caught() -> None:
    case, _ = network()
    assert "v_reset" in case.population("p3").params
    assert caught(sim(with_params(case, "p3", lambda p: {k: v for k, v in p.items() if k != "v_reset"})))


@cache
def resetting() -> tuple[ChipProgram, Any]:
    """Populations of which a round takes more than theta, less, or nothing, without and with a current."""
    draft = random_draft(7, (("cf-reset", "gentle", "dense"), ("cf-reset-current", "gentle", "sparse")))
    return program(draft), spikes_in(draft, 10, 3)


@pytest.mark.parametrize("name", ["p0", "p1"])
def test_theta_instead_of_theta_reset_is_caught(name: str) -> None:
    """In the definition, and in our process in Lava."""
    case, x = resetting()
    wrong = with_params(case, name, lambda p: {k: v for k, v in p.items() if k != "theta_reset"})
    ours, theirs = defined(case, x), run_spk(case, x)
    data = ours.populations[name].data
    met = resets(case.population(name), data["spikes"], data["v"])
    assert all(met[f"theta_reset {side}"] for side in ("takes more", "takes less", "takes nothing", "below 0")), met
    assert not any(differences(ours, theirs).values())
    assert any(differences(defined(wrong, x), theirs).values())
    assert any(differences(ours, run_spk(wrong, x)).values())


@pytest.mark.parametrize("name", ["p0", "p1"])
def test_no_reset_that_takes_one_unit_is_caught(name: str) -> None:
    case, x = resetting()
    least = with_params(case, name, lambda p: {**p, "theta_reset": np.maximum(1, p["theta_reset"])})
    assert any(differences(defined(least, x), run_spk(case, x)).values())
    assert any(differences(defined(case, x), run_spk(least, x)).values())


def test_a_current_of_cf_that_is_off_by_one_is_caught() -> None:
    case, _ = network()
    assert case.population("p2").kind == "cf"
    assert caught(sim(with_params(case, "p2", lambda p: {**p, "du": np.where(p["du"] > 0, p["du"] - 1, 1)})))


def with_weight(case: ChipProgram, index: int, weight: Any) -> ChipProgram:
    """The program with other weights in a synapse."""
    synapses = list(case.synapses)
    synapses[index] = replace(synapses[index], wiring=synapses[index].wiring.with_weight(weight))
    return replace(case, synapses=tuple(synapses))


SYNAPSES = range(len(network()[0].synapses))


@pytest.mark.parametrize("index", SYNAPSES)
def test_one_weight_off_by_two_is_caught(index: int) -> None:
    case, _ = network()
    weight = case.synapses[index].weight
    changed = (weight + 2 * (np.arange(weight.size) == at).reshape(weight.shape) for at in range(weight.size))
    assert any(caught(sim(with_weight(case, index, other))) for other in changed), "no weight matters"


def test_a_flipped_kernel_is_caught() -> None:
    case, _ = network()
    convs = [i for i, s in enumerate(case.synapses) if s.kind == "conv" and max(s.weight.shape[2:]) > 1]
    assert convs
    for index in convs:
        assert caught(sim(with_weight(case, index, case.synapses[index].weight[:, :, ::-1, ::-1])))


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_one_layer_a_step_late_is_caught(layer: int) -> None:
    case, _ = network()
    late = [replace(s, delay=s.delay + (s.target == f"p{layer}")) for s in case.synapses]
    assert caught(sim(replace(case, synapses=tuple(late))))


def test_a_lif_that_is_not_strict_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the other side: Lava's LIF with >= (it resets too, so v differs)."""
    from lava.proc.lif.models import PyLifModelBitAcc

    witness()
    monkeypatch.setattr(PyLifModelBitAcc, "spiking_activation", lambda self: self.v >= self.effective_vth)
    case, x = network()
    assert any(differences(sim(case), run_spk(case, x)).values())
