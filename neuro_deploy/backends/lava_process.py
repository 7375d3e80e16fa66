"""Running a plan in a process of its own, from which nothing survives.

The parent never imports Lava.  The worker leads a session and process group of its own; the group is ended after
success, an error, a timeout and Ctrl-C, and by the worker's watchdog if this process is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from ..errors import BackendError, LavaMissingError, LavaTimeoutError
from ..trace import VARIABLES
from ..wiring import Conv, Sparse
from .base import Progress
from .lava_plan import ERROR, WITNESSES, Plan, Wire, check_plan, record_file, save_plan
from .lava_worker import DONE, MARK, remove_scratch

TICK = 0.2
LAST_WORDS = 2.0
"""Seconds for an error to arrive when a process has died."""
GRACE = 5.0
"""Seconds that Lava may take for an orderly end after a run, and the group for dying."""


class Outcome(NamedTuple):
    """What a run gave: population -> variable -> (rows, B, N); population -> whose model judged it."""

    data: dict[str, dict[str, NDArray[Any]]]
    witnesses: dict[str, str]


def default_timeout(plan: Plan) -> float:
    """Seconds that a run may take: two minutes, and for each step ten times what it usually takes."""
    weights = sum(_work(wire) for wire in plan.wires)
    parts = len(plan.sources) + len(plan.cells) + len(plan.wires)
    return 120.0 + plan.rows * plan.batch * (0.05 * parts + 1e-7 * weights)


def _work(wire: Wire) -> int:
    """Products of weights and spikes in a step; a delayed sparse synapse, which Lava builds anew each time, as ten."""
    wiring, work = wire.wiring, wire.wiring.weight.size * (1 + wire.delay)
    if isinstance(wiring, Conv):
        return work * int(np.prod(wiring.target_shape[1:]))
    return 10 * work if isinstance(wiring, Sparse) and wire.delay else work


def run_plan(plan: Plan, timeout: float | None, progress: Progress) -> Outcome:
    """Run a plan in Lava.

    timeout: seconds, or None for `default_timeout`.   progress: called with (samples done, of how many).
    Raises: BackendError for what Lava cannot run, or what happened in it; LavaMissingError; LavaTimeoutError.
    """
    check_plan(plan)
    limit = default_timeout(plan) if timeout is None else timeout
    with tempfile.TemporaryDirectory(prefix="neuro_deploy_lava_") as name:
        folder = Path(name)
        save_plan(plan, folder)
        with _worker(folder) as worker:
            _follow(worker, folder, plan, limit, progress)
        return _outcome(plan, folder)


@contextlib.contextmanager
def _worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running worker; at the end, whatever happens, its group is gone."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"}
    with (folder / "stderr.txt").open("wb") as errors:
        worker = subprocess.Popen(
            [sys.executable, "-m", "neuro_deploy.backends.lava_worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    try:
        yield worker
    finally:
        end_group(worker.pid)
        remove_scratch(folder)
        for stream in (worker.stdin, worker.stdout):
            if stream:
                stream.close()
        worker.wait()


def living(group: int) -> list[psutil.Process]:
    """Processes of a process group that are not zombies."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_group(group: int) -> None:
    """End every process of a group, and wait until it is gone.

    First SIGTERM: only multiprocessing's resource tracker ignores it, which frees the shared memory when the others
    are dead, and ends.  Then SIGKILL.
    """
    for way in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, way)
        end = time.monotonic() + GRACE
        while living(group):
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        else:
            return


def _follow(worker: subprocess.Popen[bytes], folder: Path, plan: Plan, limit: float, progress: Progress) -> None:
    """Follow the worker to its end.  Raises: BackendError and its kin."""
    assert worker.stdout is not None
    output = worker.stdout.fileno()
    end = time.monotonic() + limit
    done, rest, finished, dead = 0, b"", False, False
    while True:
        chunk = os.read(output, 1 << 16) if select.select([output], [], [], TICK)[0] else b""
        *lines, rest = (rest + chunk).split(b"\n")
        for word in (line.split()[1].decode() for line in lines if line.startswith(f"{MARK} ".encode())):
            if word == DONE:
                finished, end = True, time.monotonic() + GRACE
            else:
                done = int(word)
                progress(done, plan.batch)
        if finished:
            if worker.poll() is not None or time.monotonic() > end:
                return
            continue
        _check_error(folder)
        if time.monotonic() > end:
            raise LavaTimeoutError(
                f"the Lava run was ended after its limit of {limit:g} s, with {done} of {plan.batch} samples done; "
                "run fewer samples, or give a longer timeout"
            )
        if dead and not chunk:
            _explain_death(worker, folder)
        dead = not chunk and _dead(worker)  # believed only if what was said before has been read, and was not DONE


def _dead(worker: subprocess.Popen[bytes]) -> bool:
    """True if the worker, or a child of it, has ended."""
    if worker.poll() is not None:
        return True
    with contextlib.suppress(psutil.Error):
        return any(child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process(worker.pid).children())
    return False


def _check_error(folder: Path) -> None:
    """Raise what a process of Lava left as its last words."""
    if not (folder / ERROR).exists():
        return
    error: Mapping[str, str] = json.loads((folder / ERROR).read_text(encoding="utf-8"))
    for kind in (LavaMissingError, BackendError):
        if error["type"] == kind.__name__:
            raise kind(error["message"])
    raise BackendError(f"Lava failed in {error['where']}: {error['text']}")


def _explain_death(worker: subprocess.Popen[bytes], folder: Path) -> None:
    """Raise for a worker, or a child of it, that has died, with its last words if there are any."""
    end = time.monotonic() + LAST_WORDS
    while not (folder / ERROR).exists() and time.monotonic() < end:
        time.sleep(0.02)
    _check_error(folder)
    lines = (folder / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    code = worker.poll()
    what = "lost one of its processes (killed? out of memory?)" if code is None else f"ended with code {code}"
    raise BackendError(f"the Lava run {what}{': ' + lines[-1] if lines else ''}")


def _outcome(plan: Plan, folder: Path) -> Outcome:
    data: dict[str, dict[str, NDArray[Any]]] = {}
    for index, cell in enumerate(plan.cells):
        files = {name: record_file(folder, index, name) for name in VARIABLES}
        data[cell.name] = {name: np.load(path) for name, path in files.items() if path.exists()}
    return Outcome(data, json.loads((folder / WITNESSES).read_text(encoding="utf-8")))
