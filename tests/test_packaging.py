"""The wheel works elsewhere: it carries hardware/ and models/, and leaves nothing else in site-packages."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_holds_only_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"neuro_deploy", next(t for t in tops if t.endswith(".dist-info"))}
    assert "neuro_deploy/_data/hardware/loihi2.toml" in names
    for file in ("recipe.toml", "model.nir", "card.json", "card.md"):
        assert f"neuro_deploy/_data/models/digits_mlp/{file}" in names
    assert "neuro_deploy/py.typed" in names


def test_installed_elsewhere_it_lists_its_targets(wheel: Path, tmp_path: Path) -> None:
    """Installed into an environment of its own (dependencies borrowed), run from the root of the file system."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    installed = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(installed), str(wheel)], check=True)
    borrowed = subprocess.run(
        [sys.executable, "-c", "import h5py, pathlib; print(pathlib.Path(h5py.__file__).parents[1])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # sys.path, not PYTHONPATH alone: the editable install's .pth must not be read.
    code = (
        f"import sys; sys.path[:0] = [{str(installed)!r}, {borrowed!r}]; "
        "import neuro_deploy; assert 'site' in neuro_deploy.__file__, neuro_deploy.__file__; "
        "from neuro_deploy.cli import main; main(['targets'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), "-c", code], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "loihi1" in done.stdout and "loihi2" in done.stdout
