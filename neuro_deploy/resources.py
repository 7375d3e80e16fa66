"""What this installation is: where `hardware/` and `models/` lie (beside the package in a checkout, under `_data/` in a
wheel), and the versions of what it stands on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
PACKAGES = ("neuro_deploy", "torch", "nir", "numpy", "lava-nc", "h5py")
"""Whose versions a file or a report names."""


def resource_dir(name: str) -> Path:
    """The folder `name` ("hardware" or "models") that came with this installation.

    A wheel carries it as `neuro_deploy/_data/NAME`; a checkout (editable install or uninstalled) has it at its top.
    Raises: FileNotFoundError if neither exists (a broken installation).
    """
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of neuro_deploy has no '{name}' folder; reinstall it")


def versions() -> dict[str, str]:
    """Python's and the packages' versions."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
