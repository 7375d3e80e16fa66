"""Lava's processes never outlive a run: not after success, an error, a timeout, Ctrl-C or the parent's death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from neuro_deploy.backends import lava_process, simulate
from neuro_deploy.backends.base import Job, quiet
from neuro_deploy.backends.lava import plan_of
from neuro_deploy.backends.lava_install import two_neurons
from neuro_deploy.backends.lava_plan import Plan
from neuro_deploy.backends.lava_process import default_timeout, living, run_plan
from neuro_deploy.errors import BackendError, LavaMissingError, LavaTimeoutError
from neuro_deploy.wiring import Dense

pytestmark = pytest.mark.lava

LONG = np.ones((16, 20_000, 1))
"""Input for a run of an hour."""
SHARED = Path("/dev/shm")


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Process groups of the workers that the test starts; none may be left, nor a segment of shared memory."""
    started: list[int] = []
    popen = subprocess.Popen

    def noted(*args: Any, **kwargs: Any) -> Any:
        worker = popen(*args, **kwargs)
        started.append(worker.pid)
        return worker

    monkeypatch.setattr(lava_process.subprocess, "Popen", noted)
    before = segments()
    yield started
    assert started
    assert [living(group) for group in started] == [[] for _ in started]
    assert freed(before)


def segments() -> set[str]:
    return {p.name for p in SHARED.iterdir()} if SHARED.is_dir() else set()


def freed(before: set[str], seconds: float = 15.0) -> bool:
    """No more segments than before; another run on this machine may have some for a while."""
    end = time.monotonic() + seconds
    while not segments() <= before and time.monotonic() < end:
        time.sleep(0.05)
    return segments() <= before


def plan(x: Any = LONG) -> Plan:
    return plan_of(two_neurons(), Job(x, ("spikes", "v")))


def gone(group: int, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while living(group) and time.monotonic() < end:
        time.sleep(0.05)
    return not living(group)


def test_after_success(groups: list[int]) -> None:
    during: list[int] = []
    run_plan(plan(LONG[:, :300]), 60, lambda done, total: during.append(len(living(groups[0]))))
    assert min(during[:1]) > 5, "the group was there while it ran"


def test_after_a_timeout(groups: list[int]) -> None:
    seen: list[int] = []
    with pytest.raises(LavaTimeoutError, match=r"limit of 6 s, with \d+ of 20000 samples done"):
        run_plan(plan(), 6, lambda done, total: seen.append(done))
    assert seen


def test_an_exception_in_one_of_lavas_processes_arrives(groups: list[int]) -> None:
    good = plan()
    bad = replace(good, cells=(replace(good.cells[0], bias=np.zeros(7)), good.cells[1]))
    begin = time.monotonic()
    with pytest.raises(BackendError, match=r"Lava failed in FixedCirculateFire, step 2: ValueError: .*\(7,\)"):
        run_plan(bad, 100, quiet)
    assert time.monotonic() - begin < 30


def test_an_error_while_a_network_is_built_arrives(groups: list[int]) -> None:
    good = plan()
    bad = replace(good, wires=(replace(good.wires[0], wiring=Dense(np.zeros((3, 1), np.int32))), good.wires[1]))
    with pytest.raises(BackendError, match=r"Lava failed in the Lava run: .*[Ss]hape"):
        run_plan(bad, 100, quiet)


def test_a_process_that_is_killed_is_noticed(groups: list[int]) -> None:
    def kill(done: int, total: int) -> None:
        if done == 2:
            psutil.Process(groups[0]).children()[2].kill()

    with pytest.raises(BackendError, match="lost one of its processes"):
        run_plan(plan(), 100, kill)


def test_a_worker_that_is_killed_is_noticed(groups: list[int]) -> None:
    with pytest.raises(BackendError, match="ended with code -9"):
        run_plan(plan(), 100, lambda done, total: os.kill(groups[0], signal.SIGKILL))


def test_an_error_in_the_parent(groups: list[int]) -> None:
    def fail(done: int, total: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_plan(plan(), 100, fail)


PARENT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children inherit "ignore"
import numpy as np, psutil
from neuro_deploy.backends import simulate
from neuro_deploy.backends.lava_install import two_neurons

def shown(done, total):
    if done == 1:
        print(psutil.Process().children()[0].pid, flush=True)

simulate(two_neurons(), np.ones((16, 20_000, 1)), "lava", progress=shown)
"""


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_the_parents_end(way: signal.Signals, tmp_path: Path) -> None:
    before = segments()
    command = [sys.executable, "-c", PARENT]
    pipe = subprocess.PIPE
    told = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.DEVNULL, env=told, start_new_session=True) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        assert len(living(group)) > 5
        assert list(tmp_path.glob("neuro_deploy_lava_*")) and list(tmp_path.glob("pymp-*"))
        parent.send_signal(way)
        parent.wait(timeout=20)
    assert gone(group)
    assert freed(before)
    assert not list(tmp_path.iterdir())


def test_lava_that_is_missing_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lava").mkdir()
    (tmp_path / "lava" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(LavaMissingError, match=r"^Lava is not installed; run 'neuro_deploy install-lava'$"):
        simulate(two_neurons(), np.ones((2, 1, 1)), "lava")
    (tmp_path / "lava" / "__init__.py").write_text("import asteval_is_missing")
    with pytest.raises(LavaMissingError, match=r"^Lava cannot be imported \(ModuleNotFoundError: .*install-lava'$"):
        simulate(two_neurons(), np.ones((2, 1, 1)), "lava")


def test_a_longer_run_may_take_longer() -> None:
    assert 120 < default_timeout(plan(LONG[:, :1])) < default_timeout(plan(LONG[:, :500]))
