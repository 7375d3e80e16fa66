"""Where `hardware/` and `models/` lie: beside the package in a checkout, under `_data/` in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """The folder `name` ("hardware" or "models") that came with this installation.

    A wheel carries it as `neuro_deploy/_data/NAME`; a checkout (editable install or uninstalled) has it at its top.
    Raises: FileNotFoundError if neither exists (a broken installation).
    """
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of neuro_deploy has no '{name}' folder; reinstall it")
