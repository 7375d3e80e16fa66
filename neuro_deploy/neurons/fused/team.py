"""Threads for compiled work: torch's own where we can reach them, else Python's.

Torch's threads (libgomp's, that its Linux wheels bring) are awake between two operations of torch, and take work in
microseconds; others would fight with them for the cores.  Neither they nor Numba's survive a fork: a forked child has
Python's threads, its own.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch

BORN = os.getpid()
"""The process that imported this: in another one torch's threads, if it had any, are gone."""


class Kernel:
    """Compiled work, `void(int64 *job)`, that several threads may do together; from a Numba cfunc, which it keeps."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self.call: Callable[[int], None] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled.address)
        self.address: int = compiled.address


def run(kernel: Kernel, job: int, count: int) -> None:
    """Have `count` threads, this one among them, do the job at this address, and wait for them."""
    if count == 1:
        kernel.call(job)
        return
    together = _openmp()
    if together is not None and os.getpid() == BORN:
        together(kernel.address, job, count, 0)
        return
    others: list[Future[None]] = []
    try:
        for _ in range(count - 1):
            others.append(_pool(os.getpid(), count - 1).submit(kernel.call, job))
        kernel.call(job)
    finally:
        _ended(
            [other for other in others if not other.cancel()]
        )  # those have begun: torch's threads may have their core


def _ended(others: list[Future[None]]) -> None:
    """Wait, through Ctrl-C too: the job's memory is free afterwards."""
    try:
        wait(others)
    except BaseException:
        _ended(others)
        raise
    for other in others:
        other.result()


@cache
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "fused-neuron")


@cache
def _openmp() -> Callable[[int, int, int, int], None] | None:
    """GOMP_parallel(function, data, threads, flags) of the library whose threads torch takes; None: it is not known.

    Source: libgomp's manual, "Implementing PARALLEL construct"; compiled programs call it, so that it does not change.
    """
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    if len(found) != 1 or _forked():
        return None
    try:
        parallel = ctypes.CDLL(str(found[0])).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return cast(Callable[[int, int, int, int], None], parallel)


def _forked() -> bool:
    """True in a child of multiprocessing that may have been forked before this was imported."""
    return (
        multiprocessing.parent_process() is not None and "Spawn" not in type(multiprocessing.current_process()).__name__
    )
