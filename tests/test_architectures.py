"""Every architecture goes the whole road: the file's spikes are the model's, and sim's are Lava's."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from architectures import CASES, CLASSES, STEPS, made
from lava_harness import differences, run_spk
from torch import nn

import neuro_deploy as nd
from neuro_deploy.errors import InputError
from neuro_deploy.graph import read_graph
from neuro_deploy.neurons.observing import observe
from neuro_deploy.neurons.scheme import METADATA
from neuro_deploy.road import verify_graph
from neuro_deploy.train import load_recipe, recipe_names, train
from neuro_deploy.train.datasets import data_of
from neuro_deploy.train.fold import fold
from neuro_deploy.train.nets import ARCHITECTURES, build

ALL = ("spikes", "v", "h", "u")
STANDARD = {nir.Input, nir.Output, nir.Conv1d, nir.Conv2d, nir.Affine, nir.Linear, nir.Flatten, nir.Delay}
STANDARD |= {nir.AvgPool2d, nir.SumPool2d, nir.LIF}
INSIDE_CF = {nir.Input, nir.Output, nir.LI, nir.I, nir.Threshold, nir.Scale, nir.Affine, nir.Linear}


def exported(name: str) -> tuple[nn.Module, np.ndarray, nir.NIRGraph]:
    model, x = made(name)
    given = {"dt": 0.002, "input_shape": CASES[name][1], "steps": STEPS, "input_low": 0.0, "input_high": 1.0}
    return model, x, nd.export_nir(model, **given, input_quantum=1 / 16, sample=x)


def test_every_architecture_is_a_case() -> None:
    assert {name.partition(",")[0] for name in CASES} == {*ARCHITECTURES} - {"recurrent_mlp"} | {"recurrent"}


@pytest.mark.parametrize("name", CASES)
def test_the_file_has_the_models_spikes(name: str, tmp_path: Path) -> None:
    """Standard nodes that stock nir reads with its check; nothing is silent; read back, the same spikes."""
    model, x, graph = exported(name)
    assert "silent" not in graph.metadata[METADATA]["proof"]["sample"]
    for node in graph.nodes.values():
        assert type(node) in STANDARD or {type(n) for n in node.nodes.values()} <= INSIDE_CF
    nd.write_nir(graph, tmp_path / "net.nir")
    assert set(nir.read(tmp_path / "net.nir", type_check=True).nodes) == set(graph.nodes)
    folded = fold(model)
    with torch.no_grad(), observe(folded.model) as seen:
        sent = folded.model(torch.from_numpy(x))
        before = model(torch.from_numpy(x))
    again = nd.import_nir(tmp_path / "net.nir")
    with torch.no_grad():
        assert torch.equal(again(torch.from_numpy(x)), sent)
    assert (before != sent).float().mean() < 0.05, "folding the batch norm rounds, and no more"
    assert len(read_graph(graph).neurons) == len(seen) and sent.shape == (STEPS, 8, CLASSES)
    largest = max(float(states.spikes.max()) for states in seen.values())
    assert largest == (1 if "lif" in name else 2 if "delay" in name else 3)


@pytest.mark.lava
@pytest.mark.parametrize("name", CASES)
def test_sim_is_lava(name: str) -> None:
    """The compiled loops, the plain definition and Lava's own models: 0 differences, and every population fires."""
    _, x, graph = exported(name)
    program = nd.compile(graph, "loihi2")
    sim = nd.simulate(program, x, "sim", ALL)
    assert all(sim.populations[p.name].data["spikes"].any() for p in program.populations)
    assert not any(differences(sim, nd.simulate(program, x, "sim-plain", ALL)).values())
    few = x[:, :2]
    found = differences(nd.simulate(program, few, "sim", ALL), run_spk(program, few))
    assert set(found.values()) == {0} and {key.partition(".")[0] for key in found} == {
        p.name for p in program.populations
    }
    reference = nd.simulate(graph, x, "reference", ("spikes",))
    same = [(reference.aligned(n, "spikes") == sim.aligned(n, "spikes")).mean() for n in read_graph(graph).neurons]
    assert same[0] > 0.95 and np.mean(same) > 0.8, "8 bits round: a few spikes change, in each layer some more"


@pytest.mark.lava
def test_the_transformer_in_lava_itself() -> None:
    _, x, graph = exported("spiking_transformer")
    result = verify_graph(graph, "loihi2", x, np.zeros(8, np.int64), lava_samples=2)
    assert result.verdict.passed and result.verdict.differing == 0 and result.verdict.lava_samples == 2


