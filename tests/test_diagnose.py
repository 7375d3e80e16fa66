"""diagnose names a planted fault of each kind, and no other, on drawn networks: by two programs, and by one.

A fault is planted where it shows; that it does is asserted first, and `compare` must see it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from planted import (
    GRAPHS,
    PLANTS,
    Network,
    Planted,
    Rng,
    leak,
    network,
    planted,
    run,
    weight,
    with_population,
)

from neuro_deploy.backends import simulate
from neuro_deploy.errors import InputError
from neuro_deploy.explanation import Diagnosis, diagnose
from neuro_deploy.fixed import wrap_bits
from neuro_deploy.neurons import part
from neuro_deploy.neurons.base import bias_of
from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population
from neuro_deploy.trace import VARIABLES, Trace


def check(found: Diagnosis, fault: Planted) -> None:
    assert not found.equal and not found.choices, found.sentence
    assert found.kind == fault.kind, found.sentence
    assert {f.kind for f in found.faults} == {fault.kind}
    first = found.faults[0]
    assert first.population in (fault.population, "" if fault.kind == "saturation" else fault.population)
    if fault.neuron is not None:
        assert first.synapse == fault.synapse and fault.source in first.sources and fault.neuron in first.neurons
    assert json.loads(json.dumps(found.to_dict()))["kind"] == fault.kind


@pytest.mark.parametrize("plant", PLANTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", GRAPHS)
def test_a_planted_fault_is_named(name: str, plant: Callable[[Network, Rng], Planted]) -> None:
    """By two programs; by the right one and two runs; by two runs without h."""
    case, fault, trace = planted(name, plant)
    check(diagnose(case.trace, trace, (case.program, fault.program)), fault)
    check(diagnose(case.trace, trace, case.program), fault)
    blind = [hidden(run, "h") for run in (case.trace, trace)]
    check(diagnose(*blind, case.program), fault)


def hidden(trace: Trace, variable: str) -> Trace:
    kept = {
        name: replace(p, data={k: v for k, v in p.data.items() if k != variable})
        for name, p in trace.populations.items()
    }
    return replace(trace, populations=kept)


def mutant(case: Network, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Any], Any]) -> Trace:
    """A run whose executor does otherwise in one population: change(step) -> step."""
    p = case.program.population(name)
    kind = part(p.kind, "integer")
    step = kind.step

    def other(params: Any, state: Any, a: Any, biased: bool, registers: Any) -> Any:
        if params is not p.params:
            return step(params, state, a, biased, registers)
        return change(step)(params, state, a, biased, registers)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "step", other)
        return simulate(case.program, case.x, "sim-plain", VARIABLES)


def to_zero(step: Any) -> Any:
    def other(*given: Any) -> Any:
        s = step(*given)
        v = np.where(s.spikes != 0, 0, s.values["h"])
        return s._replace(values={**s.values, "v": v}, state={**s.state, "v": v})

    return other


def at_the_threshold(step: Any) -> Any:
    def other(params: Any, state: Any, a: Any, biased: bool, registers: Any) -> Any:
        s = step(params, state, a, biased, registers)
        theta, h = params["vth"] << 6, s.values["h"]
        more = ((h > 0) & (h % theta == 0) & (h <= params["rounds"] * theta)).astype(np.int64)
        v = s.values["v"] - more * theta
        return s._replace(spikes=s.spikes + more, values={**s.values, "v": v}, state={**s.state, "v": v})

    return other


def with_params(**other: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def change(step: Any) -> Any:
        return lambda p, *given: step({**p, **{k: f(p[k]) for k, f in other.items()}}, *given)

    return change


def at_once(step: Any) -> Any:
    return lambda p, state, a, biased, registers: step(p, state, a, True, registers)


def down(step: Any) -> Any:
    def other(p: Any, state: Any, a: Any, biased: bool, registers: Any) -> Any:
        v, keep = state["v"], 4096 - p["dv"]
        lower = ((v * keep) >> 12) - np.sign(v) * ((np.abs(v) * keep) >> 12)
        bias = (bias_of(p) if biased else 0) + lower
        return step({**p, "bias_mant": bias, "bias_exp": np.asarray(0)}, state, a, True, registers)

    return other


def wrapping(step: Any) -> Any:
    """At 1.5 times the highest level."""

    def other(p: Any, state: Any, a: Any, biased: bool, registers: Any) -> Any:
        bits = int((p["rounds"] * p["vth"] << 6).max()).bit_length() + 1
        h = step(p, state, a, biased, registers).values["h"]
        bias = (bias_of(p) if biased else 0) + wrap_bits(h, bits) - h
        return step({**p, "bias_mant": bias, "bias_exp": np.asarray(0)}, state, a, True, registers)

    return other


MUTANTS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "a graded spike resets to zero": ("reset", "cf1", to_zero),
    "fires at the threshold": ("strictness", "cf1", at_the_threshold),
    "one round less": ("rounds", "cf1", with_params(rounds=lambda k: k - 1)),
    "a threshold off by one": ("threshold", "cf1", with_params(vth=lambda vth: vth + 1)),
    "the bias acts at once": ("bias start", "cf2", at_once),
    "half the bias": ("bias", "cf2", with_params(bias_mant=lambda b: b // 2)),
    "the leak rounds down": ("leak rounding", "cf1", down),
    "the potential wraps": ("wrap", "cf1", wrapping),
}


@pytest.mark.parametrize("what", MUTANTS)
def test_a_mutant_of_the_executor_is_named(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, name, change = MUTANTS[what]
    case = tied() if kind == "strictness" else network("chain 3")
    found = diagnose(case.trace, mutant(case, monkeypatch, name, change), case.program)
    assert (found.kind, found.faults[0].population) == (kind, name), found.sentence


@cache
def tied() -> Network:
    """Small weights, no leak, thresholds of whole sums: potentials meet them exactly."""
    case = network("chain 3")
    p = case.program.population("cf1")
    params = {**p.params, "dv": np.asarray(0), "bias_mant": np.asarray(0), "vth": np.full(p.size, 40)}
    small = [
        replace(s, exponent=0, wiring=s.wiring.with_weight(np.sign(s.weight))) if s.target == "cf1" else s
        for s in case.program.synapses
    ]
    program = replace(with_population(case.program, "cf1", params=params), synapses=tuple(small))
    return Network(program, case.x, run(program, case.x))


def test_two_faults_are_told_apart_where_they_are() -> None:
    case, one, _ = planted("chain 3", weight)
    name = next(p.name for p in case.program.populations if p.name != one.population)
    p = one.program.population(name)
    both = with_population(one.program, name, params={**p.params, "dv": p.params["dv"] + 3})
    for programs in (case.program, (case.program, both)):
        found = diagnose(case.trace, run(both, case.x), programs)
        assert {(f.kind, f.population) for f in found.faults} == {("weight", one.population), ("leak", name)}
        assert found.kind == "" and not found.choices


def test_what_cannot_be_told_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is no known fault; equal runs have none; another input is no fault of the program."""
    case = network("chain 3")
    assert diagnose(case.trace, case.trace, case.program).equal
    rng = np.random.default_rng(0)

    def noisy(step: Any) -> Any:
        def other(p: Any, state: Any, a: Any, *rest: Any) -> Any:
            return step(p, state, a + rng.integers(-3, 4, a.shape), *rest)

        return other

    found = diagnose(case.trace, mutant(case, monkeypatch, "cf2", noisy), case.program)
    assert found.kind == "" and [f.population for f in found.faults] == ["cf2"] and "no single fault" in found.sentence
    other = diagnose(case.trace, run(case.program, case.x[:, ::-1]), case.program)
    assert other.kind == "input"
    with pytest.raises(InputError, match=r"not recorded by sim: cf1\.v"):
        diagnose(case.trace, hidden(run(planted("chain 3", leak)[1].program, case.x), "v"), case.program)


