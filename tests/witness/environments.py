"""The environments of the witnesses: `python tests/witness/environments.py` makes them, or finds them ready.

Each is a virtual environment at the repository root, on Python 3.11 (the newest that all witnesses run on), with every
package pinned.  An environment is ready if its file `.ready` names the pins below.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (3, 11)
CHOICE = "WITNESS_PYTHON"
"""The environment variable that names a Python 3.11."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment.  folder: its name at the root.  pins: what is installed in it.  proof: must import."""

    folder: str
    pins: tuple[str, ...]
    proof: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return ROOT / self.folder

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def ready(self) -> bool:
        """True if it was made to the end with these pins."""
        marker = self.path / ".ready"
        return self.python.exists() and marker.exists() and marker.read_text(encoding="utf-8") == "\n".join(self.pins)


ENVIRONMENTS = {
    "nengo_loihi": Environment(
        ".venv-nengo",
        (
            "nengo-loihi==1.1.0",
            "nengo==3.2.0",
            "numpy==1.23.5",
            "scipy==1.10.1",
            "Jinja2==3.1.6",
            "MarkupSafe==3.0.4",
            "packaging==26.3",
        ),
        "import nengo_loihi.emulator",
    ),
    "brian2_loihi": Environment(
        ".venv-brian2",
        (
            "brian2-loihi==0.5.2",
            "Brian2==2.5.4",
            "numpy==1.26.4",
            "Cython==3.3.1",
            "Jinja2==3.1.6",
            "MarkupSafe==3.0.4",
            "mpmath==1.3.0",
            "packaging==26.3",
            "pyparsing==3.3.3",
            "sympy==1.14.0",
        ),
        "import brian2_loihi",
    ),
    "sanafe": Environment(".venv-sanafe", ("sanafe==2.2.9",), "import sanafe"),
}
"""Witness -> its environment."""


def version_of(python: str) -> tuple[int, ...]:
    """(major, minor) of an interpreter; () if it does not run."""
    command = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return ()
    return tuple(map(int, result.stdout.split())) if result.returncode == 0 else ()


def find_python() -> str:
    """A Python 3.11: the one that WITNESS_PYTHON names, this one, or one on the path.  Exits with a message if none."""
    chosen = os.environ.get(CHOICE)
    names = [chosen] if chosen else [sys.executable, "python3.11", "python3", "python"]
    for python in filter(None, map(shutil.which, names)):
        if version_of(python) == PYTHON:
            return python
    where = f"{CHOICE}={chosen} is none" if chosen else "none was found on the path"
    sys.exit(
        f"The witnesses need Python 3.11, and {where}.  nengo-loihi 1.1.0 and brian2-loihi 0.5.2 run with versions of "
        f"numpy that later Pythons do not have.  Install it, or say {CHOICE}=/path/to/python3.11."
    )


def make(environment: Environment, python: str) -> None:
    """Make an environment anew, and prove that its witness can be imported.  Exits with a message if that fails.

    It ignores itself in git.
    """
    shutil.rmtree(environment.path, ignore_errors=True)
    environment.path.mkdir()
    (environment.path / ".gitignore").write_text("*\n", encoding="utf-8")
    pip = [environment.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for command in (
        [python, "-m", "venv", environment.path],
        [*pip, *environment.pins],
        [environment.python, "-c", environment.proof],
    ):
        if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
            shown = " ".join(map(str, command))
            sys.exit(f"{environment.folder} could not be made: this failed: {shown}")
    (environment.path / ".ready").write_text("\n".join(environment.pins), encoding="utf-8")


def main() -> None:
    """Make what is not ready."""
    missing = [environment for environment in ENVIRONMENTS.values() if not environment.ready]
    python = find_python() if missing else ""
    for environment in missing:
        print(f"{environment.folder}: installing {environment.pins[0]} ...", flush=True)
        make(environment, python)


if __name__ == "__main__":
    main()
