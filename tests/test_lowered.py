"""Whatever `compile` accepts: sim equals Lava's models, and what it proved holds, at every scale of every parameter."""

from __future__ import annotations

import itertools
from collections import Counter

import lava_harness
import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.errors import NeuroDeployError
from neuro_deploy.neurons import FloatNeuron, spec

SCALES = ("auto", "full", "proven")
EDGES = (1.0, 0.5, 0.9, 0.999, 1e-4, 0.99999)


def magnitude(rng: np.random.Generator) -> float:
    return float(10.0 ** rng.uniform(-3, 3))


def neuron(rng: np.random.Generator, size: int) -> FloatNeuron:
    theta = magnitude(rng) * (rng.uniform(0.5, 2, size) if rng.random() < 0.7 else 1.0)
    beta = rng.choice(EDGES) if rng.random() < 0.5 else rng.uniform(0.01, 0.99, size)
    kind = str(rng.choice(["cf", "cf", "lif"]))
    params = {"beta": np.broadcast_to(beta, size), "theta": np.broadcast_to(theta, size)}
    if kind == "cf":
        rounds = {"circulations": rng.integers(1, 8), "circulations_neg": rng.integers(0, 3)}
        params |= {"theta_neg": theta * 10.0 ** rng.uniform(-1, 1), **rounds}
    return FloatNeuron(kind, (size,), params)


def affine(rng: np.random.Generator, targets: int, sources: int) -> nir.Affine:
    """Mixed, excitatory, inhibitory, zero, or with a row of zeros."""
    weight = rng.normal(size=(targets, sources)) * magnitude(rng)
    mode = rng.integers(6)
    weight = (np.abs(weight), -np.abs(weight), weight * 0, weight, weight, weight)[mode]
    weight[rng.integers(targets)] *= mode != 3
    return nir.Affine(weight=weight.astype(np.float32), bias=(rng.normal(size=targets) * magnitude(rng)).astype("f4"))


def drawn(rng: np.random.Generator) -> tuple[nir.NIRGraph, np.ndarray]:
    """A network of two populations, 1 to 6 neurons each, and an input over its whole range."""
    inputs, one, two = (int(n) for n in rng.integers(1, 7, 3))
    nodes = {
        "input": nir.Input({"input": np.array([inputs])}),
        "a": affine(rng, one, inputs),
        "n1": (n1 := neuron(rng, one)) and spec(n1.kind).write(n1, networks.DT),
        "b": affine(rng, two, one),
        "n2": (n2 := neuron(rng, two)) and spec(n2.kind).write(n2, networks.DT),
        "output": nir.Output({"output": np.array([two])}),
    }
    names = list(nodes)
    high, steps = magnitude(rng), int(rng.integers(1, 9))
    low = -high if rng.random() < 0.5 else 0.0
    edges = list(itertools.pairwise(names))
    graph = networks.graph(nodes, edges, input={"low": low, "high": high}, steps=steps)
    return graph, rng.uniform(low, high, (steps, 3, inputs))


@pytest.mark.lava
def test_sim_equals_lava_and_proofs_hold_at_every_scale() -> None:
    rng = np.random.default_rng(11)
    seen: Counter[str] = Counter()
    for _ in range(250):
        try:
            graph, x = drawn(rng)
            program = nd.compile(graph, scale=str(rng.choice(SCALES)))
        except NeuroDeployError:
            seen["refused"] += 1
            continue
        sim = nd.simulate(program, x, "sim", ("spikes", "v", "h", "u"))
        assert not any(lava_harness.differences(sim, lava_harness.run_spk(program, x)).values())
        events = sum(n for counts in sim.counters.values() for event, n in counts.items() if event != "clipped")
        assert not (program.proven and events), sim.counters
        seen["proven" if program.proven else "not proven"] += 1
        seen["events"] += bool(events)
        seen["fires"] += all(r.data["spikes"].any() for n, r in sim.populations.items() if n != "input")
        seen["exponent"] += any(s.exponent > 0 for s in program.synapses)
    assert seen["proven"] > 80 and seen["not proven"] > 8 and seen["events"] > 3, seen
    assert seen["fires"] > 40 and seen["exponent"] > 5, seen
