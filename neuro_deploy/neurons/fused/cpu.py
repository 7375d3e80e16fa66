"""The fused neuron on the CPU: blocks of neurons, threads of our own, outputs from memory that is used again.

Threads are Python's, one for each that torch would take (torch.get_num_threads), since Numba's and OpenMP's do not
survive a fork; a forked child makes its own.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cpu_kernels import Flags, Wanted, backward_kernel, forward_kernel
from .cpu_pieces import ROW as BLOCK
from .cpu_pieces import WORK
from .form import LEARNED, PARAMETERS, Form, Inputs, Outputs, Sums
from .memory import empty

Array = NDArray[Any]
Scratch = tuple[Array, Array]
TRAIL = 1 << 17
"""Floats of potentials that a block may keep in the backward pass: half of a core's second-level cache."""
LEAST_BLOCK, LANES = 256, 64
WORTH = 1 << 15
"""Neurons times steps that a thread must have to be worth waking."""
SHARES = 4
"""Pieces of work for each thread."""
SURROGATE = {"sigmoid": 0, "triangle": 1, "arctan": 2}


MET: set[Flags] = set()
"""Kernels that this process has used: loading or compiling one takes seconds, where a small run takes less."""


OWN = threading.local()


@cache
def _pool(process: int, count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "fused-neuron")


def _scratch(dtype: np.dtype[Any], trail: int) -> Scratch:
    """This thread's own: WORK numbers, and `trail` or more."""
    found: dict[np.dtype[Any], Scratch] = OWN.__dict__.setdefault("arrays", {})
    if dtype not in found or found[dtype][1].size < trail:
        found[dtype] = np.zeros(WORK, dtype), np.zeros(trail, dtype)
    return found[dtype]


