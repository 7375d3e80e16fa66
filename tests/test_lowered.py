"""Whatever `compile` accepts: sim equals Lava's models, and what it proved holds, at every scale of every parameter."""

from __future__ import annotations

from collections import Counter

import lava_harness
import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.errors import NeuroDeployError
from neuro_deploy.graph import read_graph
from neuro_deploy.neurons import FloatNeuron, spec

SCALES = ("auto", "full", "proven", "calibrated")
EDGES = (1.0, 0.0, 0.5, 0.9, 0.999, 1e-4, 0.99999)


def magnitude(rng: np.random.Generator) -> float:
    return float(10.0 ** rng.uniform(-3, 3))


def neuron(rng: np.random.Generator, shape: tuple[int, ...], kinds: tuple[str, ...]) -> FloatNeuron:
    """Any kind, with every option sometimes; parameters per neuron or one for all."""
    theta = magnitude(rng) * (rng.uniform(0.5, 2, shape) if rng.random() < 0.7 else 1.0)
    beta = rng.choice(EDGES) if rng.random() < 0.5 else rng.uniform(0.01, 0.99, shape)
    kind = str(rng.choice(kinds))
    params = {"beta": np.broadcast_to(beta, shape)}
    if rng.random() < 0.3 and np.max(beta) < 1:
        params["beta_syn"] = np.broadcast_to(rng.choice((0.0, 0.5, 0.999)), shape)
    if kind != "li":
        params["theta"] = np.broadcast_to(theta, shape)
    if kind == "cf":
        rounds = {"circulations": rng.integers(1, 8), "circulations_neg": rng.integers(0, 3)}
        params |= {"theta_neg": theta * 10.0 ** rng.uniform(-1, 1), **rounds}
        if not rounds["circulations_neg"] and rng.random() < 0.7:
            params["theta_reset"] = theta * 10.0 ** rng.uniform(-1, 1, shape) * (rng.random(shape) < 0.8)
    elif kind == "lif" and rng.random() < 0.5:
        params["v_reset"] = theta * rng.uniform(-1, 1)
    if rng.random() < 0.3 and np.max(beta) < 1:
        params["drift"] = theta * rng.normal(size=shape)
    return FloatNeuron(kind, shape, params)


def affine(rng: np.random.Generator, targets: int, sources: int) -> nir.Affine:
    """Mixed, excitatory, inhibitory, zero, or with a row of zeros."""
    weight = rng.normal(size=(targets, sources)) * magnitude(rng)
    mode = rng.integers(6)
    weight = (np.abs(weight), -np.abs(weight), weight * 0, weight, weight, weight)[mode]
    weight[rng.integers(targets)] *= mode != 3
    return nir.Affine(weight=weight.astype(np.float32), bias=(rng.normal(size=targets) * magnitude(rng)).astype("f4"))


