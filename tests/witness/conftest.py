"""The witnesses run only where they are asked for: `make test-witness`, which is `pytest tests/witness -m witness`."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "witness: needs the environments of tests/witness/environments.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect nothing here unless a marker expression names the witnesses."""
    return None if "witness" in config.option.markexpr else True
