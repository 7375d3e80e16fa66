"""The environments of Sinabs, Rockpool and neurobench: `python tests/frameworks/environments.py` makes them.

It finds those that are ready.  The first two pin nir <= 1.0.4, which our package does not accept.  Each is a virtual
environment at the repository root, of the Python that runs this script; it holds what is pinned below and takes the
rest (torch, numpy, h5py) from that Python's packages, so that a framework computes with the same torch as our tests.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BASE = Path(sysconfig.get_paths()["purelib"])
"""The packages that this Python has."""


def _pattern() -> ModuleType:
    """tests/witness/environments.py, whose name is this file's own."""
    place = importlib.util.spec_from_file_location("witness_environments", ROOT / "tests/witness/environments.py")
    assert place is not None and place.loader is not None
    module = importlib.util.module_from_spec(place)
    sys.modules[place.name] = module
    place.loader.exec_module(module)
    return module


Environment: Any = _pattern().Environment
EXCHANGE = ("nir==1.0.4", "nirtorch==2.0.2")
ENVIRONMENTS = {
    "sinabs": Environment(
        ".venv-sinabs",
        (
            "sinabs==3.1.3",
            *EXCHANGE,
            "pbr==7.1.3",
            "matplotlib==3.10.8",
            "contourpy==1.3.2",
            "cycler==0.12.1",
            "fonttools==4.60.1",
            "kiwisolver==1.4.9",
            "pyparsing==3.2.5",
            "python-dateutil==2.9.0.post0",
            "six==1.17.0",
        ),
        "import sinabs.layers, sinabs.nir",
    ),
    "neurobench": Environment(".venv-neurobench", ("neurobench==2.3.0",), "import neurobench.benchmarks"),
    "rockpool": Environment(".venv-rockpool", ("rockpool==3.1.0", *EXCHANGE), "import rockpool.nn.modules.torch.nir"),
}
"""Framework -> its environment."""


def make(environment: Any) -> None:
    """Make an environment anew, and prove that its framework can be imported.  Exits with a message if that fails.

    It ignores itself in git.
    """
    shutil.rmtree(environment.path, ignore_errors=True)
    environment.path.mkdir()
    (environment.path / ".gitignore").write_text("*\n", encoding="utf-8")
    run([sys.executable, "-m", "venv", "--without-pip", environment.path])
    inside = [environment.python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    folder = Path(subprocess.run(inside, capture_output=True, text=True, check=True).stdout.strip())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--target", folder, *environment.pins])
    (folder / "base.pth").write_text(f"import site; site.addsitedir({str(BASE)!r})\n", encoding="utf-8")
    run([environment.python, "-c", environment.proof])
    (environment.path / ".ready").write_text("\n".join(environment.pins), encoding="utf-8")


def run(command: list[Any]) -> None:
    """Run a command.  Exits with a message if it fails."""
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
        sys.exit(f"the environment could not be made: this failed: {' '.join(map(str, command))}")


def main() -> None:
    """Make what is not ready."""
    for environment in ENVIRONMENTS.values():
        if not environment.ready:
            print(f"{environment.folder}: installing {environment.pins[0]} ...", flush=True)
            make(environment)


if __name__ == "__main__":
    main()
