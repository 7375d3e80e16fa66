"""The examples run as a user runs them, and print what they say."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neuro_deploy.cli import run as command

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
WALKS = {
    "own_model": (["--epochs", "1"], [r"cannot overflow within 4 steps", r"accuracy float: \d", r"accuracy chip: \d"]),
    "from_snntorch": (["--samples", "5"], [r"lif1: [1-9][\d,]* spikes; 0 of 6,400 differ", r"lif2: [1-9]\d* .* 0 of"]),
    "residual_net": (["--epochs", "1", "--samples", "10"], [r"chip step 6 \+ t", r"delay 2, for", r"accuracy: \d"]),
    "find_the_fault": (
        [],
        [r"different: ", r"diagnosis: .*weight from neuron 77 of 1 to 34", r"to   1 neuron, 1 input"],
    ),
    "own_target": (
        ["--samples", "20"],
        [r"for smallchip: 202 neurons", r"does not fit smallchip", r"5 circulations exceed 3", r"resets to 0.25"],
    ),
}
"""Name: arguments that keep it short, and what must be printed."""


@pytest.mark.parametrize("name", WALKS)
def test_an_example(name: str, tmp_path: Path) -> None:
    if name == "from_snntorch" and importlib.util.find_spec("snntorch") is None:
        pytest.skip("snnTorch is not installed: pip install --no-deps -r tests/frameworks.txt")
    arguments, wanted = WALKS[name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for pattern in wanted:
        assert re.search(pattern, done.stdout), f"{pattern}\n{done.stdout}"
    if name == "find_the_fault":
        assert command(["compare", str(tmp_path / "case.h5")]) == 1


def test_every_example_is_short_tested_and_in_the_readme() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert {file.stem for file in files} == set(WALKS) and len(files) >= 5
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 80 and text.startswith('"""') and "Printed:" in text, file.name
        assert f"(examples/{file.name})" in readme, file.name
