"""The fused neuron on the CPU: blocks of neurons that threads take one by one, outputs from memory used again."""

from __future__ import annotations

import ctypes
import math
import operator
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import team
from .cpu_kernels import Flags, Wanted, backward_kernel, forward_kernel
from .cpu_pieces import LENGTH, WORK
from .cpu_pieces import ROW as BLOCK
from .form import PARAMETERS, Form, Inputs, Outputs, Sums
from .memory import empty

Array = NDArray[Any]
TRAIL = 1 << 17
"""Floats of potentials that a block may keep in the backward pass: half of a core's second-level cache."""
LEAST_BLOCK = 256
WORTH = 1 << 16
"""Neurons times steps that a thread must have to be worth waking."""
THETA_RESET = PARAMETERS.index("theta_reset")
SURROGATE = {"sigmoid": 0, "triangle": 1, "arctan": 2}


MET: set[Flags] = set()
"""Kernels that this process has used: loading or compiling one takes seconds, where a small run takes less."""


OWN = threading.local()
LARGEST_KEPT = 1 << 26
"""Bytes of scratch that a thread keeps at most: some need more for very long sequences."""


def _scratch(size: int) -> tuple[int, Any]:
    """The address of `size` bytes, this thread's own, until it asks again; and their owner."""
    kept: tuple[int, int, Any] = getattr(OWN, "kept", (0, 0, None))
    if kept[0] < size:
        memory = np.zeros(size, np.uint8)  # not empty: what is not a number slows arithmetic down
        kept = (size, memory.ctypes.data, memory)
        if size <= LARGEST_KEPT:
            OWN.kept = kept
    return kept[1:]


def _flat(value: Tensor) -> Tensor:
    """The same numbers as memory shows them in order."""
    return (value if value.layout == torch.strided else value.to_dense()).contiguous().resolve_neg()


class _Cut(NamedTuple):
    """How a population is cut: see cpu_kernels.py."""

    blocks: int
    period: int
    pieces: int
    width: int
    columns: int


@cache
def _cut(size: int, neurons: int, scalar: bool, most: int) -> _Cut:
    if scalar:
        return _Cut(-(-size // most), most, 1, most, 1)
    if neurons <= most:
        period = most // neurons * neurons
        return _Cut(-(-size // period), period, 1, period, period)
    pieces = -(-neurons // most)
    return _Cut(size // neurons * pieces, neurons, pieces, -(-neurons // pieces), neurons)


class _Job:
    """What both passes need."""

    def __init__(self, i: Inputs, form: Form, most: int) -> None:
        shape = self.shape = i.x.shape
        self.steps, self.size, neurons = shape[0], math.prod(shape[1:]), math.prod(shape[2:])
        self.wide = i.beta.dtype == torch.float64
        self.flags = _flags(i, form)
        self.x = _flat(i.x if i.x.dtype == i.beta.dtype else i.x.to(i.beta.dtype))
        self.alpha = _flat(i.alpha)
        self.starts = [self._start(value) for value in (i.v0, i.u0)] if self.flags.start else [None, None]
        self.cut = _cut(self.size, neurons, self.flags.scalar, max(1, min(most, self.size)))
        self.table = _table(i, neurons, self.flags.scalar, self.cut.columns)
        MET.add(self.flags)

    def _start(self, value: Tensor | None) -> Tensor:
        return self.x.new_zeros(self.shape[1:]) if value is None else _flat(value)

    def like_x(self) -> Tensor:
        return torch.from_numpy(empty(tuple(self.shape), np.float64 if self.wide else np.float32))

    def run(self, kernel: team.Kernel, trail: int, *arrays: Tensor | None) -> None:
        """Let threads run the kernel.  trail: steps to keep; arrays: its own, after x, v0, u0, parameters and alpha."""
        cut = self.cut
        each = (WORK + trail * cut.width) * (8 if self.wide else 4)
        count = min(torch.get_num_threads(), cut.blocks, max(1, self.steps * self.size // WORTH))
        table = ctypes.addressof(self.table) if isinstance(self.table, ctypes.Array) else self.table.data_ptr()
        scratch, owner = _scratch(count * each)
        first = [0 if a is None else a.data_ptr() for a in (self.x, *self.starts)]
        job = (ctypes.c_int64 * LENGTH)(
            0, 0, cut.blocks, self.steps, self.size, cut.period, cut.pieces, cut.width, cut.columns,
            scratch, each, *first, table, self.alpha.data_ptr(),
            *[0 if a is None else a.data_ptr() for a in arrays],
        )  # fmt: skip
        team.run(kernel, ctypes.addressof(job), count)
        del owner


parameters = operator.attrgetter(*PARAMETERS)


def _scalar(i: Inputs) -> bool:
    """True if all parameters are one number for the population."""
    return all(value is None or value.numel() == 1 for value in parameters(i))


def _flags(i: Inputs, form: Form) -> Flags:
    return Flags(
        form.circulations, form.circulations_neg, form.hard, form.detach, SURROGATE[form.surrogate], form.smooth,
        i.theta_reset is not None, i.v_reset is not None, i.drift is not None, i.beta_syn is not None,
        _scalar(i), i.v0 is not None or i.u0 is not None, i.beta.dtype == torch.float64,
    )  # fmt: skip


def met(i: Inputs, form: Form) -> bool:
    """True if a kernel for these options has been used in this process."""
    return _flags(i, form) in MET


def _table(i: Inputs, neurons: int, scalar: bool, columns: int) -> Any:
    """The parameters (7, columns)."""
    values = list(parameters(i))
    if i.theta_reset is None:
        values[THETA_RESET] = i.theta
    if scalar:
        numbers = [0.0 if v is None else v.item() for v in values]
        return ((ctypes.c_float if i.beta.dtype == torch.float32 else ctypes.c_double) * len(numbers))(*numbers)
    rows = [i.beta.new_zeros(()) if v is None else v.reshape(-1) for v in values]
    return torch.stack([row.expand(neurons) for row in rows]).repeat(1, columns // neurons)


def forward(i: Inputs, form: Form, watch: bool) -> Outputs:
    """As plain.forward."""
    job = _Job(i, form, BLOCK)
    wanted = (True, watch, watch, watch and i.beta_syn is not None)
    found = Outputs(*(job.like_x() if w else None for w in wanted))
    job.run(forward_kernel(job.flags, watch), 0, *found)
    return found


@cache
def _backwards(steps: int) -> Tensor:
    return torch.arange(steps - 1, -1, -1)


def backward(grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> Sums:
    """As plain.backward."""
    job = _Job(i, form, min(BLOCK, max(LEAST_BLOCK, TRAIL // len(i.x) // 64 * 64)))
    _, alpha, beta, theta, theta_neg, _, _ = need
    given = [None if g is None or g._is_zerotensor() else _flat(g) for g in grads]
    gx = job.like_x()
    galpha = torch.empty((job.cut.blocks, job.steps), dtype=torch.float64) if alpha else None
    over_time = [torch.zeros(job.shape[1:], dtype=torch.float64) if w else None for w in (beta, theta, theta_neg)]
    starts = [None if start is None else torch.empty_like(start) for start in job.starts]
    wanted = Wanted._make([*(g is not None for g in given), alpha, beta, theta, theta_neg])
    job.run(
        backward_kernel(job.flags, wanted), job.steps, *given, gx, galpha, *over_time, *starts, _backwards(job.steps)
    )
    return Sums(gx, None if galpha is None else galpha.sum(0), *over_time, *starts)
