"""Several processes, gradient accumulation, mixed precision: the same gradients as one process with the whole batch."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from neuro_deploy.chip import train_on_chip
from neuro_deploy.errors import RecipeError, TrainingError
from neuro_deploy.train import Result, train
from neuro_deploy.train.helpers import open_processes
from neuro_deploy.train.processes import Processes
from neuro_deploy.train.recipe import load_recipe
from neuro_deploy.train.runs import load_run

TINY = (
    "network.args.hidden=[11, 9]",
    "network.steps=4",
    "training.schedule=constant",
    "training.label_smoothing=0.05",
    "training.balance_weight=0.1",
)
ONE_STEP = ("training.optimizer=adam", "training.batch_size=1437", "training.epochs=1")
"""The whole training set, which two processes cannot halve."""
STEPS = (
    "network.args.batch_norm=false",
    "training.optimizer=sgd",
    "training.lr=0.1",
    "training.balance_weight=1.0",
    "training.batch_size=359",
    "training.epochs=2",
)
"""Of the five batches of an epoch the last has one sample: fewer than there are processes."""
SUMS = ("training.batch_size=180", "training.accumulate=2")
PLAIN = ("network.args.batch_norm=false", "training.balance_weight=0.0")
NORMED, CLOSE = 5e-5, 5e-6
"""What another order of float32 sums may change, of the largest number of a model: with batch norm, and without."""


def tiny(out: Path, *more: str, **options: Any) -> Result:
    return train("digits_mlp", out, device="cpu", overrides=[*TINY, *more], **options)


def gradients(run: Path) -> dict[str, Tensor]:
    """Of the first step, by parameter: Adam keeps a tenth of them."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    groups = [index for group in state["optimizer"]["param_groups"] for index in group["params"]]
    model = load_run(run).model
    matrices = [n for n, p in model.named_parameters() if p.ndim > 1]
    alphas = [n for n, p in model.named_parameters() if n.endswith("raw_alpha")]
    rest = [n for n, p in model.named_parameters() if n not in (*matrices, *alphas)]
    names = [*matrices, *rest, *alphas]
    found = {n: 10 * state["optimizer"]["state"][i]["exp_avg"].double() for n, i in zip(names, groups, strict=True)}
    assert all(value.shape == model.get_parameter(name).shape for name, value in found.items())
    return found


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference, in units of the largest number."""
    assert one.keys() == other.keys()
    largest = max(float(value.abs().max()) for value in one.values())
    return max(float((one[name] - other[name]).abs().max()) for name in one) / largest


def weights(run: Path) -> dict[str, Tensor]:
    state = torch.load(run / "weights.pt", weights_only=True)
    return {name: value.double() for name, value in state.items() if not name.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process: "first", "steps", "sums", "chip".  Three: "steps3", "sums3", "chip3", and "resumed3" from what was
    there after 7 of 10 batches of "steps3".  Two of torchrun: "first2".
    """
    out = tmp_path_factory.mktemp("runs")
    tiny(out / "first", *ONE_STEP)
    tiny(out / "steps", *STEPS)
    tiny(out / "sums", *STEPS, *SUMS)
    on_chip = load_recipe("digits_mlp", [*TINY, *ONE_STEP, "chip.epochs=1", "chip.schedule=constant"])
    train_on_chip(on_chip, "loihi2", out / "chip", out / "first", False, device="cpu")

    def keep(done: int, total: int) -> None:
        if done == 7:
            shutil.copytree(out / "steps3", out / "resumed3")

    with open_processes("cpu", 3) as three:
        tiny(out / "steps3", *STEPS, processes=three, progress=keep, checkpoint_seconds=0)
        checkpoint = torch.load(out / "resumed3" / "checkpoint.pt", weights_only=True)
        assert (checkpoint["epoch"], checkpoint["step"], checkpoint["processes"]) == (1, 2, 3)
        tiny(out / "resumed3", *STEPS, processes=three, resume=True)
        tiny(out / "sums3", *STEPS, *SUMS, processes=three)
        train_on_chip(on_chip, "loihi2", out / "chip3", out / "first", False, processes=three)
    assert not torch.distributed.is_initialized()
    changes = [word for change in (*TINY, *ONE_STEP) for word in ("--set", change)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "neuro_deploy", "train"]
    told = subprocess.run(
        [*torchrun, "digits_mlp", "--device", "cpu", "--out", str(out / "first2"), *changes],
        check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert told.stdout.count("trained digits_mlp") == 1 and "Traceback" not in told.stderr
    return out


def test_two_processes_have_the_gradients_of_one(runs: Path) -> None:
    """Through batch norm, of the balance loss and of alpha, too."""
    found, wanted = gradients(runs / "first2"), gradients(runs / "first")
    assert apart(found, wanted) < NORMED
    alphas = [name for name in wanted if name.endswith("raw_alpha")]
    assert len(alphas) == 3
    for name in alphas:
        assert apart({name: found[name]}, {name: wanted[name]}) < NORMED and wanted[name].abs().min() > 1e-4
    mine, theirs = weights(runs / "first2"), weights(runs / "first")
    for name, value in theirs.items():
        if "running" in name:
            torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=1e-6)
    told, one = (load_run(runs / name).metrics for name in ("first2", "first"))
    assert told["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert told["train_accuracy"] == one["train_accuracy"]


@pytest.mark.parametrize("name", ["steps", "sums"])
def test_three_processes_make_the_weights_of_one(runs: Path, name: str) -> None:
    """After two epochs, whose last batch has one sample; the other one adds up gradients of two batches."""
    assert apart(weights(runs / f"{name}3"), weights(runs / name)) < CLOSE
    told, one = (load_run(runs / which).metrics for which in (f"{name}3", name))
    assert told["loss"] == pytest.approx(one["loss"], rel=1e-5)
    for key in ("train_accuracy", "test_accuracy", "rates"):
        assert told[key] == one[key], key


def test_three_processes_have_the_gradients_of_one_in_the_chips_arithmetic(runs: Path) -> None:
    assert apart(gradients(runs / "chip3"), gradients(runs / "chip")) < CLOSE
    assert load_run(runs / "chip3").metrics["clips"] == load_run(runs / "chip").metrics["clips"]
    assert json.loads((runs / "chip3" / "run.json").read_text())["processes"] == 3


def test_three_processes_resume_bit_for_bit(runs: Path) -> None:
    """Sums of three depend on the order, and that on how gradients are sorted into buckets."""
    assert (runs / "resumed3" / "weights.pt").read_bytes() == (runs / "steps3" / "weights.pt").read_bytes()
    mine, theirs = (load_run(runs / name).metrics for name in ("resumed3", "steps3"))
    assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


@pytest.mark.parametrize("seen", ["batch norm", "balance", "samples"])
def test_the_comparison_sees_a_difference(runs: Path, tmp_path: Path, seen: str) -> None:
    """Of parts of a batch that have their own batch norm, or balance loss; and of a part of the samples."""
    thirds = ("training.batch_size=120", *(() if seen == "samples" else ("training.accumulate=3",)))
    if seen == "batch norm":
        tiny(tmp_path / "parts", *ONE_STEP, "training.batch_size=719", "training.accumulate=2")
        assert apart(gradients(tmp_path / "parts"), gradients(runs / "first")) > NORMED
    else:
        tiny(tmp_path / "parts", *STEPS, *thirds)
        tiny(tmp_path / "whole", *STEPS, "training.batch_size=360")
        assert apart(weights(tmp_path / "parts"), weights(tmp_path / "whole")) > 10 * CLOSE


FAILING = """
import os, signal
import torch
from neuro_deploy.train.nets import mlp

def net(steps, how):
    model = mlp(64, [5], 10, steps)

    def fail(module, args):
        if not (torch.distributed.is_initialized() and torch.distributed.get_rank() == 1):
            return
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "error":
            raise RuntimeError("the GPU is on fire")
        with torch.no_grad():
            next(module.parameters()).add_(0.001)

    model.register_forward_pre_hook(fail)
    return model
"""
FAILURES = {
    "killed": "process 1: killed by signal 9",
    "error": "process 1: .*the GPU is on fire",
    "drift": "process 1: other weights than process 0",
}


@pytest.mark.parametrize("how", [pytest.param(h, marks=[] if h == "error" else pytest.mark.long) for h in FAILURES])
def test_another_process_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    (tmp_path / "failing_net.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = load_recipe("digits_mlp", ["network.factory=failing_net:net", "training.epochs=1"])
    recipe = recipe.model_copy(update={"network": recipe.network.model_copy(update={"args": {"how": how}})})
    with pytest.raises(TrainingError, match=FAILURES[how]):
        train(recipe, tmp_path / "run", device="cpu", devices=2)
    assert not torch.distributed.is_initialized()


def test_accumulated_gradients_are_those_of_a_larger_batch(tmp_path: Path) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    tiny(once, *ONE_STEP, *PLAIN)
    tiny(twice, *ONE_STEP, *PLAIN, "training.batch_size=719", "training.accumulate=2")
    assert apart(gradients(once), gradients(twice)) < CLOSE
    ticks: list[tuple[int, int]] = []
    tiny(tmp_path / "a", *STEPS, *PLAIN, "training.batch_size=200", "training.schedule=one_cycle")
    tiny(
        tmp_path / "b", *STEPS, *PLAIN, "training.batch_size=100", "training.accumulate=2",
        "training.schedule=one_cycle", progress=lambda done, total: ticks.append((done, total)),
    )  # fmt: skip
    mine, theirs = weights(tmp_path / "b"), weights(tmp_path / "a")
    assert apart(mine, theirs) < CLOSE and apart(mine, weights(once)) > 1e-3
    assert ticks[7:9] == [(15, 30), (17, 30)] and ticks[-1] == (30, 30)


def test_half_precision_is_as_good(tmp_path: Path) -> None:
    learn = ("network.args.hidden=[64]", "training.epochs=12", "training.batch_size=64", "training.schedule=one_cycle")
    found = {}
    for name in ("32-true", "bf16-mixed", "16-mixed"):
        found[name] = tiny(tmp_path / name, *learn, f"training.precision={name}")
        assert all(math.isfinite(metrics["loss"]) for metrics in found[name].history)
        assert all(value.dtype == torch.float32 for value in load_run(tmp_path / name).model.parameters())
        assert found[name].test_accuracy > 0.95
        assert abs(found[name].test_accuracy - found["32-true"].test_accuracy) <= 0.01
    assert len({result.history[-1]["loss"] for result in found.values()}) == 3


def test_a_resumed_run_keeps_its_loss_scale(tmp_path: Path) -> None:
    """The scale begins at 2^16, where the first gradients of this loss overflow: each halves it, and makes no step."""
    changes = ("training.precision=16-mixed", "training.epochs=2", "training.batch_size=128", "readout.scale=1000.0")

    def interrupt(done: int, total: int) -> None:
        if done == 11:
            raise KeyboardInterrupt

    whole, out = tmp_path / "whole", tmp_path / "run"
    tiny(whole, *changes)
    with pytest.raises(TrainingError, match="interrupted"):
        tiny(out, *changes, checkpoint_seconds=0, progress=interrupt)
    scaler = torch.load(out / "checkpoint.pt", weights_only=True)["scaler"]
    assert scaler["scale"] < 2.0**16 and scaler["_growth_tracker"] > 0
    tiny(out, *changes, resume=True)
    assert (out / "weights.pt").read_bytes() == (whole / "weights.pt").read_bytes()


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--devices 0: at least one is needed"):
        tiny(tmp_path / "run", devices=0)
    with pytest.raises(RecipeError, match=r"training\.precision"):
        tiny(tmp_path / "run", "training.precision=int8")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_parts_of_a_batch() -> None:
    batch = torch.arange(11)
    found = [Processes("cpu", rank, 3).part(batch) for rank in range(3)]
    assert [part.tolist() for part, _ in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert all(own for _, own in found)
    few, own = Processes("cpu", 1, 3).part(batch[:2])
    assert few.tolist() == [0, 1] and not own
    assert Processes("cpu").part(batch)[1] is False
