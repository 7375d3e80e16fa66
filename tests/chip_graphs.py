"""NIR graphs of every structure that can be trained in a chip's arithmetic, small, and input for them."""

from __future__ import annotations

import itertools
from typing import Any

import networks
import nir
import numpy as np
import torch
from networks import DT, affine, convolution, graph

from neuro_deploy.neurons import FloatNeuron, spec

STEPS = 6
Nodes = dict[str, nir.NIRNode]


def neurons(kind: str, shape: tuple[int, ...], **params: float) -> nir.NIRNode:
    """A population of one number each."""
    given = {"beta": 0.8, "theta": 0.6} | params
    if kind == "cf":
        given = {"theta_neg": 0.6, "circulations": 3.0, "circulations_neg": 0.0} | given
    if kind == "li":
        given.pop("theta")
    return spec(kind).write(FloatNeuron(kind, shape, {k: np.float32(v) for k, v in given.items()}), DT)


def pool(side: int = 2, mean: bool = True) -> nir.NIRNode:
    kind = nir.AvgPool2d if mean else nir.SumPool2d
    return kind(np.array([side, side]), np.array([side, side]), np.array([0, 0]))


def flat(*shape: int) -> nir.NIRNode:
    return nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array(shape)})


def made(nodes: Nodes, edges: list[tuple[str, str]] | None = None, **told: Any) -> nir.NIRGraph:
    """The nodes in a row, but for those that `edges` names as sources or targets beside it."""
    return graph(nodes, edges or list(itertools.pairwise(nodes)), **told)


