"""Drawn networks, and a fault of each kind planted in them where it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import networks
import numpy as np

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.comparison import compare
from neuro_deploy.neurons.base import bias_of
from neuro_deploy.program import ChipProgram, Population
from neuro_deploy.trace import VARIABLES, Trace

Rng = np.random.Generator


class Network(NamedTuple):
    program: ChipProgram
    x: np.ndarray
    trace: Trace


class Planted(NamedTuple):
    """A program with a fault, and where it is."""

    program: ChipProgram
    kind: str
    population: str
    synapse: str = ""
    neuron: int | None = None
    source: int | None = None


GRAPHS: dict[str, Callable[[], Any]] = {
    "chain 3": lambda: networks.chain(seed=3),
    "chain 4": lambda: networks.chain(seed=4, sizes=(9, 14, 11, 6), rounds_neg=2),
    "residual": lambda: networks.residual(seed=5),
    "everything": lambda: networks.everything(seed=8),
}


@cache
def network(name: str) -> Network:
    graph = GRAPHS[name]()
    program = lively(single(nd.compile(graph, "loihi2", max_steps=12)))
    shape = program.encoders[0].shape
    x = networks.pixels(12, 6, int(np.prod(shape)), seed=len(name)).reshape(12, 6, *shape)
    return Network(program, x, run(program, x))


def single(program: ChipProgram) -> ChipProgram:
    """The last CF population fires once a step: then its reset can be that of a LIF."""
    p = [p for p in program.populations if p.kind == "cf"][-1]
    rounds = {"rounds": np.asarray(1), "rounds_neg": np.asarray(0)}
    return with_population(program, p.name, params={**p.params, **rounds})


def lively(program: ChipProgram) -> ChipProgram:
    """Half the thresholds: potentials go beyond the last round, where a register may end."""
    halved = tuple(
        replace(p, params={k: np.maximum(1, v // 2) if k.startswith("vth") else v for k, v in p.params.items()})
        for p in program.populations
    )
    return replace(program, populations=halved)


def run(program: ChipProgram, x: np.ndarray) -> Trace:
    return simulate(program, x, "sim", VARIABLES)


def with_population(program: ChipProgram, name: str, **other: Any) -> ChipProgram:
    changed = [replace(p, **other) if p.name == name else p for p in program.populations]
    return replace(program, populations=tuple(changed))


def weight(case: Network, rng: Rng) -> Planted:
    synapses = list(case.program.synapses)
    at = int(rng.integers(len(synapses)))
    s = synapses[at]
    values = s.weight.copy().reshape(-1)
    entry = int(rng.integers(values.size))
    values[entry] += int(rng.choice([-1, 1])) << max(0, -s.exponent)
    synapses[at] = replace(s, wiring=s.wiring.with_weight(values.reshape(s.weight.shape)))
    targets, sources, held = s.wiring.with_weight(np.arange(values.size).reshape(s.weight.shape)).triples()
    first = int(np.flatnonzero(held == entry)[0])
    bad = replace(case.program, synapses=tuple(synapses))
    return Planted(bad, "weight", s.target, s.name, int(targets[first]), int(sources[first]))


def missing_bias(case: Network, rng: Rng) -> Planted:
    p = some(rng, [p for p in case.program.populations if bias_of(p.params).any()])
    return Planted(
        with_population(case.program, p.name, params={**p.params, "bias_mant": np.asarray(0)}), "missing bias", p.name
    )


def reset(case: Network, rng: Rng) -> Planted:
    """A LIF subtracts its threshold, or a CF with one round goes to zero."""
    able = [
        p for p in case.program.populations if p.kind == "lif" or not p.params.get("rounds", np.asarray(2)).max() > 1
    ]
    p = some(rng, [p for p in able if "v_reset" not in p.params and p.name != "one"])
    given = {k: v for k, v in p.params.items() if k in ("du", "dv", "vth", "bias_mant", "bias_exp")}
    if p.kind == "lif":
        other = {**given, "vth_neg": given["vth"], "rounds": np.asarray(1), "rounds_neg": np.asarray(0)}
        return Planted(with_population(case.program, p.name, kind="cf", params=other), "reset", p.name)
    other = {"du": np.asarray(4095), **given}
    return Planted(with_population(case.program, p.name, kind="lif", params=other), "reset", p.name)


def leak(case: Network, rng: Rng) -> Planted:
    p = some(rng, [p for p in case.program.populations if p.params["dv"].min() > 8 and p.params["dv"].max() < 4090])
    other = {**p.params, "dv": p.params["dv"] + int(rng.choice([-1, 1]))}
    return Planted(with_population(case.program, p.name, params=other), "leak", p.name)


def late(case: Network, rng: Rng) -> Planted:
    p = some(rng, [p for p in case.program.populations if any(s.target == p.name for s in case.program.synapses)])
    moved = [replace(s, delay=s.delay + (s.target == p.name)) for s in case.program.synapses]
    return Planted(replace(case.program, synapses=tuple(moved)), "late", p.name)


def saturation(case: Network, rng: Rng) -> Planted:
    """The widest register in which a potential does not find room."""
    for bits in range(case.program.registers.v_bits - 1, 2, -1):
        bad = replace(case.program, registers=replace(case.program.registers, v_bits=bits))
        try:
            trace = run(bad, case.x)
        except nd.NeuroDeployError:
            break
        clipped = [name for name, events in trace.counters.items() if events.get("v_clips")]
        if clipped:
            return Planted(bad, "saturation", clipped[0])
    raise AssertionError("no register clips before the thresholds do not fit")


def some(rng: Rng, found: list[Population]) -> Population:
    return found[int(rng.integers(len(found)))]


PLANTS = (weight, missing_bias, reset, leak, late, saturation)


@cache
def planted(name: str, plant: Callable[[Network, Rng], Planted]) -> tuple[Network, Planted, Trace]:
    """A fault that shows in a spike or a potential, of the draws of one generator the first that does."""
    case, rng = network(name), np.random.default_rng(len(name) + PLANTS.index(plant))
    for _ in range(20):
        fault = plant(case, rng)
        trace = run(fault.program, case.x)
        if compare(case.trace, trace).differing:
            return case, fault, trace
    raise AssertionError("no fault shows")