def _share(work: Callable[[int, int, Scratch], None], blocks: int, size: int, dtype: np.dtype[Any], trail: int) -> None:
    """Do blocks 0 .. blocks-1, by as many threads as are worth it.  work(first, last, the thread's own scratch)."""
    count = min(torch.get_num_threads(), blocks, max(1, size // WORTH))
    each = blocks if count == 1 else max(1, blocks // (SHARES * count))
    starts = iter(range(0, blocks, each))

    def some() -> None:
        own = _scratch(dtype, trail)
        for first in starts:
            work(first, min(first + each, blocks), own)

    others = [_pool(os.getpid(), count - 1).submit(some) for _ in range(count - 1)]
    try:
        some()
    finally:
        for other in others:
            if not other.cancel():  # it has begun: torch's idle threads, which spin, may have kept its core until now
                other.result()


class _Job:
    """What both passes need: arrays (T, M), the table of parameters, the blocks and the kernel's constants."""

    def __init__(self, i: Inputs, form: Form, most: int) -> None:
        self.dtype = _dtype(i)
        self.shape = tuple(i.x.shape)
        self.steps, self.size = self.shape[0], math.prod(self.shape[1:])
        self.x = _array(i.x.to(i.beta.dtype)).reshape(self.steps, self.size)
        self.alpha = _array(i.alpha)
        self.flags = _flags(i, form)
        self.v0, self.u0 = (self._start(value, self.flags.start) for value in (i.v0, i.u0))
        self.table, period, self.width, pieces = _table(i, math.prod(self.shape[2:]), most)
        self.blocks = -(-self.size // period) * pieces
        self.span = (period, pieces, self.width)
        MET.add(self.flags)

    def _start(self, value: Tensor | None, given: bool) -> Array:
        if value is None:
            return np.zeros(self.size if given else 0, self.dtype)
        return _array(value).reshape(self.size)

    def rows(self, wanted: bool) -> Array:
        """A new array (T, M), or one that stands for it."""
        return empty((self.steps, self.size), self.dtype) if wanted else np.empty((self.steps, 0), self.dtype)

    def given(self, grad: Tensor | None) -> Array:
        """A gradient (T, M)."""
        return self.rows(False) if grad is None else _array(grad.to_dense()).reshape(self.steps, self.size)

    def tensor(self, values: Array, shape: tuple[int, ...] | None = None) -> Tensor:
        return torch.from_numpy(values).reshape(self.shape if shape is None else shape)


def _dtype(i: Inputs) -> np.dtype[Any]:
    return np.dtype(np.float32 if i.beta.dtype == torch.float32 else np.float64)


def _scalar(i: Inputs) -> bool:
    """True if all parameters are one number for the population."""
    values = (getattr(i, name) for name in PARAMETERS)
    return all(v is None or v.numel() == 1 for v in values)


def _flags(i: Inputs, form: Form) -> Flags:
    return Flags(
        form.circulations, form.circulations_neg, form.hard, form.detach, SURROGATE[form.surrogate], form.smooth,
        i.theta_reset is not None, i.v_reset is not None, i.drift is not None, i.beta_syn is not None,
        _scalar(i), i.v0 is not None or i.u0 is not None, _dtype(i) == np.float64,
    )  # fmt: skip


def met(i: Inputs, form: Form) -> bool:
    """True if a kernel for these options has been used in this process."""
    return _flags(i, form) in MET


def _array(value: Tensor) -> Array:
    found: Array = value.detach().contiguous().numpy()
    return found


def _table(i: Inputs, neurons: int, most: int) -> tuple[Array, int, int, int]:
    """The parameters (7, period), how often they repeat along M, the width of blocks, and how many a period has."""
    dtype = _dtype(i)
    values = [getattr(i, name) for name in PARAMETERS]
    values = [i.theta if v is None and name == "theta_reset" else v for name, v in zip(PARAMETERS, values, strict=True)]
    if _scalar(i):
        return np.array([[0.0 if v is None else v.item()] for v in values], dtype), most, most, 1
    rows = [0.0 if v is None else _array(v).reshape(-1) for v in values]
    once = np.stack([np.broadcast_to(row, neurons) for row in rows]).astype(dtype)
    if neurons <= most:
        period = most // neurons * neurons
        return np.tile(once, most // neurons), period, period, 1
    pieces = -(-neurons // most)
    return once, neurons, -(-neurons // pieces), pieces


def forward(i: Inputs, form: Form, watch: bool) -> Outputs:
    """As plain.forward."""
    job = _Job(i, form, BLOCK)
    kernel = forward_kernel(job.flags, watch)
    s, v, h, u = (job.rows(wanted) for wanted in (True, watch, watch, watch and i.beta_syn is not None))

    def work(first: int, last: int, own: Scratch) -> None:
        kernel(job.x, job.v0, job.u0, job.table, job.alpha, s, v, h, u, own[0], first, last, *job.span)

    _share(work, job.blocks, job.x.size, job.dtype, 0)
    rest = [job.tensor(values) if values.shape[1] else None for values in (v, h, u)]
    return Outputs(job.tensor(s), *rest)


def backward(grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> Sums:
    """As plain.backward."""
    most = min(BLOCK, max(LEAST_BLOCK, TRAIL // len(i.x) // LANES * LANES))
    job = _Job(i, form, most)
    wants = dict(zip(LEARNED, need, strict=True))
    parameters = ("alpha", "beta", "theta", "theta_neg")
    kernel = backward_kernel(job.flags, Wanted(*(g is not None for g in grads), *(wants[name] for name in parameters)))
    given = [job.given(grad) for grad in grads]
    gx, galpha = job.rows(True), np.zeros((job.blocks, job.steps if wants["alpha"] else 0))
    sums = [np.zeros(job.size if wants[name] else 0) for name in parameters[1:]]
    starts = [np.empty(job.size if job.flags.start else 0, job.dtype) for _ in range(2)]
    order = np.arange(job.steps - 1, -1, -1)

    def work(first: int, last: int, own: Scratch) -> None:
        kernel(
            *given, job.x, job.v0, job.u0, job.table, job.alpha, gx, galpha, *sums, *starts,
            *own, order, first, last, *job.span,
        )  # fmt: skip

    _share(work, job.blocks, job.x.size, job.dtype, job.steps * job.width)
    each = [job.tensor(values, job.shape[1:]) if values.size else None for values in (*sums, *starts)]
    alpha = torch.from_numpy(galpha.sum(0)) if wants["alpha"] else None
    return Sums(job.tensor(gx), alpha, *each)
