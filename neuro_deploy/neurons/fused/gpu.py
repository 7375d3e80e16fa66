"""The fused neuron on a GPU, by Triton; with TRITON_INTERPRET=1 in Triton's interpreter, on the CPU, for tests."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor

from . import gpu_kernels
from .form import LEARNED, PARAMETERS, Form, Inputs, Outputs, Sums

SURROGATE = {"sigmoid": 0, "triangle": 1, "arctan": 2}
BLOCKS, INTERPRETED_BLOCK = ((128, 4), (256, 4), (512, 4), (128, 1)), 1 << 16
"""Neurons and warps: 1, 2 or 4 neurons a thread, with 4 also in a block that need not wait for other warps."""
OPTIONS = {"enable_fp_fusion": False}
"""A fused multiply-add rounds once where plain.py rounds twice."""
CHUNK, ROUNDS = 8, 32
"""Steps that are in registers together, at most, and rounds of firing in them, where there are so many steps."""


@cache
def tuned(name: str) -> Any:
    """A kernel that finds its block size for each order of magnitude; the interpreter takes one large block."""
    blocks = ((INTERPRETED_BLOCK, 4),) if os.environ.get("TRITON_INTERPRET") == "1" else BLOCKS
    configs = [triton.Config({"BLOCK": block}, num_warps=warps) for block, warps in blocks]
    return triton.autotune(configs, key=["magnitude", "CHUNK"])(getattr(gpu_kernels, name))


def chunk(steps: int, form: Form) -> int:
    """Steps of a chunk: as even as they come, since those missing in the last are computed too."""
    most = min(CHUNK, max(2, ROUNDS // (form.circulations + form.circulations_neg)))
    return math.ceil(steps / max(1, math.ceil(steps / most))) or 1


class _Job:
    """What both passes need: the inputs (T, size), contiguous, and the kernels' constants."""

    def __init__(self, i: Inputs, form: Form) -> None:
        if i.beta.dtype != torch.float32 or form.smooth:
            raise TypeError("neurons on a GPU are computed in float32")
        self.shape, self.x = tuple(i.x.shape), i.x.contiguous()
        self.steps, self.size = self.shape[0], math.prod(self.shape[1:])
        given = i.v0 is not None or i.u0 is not None
        self.start = [self._state(v, i) if given else i.beta for v in (i.v0, i.u0)]
        values = [i.theta if v is None else v for v in (getattr(i, name) for name in PARAMETERS)]
        self.parameters = [v.contiguous() for v in values]
        self.sizes = (math.prod(self.shape[2:]), self.size.bit_length())
        self.constants = {
            "UP": form.circulations, "DOWN": form.circulations_neg, "HARD": form.hard, "RESETS": i.v_reset is not None,
            "DRIFT": i.drift is not None, "CURRENT": i.beta_syn is not None, "START": given,
            "EACH": sum(1 << k for k, v in enumerate(values) if v.numel() > 1), "CHUNK": chunk(self.steps, form),
        }  # fmt: skip

    def _state(self, v: Tensor | None, i: Inputs) -> Tensor:
        return i.beta.new_zeros(self.shape[1:]) if v is None else v.contiguous()

    def grid(self, meta: dict[str, int]) -> tuple[int]:
        return (triton.cdiv(self.size, meta["BLOCK"]),)


def forward(i: Inputs, form: Form, watch: bool) -> Outputs:
    """As plain.forward."""
    job = _Job(i, form)
    s = i.beta.new_empty(job.shape)
    v, h = (torch.empty_like(s) if watch else s for _ in range(2))
    u = torch.empty_like(s) if watch and i.beta_syn is not None else s
    columns, magnitude = job.sizes
    with torch.cuda.device_of(s):  # type: ignore[no-untyped-call]
        tuned("forward")[job.grid](
            job.x, *job.start, *job.parameters, s, v, h, u, job.steps, job.size, columns, magnitude,
            **job.constants, WATCH=watch, **OPTIONS,
        )  # fmt: skip
    return Outputs(s, *(t if t is not s else None for t in (v, h, u)))


def backward(grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> Sums:
    """As plain.backward, but the gradient of x in its dtype.

    Sums are in float32 over gpu_kernels.PART neurons or over time, the rest of them in float64.
    """
    job, wants = _Job(i, form), dict(zip(LEARNED, need, strict=True))
    gx = torch.empty_like(job.x)
    states, rows = _states(job, gx)
    parts = triton.cdiv(job.size, gpu_kernels.PART)
    galpha = i.beta.new_empty((job.steps, parts) if wants["alpha"] else ())
    names = ("beta", "theta", "theta_neg")
    gbeta, gtheta, gnegative = (i.beta.new_empty(job.shape[1:] if wants[n] else ()) for n in names)
    gv0, gu0 = (i.beta.new_empty(job.shape[1:] if job.constants["START"] else ()) for _ in range(2))
    given = [gx if g is None else g.contiguous() for g in grads]
    columns, magnitude = job.sizes
    with torch.cuda.device_of(gx):  # type: ignore[no-untyped-call]
        tuned("backward")[job.grid](
            *given, job.x, *job.start, *job.parameters, i.alpha.contiguous(),
            gx, states, galpha, gbeta, gtheta, gnegative, gv0, gu0,
            job.steps, job.size, columns, parts, magnitude, **job.constants, ROWS=rows,
            DETACH=form.detach, SURROGATE=SURROGATE[form.surrogate], OWN=i.theta_reset is not None,
            GS=grads.s is not None, GV=grads.v is not None, GH=grads.h is not None, GU=grads.u is not None,
            ALPHA=wants["alpha"], BETA=wants["beta"], THETA=wants["theta"], NEGATIVE=wants["theta_neg"], **OPTIONS,
        )  # fmt: skip
    summed = galpha.sum(1, dtype=torch.float64) if wants["alpha"] else None
    return Sums(gx, summed, *(t if t.ndim else None for t in (gbeta, gtheta, gnegative, gv0, gu0)))


def _states(job: _Job, gx: Tensor) -> tuple[Tensor, int]:
    """Where the backward kernel keeps v and u at the start of each chunk but the last, and rows of it for a chunk."""
    size = job.constants["CHUNK"]
    if gx.dtype == torch.float32:
        return gx, size
    rows, chunks = 2 if job.constants["CURRENT"] else 1, math.ceil(job.steps / size)
    return job.start[0].new_empty(((chunks - 1) * rows, job.size)), rows
