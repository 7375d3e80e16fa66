"""Recipes: strict, explained, overridden, and the same after a round trip; datasets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neuro_deploy.errors import FileError, RecipeError
from neuro_deploy.train import load_recipe, recipe_names
from neuro_deploy.train.datasets import about, direct, load_dataset
from neuro_deploy.train.nets import build
from neuro_deploy.train.recipe import Recipe, differences

OTHER = """
schema = 1
name = "other"
title = "every field another value"
seed = 11
[data]
name = "digits"
[network]
factory = "some.where:net"
steps = 5
dt = 0.004
args = { hidden = [3, 2], deep = { rate = 0.5 } }
[training]
epochs = 7
batch_size = 9
optimizer = "sgd"
lr = 0.3
alpha_lr = 0.2
weight_decay = 0.1
schedule = "constant"
balance_weight = 0.6
label_smoothing = 0.05
[readout]
rule = "spike_count"
scale = 2.5
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_every_shipped_recipe_loads() -> None:
    assert "digits_mlp" in recipe_names()
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name and recipe.title and recipe.network.dt > 0


def test_round_trip(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path / "a.toml", OTHER))
    assert recipe.training.schedule == "constant" and recipe.network.args["deep"] == {"rate": 0.5}
    assert load_recipe(written(tmp_path / "b.toml", recipe.to_toml())) == recipe


def test_overrides(tmp_path: Path) -> None:
    changes = ["training.epochs=3", "network.args.hidden=[4]", "network.args.new.deep = 'x'", "title=plain text"]
    before = load_recipe(written(tmp_path / "a.toml", OTHER))
    after = load_recipe(tmp_path / "a.toml", changes)
    assert after.training.epochs == 3 and after.title == "plain text"
    assert after.network.args == {"hidden": [4], "deep": {"rate": 0.5}, "new": {"deep": "x"}}
    told = differences(before.model_dump(), after.model_dump())
    assert "training.epochs: 7, not 3" in told and len(told) == 4


def test_all_problems_at_once(tmp_path: Path) -> None:
    text = (
        OTHER.replace("epochs = 7", "epochs = 0\nepoch = 3").replace("dt = 0.004", "dt = -1").replace("seed = 11", "")
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path / "a.toml", text), ["training.lrr=1", "nonsense", "training.lr.deep=3"])
    message = str(caught.value)
    for part in (
        "training.epochs: Input should be greater than or equal to 1",
        "training.epoch: no such key; did you mean training.epochs",
        "network.dt: Input should be greater than 0",
        "--set training.lrr: no such key; did you mean training.lr",
        "--set nonsense: expected section.key=value",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OTHER.replace("steps = 5", 'steps = "5"'), "network.steps: Input should be a valid integer"),
        (OTHER.replace("lr = 0.3", "lr = nan", 1), "training.lr"),
        (OTHER.replace("some.where:net", "os.system('x')"), "network.factory"),
        (OTHER.replace('name = "other"', 'name = "../x"'), "name: String should match"),
        (OTHER.replace("schema = 1", "schema = 2"), "schema: Input should be 1"),
        (OTHER.replace("[data]", "[data"), "not a TOML file"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path / "a.toml", text))


def test_unknown_names() -> None:
    with pytest.raises(RecipeError, match="unknown recipe 'digit_mlp'; did you mean digits_mlp"):
        load_recipe("digit_mlp")
    with pytest.raises(FileError, match="a recipe"):
        load_recipe("nowhere.toml")
    with pytest.raises(RecipeError, match="unknown dataset 'digit'; did you mean digits"):
        load_dataset("digit")


def test_an_override_of_a_value_is_not_code(tmp_path: Path) -> None:
    written(tmp_path / "a.toml", OTHER)
    assert load_recipe(tmp_path / "a.toml", ["title=1\nseed=3"]).seed == 11
    with pytest.raises(RecipeError, match=r"training\.lr\.x: no such key"):
        load_recipe(tmp_path / "a.toml", ["training.lr.x=3"])


