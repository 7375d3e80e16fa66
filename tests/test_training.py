"""The training loop: reproducible, resumable after a kill, careful with files, clear about what went wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from neuro_deploy.errors import InputError, TrainingError
from neuro_deploy.neurons.observing import observe
from neuro_deploy.train import Result, load_run, seen, train
from neuro_deploy.train.losses import decide
from neuro_deploy.train.processes import accelerator
from neuro_deploy.train.session import schedule

TINY = (
    "network.args.hidden=[12, 9]",
    "network.steps=3",
    "training.epochs=3",
    "training.batch_size=128",
    "training.balance_weight=0.1",
    "training.label_smoothing=0.05",
)


def tiny(out: Path, *more: str, **options: Any) -> Result:
    return train("digits_mlp", out, device="cpu", overrides=[*TINY, *more], **options)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(run / "weights.pt", weights_only=True))


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    tiny(out)
    return out


def test_a_run_learns_and_leaves_its_files(tmp_path: Path) -> None:
    ticks, epochs = [], []
    result = tiny(
        tmp_path / "run",
        "training.epochs=8",
        progress=lambda done, total: ticks.append((done, total)),
        on_epoch=epochs.append,
    )
    out = tmp_path / "run"
    assert ticks == [(i, 96) for i in range(1, 97)]
    assert list(result.history) == epochs and result.test_accuracy == epochs[-1]["test_accuracy"]
    assert epochs[-1]["loss"] < epochs[0]["loss"] and epochs[-1]["test_accuracy"] > 0.8
    assert [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()] == epochs
    assert epochs[0]["rates"].keys() == epochs[0]["alpha"].keys() == {"cf1", "cf2", "cf3"}
    assert len(epochs[0]["alpha"]["cf1"]) == 3 and epochs[0]["alpha"] != epochs[-1]["alpha"]
    curves = EventAccumulator(str(out / "tensorboard"), size_guidance={"histograms": 0}).Reload()
    assert [event.step for event in curves.Scalars("gradient/fc1.weight")] == list(range(1, 9))
    assert curves.Scalars("balance/cf2")[7].value == pytest.approx(epochs[7]["potentials"]["cf2"]["balance"])
    assert curves.Histograms("h/cf1")[7].histogram_value.bucket == epochs[7]["potentials"]["cf1"]["counts"]
    summary = json.loads((out / "run.json").read_text())
    assert summary["finished"] and summary["metrics"] == epochs[-1] and "torch" in summary["versions"]


def test_what_a_run_shows_is_what_its_network_does(finished: Path) -> None:
    run = load_run(finished)
    x, _ = run.data.test_input(run.recipe.network.steps)
    with torch.no_grad(), observe(run.model) as states:
        run.model(torch.from_numpy(x[:, : seen.SAMPLES]))
    for name, found in run.metrics["potentials"].items():
        h = states[name].h.double().numpy()
        theta = dict(run.model.named_modules())[name].theta.item()
        assert (found["low"], found["high"]) == pytest.approx((-2 * theta, 4 * theta))
        counts, _ = np.histogram(h.clip(found["low"], found["high"]), seen.BINS, (found["low"], found["high"]))
        assert abs(counts - np.array(found["counts"])).sum() <= 4  # h on the border of a bin, in float32
        assert found["balance"] == pytest.approx(h.sum() / abs(h).sum()) and found["balance"] != 0
    assert run.metrics["gradients"].keys() == {n for n, p in run.model.named_parameters() if p.requires_grad}
    assert all(norm > 0 for norm in run.metrics["gradients"].values())


def test_load_run_gives_what_was_measured(finished: Path) -> None:
    run = load_run(finished)
    x, label = run.data.test_input(run.recipe.network.steps)
    with torch.no_grad():
        accuracy = (decide(run.model(torch.from_numpy(x))).numpy() == label).mean()
    assert accuracy == run.metrics["test_accuracy"]
    assert not run.model.training and run.recipe.network.args["hidden"] == [12, 9]


def test_a_seed_gives_the_same_weights_again(finished: Path, tmp_path: Path) -> None:
    torch.manual_seed(12345)
    before = torch.get_rng_state()
    tiny(tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), before)
    assert same(finished, tmp_path / "again")
    assert (finished / "weights.pt").read_bytes() == (tmp_path / "again" / "weights.pt").read_bytes()
    tiny(tmp_path / "other", "seed=1")
    assert not same(finished, tmp_path / "other")


@pytest.mark.parametrize("batch", [1, 12, 13, 30, 36], ids=lambda b: f"batch {b}")
def test_interrupted_then_resumed_equals_undisturbed(finished: Path, tmp_path: Path, batch: int) -> None:
    """12 batches an epoch: within the first, at the end of one, at the start of one, in the third, at the very end."""

    def interrupt(done: int, total: int) -> None:
        if done == batch:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=f"interrupted after epoch {(batch - 1) // 12} of 3; .*--resume"):
        tiny(out, progress=interrupt)
    with pytest.raises(TrainingError, match=r"not finished; go on with: neuro_deploy train .* --resume"):
        load_run(out)
    result = tiny(out, resume=True)
    assert same(finished, out)
    assert [m["epoch"] for m in result.history] == [1, 2, 3]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    mine, theirs = lines[-1], json.loads((finished / "metrics.jsonl").read_text().splitlines()[-1])
    assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


def test_killed_then_resumed_equals_undisturbed(finished: Path, tmp_path: Path) -> None:
    """kill -9 after the first epoch's checkpoint, within the second epoch, in a process of its own."""
    out = tmp_path / "run"
    script = f"""
import os, signal
from neuro_deploy.train import train

def kill(done, total):
    if done == 17:
        os.kill(os.getpid(), signal.SIGKILL)

train("digits_mlp", {str(out)!r}, device="cpu", overrides={list(TINY)!r}, progress=kill)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    assert (out / "metrics.jsonl").read_text().count("\n") == 1
    (out / ".checkpoint.pt.abc.tmp").write_bytes(b"half of it")
    tiny(out, resume=True)
    assert same(finished, out)
    assert not (out / ".checkpoint.pt.abc.tmp").exists()


def test_a_finished_run_can_be_resumed(finished: Path) -> None:
    before = (finished / "weights.pt").read_bytes()
    assert len(tiny(finished, resume=True).history) == 3
    assert (finished / "weights.pt").read_bytes() == before


def test_nothing_is_overwritten(finished: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=r"is not empty; choose another --out, or .* --resume"):
        tiny(finished)
    with pytest.raises(TrainingError) as caught:
        tiny(finished, "training.lr=0.5", "network.args.hidden=[12, 8]", resume=True)
    assert "training.lr: 0.02, not 0.5" in str(caught.value)
    assert "network.args.hidden: [12, 9], not [12, 8]" in str(caught.value)
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="is not empty"):
        tiny(tmp_path)
    with pytest.raises(TrainingError, match=r"no checkpoint\.pt to resume from"):
        tiny(tmp_path, resume=True)
    with pytest.raises(TrainingError, match="cannot be a run directory"):
        tiny(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_other_data_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run says which data it saw: resumed with other data it is refused, loaded it is warned of."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(TrainingError, match="interrupted"):
        tiny(out, progress=stop)
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    torch.save({**state, "data": "0123456789abcdef"}, out / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"other data .digest 0123456789abcdef"):
        tiny(out, resume=True)
    torch.save(state, out / "checkpoint.pt")
    tiny(out, resume=True)
    summary = json.loads((out / "run.json").read_text())
    assert summary["data"] == {"name": "digits", "digest": state["data"]} and load_run(out).data.digest == state["data"]
    assert not caplog.records
    summary["data"]["digest"] = "0123456789abcdef"
    (out / "run.json").write_text(json.dumps(summary))
    load_run(out)
    assert "was trained on other data (0123456789abcdef)" in caplog.text


def test_damaged_runs_are_explained(finished: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        out = tmp_path / name
        out.mkdir()
        for path in finished.iterdir():
            if path.is_file():
                (out / path.name).write_bytes(path.read_bytes())
        return out

    with pytest.raises(TrainingError, match="is not a run directory"):
        load_run(tmp_path / "nowhere")
    run = copy("truncated")
    (run / "weights.pt").write_bytes((run / "weights.pt").read_bytes()[:1000])
    (run / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"weights\.pt: cannot be read, or is damaged"):
        load_run(run)
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: cannot be read, or is damaged"):
        tiny(run, resume=True)
    run = copy("nan")
    state = weights(run)
    state["fc2.bias"][1] = float("nan")
    torch.save(state, run / "weights.pt")
    with pytest.raises(TrainingError, match=r"NaN or infinity in fc2\.bias"):
        load_run(run)
    torch.save({"fc1.weight": state["fc1.weight"]}, run / "weights.pt")
    with pytest.raises(TrainingError, match="do not fit the recipe's network"):
        load_run(run)
    run = copy("json")
    (run / "run.json").write_text("{")
    with pytest.raises(TrainingError, match=r"run\.json: is damaged"):
        load_run(run)
    run = copy("recipe")
    (run / "recipe.toml").write_text("schema = 1")
    with pytest.raises(TrainingError, match="recipe cannot be used"):
        load_run(run)


class Dangerous:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("was_run",)


def test_no_code_is_run_from_a_weights_file(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in finished.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({"x": Dangerous()}, tmp_path / "weights.pt")
    with pytest.raises(TrainingError, match="damaged"):
        load_run(tmp_path)
    assert not (tmp_path / "was_run").exists()


def test_divergence_is_an_error_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1: NaN or infinity in .*smaller training\.lr"):
        tiny(tmp_path / "run", "training.optimizer=sgd", "training.lr=1e38", "training.schedule=constant")
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert checkpoint["epoch"] == 0 and all(torch.isfinite(v).all() for v in checkpoint["model"].values())


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert accelerator("cpu") == "cpu"
    with pytest.raises(TrainingError, match="unknown device 'tpu'; use auto, cpu or cuda"):
        accelerator("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerator("auto") == "cpu"
    with pytest.raises(TrainingError, match="no CUDA GPU can be used here"):
        accelerator("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_learns_as_well(tmp_path: Path) -> None:
    result = train("digits_mlp", tmp_path / "run", device="cuda", overrides=[*TINY, "training.epochs=8"])
    assert result.test_accuracy > 0.8 and load_run(tmp_path / "run").metrics == result.history[-1]


def test_schedules() -> None:
    share = np.linspace(0, 0.999, 200)
    cycle = np.array([schedule("one_cycle", s) for s in share])
    assert cycle[0] == pytest.approx(0.04) and cycle.max() == pytest.approx(1, abs=1e-3) and cycle[-1] < 1e-4
    assert abs(share[cycle.argmax()] - 0.3) < 0.01
    cosine = np.array([schedule("cosine", s) for s in share])
    assert cosine[0] == 1 and (np.diff(cosine) < 0).all() and cosine[-1] < 1e-4
    assert schedule("constant", 0.7) == 1


@pytest.mark.parametrize(
    "changes", [["network.args.neuron=lif", "network.args.neuron_args={}"], ["network.args.batch_norm=false"]]
)
def test_other_networks_learn(tmp_path: Path, changes: list[str]) -> None:
    result = tiny(
        tmp_path / "run", *changes, "training.epochs=6", "training.optimizer=adam", "training.schedule=cosine"
    )
    assert result.test_accuracy > 0.5


def test_a_wrong_alpha_is_an_input_error_only_in_training(finished: Path) -> None:
    model = load_run(finished).model
    x = torch.rand(5, 2, 64)
    with observe(model) as states:
        model(x)
    assert states["cf3"].spikes.shape == (5, 2, 10)
    with pytest.raises(InputError, match="T = 3"):
        model.train()(x)
