"""The run with switchable number formats: all on it is sim, bit for bit; all off it is the float reference."""

from __future__ import annotations

import itertools
from typing import Any

import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.explanation.formats import FORMATS, Setting
from neuro_deploy.explanation.mixed import Network
from neuro_deploy.graph import compose, read_graph
from neuro_deploy.program import ChipProgram


def network(graph: nir.NIRGraph, **options: Any) -> Network:
    program = nd.compile(graph, "loihi2", max_steps=12, **options)
    return Network(compose(read_graph(graph)), program, 24)


def picture(program: ChipProgram, steps: int = 9, batch: int = 5, seed: int = 0) -> np.ndarray:
    shape = program.encoders[0].shape
    return networks.pixels(steps, batch, int(np.prod(shape)), seed=seed).reshape(steps, batch, *shape)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "chain": (lambda: networks.chain(seed=3), {}),
    "signed": (lambda: networks.chain(seed=4, rounds_neg=2), {}),
    "residual": (lambda: networks.residual(seed=5), {"scale": "full"}),
    "few bits": (lambda: networks.chain(seed=6), {"weight_bits": 4, "input_bits": 3}),
    "everything": (lambda: networks.everything(seed=8), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_all_on_is_sim(name: str) -> None:
    graph, options = CASES[name]
    held = network(graph(), **options)
    x = picture(held.program)
    trace = simulate(held.program, x, "sim")
    found = held.run(x, Setting.of(tuple(FORMATS), held.layers))
    fires = 0
    for p in held.program.populations:
        spikes, v = (trace.aligned(p.name, n).reshape(9, 5, -1) for n in ("spikes", "v"))
        assert np.array_equal(found[p.name]["spikes"], spikes), p.name
        assert np.array_equal(found[p.name]["v"], v * p.unit), p.name
        fires += bool(spikes.any())
    assert fires > 1


@pytest.mark.parametrize("name", CASES)
def test_all_off_is_the_reference(name: str) -> None:
    """Every spike; potentials within float32's rounding, of which float64 has none."""
    graph, options = CASES[name]
    held = network(graph(), **options)
    x = picture(held.program)
    trace = simulate(graph(), x, "reference", ("spikes", "v"))
    found = held.run(x, Setting())
    assert len(trace.populations) > 3
    for p in trace.populations:
        if p in found:
            data = trace.populations[p].data
            assert np.array_equal(found[p]["spikes"], data["spikes"].reshape(9, 5, -1)), p
            assert np.allclose(found[p]["v"], data["v"].reshape(9, 5, -1), rtol=1e-4, atol=1e-5), p


def test_all_off_is_the_reference_bit_for_bit_where_float32_is_exact() -> None:
    """Weights, leaks and thresholds of few bits: both computations are exact, and so are ties at the threshold."""
    rng = np.random.default_rng(0)

    def affine(n: int, m: int) -> nir.Affine:
        return nir.Affine(rng.integers(-4, 8, (n, m)).astype("f4") / 4, rng.integers(-2, 5, n).astype("f4") / 4)

    def neuron(kind: str, size: int, **more: float) -> nir.NIRNode:
        values = {"beta": 0.5, "theta": 2.0, **more}
        return nd.neurons.spec(kind).write(  # type: ignore[attr-defined]
            nd.neurons.FloatNeuron(kind, (size,), {k: np.float32(v) for k, v in values.items()}), networks.DT
        )

    cf = {"theta_neg": 2.0, "circulations": 3.0, "circulations_neg": 0.0}
    nodes = {"input": nir.Input({"input": np.array([6])}), "fc1": affine(7, 6), "cf": neuron("cf", 7, **cf)}
    nodes |= {"fc2": affine(5, 7), "lif": neuron("lif", 5), "output": nir.Output({"output": np.array([5])})}
    names = list(nodes)
    graph = networks.graph(nodes, list(itertools.pairwise(names)))
    held = network(graph)
    x = picture(held.program, 6)
    exact = {name: held.run(x, Setting.of((name,), held.layers)) for name in ("input", "thresholds", "sums")}
    trace = simulate(graph, x, "reference", ("spikes", "v", "h"))
    ties = sum(int((trace.populations[p].data["h"] == 2.0).sum()) for p in ("cf", "lif"))
    assert ties > 3
    found = held.run(x, Setting())
    for p in ("cf", "lif"):
        for variable in ("spikes", "v"):
            assert np.array_equal(found[p][variable], trace.populations[p].data[variable]), (p, variable)
            for name, other in exact.items():  # these numbers need no rounding: no format may cost anything
                assert np.array_equal(found[p][variable], other[p][variable]), (p, variable, name)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_does_something_and_only_its_own(name: str) -> None:
    """Narrow formats, so that each shows; in the layer where it is on, and behind it."""
    graph = networks.chain(seed=6, rounds_neg=2)
    held = network(graph, weight_bits=3, input_bits=2, input_range=(0.0, 1.0))
    x = picture(held.program)
    off = held.run(x, Setting())
    layer = {"input": held.layers[0], "thresholds": "cf1"}.get(name, "cf2")
    found = held.run(x, Setting.of((name,), (layer,)))
    assert layer != "cf2" or all(np.array_equal(off["cf1"][v], found["cf1"][v]) for v in ("spikes", "v"))
    moved = any(not np.array_equal(off[p][v], found[p][v]) for p in off for v in ("spikes", "v"))
    idle = {"payload"} | ({"sums"} if all(s.exponent >= 0 for s in held.program.synapses) else set())
    assert moved == (name not in idle)
    again = held.run(x, Setting.of((name,), (layer,)), off)  # what no format reaches is taken from the float run
    assert all(np.array_equal(found[p][v], again[p][v]) for p in off for v in off[p])


def test_more_bits_come_nearer_to_the_float_weights() -> None:
    held = network(networks.chain(seed=6), weight_bits=3)
    x = picture(held.program)
    off = held.run(x, Setting())
    on = frozenset(("weights", layer) for layer in held.layers)
    errors = []
    for bits in (0, 1, 3, 6, 12):
        found = held.run(x, Setting(on, dict.fromkeys(held.layers, bits)))
        errors.append(sum(float((found[p]["spikes"] != off[p]["spikes"]).sum()) for p in off))
    assert errors[0] > errors[2] > errors[3] and errors[-1] == 0
