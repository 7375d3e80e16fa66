"""Importing Lava on today's Python, installing it, and the doctor's checks."""

from __future__ import annotations

import dataclasses
import multiprocessing
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuro_deploy.backends import doctor, lava_install, lava_mend, simulate
from neuro_deploy.errors import BackendError, LavaMissingError, LavaTimeoutError

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.lava
def test_the_import_is_mended_and_everything_put_back() -> None:
    before = (dataclasses.dataclass, multiprocessing.set_start_method, multiprocessing.get_start_method(True))
    lava_mend.import_lava()
    lava_mend.import_lava()
    assert before == (dataclasses.dataclass, multiprocessing.set_start_method, multiprocessing.get_start_method(True))
    assert "lava.magma.compiler.var_model" in sys.modules


@pytest.mark.lava
def test_numpys_removed_habits_are_mended() -> None:
    lava_mend.import_lava()
    from lava.magma.core.process.ports.ports import InPort
    from lava.proc.clp.nsm.models import PyAllocatorModel
    from lava.proc.graded.models import inv_sqrt

    port = InPort((2, 3)).flatten()
    flat, back = port.get_transform_func_fwd(), port.get_transform_func_bwd()
    assert flat(np.arange(6).reshape(2, 3)).shape == (6,)
    assert back(np.arange(6)).shape == (2, 3)
    assert inv_sqrt(np.array([4096 * 4])) == inv_sqrt(4096 * 4) > 0

    class Port:
        shape = (1,)
        sent: Any = None

        def recv(self) -> Any:
            return np.array([1])

        def send(self, data: Any) -> None:
            self.sent = data

    model = object.__new__(PyAllocatorModel)
    model.__dict__.update(trigger_in=Port(), allocate_out=Port(), next_alloc_id=np.array([3]), py_ports=[])
    model.run_spk()
    assert (model.allocate_out.sent.tolist(), model.next_alloc_id.tolist()) == ([3], [4])


def test_dataclasses_are_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lava_mend, "MODULES", ("lava_that_does_not_exist",))
    before = (dataclasses.dataclass, multiprocessing.set_start_method)
    with pytest.raises(LavaMissingError) as caught:
        lava_mend.import_lava.__wrapped__()
    assert "\n" not in str(caught.value) and str(caught.value).endswith("run 'neuro_deploy install-lava'")
    assert before == (dataclasses.dataclass, multiprocessing.set_start_method)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 accepts them")
def test_only_defaults_of_lavas_classes_are_accepted() -> None:
    unhashable = type("Unhashable", (), {"__hash__": None, "__module__": "lava.somewhere"})
    stranger = type("Stranger", (), {"__hash__": None, "__module__": "elsewhere"})

    def holder(default: Any) -> Any:
        return dataclasses.dataclass(type("Holder", (), {"__annotations__": {"x": Any}, "x": default}))

    with pytest.raises(ValueError, match="mutable default"):
        holder(unhashable())
    with lava_mend._tolerant_dataclasses():
        assert isinstance(holder(unhashable())().x, unhashable)
        assert unhashable.__hash__ is None
        with pytest.raises(ValueError, match="mutable default"):
            holder(stranger())
    with pytest.raises(ValueError, match="mutable default"):
        holder(unhashable())


def test_what_is_installed_is_what_the_extra_says() -> None:
    extra = re.search(r"^lava = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert extra
    assert tuple(re.findall(r'"([^"]+)"', extra.group(1))) == lava_install.REQUIREMENTS


@pytest.mark.lava
def test_install_lava_proves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(lava_install, "_pip", lambda *arguments: asked.append(list(arguments)))
    status = lava_install.install_lava()
    assert asked == [["--no-deps", "--ignore-requires-python", "lava-nc==0.10.0"]]
    assert (status.version, status.works) == ("0.10.0", True)
    assert status.detail == "a run of two neurons gave the 15 spikes that it should"


def test_what_two_neurons_should_do_is_what_sim_says() -> None:
    trace = simulate(lava_install.two_neurons(), np.arange(8.0).reshape(8, 1, 1) % 6, "sim")
    seen = {
        (n, k): tuple(trace.populations[n].data[k].ravel().tolist()) for n in ("cf", "lif") for k in ("spikes", "v")
    }
    assert seen == lava_install.EXPECTED


@pytest.mark.lava
def test_a_lava_with_other_numbers_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lava_install.EXPECTED, ("lif", "v"), (1,) * 10)
    with pytest.raises(BackendError, match="v of 'lif' is"):
        lava_install.prove_lava()


def test_pip_that_fails_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(command: list[str], **_: Any) -> Any:
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found\n\n")

    monkeypatch.setattr(lava_install.subprocess, "run", failing)
    with pytest.raises(BackendError, match=r"^pip install .* failed: ERROR: No matching distribution found; .*$"):
        lava_install.install_lava()


@pytest.mark.parametrize(
    "error", [LavaMissingError("it is missing"), LavaTimeoutError("it hangs"), BackendError("bad")]
)
def test_a_lava_that_does_not_work_is_a_finding(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(lava_install, "prove_lava", broken)
    assert not lava_install.lava_status().works
    found = doctor.check_lava()
    assert (found.works, found.detail, found.remedy) == (False, str(error), "neuro_deploy install-lava")


@pytest.mark.lava
def test_the_doctor_tries_everything() -> None:
    checks = {check.name: check for check in doctor.check_all()}
    assert list(checks) == ["Python", "NumPy", "NIR", "torch", "GPU", "Lava"]
    assert not [check for name, check in checks.items() if name != "GPU" and not (check.works and check.version)]
    assert "two neurons" in checks["Lava"].detail


@pytest.mark.parametrize("code", ["import torch_that_does_not_exist", "print('no json')", "print()"])
def test_a_torch_that_is_absent_or_broken_breaks_nothing(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(doctor, "TORCH", code)
    torch, gpu = doctor.check_torch()
    assert (torch.works, gpu.works) == (False, False)
    assert torch.detail and torch.remedy == "pip install torch"