def images() -> nir.NIRGraph:
    """Convolutions (strided, padded, dilated, grouped), both pools, flattened into a layer."""
    rng = np.random.default_rng(1)
    return made(
        {
            "input": nir.Input({"input": np.array([2, 9, 8])}),
            "conv1": convolution(rng, (4, 2, 3, 2), (9, 8), stride=(1, 1), padding=(1, 0)),
            "cf1": neurons("cf", (4, 9, 7)),
            "conv2": convolution(rng, (6, 2, 3, 3), (9, 7), groups=2, stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
            "cf2": neurons("cf", (6, 5, 7), circulations_neg=2.0, circulations=2.0),
            "sum": pool(2, mean=False),
            "lif": neurons("lif", (6, 2, 3), theta=1.5, v_reset=-0.2),
            "flat": flat(6, 2, 3),
            "fc": affine(5, 36, rng, scale=3.0),
            "cf": neurons("cf", (5,)),
            "output": nir.Output({"output": np.array([5])}),
        }
    )


def pooled() -> nir.NIRGraph:
    """A pool between two convolutions, which `compile` makes one; an image of odd sides is pooled at last."""
    rng = np.random.default_rng(2)
    return made(
        {
            "input": nir.Input({"input": np.array([1, 10, 10])}),
            "conv1": convolution(rng, (3, 1, 3, 3), (10, 10)),
            "cf1": neurons("cf", (3, 10, 10), theta=0.4),
            "pool1": pool(),
            "conv2": convolution(rng, (4, 3, 3, 3), (5, 5)),
            "cf2": neurons("cf", (4, 5, 5), theta=0.4, beta_syn=0.5),
            "pool2": pool(),
            "flat": flat(4, 2, 2),
            "fc": affine(5, 16, rng, scale=3.0),
            "li": neurons("li", (5,)),
            "output": nir.Output({"output": np.array([5])}),
        },
        readout={"population": "li", "rule": "mean_v"},
    )


def rows() -> nir.NIRGraph:
    """One-dimensional convolutions."""
    rng = np.random.default_rng(3)

    def conv(weight: tuple[int, ...], side: int, **options: Any) -> nir.Conv1d:
        values = rng.normal(0.1, 1 / np.sqrt(np.prod(weight[1:])), weight).astype("f4")
        given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | options
        return nir.Conv1d(input_shape=side, weight=values, bias=rng.normal(0.1, 0.1, weight[0]).astype("f4"), **given)

    return made(
        {
            "input": nir.Input({"input": np.array([2, 20])}),
            "conv1": conv((4, 2, 5), 20, stride=2, padding=2),
            "cf1": neurons("cf", (4, 10)),
            "conv2": conv((4, 1, 3), 10, groups=4, padding=2, dilation=2),
            "cf2": neurons("lif", (4, 10), beta=0.5, theta=0.3),
            "flat": flat(4, 10),
            "fc": affine(6, 40, rng, scale=3.0),
            "cf": neurons("cf", (6,)),
            "output": nir.Output({"output": np.array([6])}),
        }
    )


def residual() -> nir.NIRGraph:
    """Joins by addition of images: a skip without a layer, one with a convolution, branches of unequal depth."""
    rng = np.random.default_rng(4)
    wide = (4, 12, 12)
    nodes: Nodes = {
        "input": nir.Input({"input": np.array([1, 12, 12])}),
        "stem": convolution(rng, (4, 1, 3, 3), (12, 12)),
        "cf0": neurons("cf", wide, theta=0.4),
        "conv1": convolution(rng, (4, 4, 3, 3), (12, 12)),
        "cf1": neurons("cf", wide, theta=1.5),
        "conv2": convolution(rng, (4, 4, 3, 3), (12, 12)),
        "cf2": neurons("cf", wide, theta=2.5),
        "down": convolution(rng, (6, 4, 3, 3), (12, 12), stride=2),
        "cf3": neurons("cf", (6, 6, 6), theta=3.0),
        "short": convolution(rng, (6, 4, 1, 1), (12, 12), stride=2, padding=0),
        "flat": flat(6, 6, 6),
        "fc": affine(4, 216, rng, scale=4.0),
        "out": neurons("cf", (4,)),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = list(itertools.pairwise(["input", "stem", "cf0", "conv1", "cf1", "conv2", "cf2", "down", "cf3"]))
    edges += [("cf0", "cf2"), ("cf0", "short"), ("short", "cf3")]
    edges += list(itertools.pairwise(["cf3", "flat", "fc", "out", "output"]))
    return made(nodes, edges)


def recurrent() -> nir.NIRGraph:
    """A layer that feeds itself, twice with a current, and a loop of two populations that takes two steps."""
    rng = np.random.default_rng(5)
    nodes: Nodes = {
        "input": nir.Input({"input": np.array([7])}),
        "fc1": affine(9, 7, rng, scale=2.0),
        "cf1": neurons("cf", (9,), beta_syn=0.6),
        "back1": affine(9, 9, rng, scale=0.8),
        "fc2": affine(8, 9, rng, scale=1.5),
        "lif": neurons("lif", (8,), beta=0.7),
        "fc3": affine(6, 8, rng, scale=2.0),
        "cf3": neurons("cf", (6,)),
        "wait": nir.Delay(np.full(6, 2 * DT)),
        "back3": affine(8, 6, rng),
        "fc4": affine(4, 6, rng, scale=2.0),
        "late": nir.Delay(np.full(4, 3 * DT)),
        "out": neurons("cf", (4,)),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = list(itertools.pairwise(["input", "fc1", "cf1", "fc2", "lif", "fc3", "cf3", "fc4", "late", "out"]))
    edges += [("out", "output"), ("cf1", "back1"), ("back1", "cf1")]
    edges += [("cf3", "wait"), ("wait", "back3"), ("back3", "lif")]
    return made(nodes, edges)


def recurrent_images() -> nir.NIRGraph:
    """A convolution that leads back."""
    rng = np.random.default_rng(6)
    shape = (3, 6, 6)
    nodes: Nodes = {
        "input": nir.Input({"input": np.array([2, 6, 6])}),
        "conv": convolution(rng, (3, 2, 3, 3), (6, 6)),
        "cf": neurons("cf", shape),
        "back": convolution(rng, (3, 3, 3, 3), (6, 6)),
        "pool": pool(3),
        "lif": neurons("lif", (3, 2, 2), beta=0.0, theta=0.5),
        "flat": flat(3, 2, 2),
        "fc": affine(4, 12, rng, scale=3.0),
        "out": neurons("cf", (4,)),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [*itertools.pairwise(n for n in nodes if n != "back"), ("cf", "back"), ("back", "cf")]
    return made(nodes, edges)


def inputs_joined() -> nir.NIRGraph:
    """Three Inputs, an image among them: one alone, two into one population, one of them twice."""
    rng = np.random.default_rng(7)
    nodes: Nodes = {
        "eye": nir.Input({"input": np.array([1, 3, 3])}),
        "ear": nir.Input({"input": np.array([5])}),
        "tip": nir.Input({"input": np.array([6])}),
        "look": flat(1, 3, 3),
        "see": affine(6, 9, rng, scale=2.0),
        "hear": affine(6, 5, rng, scale=2.0),
        "one": neurons("cf", (6,)),
        "feel": nir.Scale(np.linspace(0.6, 1.2, 6, dtype=np.float32)),
        "two": neurons("lif", (6,)),
        "fc": affine(4, 6, rng, scale=2.0),
        "again": affine(4, 5, rng, scale=2.0),
        "out": neurons("cf", (4,)),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [("eye", "look"), ("look", "see"), ("see", "one"), ("ear", "hear"), ("hear", "one"), ("tip", "feel")]
    edges += [("feel", "two"), ("one", "two"), ("two", "fc"), ("fc", "out"), ("ear", "again"), ("again", "out")]
    return made(nodes, [*edges, ("out", "output")])


def memoryless() -> nir.NIRGraph:
    """Circulate-firing neurons without memory, as a gate: k + 3 m + 0.5 - 3 lets a graded k pass where m fires."""
    rng = np.random.default_rng(8)
    nodes: Nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "fck": affine(6, 8, rng, scale=2.0),
        "k": neurons("cf", (6,), beta=0.7),
        "fcm": affine(6, 8, rng, scale=2.0),
        "m": neurons("lif", (6,), beta=0.7),
        "three": nir.Affine(weight=3 * np.eye(6, dtype=np.float32), bias=np.full(6, 0.5 - 3, np.float32)),
        "gate": neurons("cf", (6,), beta=0.0, theta=1.0),
        "fc": affine(4, 6, rng, scale=2.0),
        "out": neurons("cf", (4,)),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [("input", "fck"), ("fck", "k"), ("input", "fcm"), ("fcm", "m"), ("m", "three"), ("three", "gate")]
    return made(nodes, [*edges, ("k", "gate"), ("gate", "fc"), ("fc", "out"), ("out", "output")])


GRAPHS = {
    f.__name__: f for f in (images, pooled, rows, residual, recurrent, recurrent_images, inputs_joined, memoryless)
} | {"everything": networks.everything}


def inputs(given: nir.NIRGraph, batch: int = 12, seed: int = 0) -> dict[str, np.ndarray]:
    """Random input in sixteenths for each Input, (T, B, *shape)."""
    rng, found = np.random.default_rng(seed), {}
    for name, node in given.nodes.items():
        if isinstance(node, nir.Input):
            shape = tuple(int(n) for n in node.input_type["input"])
            found[name] = (rng.integers(0, 17, (STEPS, batch, *shape)) / 16).astype(np.float32)
    return found


def given(x: dict[str, np.ndarray]) -> Any:
    """As a Chip takes it."""
    found = {name: torch.from_numpy(values) for name, values in x.items()}
    return next(iter(found.values())) if len(found) == 1 else found
