"""What training in a chip's arithmetic keeps of a graph, and what it refuses."""

from __future__ import annotations

import itertools

import chip_graphs
import nir
import numpy as np
import pytest
import torch
from chip_graphs import GRAPHS, STEPS, given, inputs, neurons
from chip_networks import VARIABLES, differences
from networks import affine, convolution
from test_chip_programs import shaken

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.chip import chip_graph
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.neurons import NEURONS
from neuro_deploy.neurons import chip as chip_neurons
from neuro_deploy.target import load_target
from neuro_deploy.train.chip import checks

LOIHI2 = load_target("loihi2")
pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_is_not_connected_stays_so() -> None:
    """Zeros of the graph, of a padding, and of elements that a Delay parts; pools and skips are not learned."""
    rng = np.random.default_rng(9)
    pruned = nir.Linear(rng.normal(size=(6, 8)).astype("f4"))
    pruned.weight[rng.random((6, 8)) < 0.5] = 0
    nodes = {
        "input": nir.Input({"input": np.array([2, 4, 4])}),
        "same": convolution(rng, (2, 2, 2, 2), (4, 4), padding="same"),
        "cf1": neurons("cf", (2, 4, 4)),
        "pool": chip_graphs.pool(),
        "cf2": neurons("cf", (2, 2, 2), theta=0.3),
        "flat": chip_graphs.flat(2, 2, 2),
        "fc": pruned,
        "wait": nir.Delay(np.array([0, 1, 2] * 2) * chip_graphs.DT),
        "out": neurons("cf", (6,)),
        "output": nir.Output({"output": np.array([6])}),
    }
    graph = chip_graphs.made(nodes)
    chip = nd.to_chip(graph)
    assert list(chip.weights) == ["same", "fc", "fc__delay+fc_", "fc___delay+fc__"]
    pool = next(s for s in chip.frozen.synapses if s.name == "cf1-cf2").wiring.weight
    shaken(chip, 2)
    weights = {s.name: s.wiring.weight for s in chip.program().synapses}
    assert (weights["same"][:, :, 0] == 0).all() and (weights["same"][:, :, :, 0] == 0).all()
    assert np.array_equal(weights["cf1-cf2"], pool)
    whole = np.stack([weights[name] != 0 for name in weights if name.startswith("fc")])
    assert (whole.sum(0) <= (pruned.weight != 0)).all() and whole.sum() > 0.8 * (pruned.weight != 0).sum()
    x = inputs(graph)
    assert not any(differences(chip, x, simulate(chip.program(), x, "sim", VARIABLES)).values())
    assert nd.compile(chip_graph(chip), exact=True) == chip.program()


def test_a_bias_is_one_for_a_channel() -> None:
    chip = nd.to_chip(GRAPHS["pooled"]())
    assert {key: tuple(b.shape) for key, b in chip.biases.items()} == {"cf1": (3,), "li": (5,)}
    assert chip.weights["cf2.constant"].shape == (4, 1)
    graph = chip_graph(shaken(chip, 3))
    assert graph.nodes["conv1"].bias.any() and graph.nodes["conv2"].bias.any()


def test_surrogates_come_from_modules_by_name() -> None:
    graph = GRAPHS["recurrent"]()
    like = {"cf1": nd.nn.CirculateFire(0.8, 0.6, 3, alpha=2.0, surrogate="arctan", steps=STEPS)}
    chip = nd.to_chip(graph, like)
    assert chip.population("cf1").surrogate == "arctan" and chip.population("lif").surrogate == "sigmoid"
    assert torch.allclose(chip.population("cf1").alpha, torch.full((STEPS,), 2.0))
    assert nd.to_chip(graph, nd.import_nir(graph)).population("cf1").surrogate == "sigmoid"
    with pytest.raises(InputError, match="no population is named 'cf9'; there are"):
        nd.to_chip(graph, {"cf9": like["cf1"]})


def test_inputs_by_name_or_joined() -> None:
    graph = GRAPHS["inputs_joined"]()
    x, chip = given(inputs(graph)), nd.to_chip(graph)
    joined = torch.cat([x[name].flatten(2) for name in sorted(x)], 2)
    assert torch.equal(chip(x), chip(joined)) and bool(chip(x).any())
    with pytest.raises(InputError, match=r"expected the inputs ear \(T, B, 5\), eye \(T, B, 1, 3, 3\)"):
        chip({"ear": x["ear"]})
    with pytest.raises(InputError, match="different numbers of steps"):
        chip({**x, "ear": x["ear"][:2]})


def test_several_outputs_stay_several() -> None:
    rng = np.random.default_rng(3)
    nodes = {
        "input": nir.Input({"input": np.array([5])}),
        "fc1": affine(4, 5, rng, scale=2.0),
        "cf1": neurons("cf", (4,)),
        "fc2": affine(3, 4, rng, scale=2.0),
        "cf2": neurons("cf", (3,)),
        "output": nir.Output({"output": np.array([3])}),
        "inner": nir.Output({"output": np.array([4])}),
    }
    edges = [*itertools.pairwise(["input", "fc1", "cf1", "fc2", "cf2", "output"]), ("cf1", "inner")]
    chip = nd.to_chip(chip_graphs.made(nodes, edges))
    assert chip.frozen.readout is None and chip.output == "cf2"
    assert nd.compile(chip_graph(chip), exact=True) == chip.program()


def test_what_cannot_be_trained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([2, 9, 9])}),
        "pool": chip_graphs.pool(),
        "conv": convolution(rng, (2, 2, 3, 3), (4, 4)),
        "cf": neurons("cf", (2, 4, 4)),
        "uneven": nir.Scale(rng.uniform(0.5, 1, (2, 4, 4)).astype("f4")),
        "conv2": convolution(rng, (2, 2, 3, 3), (4, 4)),
        "out": neurons("cf", (2, 4, 4)),
        "output": nir.Output({"output": np.array([2, 4, 4])}),
    }
    with pytest.raises(UnsupportedError) as caught:
        nd.to_chip(chip_graphs.made(nodes))
    assert [v.node for v in caught.value.violations] == ["pool+conv", "uneven+conv2"]
    assert "leads from (2, 9, 9) to (2, 4, 4) by a matrix" in str(caught.value) and "pool that tiles" in str(
        caught.value
    )
    strange = {"a+b": nir.Input({"input": np.array([3])}), "c": nir.Input({"input": np.array([3])})}
    layers = {"fc": affine(3, 3, rng), "cf": neurons("cf", (3,)), "output": nir.Output({"output": np.array([3])})}
    edges = [("a+b", "fc"), ("c", "fc"), ("fc", "cf"), ("cf", "output")]
    with pytest.raises(UnsupportedError, match=r"an Input with a \+ in its name"):
        nd.to_chip(chip_graphs.made({**strange, **layers}, edges))
    monkeypatch.setattr(checks, "trainable", lambda kind: kind != "cf")
    with pytest.raises(UnsupportedError, match="neurons of kind 'cf' have no gradient here; use lif, li"):
        nd.to_chip(GRAPHS["rows"]())
    assert all(chip_neurons.trainable(kind) for kind in NEURONS)


def test_a_file_with_several_units_in_a_channel_is_refused() -> None:
    graph = chip_graph(nd.to_chip(GRAPHS["images"]()))
    told = graph.metadata["neuro_deploy"]
    told["chip"]["unit"]["cf1"] = told["chip"]["unit"]["cf1"] * np.tile([1.0, 0.5], 126)
    with pytest.raises(UnsupportedError, match="conv1: has units of several sizes in a channel"):
        nd.compile(graph)
