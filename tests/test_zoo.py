"""The zoo: every trained network is the one its card tells of, and the commands take it by its name."""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.errors import FormatError, InputError
from neuro_deploy.files import write_npz
from neuro_deploy.train import recipe_names
from neuro_deploy.zoo import CARD, TARGET, ZooModel, named, zoo, zoo_model

ROOT = Path(__file__).resolve().parent.parent
TRAINED = [model.name for model in zoo() if model.trained]
MOST_BYTES, MOST_LOST = 1_000_000, 0.005


@pytest.fixture
def docs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the scripts, to be imported from."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield ROOT / "docs"
    for name in ("zoo", "zoo_pages", "tables", "probes"):
        sys.modules.pop(name, None)


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints."""
    capsys.readouterr()
    assert run(arguments) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err and "internal error" not in said.err
    return " ".join((said.err if code == 2 else said.out).split())


def test_every_architecture_is_in_it() -> None:
    kinds = {zoo_model(name).card["architecture"] for name in TRAINED}
    assert kinds == {"mlp", "recurrent_mlp", "vgg", "sew_resnet", "spiking_transformer"}
    assert sum(zoo_model(name).network.stat().st_size for name in TRAINED) < 5 * MOST_BYTES


@pytest.mark.parametrize("name", TRAINED)
def test_the_file_is_the_one_of_its_card(name: str) -> None:
    model = zoo_model(name)
    card, content = model.card, model.network.read_bytes()
    assert len(content) <= MOST_BYTES
    assert card["file"] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert isinstance(nir.read(model.network), nir.NIRGraph)
    program = nd.compile(nd.read_nir(model.network), TARGET, exact=True)
    assert (program.digest, program.proven, program.max_steps) == (card["digest"], card["proven"], card["steps"])
    assert program.report["fit"]["cores"] == card["fit"]["cores"] > 0
    assert set(card["spikes"]["populations"]) == {p.name for p in program.populations}


@pytest.mark.parametrize("name", TRAINED)
def test_a_card_tells_of_a_network_that_lost_nothing(name: str) -> None:
    card, recipe = zoo_model(name).card, zoo_model(name).recipe
    accuracy, same = card["accuracy"], card["agreement"]
    assert accuracy["sim"] == accuracy["training"] >= accuracy["float"] - MOST_LOST
    assert same["differences"] == same["lava_differences"] == 0
    assert same["samples"] == card["data"]["test"] and same["lava_samples"] >= 50
    assert same["numbers"] > 1000 * same["samples"] and same["lava_numbers"] > 1000 * same["lava_samples"]
    assert min(card["spikes"]["populations"].values()) > 0
    assert card["spikes"]["messages"] < card["spikes"]["sum"] == sum(card["spikes"]["populations"].values())
    training = recipe.on_chip(TARGET).training
    assert card["training"]["chip"] == {"epochs": training.epochs, "lr": training.lr}
    assert (card["name"], card["title"], card["steps"]) == (name, recipe.title, recipe.network.steps)


def test_pages_and_the_readme_are_made_of_the_cards(docs: Path) -> None:
    pages = importlib.import_module("zoo_pages")
    models = [zoo_model(name) for name in TRAINED]
    assert [model.name for model in models if model.page != pages.page(model.card)] == []
    assert pages.table([model.card for model in models]) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_is_not_good_enough_is_not_written(docs: Path) -> None:
    script, card = importlib.import_module("zoo"), zoo_model("digits_mlp").card
    assert script.shortfalls(card) == []

    def changed(section: str, key: str, value: Any) -> list[str]:
        other: Any = copy.deepcopy(dict(card))
        other[section][key] = value
        found: list[str] = script.shortfalls(other)
        return found

    sim = card["accuracy"]["sim"]
    assert changed("agreement", "differences", 1) == ["differences are 1"]
    assert changed("agreement", "lava_differences", 2000) == ["lava_differences are 2,000"]
    assert changed("accuracy", "float", sim + 0.004) == []
    assert "on the chip" in changed("accuracy", "float", sim + 0.006)[0]
    assert "training measured" in changed("accuracy", "training", sim - 0.01)[0]
    assert changed("file", "bytes", 1_000_001) == ["its file has 1,000,001 bytes"]


def test_the_accuracy_is_what_sim_finds() -> None:
    model = zoo_model("digits_mlp")
    x, label = model.test_input()
    program = nd.compile(nd.read_nir(model.network), TARGET)
    trace = nd.simulate(program, x, "sim")
    assert program.readout is not None
    assert (program.readout.decide(trace) == label).mean() == model.card["accuracy"]["sim"]
    sums = {p.name: trace.aligned(p.name, "spikes").sum() / len(label) for p in program.populations}
    assert sums == pytest.approx(model.card["spikes"]["populations"])


def test_models_lists_them(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    text = told(capsys, "models")
    for name in recipe_names():
        assert name in text
    for name in TRAINED:
        assert f"{zoo_model(name).card['accuracy']['sim']:.2%}" in text
    assert "not trained here" in text
    page = told(capsys, "models", "digits_mlp")
    assert zoo_model("digits_mlp").card["digest"] in page and "neuro_deploy verify digits_mlp" in page
    assert "did you mean digits_mlp" in told(capsys, "models", "digits_mpl", code=2)
    assert "not the trained network" in told(capsys, "models", "mnist_mlp", code=2)


@pytest.mark.lava
def test_verify_by_name(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    card = zoo_model("digits_mlp").card
    arguments = ("verify", "digits_mlp", "--lava-samples", "3", "--report", "r.html", "--json")
    found = json.loads(told(capsys, *arguments))
    assert found["passed"] and found["samples"] == card["data"]["test"] and found["lava_samples"] == 3
    assert found["differing"] == 0 and found["exact"]["values"] > 3000
    assert found["accuracy"]["sim"] == card["accuracy"]["sim"] and found["program"]["digest"] == card["digest"]
    assert "neuro_deploy verify digits_mlp" in Path("r.html").read_text(encoding="utf-8")


def test_names_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """compile and inspect take a name, too; a file of that name comes first; nothing is guessed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    assert zoo_model("digits_mlp").card["digest"][:8] in told(
        capsys, "compile", "digits_mlp", "--exact", "--out", "p.program.h5"
    )
    assert nd.load_program("p.program.h5").digest == zoo_model("digits_mlp").card["digest"]
    assert "cf3" in told(capsys, "inspect", "digits_mlp", "--no-targets")
    assert "did you mean digits_mlp" in told(capsys, "compile", "digits_mpl", "--out", "x.h5", code=2)
    assert "not the trained network" in told(capsys, "verify", "mnist_mlp", code=2)
    assert "absent.nir: cannot be read" in told(capsys, "compile", "absent.nir", "--out", "x.h5", code=2)
    nd.write_nir(networks.chain(), "digits_mlp")
    write_npz("x.npz", input=networks.pixels(6, 8, 12))
    assert "--input" in told(capsys, "verify", "digits_mlp", code=2)
    found = json.loads(told(capsys, "verify", "digits_mlp", "--input", "x.npz", "--lava-samples", "0", "--json"))
    assert found["samples"] == 8
    assert named("digits_mlp") is None and named(Path("folder/digits_mlp")) is None
    with pytest.raises(InputError, match="neither a file nor a model of the zoo"):
        named("nothing")


def test_damaged_cards_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text((ROOT / "models" / "digits_mlp" / "recipe.toml").read_text())
    for module in ("zoo", "train.recipe"):
        monkeypatch.setattr(f"neuro_deploy.{module}.resource_dir", lambda name: tmp_path / name)
    assert zoo() == (ZooModel("mine", folder, {}),) and not zoo()[0].trained
    for text in ("{", "[]", '{"schema": 2}', "\udcff"):
        (folder / CARD).write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(FormatError, match="not a card of the zoo"):
            zoo()
    (folder / CARD).write_text('{"schema": 1}')
    assert zoo()[0].trained and np.array_equal([*zoo()[0].card], ["schema"])
