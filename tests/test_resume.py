"""Runs that are killed at any moment and resumed: the same weights and metrics, bit for bit, as undisturbed ones."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import torch
from fused_cases import CASES, draw
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from neuro_deploy.errors import TrainingError
from neuro_deploy.neurons import fused
from neuro_deploy.neurons.fused import cpu
from neuro_deploy.train import load_recipe, train

TESTS = Path(__file__).parent
SMALL = (
    "network.args.hidden=[11, 9]",
    "network.steps=4",
    "training.epochs=3",
    "training.batch_size=32",
    "training.balance_weight=0.1",
    "chip.epochs=2",
)
KINDS = pytest.mark.parametrize("kind", ["float", "chip"])


class Killed(NamedTuple):
    """Runs, whole and killed, and what tests/kills.py tells of the latter."""

    folder: Path
    told: dict[str, list[Any]]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Killed ones have checkpoints after every step, so that most moments lie within one; the others after epochs."""
    folder, draw = tmp_path_factory.mktemp("kills"), random.Random(2)
    jobs = []
    for kind, chip in (("float", ""), ("chip", "loihi2")):
        common = {"overrides": SMALL, "chip": chip}
        moments = [["fsync", 1], ["fsync", 40], ["fsync", 7], *sorted(draw.uniform(0.05, 0.6) for _ in range(4))]
        jobs.append({**common, "out": str(folder / f"{kind}-whole"), "moments": [], "seconds": 60.0})
        jobs.append({**common, "out": str(folder / f"{kind}-killed"), "moments": moments, "seconds": 0.0})
    script = [sys.executable, str(TESTS / "kills.py"), json.dumps(jobs)]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return Killed(folder, {Path(job["out"]).name: found for job, found in zip(jobs, told, strict=True)})


