"""Training runs that are killed and resumed: `python kills.py JOBS` forks each run from a process that has imported
everything and computed nothing, so that a run begins in no time.

JOBS: a JSON list of jobs, each with out, overrides, chip, seconds (between checkpoints) and moments.  A moment is a
share of the time that the first job took, after which the run is killed (SIGKILL), or ["fsync", 3]: it is killed in its
third fsync, with a file that is not in place yet.  After the last one the run may end.  Printed is a JSON list, for
each job a list: for each moment whether the run was killed, and the temporary files that it left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import neuro_deploy.chip
import neuro_deploy.train.loop  # noqa: F401
from neuro_deploy.road import train_run
from neuro_deploy.train.datasets import data_of
from neuro_deploy.train.recipe import load_recipe


def run(job: dict[str, Any], fault: list[Any] | None) -> None:
    if fault:
        name, left = fault[0], [fault[1]]
        assert name == "fsync"

        def dying(handle: int) -> None:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = dying
    options = {"chip": job["chip"], "resume": True, "checkpoint_seconds": job["seconds"]}
    train_run("digits_mlp", Path(job["out"]), device="cpu", overrides=job["overrides"], **options)


def attempt(job: dict[str, Any], moment: Any, whole: float) -> bool:
    """True if the run was killed, False if it ended; anything else is an error."""
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            run(job, moment if isinstance(moment, list) else None)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    found = 0
    while isinstance(moment, float) and not found and time.monotonic() < begin + moment * whole:
        found, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.002)
    if not found:
        if isinstance(moment, float):
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), code
    return code != 0


def main(jobs: list[dict[str, Any]]) -> None:
    data_of(load_recipe("digits_mlp"))
    told: list[Any] = []
    begin, whole = time.monotonic(), 0.0
    for job in jobs:
        told.append([])
        for moment in [*job["moments"], None]:
            killed = attempt(job, moment, whole)
            left = [path.name for path in Path(job["out"]).rglob(".*.tmp")]
            told[-1].append([killed, left])
        whole = whole or time.monotonic() - begin
    print(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
