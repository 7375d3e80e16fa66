"""The four executors of a ChipProgram, each giving (population, variable) -> (rows, N)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from environments import ENVIRONMENTS
from exchange import VARIABLES, Case, Run, load_runs, save_cases

from neuro_deploy.backends import simulate
from neuro_deploy.program import ChipProgram
from neuro_deploy.trace import Trace

HERE = Path(__file__).resolve().parent
TIMEOUT = 900.0
"""Seconds that a witness has for all of its cases."""


def run_sim(program: ChipProgram, x: np.ndarray) -> Trace:
    """Our simulator, everything recorded."""
    return simulate(program, x, "sim", (*VARIABLES, "h"))


def run_of(program: ChipProgram, trace: Trace) -> Run:
    """A trace of one sample as a Run."""
    return {
        (p.name, variable): trace.populations[p.name].data[variable].reshape(-1, p.size)
        for p in program.populations
        for variable in VARIABLES
    }


def accepts(witness: str, case: Case) -> bool:
    """True if a witness can run a case: brian2-loihi has no bias, and one du, dv and vth a population."""
    return witness != "brian2_loihi" or (not case.biased and all(p.uniform for p in case.populations))


def run_witness(witness: str, cases: list[Case], folder: Path) -> tuple[dict[str, Run], dict[str, Any]]:
    """Run cases in a witness's own environment, all in one process.

    Raises: RuntimeError if the environment is missing or the witness fails.
    """
    environment = ENVIRONMENTS[witness]
    if not environment.ready:
        raise RuntimeError(f"{environment.folder} is not ready; run 'make test-witness'")
    save_cases(folder, [case for case in cases if accepts(witness, case)])
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONNOUSERSITE": "1"}
    result = subprocess.run(
        [environment.python, HERE / f"{witness}_run.py", folder],
        env={**clean, **threads},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"{witness} failed:\n{result.stderr[-4000:]}")
    return load_runs(folder, witness)


def differences(one: Run, other: Run) -> dict[tuple[str, str], int]:
    """(population, variable) -> how many numbers differ, over all rows.  Raises: ValueError if they are not alike."""
    if set(one) != set(other) or any(one[key].shape != other[key].shape for key in one):
        raise ValueError(f"the runs do not hold the same: {sorted(one)} and {sorted(other)}")
    return {key: int((one[key] != other[key]).sum()) for key in one}
