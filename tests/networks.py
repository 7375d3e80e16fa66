"""Small NIR networks for the tests, with distinct, non-default values in every field."""

from __future__ import annotations

import itertools
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neuro_deploy.neurons import FloatNeuron, spec
from neuro_deploy.neurons.scheme import METADATA

DT = 0.002


def cf(size: int, rng: np.random.Generator, *, rounds: int = 3, rounds_neg: int = 0) -> FloatNeuron:
    return FloatNeuron(
        "cf",
        (size,),
        {
            "beta": rng.uniform(0.55, 0.95, size),
            "theta": rng.uniform(0.7, 1.4, size),
            "theta_neg": rng.uniform(0.8, 1.3, size),
            "circulations": np.float32(rounds),
            "circulations_neg": np.float32(rounds_neg),
        },
    )


def lif(size: int, rng: np.random.Generator) -> FloatNeuron:
    return FloatNeuron("lif", (size,), {"beta": rng.uniform(0.5, 0.9, size), "theta": rng.uniform(0.5, 1.2, size)})


def affine(targets: int, sources: int, rng: np.random.Generator, *, scale: float = 1.0) -> nir.Affine:
    weight = rng.normal(0.05, scale / np.sqrt(sources), (targets, sources)).astype(np.float32)
    return nir.Affine(weight=weight, bias=rng.normal(0.05, 0.2, targets).astype(np.float32))


def graph(nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], **told: Any) -> nir.NIRGraph:
    """A graph with our metadata; an entry of None is left out."""
    entries = {"dt": DT, "input": {"low": 0.0, "high": 1.0, "quantum": 1 / 16}, "steps": 6, **told}
    metadata = {METADATA: {k: v for k, v in entries.items() if v is not None}}
    return nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False)


def chain(*, seed: int = 0, sizes: tuple[int, ...] = (12, 20, 9, 5), rounds_neg: int = 0, **told: Any) -> nir.NIRGraph:
    """input -> fc1 -> cf1 -> fc2 -> cf2 -> fc3 -> lif -> output, widths unequal, biases everywhere."""
    rng = np.random.default_rng(seed)
    inputs, one, two, three = sizes
    nodes = {
        "input": nir.Input({"input": np.array([inputs])}),
        "fc1": affine(one, inputs, rng, scale=2.0),
        "cf1": spec("cf").write(cf(one, rng, rounds_neg=rounds_neg), DT),
        "fc2": affine(two, one, rng),
        "cf2": spec("cf").write(cf(two, rng, rounds=2), DT),
        "fc3": affine(three, two, rng, scale=1.5),
        "lif": spec("lif").write(lif(three, rng), DT),
        "output": nir.Output({"output": np.array([three])}),
    }
    names = list(nodes)
    return graph(nodes, list(itertools.pairwise(names)), **told)


def residual(*, seed: int = 1) -> nir.NIRGraph:
    """A branch that skips a population and joins again: unequal depth, two synapses into one population."""
    rng = np.random.default_rng(seed)
    nodes = {
        "input": nir.Input({"input": np.array([7])}),
        "fc1": affine(8, 7, rng, scale=2.0),
        "cf1": spec("cf").write(cf(8, rng), DT),
        "fc2": affine(6, 8, rng),
        "cf2": spec("cf").write(cf(6, rng), DT),
        "fc3": affine(5, 6, rng),
        "skip": affine(5, 8, rng),
        "cf3": spec("cf").write(cf(5, rng), DT),
        "output": nir.Output({"output": np.array([5])}),
    }
    edges = [("input", "fc1"), ("fc1", "cf1"), ("cf1", "fc2"), ("fc2", "cf2"), ("cf2", "fc3"), ("fc3", "cf3")]
    edges += [("cf1", "skip"), ("skip", "cf3"), ("cf3", "output")]
    return graph(nodes, edges)


def pixels(steps: int, batch: int, size: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Random input in sixteenths, (T, B, N)."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 17, (steps, batch, size)) / 16).astype(np.float32)


def convolution(
    rng: np.random.Generator, weight: tuple[int, ...], image: tuple[int, int], **options: Any
) -> nir.Conv2d:
    """A convolution with a bias; weight: (C_out, C_in / groups, height, width)."""
    given = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, **options}
    values = rng.normal(0.1, 1.0 / np.sqrt(np.prod(weight[1:])), weight).astype(np.float32)
    return nir.Conv2d(input_shape=image, weight=values, bias=rng.normal(0.05, 0.1, weight[0]).astype("f4"), **given)


def everything(*, seed: int = 8) -> nir.NIRGraph:
    """Every kind at once: convolutions, both pools, a skip of unequal depth, recurrence, a delay, biases everywhere.

    CF (positive, signed, with a current), LIF (reset to 0 and to a value), IF, Threshold, CubaLIF, LI as the readout.
    """
    rng = np.random.default_rng(seed)
    wide, small = (4, 8, 8), (4, 4, 4)

    def full(shape: tuple[int, ...], value: float) -> NDArray[np.float32]:
        return np.full(shape, value, np.float32)

    def neurons(kind: str, shape: tuple[int, ...], **params: float) -> nir.NIRNode:
        given = {"beta": 0.8, "theta": 0.9} | params
        if kind == "cf":
            given = {"theta_neg": 0.8, "circulations": 3.0, "circulations_neg": 0.0} | given
        return spec(kind).write(FloatNeuron(kind, shape, {k: np.float32(v) for k, v in given.items()}), DT)

    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array([2, 8, 8])}),
        "conv1": convolution(rng, (4, 2, 3, 3), (8, 8)),
        "cf": neurons("cf", wide),
        "keep": nir.Scale(full(wide, 0.7)),
        "echo": neurons("lif", wide, beta=0.5),
        "avg": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "conv2": convolution(rng, (4, 1, 3, 3), (4, 4), groups=4),
        "lif": neurons("lif", small, v_reset=-0.25),
        "conv3": convolution(rng, (4, 4, 2, 2), (4, 4), padding="same"),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "fade": nir.Scale(full(small, -0.3)),
        "signed": neurons("cf", small, theta=0.5, theta_neg=0.4, circulations=2.0, circulations_neg=2.0),
        "flat": nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array(small)}),
        "fc4": affine(12, 64, rng, scale=2.0),
        "cuba": neurons("lif", (12,), beta_syn=0.6, theta=1.2),
        "back": affine(12, 12, rng, scale=0.5),
        "fc5": affine(10, 12, rng, scale=2.0),
        "current": neurons("cf", (10,), beta_syn=0.5, circulations=2.0),
        "wait": nir.Delay(np.array([0, 1] * 5) * DT),
        "fc6": affine(8, 10, rng, scale=2.0),
        "if": nir.IF(r=full((8,), 1 / DT), v_threshold=full((8,), 1.5)),
        "fc7": affine(8, 8, rng, scale=2.0),
        "threshold": nir.Threshold(full((8,), 0.3)),
        "fc8": affine(5, 8, rng),
        "out": spec("li").write(FloatNeuron("li", (5,), {"beta": np.float32(0.9)}), DT),
        "output": nir.Output({"output": np.array([5])}),
    }
    edges = list(itertools.pairwise(n for n in nodes if n not in ("sum", "fade", "back")))
    edges += [("cf", "sum"), ("sum", "fade"), ("fade", "signed"), ("cuba", "back"), ("back", "cuba")]
    return graph(nodes, edges, steps=8, readout={"population": "out", "rule": "mean_v"})
