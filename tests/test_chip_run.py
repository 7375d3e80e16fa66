"""`train --chip`: runs in a chip's arithmetic, from the float run to Lava, on the digits at a small size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chip_networks import VARIABLES, differences
from torch import nn

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.cli import run as command
from neuro_deploy.errors import RecipeError, TargetError, TrainingError, UnsupportedError
from neuro_deploy.road import Trained, export_run, train_run
from neuro_deploy.train import load_run
from neuro_deploy.train.chip import Chip

SMALL = ("network.args.hidden=[32, 16]", "network.steps=4", "chip.epochs=3", "seed=2")
FLOAT = "training.epochs=12"
BATCHES = 69
"""Of the three epochs in the chip's arithmetic."""


def small(out: Path, *more: str, **options: Any) -> Trained:
    return train_run("digits_mlp", out, device="cpu", overrides=[*SMALL, *more], **options)


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("float") / "run"
    small(out, FLOAT)
    return out


@pytest.fixture(scope="module")
def trained(floats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chip") / "run"
    small(out, chip="loihi2", source=floats)
    return out


def chip_in(run: Path) -> Chip:
    model = load_run(run).model
    assert isinstance(model, Chip)
    return model


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_training_sim_and_lava_agree_over_the_test_set(trained: Path, tmp_path: Path) -> None:
    chip, (x, label) = chip_in(trained), nd_input(trained)
    graph = export_run(trained, tmp_path / "chip.nir").graph
    program = nd.compile(nd.read_nir(tmp_path / "chip.nir"), "loihi2", exact=True)
    assert program == chip.program() and nd.compile(graph) == program
    sim = simulate(program, x, "sim", VARIABLES)
    found = differences(chip, x, sim)
    assert len(found) == 9 and not any(found.values())
    for name in chip.firing():
        assert set(np.unique(sim.populations[name].data["spikes"])) == {0, 1, 2, 3}
    assert program.readout is not None
    assert (program.readout.decide(sim) == label).mean() == metrics(trained)[-1]["test_accuracy"]


@pytest.mark.lava
def test_lava_agrees_on_a_part_of_the_test_set(trained: Path) -> None:
    chip, (x, _) = chip_in(trained), nd_input(trained)
    found = differences(chip, x, simulate(chip.program(), x, "lava", VARIABLES, 12))
    assert len(found) == 9 and not any(found.values())


def nd_input(run: Path) -> tuple[Any, Any]:
    with np.load(run / "test.npz") as file:
        return file["input"], file["label"]


def test_it_is_about_as_good_as_the_float_network(floats: Path, trained: Path) -> None:
    before, after = metrics(floats)[-1], metrics(trained)
    assert after[-1]["test_accuracy"] >= before["test_accuracy"] - 0.005  # one of the 360 samples; over 5 seeds so
    assert after[-1]["loss"] < after[0]["loss"] and len(after) == 3
    assert after[-1]["clips"] == after[-1]["wraps"] == 0 and after[-1]["rates"].keys() == {"cf1", "cf2", "cf3"}
    assert after[0]["alpha"] != after[-1]["alpha"]
    for name, seen in after[-1]["potentials"].items():
        assert sum(n > 0 for n in seen["counts"]) > 10, name


@pytest.mark.parametrize("batch", [5, BATCHES // 3, BATCHES - 1], ids=lambda b: f"batch {b}")
def test_interrupted_then_resumed_equals_undisturbed(floats: Path, trained: Path, tmp_path: Path, batch: int) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == BATCHES
        if done == batch:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(TrainingError, match="interrupted"):
        small(out, chip="loihi2", source=floats, progress=interrupt)
    train_run("", out, device="cpu", resume=True)
    assert chip_in(out).program() == chip_in(trained).program()
    mine, theirs = metrics(out)[-1], metrics(trained)[-1]
    assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


def test_without_a_float_run_one_is_trained_first(trained: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(TrainingError, match="interrupted"):
        small(out, FLOAT, chip="loihi2", progress=interrupt)
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        small(tmp_path, chip="loihi2", resume=True)
    small(out, FLOAT, chip="loihi2", resume=True)
    assert chip_in(out).program() == chip_in(trained).program()
    assert not load_run(out / "float").recipe.chip.target
    with pytest.raises(TrainingError, match="is not empty"):
        small(out, chip="loihi2")


def test_mistakes_are_explained(floats: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"run of another recipe than 'digits_mlp':\n  network.steps: 4, not 5"):
        small(out, "network.steps=5", chip="loihi2", source=floats)
    with pytest.raises(TrainingError, match="is a run in a chip's arithmetic itself"):
        small(out, chip="loihi2", source=trained)
    with pytest.raises(TargetError, match="loihi9"):
        small(out, chip="loihi9", source=floats)
    with pytest.raises(UnsupportedError, match=r"circulations exceed 1 spike\(s\) a step on loihi1"):
        small(out, chip="loihi1", source=floats)
    with pytest.raises(RecipeError, match="--from needs --chip"):
        small(out, source=floats)
    with pytest.raises(TrainingError, match="is not a run directory"):
        small(out, chip="loihi2", source=tmp_path / "nowhere")
    with pytest.raises(RecipeError, match=r"of the training on the chip; set chip\.lr"):
        small(out, "training.lr=0.1", chip="loihi2", source=floats)
    with pytest.raises(RecipeError, match=r"training\.precision: a chip's arithmetic is exact"):
        small(out, 'training.precision="bf16-mixed"', chip="loihi2", source=floats)
    assert not (out / "checkpoint.pt").exists()


def test_loihi_1_trains_lif_networks_on_binary_input(tmp_path: Path) -> None:
    """A target without graded spikes: everything must stay proven, and stays so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Linear(10, 12), nn.Linear(12, 3)
    first, second = nd.nn.LIF(0.8, 0.5, reset="hard"), nd.nn.LIF(0.8, 0.4, reset="hard")
    model = nn.Sequential(layers[0], first, layers[1], second)
    graph = nd.export_nir(
        model.eval(), dt=0.001, input_shape=(10,), steps=5, input_low=0.0, input_high=1.0, input_quantum=1.0
    )
    chip = nd.to_chip(graph, model, "loihi1")
    with torch.no_grad():
        for weight in chip.weights.values():
            weight.mul_(50.0)
    x = np.random.default_rng(0).integers(0, 2, (5, 20, 10)).astype(np.float32)
    program = nd.compile(nd.export_nir(chip, sample=x), "loihi1", exact=True)
    assert program.proven and program == chip.program()
    assert not any(differences(chip, x, simulate(program, x, "sim", VARIABLES)).values())


def test_the_command_line(floats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, nir = tmp_path / "run", tmp_path / "chip.nir"
    changes = [word for change in SMALL for word in ("--set", change)]
    given = ["--chip", "loihi2", "--from", str(floats), "--out", str(out), "--device", "cpu"]
    assert command(["train", "digits_mlp", *given, *changes]) == 0
    assert "scaled back" in capsys.readouterr().out
    assert command(["export", str(out), "--nir", str(nir)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "compiled, it is the trained program" in said and "training and sim agree in each of" in said
    program = tmp_path / "chip.program.h5"
    assert command(["compile", str(nir), "--exact", "--out", str(program)]) == 0
    assert nd.load_program(program) == chip_in(out).program()
    assert command(["train", "--help"]) == 0
    assert "--chip loihi2 --from runs/digits" in " ".join(capsys.readouterr().out.split())