def lines(run: Path) -> list[dict[str, Any]]:
    return [{**json.loads(line), "seconds": 0} for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same(one: Path, other: Path) -> None:
    assert (one / "weights.pt").read_bytes() == (other / "weights.pt").read_bytes()
    assert lines(one) == lines(other)
    for name in ("test.npz", "recipe.toml"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    mine, theirs = (json.loads((run / "run.json").read_text()) for run in (one, other))
    assert {**mine["metrics"], "seconds": 0} == {**theirs["metrics"], "seconds": 0} and mine["finished"]


@KINDS
def test_killed_at_random_and_within_a_checkpoint(killed: Killed, kind: str) -> None:
    told = killed.told[f"{kind}-killed"]
    assert sum(was for was, _ in told[:-1]) >= 4 and not told[-1][0]  # a slow run may end before the last moments
    left = [name for was, names in told for name in names]
    assert any(name.startswith(".checkpoint.pt.") for name in left) and not told[-1][1]
    assert_same(killed.folder / f"{kind}-killed", killed.folder / f"{kind}-whole")


def test_the_curves_of_a_killed_run_are_whole(killed: Killed) -> None:
    """TensorBoard's writer keeps what it gets in memory for minutes; a kill loses it."""
    found = EventAccumulator(str(killed.folder / "float-killed" / "tensorboard")).Reload()
    steps = {name: [event.step for event in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert {"loss", "lr", "rate/cf1", "alpha/cf3/2"} <= steps.keys()
    assert all(epochs == [1, 2, 3] for epochs in steps.values()), steps


def test_what_the_process_did_before_changes_nothing(killed: Killed, tmp_path: Path) -> None:
    """Kernels of the fused neuron are taken where they are loaded; their sums of gradients differ in the last bits."""
    case = CASES["cf, current, theta_reset, drift"]  # other options than the run's
    small = draw(case, (4, 3, 11), 1, per_neuron=False)
    cpu.forward(draw(case, (4, 100, 100), 1, per_neuron=False), case.form, False)
    assert fused.choose(small, case.form) == "cpu"
    chosen: list[str] = []
    train(
        "digits_mlp", tmp_path / "run", device="cpu", overrides=SMALL,
        progress=lambda done, total: chosen.append(fused.choose(small, case.form)),
    )  # fmt: skip
    assert chosen == ["plain"] * 135 and fused.choose(small, case.form) == "cpu"
    assert lines(tmp_path / "run") == lines(killed.folder / "float-whole")
    ours, theirs = (run / "weights.pt" for run in (tmp_path / "run", killed.folder / "float-whole"))
    assert ours.read_bytes() == theirs.read_bytes()


NOISY = """
from torch import nn
from neuro_deploy.train.nets import mlp

def net(steps):
    return nn.Sequential(nn.Dropout(0.2), mlp(64, [9], 10, steps))
"""


def test_random_numbers_of_a_step_do_not_depend_on_where_a_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noisy_net.py").write_text(NOISY)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = load_recipe("digits_mlp", ["network.factory=noisy_net:net", *SMALL[1:4]])
    recipe = recipe.model_copy(update={"network": recipe.network.model_copy(update={"args": {}})})

    def interrupt(done: int, total: int) -> None:
        if done == 60:
            raise KeyboardInterrupt

    with pytest.raises(TrainingError, match="interrupted after epoch 1 of 3"):
        train(recipe, tmp_path / "run", device="cpu", checkpoint_seconds=0, progress=interrupt)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 15
    torch.rand(100)
    train(recipe, tmp_path / "run", device="cpu", resume=True)
    train(recipe, tmp_path / "whole", device="cpu")
    for name in ("weights.pt", "recipe.toml"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    other = recipe.model_copy(update={"seed": 1})
    train(other, tmp_path / "other", device="cpu")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole") != lines(tmp_path / "other")


def test_ctrl_c_loses_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The signal itself, in the middle of an epoch: the checkpoint is of that step."""

    def interrupt(done: int, total: int) -> None:
        if done == 20:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match="interrupted after epoch 0 of 2"):
        train("digits_mlp", out, device="cpu", overrides=[*SMALL, "training.epochs=2"], progress=interrupt)
    checkpoint = torch.load(out / "checkpoint.pt", weights_only=True)
    assert (checkpoint["epoch"], checkpoint["step"]) == (0, 21)
    ticks: list[int] = []
    train(
        "digits_mlp", out, device="cpu", overrides=[*SMALL, "training.epochs=2"], resume=True,
        progress=lambda done, total: ticks.append(done),
    )  # fmt: skip
    assert ticks == list(range(22, 91))


def test_a_run_that_was_killed_before_it_began_is_started_by_resume(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".checkpoint.pt.abc.tmp").write_bytes(b"half of it")
    (out / "chip.program.h5").write_bytes(b"of a run that was killed")
    changes = [*SMALL, "training.epochs=1"]
    with pytest.raises(TrainingError, match="is not empty"):
        train("digits_mlp", out, device="cpu", overrides=changes)
    assert len(train("digits_mlp", out, device="cpu", overrides=changes, resume=True).history) == 1
    assert len(train("digits_mlp", tmp_path / "new", device="cpu", overrides=changes, resume=True).history) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.toml").write_text("# mine")
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        train("digits_mlp", tmp_path / "mine", device="cpu", overrides=changes, resume=True)
    assert (tmp_path / "mine" / "recipe.toml").read_text() == "# mine"


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    changes = [*SMALL, "training.epochs=1"]

    def another(done: int, total: int) -> None:
        if done == 3:
            with pytest.raises(TrainingError, match="another process trains in it"):
                train("digits_mlp", tmp_path / "run", device="cpu", overrides=changes, resume=True)

    train("digits_mlp", tmp_path / "run", device="cpu", overrides=changes, progress=another)


def test_a_checkpoint_without_the_newer_entries_is_read(tmp_path: Path) -> None:
    """As versions before it wrote it: of whole epochs, with a recipe that lacks newer keys."""
    out, changes = tmp_path / "run", [*SMALL, "training.epochs=2"]

    def stop(metrics: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingError, match="interrupted after epoch 1 of 2"):
        train("digits_mlp", out, device="cpu", overrides=changes, on_epoch=stop)
    checkpoint = torch.load(out / "checkpoint.pt", weights_only=True)
    for key in ("step", "totals", "seconds", "scaler", "processes"):
        del checkpoint[key]
    for key in ("accumulate", "precision"):
        del checkpoint["recipe"]["training"][key]
    torch.save(checkpoint, out / "checkpoint.pt")
    assert len(train("digits_mlp", out, device="cpu", overrides=changes, resume=True).history) == 2
    train("digits_mlp", tmp_path / "whole", device="cpu", overrides=changes)
    assert (out / "weights.pt").read_bytes() == (tmp_path / "whole" / "weights.pt").read_bytes()


def started(out: Path, *more: str) -> list[str]:
    changes = [word for change in SMALL for word in ("--set", change)]
    return [
        sys.executable, "-m", "neuro_deploy", "train", "digits_mlp", "--device", "cpu", "--out", str(out), "--resume",
        *more, *changes,
    ]  # fmt: skip


def helpers_of(parent: psutil.Process) -> list[psutil.Process]:
    try:
        return list(parent.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


WAYS = (("--chip", "loihi2"), ("--chip", "loihi2", "--devices", "2"), ("--devices", "3", "--accumulate", "2"))


@pytest.mark.long
@pytest.mark.parametrize("how", WAYS, ids=" ".join)
def test_twenty_kills_of_the_command(tmp_path: Path, how: tuple[str, ...]) -> None:
    """Of processes of their own, from before their imports to after their last checkpoint; none leaves another."""
    draw, kills, ends = random.Random(7), 0, 0
    how = (*how, "--set", "training.epochs=40")
    whole = seconds(started(tmp_path / "whole", *how))
    again = seconds(started(tmp_path / "whole", *how))  # it was at its end
    while kills < 20:
        moment = draw.uniform(0.3 * again, again + (whole - again) / 6)
        run = subprocess.Popen(
            [*started(tmp_path / "run", *how), "--checkpoint-seconds", "0"], stdout=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moment)
        children = helpers_of(psutil.Process(run.pid)) if run.returncode is None else []
        run.kill()
        code = run.wait()
        assert code in (0, -signal.SIGKILL)
        kills, ends = kills + (code != 0), ends + (code == 0)
        assert not psutil.wait_procs(children, timeout=20)[1]
    subprocess.run(started(tmp_path / "run", *how), check=True, capture_output=True)
    assert_same(tmp_path / "run", tmp_path / "whole")
    print(f"{kills} kills, {ends} ends; {whole:.1f} s undisturbed, {again:.1f} s of them before it trains")


def seconds(words: list[str]) -> float:
    begin = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    return time.monotonic() - begin