@pytest.mark.parametrize("name", ["spiking_transformer", "spiking_transformer, one axis, lif"])
def test_attention_is_a_product_on_the_chip(name: str) -> None:
    """Behind the gate are the spikes of k where the mask of their head and token fired, in float and in integers."""
    _, x, graph = exported(name)
    heads = 2 if "lif" not in name else 4
    program = nd.compile(graph, "loihi2")
    for trace in (nd.simulate(graph, x, "reference"), nd.simulate(program, x, "sim")):
        neuron = "lif" if "lif" in name else "cf"
        k, mask, gated = (
            trace.aligned(f"attention1_body_{n}", "spikes") for n in (f"k_{neuron}", "mask", "gate_neuron")
        )
        assert set(np.unique(mask)) == {0, 1} and 0.05 < mask.mean() < 0.95
        assert (k[np.repeat(mask, 8 // heads, axis=2) == 0] != 0).any(), "it holds something back"
        np.testing.assert_array_equal(gated, k * np.repeat(mask, 8 // heads, axis=2))


@pytest.mark.parametrize("rounds", [1, 2, 3, 7])
def test_a_gate_is_a_product(rounds: int) -> None:
    k = torch.arange(rounds + 1.0).expand(1, 2, 4, -1).clone().requires_grad_()
    m = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 2, rounds + 1).clone().requires_grad_()
    m.data[:, :, 1] = 1 - m.data[:, :, 1]
    gated = nd.nn.Gate(4, 2, rounds)(k, m)
    assert torch.equal(gated, k * m.repeat_interleave(2, dim=2))
    gated.sum().backward()
    assert (k.grad > 0).all() and (m.grad > 0).all(), "both are learned through it"


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 40), (2, 34, 34), (1, 8, 8)], ids=str)
@pytest.mark.parametrize("name", ["vgg", "sew_resnet", "spiking_transformer"])
def test_defaults_take_usual_inputs(name: str, shape: tuple[int, ...]) -> None:
    model = ARCHITECTURES[name](shape, 10, steps=2)
    assert model(torch.rand(2, 3, *shape)).shape == (2, 3, 10)
    assert sum(p.numel() for p in model.parameters()) < 250_000, "1 MB of weights"
    given = ARCHITECTURES[name](shape, 10, steps=2, neuron_args={"circulations": 5, "reset": "soft", "beta": 0.25})
    neurons = [m for m in given.modules() if isinstance(m, nd.nn.CirculateFire)]
    assert {m.circulations for m in neurons} <= {1, 5} and {float(m.beta) for m in neurons} <= {0.0, 0.25}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nd.nn.vgg([64], 10), r"inputs must be \(C, L\) or \(C, H, W\), got \[64\]; a recipe's data.shape"),
        (lambda: nd.nn.vgg([1, 8, 8], 10, channels=[]), "channels"),
        (lambda: nd.nn.vgg([1, 40], 10, pooling="avg"), r"'avg' or 'sum' for images \(C, H, W\), got 'avg'"),
        (lambda: nd.nn.vgg([1, 4, 4], 10, [2, 2, 2, 2], pooling="avg"), "4 stages are too many"),
        (lambda: nd.nn.sew_resnet([1, 8, 8], 10, blocks=0), "blocks must be whole numbers of 1 or more, got 0"),
        (lambda: nd.nn.spiking_transformer([1, 8, 8], 10, 10, heads=4), "10 channels cannot be split into 4 heads"),
        (lambda: nd.nn.spiking_transformer([1, 8, 8], 10, neuron="li"), "neuron_args do not fit Integrator"),
        (
            lambda: nd.nn.spiking_transformer([1, 8, 8], 10, neuron_args={"polarity": "signed"}),
            "of positive polarity",
        ),
        (lambda: nd.nn.recurrent_mlp(4, [3], 2, neuron="li"), "neuron_args do not fit Integrator"),
        (lambda: nd.nn.recurrent_mlp(4, [3], 2, delay=0), "steps must be a whole number of 1 or more, got 0"),
    ],
)
def test_mistakes_are_explained(build: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.parametrize("name", [n for n in recipe_names() if load_recipe(n).data.name in ("digits", "mnist1d")])
def test_recipes_fit_their_data(name: str) -> None:
    recipe = load_recipe(name)
    data = data_of(recipe)
    model = build(recipe, data)
    assert model(data.shown(torch.tensor(data.train_x[:3]), recipe.network.steps)).shape[1:] == (3, 10)
    assert sum(p.numel() for p in model.parameters()) < 100_000


@pytest.mark.parametrize(
    ("name", "epochs", "changes", "least"),
    [
        ("digits_conv", 4, ["network.args.hidden=[]"], 0.85),
        ("digits_resnet", 2, ["network.args.channels=[8, 8]"], 0.85),
        ("digits_transformer", 3, ["network.args.channels=16"], 0.85),
        ("mnist1d_recurrent", 1, ["network.args.hidden=[32]"], 0.2),
    ],
)
def test_recipes_learn(name: str, epochs: int, changes: list[str], least: float, tmp_path: Path) -> None:
    given = [f"training.epochs={epochs}", "training.lr=0.02", *changes]
    result = train(name, tmp_path / "run", device="cpu", overrides=given)
    assert result.test_accuracy > least
