"""What is installed, and whether it works: each check does a small real thing."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nir
import numpy as np

from .lava_install import lava_status
from .lava_mend import INSTALL

OLDEST, NEWEST = (3, 10), (3, 13)
"""The versions of Python that are tested; a newer one may work."""

TORCH = """
import json, torch
said = {"version": torch.__version__, "device": "", "error": ""}
said["sum"] = float((torch.ones(4, 4) @ torch.ones(4, 4)).sum())
try:
    if torch.cuda.is_available():
        said["device"] = torch.cuda.get_device_name(0)
        said["cuda_sum"] = float((torch.ones(4, 4, device="cuda") @ torch.ones(4, 4, device="cuda")).sum().cpu())
except Exception as error:
    said["error"] = str(error).strip().splitlines()[0]
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was tried.  version: "" if absent; remedy: "" if there is nothing to do."""

    name: str
    version: str
    works: bool
    detail: str
    remedy: str = ""


def check_all() -> tuple[Check, ...]:
    """Python, NumPy, NIR, torch, GPU, Lava, in this order; takes some seconds."""
    return (check_python(), check_numpy(), check_nir(), *check_torch(), check_lava())


def check_python() -> Check:
    """This Python."""
    found = sys.version_info[:2]
    works = found >= OLDEST
    tested = "tested" if OLDEST <= found <= NEWEST else "not tested"
    remedy = "" if works else f"use Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    return Check("Python", platform.python_version(), works, f"{tested}; {sys.executable}", remedy)


def check_numpy() -> Check:
    """An exact integer product."""
    ones = np.ones((4, 4), np.int64)
    return Check("NumPy", np.__version__, bool((ones @ ones == 4).all()), "multiplied two matrices")


def check_nir() -> Check:
    """A graph written and read back with stock nir."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph = nir.NIRGraph.from_list(nir.Linear(weight=weight))
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "graph.nir"
            nir.write(path, graph)
            back = nir.read(path)
        same = any(np.array_equal(getattr(node, "weight", np.zeros(0)), weight) for node in back.nodes.values())
    except Exception as error:
        return Check("NIR", _version("nir"), False, f"{type(error).__name__}: {error}", "pip install 'nir>=1.0.8,<1.1'")
    return Check("NIR", _version("nir"), same, "wrote and read a graph")


def check_torch(timeout: float = 300.0) -> tuple[Check, Check]:
    """torch and the GPU, tried in a process of their own, so that a broken torch breaks nothing.   timeout: seconds."""
    remedy = "pip install torch"
    try:
        result = subprocess.run(
            [sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=timeout, check=False
        )
        said = json.loads(result.stdout.splitlines()[-1]) if result.returncode == 0 else {}
        lines = result.stderr.strip().splitlines()
    except (subprocess.TimeoutExpired, json.JSONDecodeError, IndexError) as error:
        said, lines = {}, [f"{type(error).__name__}: {error}"]
    if not said:
        why = lines[-1] if lines else "it gave no answer"
        return Check("torch", _version("torch"), False, why, remedy), Check("GPU", "", False, "torch does not work")
    torch = Check("torch", said["version"], said["sum"] == 64.0, "multiplied two matrices")
    if said["error"]:
        return torch, Check("GPU", said["device"], False, said["error"], "check the driver; training can use the CPU")
    if not said["device"]:
        return torch, Check("GPU", "", False, "no CUDA device; training uses the CPU")
    return torch, Check("GPU", said["device"], said["cuda_sum"] == 64.0, "multiplied two matrices")


def check_lava(timeout: float = 120.0) -> Check:
    """Lava, by a real run of two neurons.   timeout: seconds."""
    status = lava_status(timeout)
    return Check("Lava", status.version, status.works, status.detail, "" if status.works else INSTALL)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


__all__ = ["Check", "check_all", "check_lava", "check_nir", "check_numpy", "check_python", "check_torch"]
