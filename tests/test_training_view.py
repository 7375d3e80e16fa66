"""What `train` shows while it goes on."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from neuro_deploy.cli.training import EPOCHS, live, sparkline


def metrics(epoch: int) -> dict[str, object]:
    seen = {"low": -2.0, "high": 4.0, "counts": [0] * 10 + [5, 5] + [10] * 2 + [0] * 26, "balance": -0.25}
    return {
        "epoch": epoch,
        "loss": 1 / epoch,
        "train_accuracy": 0.5,
        "test_accuracy": 0.75,
        "lr": 0.01,
        "rates": {"cf1": 0.125, "li": 0.0},
        "alpha": {"cf1": [2.0, 3.0]},
        "potentials": {"cf1": seen},
        "gradients": {"fc1.weight": 3.0, "fc1.bias": 4.0},
        "seconds": 1.5,
    }


def text(history: list[dict[str, object]], ascii_only: bool) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(live(history, ascii_only))
    return console.export_text()


def test_the_last_epochs_and_each_layer() -> None:
    shown = text([metrics(epoch) for epoch in range(1, 12)], ascii_only=False)
    epochs = [line.split() for line in shown.splitlines() if re.match(r"\d", line)]
    assert [line[0] for line in epochs] == [str(n) for n in range(12 - EPOCHS, 12)]
    assert epochs[-1] == ["11", "0.0909", "50.0%", "75.0%", "0.01", "5", "1.5"]
    (layer,) = [line for line in shown.splitlines() if line.startswith("cf1")]
    assert layer.split()[:6] == ["cf1", "0.125", "2.00", "..", "3.00", "-0.25"] and "█" in layer
    assert text([metrics(1)], ascii_only=True).isascii()


def test_a_histogram_as_a_line() -> None:
    assert sparkline([0, 0, 1, 1, 4, 4, 0, 1], width=4) == " ▂█▁"
    assert sparkline([0] * 40) == " " * 20


def test_on_a_terminal_and_in_a_file(tmp_path: Path) -> None:
    """A real terminal shows the layers as training goes on; a pipe gets no control characters."""
    command = [sys.executable, "-m", "neuro_deploy", "train", "digits_mlp", "--set", "training.epochs=3"]
    command += ["--set", "network.args.hidden=[12]", "--set", "network.steps=2", "--device", "cpu"]
    here, there = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    shown = b""
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "a")], stderr=there, stdout=subprocess.PIPE, env=environment
    ) as run:
        os.close(there)
        while True:
            try:
                shown += os.read(here, 1 << 16)
            except OSError:  # the other end is closed
                break
    os.close(here)
    assert run.returncode == 0 and b"balance" in shown and b"cf2" in shown
    piped = subprocess.run([*command, "--out", str(tmp_path / "b")], capture_output=True, check=True)
    assert b"\x1b" not in piped.stderr + piped.stdout
