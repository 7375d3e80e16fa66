"""The files between us and a framework: one folder, and for each network of it

    NAME.npz           input (T, B, *shape), and what each population sent, (T, B, *shape), by its layer's name
    NAME.own.nir       the framework's own export, where it has one
    NAME.ours.nir      what our adapter makes of the network, where there is an adapter
    notes.json         NETWORK -> {"refused": ..., whatever else a script has to say}

Nothing but numpy is imported here, so that a framework's own environment can read this module too.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TIME_LIMIT = 300.0


def save(folder: Path, name: str, x: np.ndarray, sent: Mapping[str, np.ndarray]) -> None:
    """Write a run."""
    np.savez(folder / f"{name}.npz", input=x, **sent)


def load(folder: Path, name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read a run: its input, and what each population sent."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return arrays.pop("input"), arrays


def note(folder: Path, name: str, **said: Any) -> None:
    """Add to what is said about a network."""
    notes = load_notes(folder)
    notes.setdefault(name, {}).update(said)
    (folder / "notes.json").write_text(json.dumps(notes), encoding="utf-8")


def load_notes(folder: Path) -> dict[str, dict[str, Any]]:
    """Read all that was said."""
    path = folder / "notes.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def run_script(python: Path, script: str, folder: Path, first: tuple[Path, ...] = ()) -> None:
    """Run a script of this folder on another Python.  first: where it looks for modules before its own packages.

    Raises: RuntimeError with what it printed, if it fails.
    """
    paths = os.pathsep.join(map(str, first))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [str(python), str(Path(__file__).with_name(script)), str(folder)]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT, stdin=subprocess.DEVNULL
    )
    if result.returncode:
        raise RuntimeError(f"{script} failed:\n{result.stdout}\n{result.stderr}")
