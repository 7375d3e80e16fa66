"""Installing Lava, and the proof that it runs: a network of two neurons in the real runtime, with known spikes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

from ..errors import BackendError, LavaMissingError, NeuroDeployError
from ..program import ChipProgram, DenseSynapse, Encoder, Population
from . import load_backend
from .base import Job
from .lava_mend import INSTALL

DISTRIBUTION = "lava-nc"
VERSION = "0.10.0"
"""The newest release; it declares Python < 3.11 and numpy < 2, and runs beyond them (backends/lava_mend.py)."""
REQUIREMENTS = ("asteval>=0.9.31", "networkx>=2.8")
"""What it imports beside what neuro_deploy needs itself: our extra `lava`."""


class LavaStatus(NamedTuple):
    """version: "" if absent.   detail: one line; what was run, or why it does not work."""

    version: str
    works: bool
    detail: str


def two_neurons() -> ChipProgram:
    """One CF neuron that feeds one LIF neuron, with a bias that acts before its input would come."""
    one = np.asarray(1.0)
    shared = {"bias_exp": np.asarray(3), "vth": np.asarray(20)}
    fires = {"vth_neg": np.asarray(20), "rounds": np.asarray(3), "rounds_neg": np.asarray(0), "dv": np.asarray(400)}
    first = Population("cf", "cf", (1,), {**shared, **fires, "bias_mant": np.asarray(40)}, 1, one)
    leaks = {"du": np.asarray(4095), "dv": np.asarray(100), "bias_mant": np.asarray(80)}
    second = Population("lif", "lif", (1,), {**shared, **leaks}, 2, one)
    return ChipProgram(
        target="loihi2",
        dt=2.0**-10,
        max_steps=16,
        encoders=(Encoder("input", (1,), 1, 1, bits=4, signed=False, low=0, high=15),),
        populations=(first, second),
        synapses=(
            DenseSynapse("in", "input", "cf", np.array([[11]], np.int32)),
            DenseSynapse("out", "cf", "lif", np.array([[6]], np.int32)),
        ),
        readout=None,
        proven=False,
    )


EXPECTED = {
    ("cf", "spikes"): (0, 0, 1, 1, 2, 2, 3, 0, 1, 0),
    ("cf", "v"): (0, 320, 32, 476, 301, 847, 764, 1009, 654, 910),
    ("lif", "spikes"): (0, 0, 0, 1, 0, 1, 1, 1, 0, 1),
    ("lif", "v"): (0, 0, 640, 0, 1024, 0, 0, 0, 640, 0),
}
"""What the two neurons do with the input 0, 1, 2, 3, 4, 5, 0, 1, from the equations of docs/semantics.md."""


def prove_lava(timeout: float = 120.0) -> str:
    """Run two neurons in Lava; one line on what was seen.

    timeout: seconds.   Raises: LavaMissingError; BackendError if Lava fails, or gives other numbers than it should.
    """
    job = Job(np.arange(8.0).reshape(8, 1, 1) % 6, ("spikes", "v"), timeout=timeout)
    trace = load_backend("lava").run(two_neurons(), job)
    spikes = 0
    for (name, variable), expected in EXPECTED.items():
        seen = trace.populations[name].data[variable].reshape(-1)
        if seen.tolist() != list(expected):
            raise BackendError(f"Lava runs, but {variable} of '{name}' is {seen.tolist()}, not {list(expected)}")
        spikes += int(seen.sum()) if variable == "spikes" else 0
    return f"a run of two neurons gave the {spikes} spikes that it should"


def lava_status(timeout: float = 120.0) -> LavaStatus:
    """Lava's version and whether it works, shown by a real run of two neurons.   timeout: seconds."""
    try:
        found = version(DISTRIBUTION)
    except PackageNotFoundError:
        found = ""
    try:
        return LavaStatus(found, True, prove_lava(timeout))
    except NeuroDeployError as error:
        return LavaStatus(found, False, str(error).splitlines()[0])


def install_lava(timeout: float = 120.0) -> LavaStatus:
    """Install lava-nc and what it imports into this Python, and prove it.   timeout: seconds, for the proof.

    Raises: BackendError if pip fails, or if Lava does not run after it (LavaMissingError, LavaTimeoutError).
    """
    _pip("--no-deps", "--ignore-requires-python", f"{DISTRIBUTION}=={VERSION}")
    missing = [need for need in REQUIREMENTS if importlib.util.find_spec(need.partition(">")[0]) is None]
    if missing:
        _pip(*missing)
    importlib.invalidate_caches()
    try:
        detail = prove_lava(timeout)
    except LavaMissingError as error:
        raise BackendError(
            str(error).replace(f"; run '{INSTALL}'", f" after its installation in {sys.prefix}")
        ) from error
    return LavaStatus(version(DISTRIBUTION), True, detail)


def _pip(*arguments: str) -> None:
    command: Sequence[str] = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if result.returncode:
        lines = [line for line in (result.stderr or result.stdout).strip().splitlines() if line.strip()]
        why = lines[-1].strip() if lines else f"exit code {result.returncode}"
        shown = " ".join(arguments)
        raise BackendError(f"pip install {shown} failed: {why}; check the network, or run it by hand in {sys.prefix}")