def test_records_that_fit_two_faults_name_both() -> None:
    """A neuron upstream that fires in each step the same, in a population that sees no tail: a weight, or a bias."""
    cf = {"dv": 410, "vth": 20, "vth_neg": 20, "rounds": 3, "rounds_neg": 0, "bias_exp": 0}
    good = ChipProgram(
        "test",
        1e-3,
        20,
        (Encoder("in", (2,), 1, 1, 4, False, 0, 8),),
        (Population("p", "cf", (2,), {**cf, "bias_mant": np.array([64, 100])}, 1, np.asarray(1.0)),),
        (DenseSynapse("w", "in", "p", [[3, 5], [2, 4]]),),
        None,
        True,
    )
    bad = with_population(good, "p", params={**good.populations[0].params, "bias_mant": np.array([128, 100])})
    x = np.stack([np.ones((9, 3)), np.random.default_rng(0).integers(0, 9, (9, 3))], axis=-1)
    found = diagnose(run(good, x), run(bad, x), good)
    assert (
        {f.kind for f in found.choices} == {"weight", "bias"} and found.kind == "" and "do not tell" in found.sentence
    )
    assert diagnose(run(good, x), run(bad, x), (good, bad)).kind == "bias"
    before = Population("p0", "cf", (2,), {**cf, "dv": 700, "bias_mant": np.array([0, 0])}, 1, np.asarray(1.0))
    wired = (DenseSynapse("w0", "in", "p0", [[3, 5], [2, 4]]), *good.synapses)
    longer = replace(good, populations=(before, *good.populations), synapses=wired)
    both = with_population(longer, "p", params=bad.populations[0].params)
    both = with_population(both, "p0", params={**before.params, "dv": np.asarray(702)})
    found = diagnose(run(longer, x), run(both, x), longer)
    assert [(f.kind, f.population) for f in found.faults] == [("leak", "p0")] and {
        f.population for f in found.choices
    } == {"p"}
    assert found.sentence.index("p0") < found.sentence.index("do not tell") and found.kind == ""