def layer(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[list[nir.NIRNode], tuple[int, ...]]:
    """Linear nodes onto an input of this shape, and the shape that they make of it."""
    if len(shape) == 1:
        size = int(rng.integers(1, 7))
        return [affine(rng, size, shape[0])], (size,)
    channels, height, width = shape
    kind = str(rng.choice(["conv", "pool", "dense"]))
    if kind == "conv" and min(height, width) > 1:
        groups = int(rng.choice([1, channels]))
        wide = groups * int(rng.integers(1, 3))
        node = networks.convolution(rng, (wide, channels // groups, 2, 2), (height, width), groups=groups, padding=1)
        node.weight = (node.weight * magnitude(rng)).astype(np.float32)
        return [node], (wide, height + 1, width + 1)
    if kind == "pool" and min(height, width) > 1:
        pool = nir.AvgPool2d if rng.integers(2) else nir.SumPool2d
        scale = nir.Scale(np.full((channels, height // 2, width // 2), magnitude(rng), np.float32))
        window = np.array([2, 2])
        return [pool(window, window, np.array([0, 0])), scale], (channels, height // 2, width // 2)
    size = int(rng.integers(1, 7))
    return [nir.Flatten(start_dim=0, end_dim=-1, input_type=None), affine(rng, size, int(np.prod(shape)))], (size,)


def drawn(rng: np.random.Generator) -> tuple[nir.NIRGraph, np.ndarray]:
    """A network of two or three populations of any kind, and an input over its whole range."""
    shape: tuple[int, ...] = (int(rng.integers(1, 7)),)
    if rng.random() < 0.5:
        shape = (int(rng.integers(1, 3)), int(rng.integers(2, 5)), int(rng.integers(2, 5)))
    given = shape
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array(shape)})}
    edges: list[tuple[str, str]] = []
    last = "input"
    depth = int(rng.integers(2, 4))
    for index in range(depth):
        way, shape = layer(rng, shape)
        kinds = ("cf", "cf", "lif", "li") if index == depth - 1 else ("cf", "cf", "lif")
        if rng.random() < 0.2:
            way.append(nir.Delay(rng.integers(0, 3, shape) * networks.DT))
        populated = neuron(rng, shape, kinds)
        for number, node in enumerate([*way, spec(populated.kind).write(populated, networks.DT)]):
            name = f"n{index}" if number == len(way) else f"w{index}.{number}"
            nodes[name] = node
            edges.append((last, name))
            last = name
        if len(shape) == 1 and populated.kind != "li" and rng.random() < 0.3:
            nodes[f"back{index}"] = affine(rng, shape[0], shape[0])
            edges += [(last, f"back{index}"), (f"back{index}", last)]
    nodes["output"] = nir.Output({"output": np.array(shape)})
    edges.append((last, "output"))
    high, steps = magnitude(rng), int(rng.integers(1, 9))
    low = -high if rng.random() < 0.5 else 0.0
    graph = networks.graph(nodes, edges, input={"low": low, "high": high}, steps=steps)
    return graph, rng.uniform(low, high, (steps, 3, *given))


@pytest.mark.lava
def test_sim_equals_lava_and_proofs_hold_at_every_scale() -> None:
    rng = np.random.default_rng(11)
    seen: Counter[str] = Counter()
    for _ in range(400):
        try:
            graph, x = drawn(rng)
            program = nd.compile(graph, scale=str(rng.choice(SCALES)), calibrate=x)
        except NeuroDeployError as error:
            seen["refused"] += 1
            seen[str(error).splitlines()[0]] += 1
            continue
        sim = nd.simulate(program, x, "sim", ("spikes", "v", "h", "u"))
        assert not any(lava_harness.differences(sim, lava_harness.run_spk(program, x)).values())
        events = sum(n for counts in sim.counters.values() for event, n in counts.items() if event != "clipped")
        assert not (program.proven and events), sim.counters
        seen["proven" if program.proven else "not proven"] += 1
        seen["events"] += bool(events)
        spiking = [p.name for p in program.populations if p.kind != "li"]
        seen["fires"] += all(sim.populations[name].data["spikes"].any() for name in spiking)
        seen["exponent > 0"] += any(s.exponent > 0 for s in program.synapses)
        seen["exponent < 0"] += any(s.exponent < 0 for s in program.synapses)
        seen["delayed"] += any(s.delay for s in program.synapses)
        seen["recurrent"] += any(s.source == s.target for s in program.synapses)
        seen.update({f"{s.kind} synapse": 1 for s in program.synapses})
        seen.update({f"{p.kind} neuron": 1 for p in program.populations})
        options = ("du", "v_reset", "theta_reset")
        seen.update({key: 1 for p in program.populations for key in options if key in p.params})
        for p in (p for p in program.populations if "theta_reset" in p.params):
            fired, more = sim.populations[p.name].data["spikes"] > 0, p.params["theta_reset"] > p.params["vth"] << 6
            seen["takes more"] += bool((fired & more.reshape(p.shape)).any())
            seen["takes less"] += bool((fired & ~more.reshape(p.shape)).any())
            seen["takes nothing"] += bool((fired & (p.params["theta_reset"] == 0).reshape(p.shape)).any())
            seen["proven with theta_reset"] += program.proven
        seen["drift"] += any("drift" in n.params for n in read_graph(graph).neurons.values())
        seen["memoryless"] += any((p.params["dv"] == 4096).any() for p in program.populations)
    wanted = {"proven": 150, "not proven": 20, "events": 3, "fires": 40, "exponent > 0": 5, "exponent < 0": 30}
    wanted |= {"delayed": 30, "recurrent": 30, "conv synapse": 60, "dense synapse": 100, "li neuron": 30}
    wanted |= {"cf neuron": 100, "lif neuron": 80, "du": 50, "v_reset": 20, "memoryless": 20}
    wanted |= {
        "theta_reset": 40,
        "takes more": 15,
        "takes less": 15,
        "takes nothing": 15,
        "proven with theta_reset": 30,
        "drift": 40,
    }
    assert not {name: seen[name] for name, least in wanted.items() if seen[name] < least}, seen