def test_samples_take_the_shape_that_a_network_needs() -> None:
    flat, image = load_dataset("digits"), load_dataset("digits", [1, 8, 8])
    assert image.shape == (1, 8, 8) and image.test_input(3)[0].shape == (3, 360, 1, 8, 8)
    np.testing.assert_array_equal(image.train_x[5, 0, 2], flat.train_x[5, 16:24])
    assert load_recipe("digits_mlp", ["data.shape=[1, 8, 8]"]).data.shape == [1, 8, 8]
    assert load_recipe("digits_mlp").data.shape == []
    with pytest.raises(
        RecipeError, match=r"data\.shape: .*digits have the shape \(64,\), which does not make \(1, 8, 9\)"
    ):
        load_dataset("digits", [1, 8, 9])
    with pytest.raises(RecipeError, match=r"data\.shape"):
        load_recipe("digits_mlp", ["data.shape=[0]"])


def test_digits() -> None:
    data = load_dataset("digits")
    assert data.train_x.shape == (1437, 64) and data.test_x.shape == (360, 64) and data.shape == (64,)
    assert data.train_x.dtype == np.float32 and data.train_y.dtype == np.int64
    everything = np.concatenate([data.train_x, data.test_x])
    assert everything.min() == data.input_low == 0 and everything.max() == data.input_high == 1
    levels = everything / data.input_quantum
    assert np.array_equal(levels, np.rint(levels))
    assert np.ptp(np.bincount(data.test_y, minlength=data.classes)) <= 3
    assert data.test_x.sum(dtype=np.float64) == load_dataset("digits").test_x.sum(dtype=np.float64)
    x, y = data.test_input(3)
    assert x.shape == (3, 360, 64) and np.array_equal(x[2], data.test_x) and x.flags.writeable
    assert direct(data.test_x, 1).flags.writeable and np.array_equal(y, data.test_y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["network.factory=no.such.module:net"], "cannot import 'no.such.module:net'"),
        (["network.factory=neuro_deploy.train.nets:mpl"], "cannot import"),
        (["network.factory=mpl"], "unknown architecture 'mpl'; did you mean mlp"),
        (
            ["network.factory=vgg", "network.args={inputs = 64, classes = 10}"],
            r"vgg: inputs must be \(C, L\) or \(C, H, W\), got 64; a recipe's data.shape gives",
        ),
        (["network.args.hiden=[3]"], "network.args.hiden: .* does not take it; did you mean hidden"),
        (["network.args.neuron=cff"], "neuron 'cff' is unknown"),
        (["network.args.neuron_args.beta=2"], "beta must be within"),
        (["network.args.inputs=63"], r"does not accept digits's \(8, 1, 64\)"),
        (["network.args.classes=9"], r"gives \(8, 1, 9\), but digits needs .* \(8, 1, 10\)"),
        (["network.factory=unittest.mock:Mock", "network.args={}"], "gave a Mock, not a torch module"),
    ],
)
def test_networks_that_do_not_fit(changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(load_recipe("digits_mlp", changes), load_dataset("digits"))


def test_building_leaves_the_global_generator_alone() -> None:
    import torch

    recipe, data = load_recipe("digits_mlp"), load_dataset("digits")
    before = torch.get_rng_state()
    one, two = build(recipe, data), build(recipe, data)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_dataset_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from neuro_deploy.train import datasets

    data = load_dataset("digits")
    monkeypatch.setitem(sys.modules, "my_lab", SimpleNamespace())
    monkeypatch.setitem(
        sys.modules, "my_lab.letters", SimpleNamespace(ABOUT=about("digits"), load=lambda asked, steps: data)
    )
    monkeypatch.setattr(datasets, "DATASETS", (*datasets.DATASETS, "my_lab.letters"))
    assert load_dataset("letters") is data


def test_recipes_are_frozen() -> None:
    recipe = load_recipe("digits_mlp")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]
    assert isinstance(recipe, Recipe)
