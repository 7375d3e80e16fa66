"""Triton's implementation of the fused neuron: on a GPU where there is one, else in Triton's interpreter.

NEURO_DEPLOY_TRITON=1, as `make test-triton` sets it: a missing Triton is a failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.skipif(
    not find_spec("triton") and os.environ.get("NEURO_DEPLOY_TRITON") != "1",
    reason="Triton is not installed: its kernels are NOT tested here (make test-triton)",
)
CHILD = Path(__file__).with_name("fused_gpu.py")


def child(what: str, interpret: bool) -> Any:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_INTERPRET": "1"} if interpret else {}
    environment["PYTHONPATH"] = os.pathsep.join([str(CHILD.parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(CHILD), what], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_triton_is_the_definition() -> None:
    """Every bit of spikes, potentials and gradients of x; sums of gradients within float32's rounding of their size."""
    found = child("equal", interpret=not torch.cuda.is_available())
    assert found["cases"] == 60 and 0 < found["worst"] < 2e-6


def test_no_number_of_a_trial_is_left_and_another_t_is_no_new_trial() -> None:
    """Three block sizes for each of two kernels, once; the right sums in that call too."""
    found = child("tuned", interpret=not torch.cuda.is_available())
    assert found["tried"] == 6 and found["best"] == [1024, 1024] and 0 < found["worst"] < 2e-6


def test_triton_compiles_ahead_of_time_and_contracts_nothing() -> None:
    found = child("ahead", interpret=False)
    assert len(found) == 4
    for name, facts in found.items():
        assert facts["target"], name
        assert facts["fma"] == 0 and facts["contracted"] > 0, name
        assert facts["wide"] >= (10 if name.startswith("forward") else 16), name
