"""The equality tests are not vacuous (design ruling 22): six mutants of one executor are caught by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from lava_harness import VARIABLES, differences, run_spk
from lava_programs import events, program, spikes_in

from neuro_deploy.backends import simulate
from neuro_deploy.neurons import part
from neuro_deploy.program import ChipProgram
from neuro_deploy.trace import Trace

pytestmark = pytest.mark.lava
KINDS = ("cf", "cf", "lif", "cf")
STYLES = ("edge", "gentle", "gentle", "violent")
SEED = 19
"""A network that meets what `test_the_network_is_rich` asks for."""


@cache
def network() -> tuple[ChipProgram, Any]:
    rng = np.random.default_rng(SEED)
    case = program(rng, KINDS, STYLES, True)
    return case, spikes_in(rng, case.encoders[0], 10, 3)


@cache
def witness() -> Trace:
    return run_spk(*network())


def sim(case: ChipProgram) -> Trace:
    return simulate(case, network()[1], "sim", VARIABLES)


def caught(trace: Trace) -> bool:
    return any(differences(trace, witness()).values())


def integer(kind: str) -> ModuleType:
    return part(kind, "integer")


def biased_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("cf", "lif"):
        step = integer(kind).step
        monkeypatch.setattr(integer(kind), "step", lambda p, s, a, biased, step=step: step(p, s, a, True))


def test_the_network_is_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    case, _ = network()
    trace = sim(case)
    assert not caught(trace)
    met = events(case, trace)
    silent = [p.name for p in case.populations if not trace.populations[p.name].data["spikes"].any()]
    assert not silent
    wanted = ["value -1", "value 1", "value 2", "value 3", "cf h == k*theta", "lif h == k*theta", "v_clips"]
    assert not [name for name in wanted if not met[name]], met
    assert met["recurrent"] and met["delayed"]
    biased_at_once(monkeypatch)
    early = sim(case)
    deep = [p for p in case.populations if p.latency > 1]
    fires = [early.populations[p.name].data["spikes"][: p.latency].any() for p in deep]
    quiet = [not trace.populations[p.name].data["spikes"][: p.latency].any() for p in deep]
    assert any(f and q for f, q in zip(fires, quiet, strict=True)), "no deep bias would fire before its latency"


def strict_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer("cf"), "rounds", lambda h, theta, most: np.clip(h // theta, 0, most))


def leak_by_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("cf", "lif"):
        monkeypatch.setattr(integer(kind), "decay_toward_zero", lambda x, factor: (x * factor) >> 12)


def one_round_less(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = integer("cf").rounds
    monkeypatch.setattr(integer("cf"), "rounds", lambda h, theta, most: rounds(h, theta, most - 1))


@pytest.mark.parametrize("mutate", [biased_at_once, strict_no_more, leak_by_floor, one_round_less])
def test_a_mutant_of_sim_is_caught(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not caught(sim(network()[0]))
    mutate(monkeypatch)
    assert caught(sim(network()[0]))


@pytest.mark.parametrize("index", range(4))
def test_one_weight_off_by_two_is_caught(index: int) -> None:
    case, _ = network()
    weight = np.array(case.synapses[index].weight)
    weight[0, 0] += 2
    synapses = list(case.synapses)
    synapses[index] = replace(synapses[index], weight=weight)
    assert caught(sim(replace(case, synapses=tuple(synapses))))


@pytest.mark.parametrize("layer", range(4))
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
