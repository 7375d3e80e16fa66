"""The other ranks: who starts them, what they do, and what is said when one of them fails."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ..errors import TrainingError
from .processes import Processes, accelerator, check_devices, launched

PATIENCE = 2.0
"""Seconds that a process which fails may take to say why, or to end."""
READY = ""
LEFT = ("onnection", "peer", "Broken pipe")
"""Words of torch's errors where another process has gone."""


class Helper(NamedTuple):
    """A spawned process.  pipe: it says READY, and later its error if it has one."""

    rank: int
    process: Any
    pipe: Connection


@contextlib.contextmanager
def open_processes(device: str, devices: int | None) -> Iterator[Processes]:
    """The processes that train together, this one being rank 0 of those that are spawned here, or one of torchrun's.

    device: "auto", "cpu" or "cuda".   devices: GPUs, or processes on CPUs; None: torchrun's number, else 1.
    Raises: TrainingError for what is not there; or within the block, if another process failed first.
    """
    kind, mine = accelerator(device), launched()
    if mine is not None:
        if devices not in (None, mine.local_count):
            raise TrainingError(f"--devices {devices}: torchrun has started {mine.local_count}; leave one of them out")
        mine = replace(mine, device=kind)
        mine.join()
        yield mine
        return
    count = 1 if devices is None else devices
    check_devices(kind, count)
    if count == 1:
        yield Processes(kind)
        return
    with _spawned(kind, count) as first:
        yield first


@contextlib.contextmanager
def _spawned(kind: str, count: int) -> Iterator[Processes]:
    if dist.is_initialized():
        raise TrainingError("torch.distributed has a process group already: train on one device, or use torchrun")
    threads = max(1, torch.get_num_threads() // count)
    ranks = [Processes(kind, rank, count, rank, count, threads) for rank in range(count)]
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    helpers = [_start(mine, store.port) for mine in ranks[1:]]
    try:
        for helper in helpers:
            _await(helper)
        ranks[0].join(store)
        yield ranks[0]
        ranks[0].give(None)
        for helper in helpers:
            helper.process.join(PATIENCE)
    except (TrainingError, RuntimeError) as error:
        torchs = isinstance(error.__cause__ or error, RuntimeError)
        if torchs and (said := _complaint(helpers)):
            raise TrainingError(said) from error
        raise
    finally:
        for helper in helpers:
            helper.process.kill()
            helper.process.join()
            helper.pipe.close()
        if dist.is_initialized():
            dist.destroy_process_group()


def _start(mine: Processes, port: int) -> Helper:
    context = multiprocessing.get_context("spawn")  # forked children would lack torch's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_help, args=(mine, port, theirs), daemon=True, name=f"rank {mine.rank}")
    process.start()
    theirs.close()
    return Helper(mine.rank, process, ours)


def _await(helper: Helper) -> None:
    """Wait until a process is ready.  Raises: TrainingError if it ends before."""
    wait([helper.pipe, helper.process.sentinel])
    with contextlib.suppress(EOFError, OSError):
        if helper.pipe.poll() and helper.pipe.recv() == READY:
            return
    helper.process.join(PATIENCE)
    raise TrainingError(
        f"process {helper.rank} ended before it began ({_ending(helper)}); a script that trains on several devices "
        "must do so under: if __name__ == '__main__'"
    )


def _complaint(helpers: Sequence[Helper]) -> str:
    """What went wrong in another process, if something did before it went wrong here."""
    wait([helper.process.sentinel for helper in helpers], PATIENCE)
    said: list[str] = []
    for helper in helpers:
        text = READY
        with contextlib.suppress(EOFError, OSError):
            text = helper.pipe.recv() if helper.pipe.poll() else READY
        if text:
            said.append(text if any(word in text for word in LEFT) else f"process {helper.rank}: {text}")
        elif not helper.process.is_alive():
            said.append(f"process {helper.rank}: {_ending(helper)}; the same command with --resume goes on")
    told = [text for text in said if text.startswith("process")]
    return told[0] if told else ""


def _ending(helper: Helper) -> str:
    code = helper.process.exitcode
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _help(mine: Processes, port: int, pipe: Connection) -> None:
    """What a spawned process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe.send(READY)
    try:
        mine.join(TCPStore("127.0.0.1", port, is_master=False))
        serve(mine)
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send((str(error).splitlines() or [type(error).__name__])[0])
        os._exit(1)
    dist.destroy_process_group()
    os._exit(0)  # Python's own way out of so many modules takes a second or two


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def serve(mine: Processes) -> None:
    """Do the jobs that rank 0 gives, until it says that there are no more."""
    while (job := mine.take()) is not None:
        job(mine)


def follow(device: str, devices: int | None) -> bool:
    """A process of torchrun's that is not rank 0 does rank 0's jobs; False at once in any other."""
    mine = launched()
    if mine is None or mine.rank == 0:
        return False
    with open_processes(device, devices) as mine:
        serve(mine)
    dist.destroy_process_group()
    return True


@contextlib.contextmanager
def dismiss() -> Iterator[None]:
    """At the block's end rank 0 of torchrun's processes tells those that `follow` that there are no more jobs."""
    yield
    mine = launched()
    if mine is not None and dist.is_initialized():
        mine.give(None)
        dist.destroy_process_group()
