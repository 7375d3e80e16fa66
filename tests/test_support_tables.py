"""The tables of README.md and docs/frameworks.md are what docs/tables.py makes of the code as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nir
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "docs" / "tables.py"


def check(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--check", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


def test_the_tables_are_current() -> None:
    """All columns but Lava's, which takes a process for each primitive (the long run tries that too)."""
    done = check("--without-lava")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.lava
def test_lavas_column_is_current() -> None:
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_primitive_has_a_row() -> None:
    kinds = {n for n in vars(nir) if isinstance(getattr(nir, n), type) and issubclass(getattr(nir, n), nir.NIRNode)}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- primitives:")[2].partition("<!-- end of primitives")[0]
    first = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert all(kind in first for kind in kinds - {"NIRNode"}), kinds
