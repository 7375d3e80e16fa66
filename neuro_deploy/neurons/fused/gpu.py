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
BLOCKS, INTERPRETED_BLOCK = (128, 256, 512, 1024), 1 << 16
OPTIONS = {"enable_fp_fusion": False}
"""A fused multiply-add rounds once where plain.py rounds twice."""


@cache
def tuned(name: str) -> Any:
    """A kernel that finds its block size for each size and number of steps; the interpreter takes one large block."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        configs = [triton.Config({"BLOCK": INTERPRETED_BLOCK})]
    else:
        configs = [triton.Config({"BLOCK": b}, num_warps=w) for b in BLOCKS for w in (2, 4, 8) if b >= 32 * w]
    return triton.autotune(configs, key=["steps", "size"])(getattr(gpu_kernels, name))


class _Job:
    """What both passes need: the inputs (T, size), contiguous, and the kernels' constants."""

    def __init__(self, i: Inputs, form: Form) -> None:
        if i.beta.dtype != torch.float32 or form.smooth:
            raise TypeError("neurons on a GPU are computed in float32")
        self.shape, self.x = tuple(i.x.shape), i.x.contiguous()
        self.steps, self.size = self.shape[0], math.prod(self.shape[1:])
        given = i.v0 is not None or i.u0 is not None
        nothing = i.beta.new_zeros(self.shape[1:] if given else ())
        self.v0, self.u0 = (nothing if v is None else v.contiguous() for v in (i.v0, i.u0))
        self.table = _table(i)
        self.constants = {
            "UP": form.circulations, "DOWN": form.circulations_neg, "HARD": form.hard, "RESETS": i.v_reset is not None,
            "DRIFT": i.drift is not None, "CURRENT": i.beta_syn is not None, "START": given,
        }  # fmt: skip

    def grid(self, meta: dict[str, int]) -> tuple[int]:
        return (triton.cdiv(self.size, meta["BLOCK"]),)


def _table(i: Inputs) -> Tensor:
    """The parameters (7, 1), or (7, neurons)."""
    values = [getattr(i, name) for name in PARAMETERS]
    values = [i.theta if v is None and name == "theta_reset" else v for name, v in zip(PARAMETERS, values, strict=True)]
    scalar = all(v is None or v.numel() == 1 for v in values)
    shape = (1,) if scalar else tuple(i.x.shape[2:])
    rows = [i.beta.new_zeros(()) if v is None else v for v in values]
    return torch.stack([(row.reshape(()) if row.numel() == 1 else row).expand(shape).reshape(-1) for row in rows])


def forward(i: Inputs, form: Form, watch: bool) -> Outputs:
    """As plain.forward."""
    job = _Job(i, form)
    s = i.beta.new_empty(job.shape)
    v, h = (torch.empty_like(s) if watch else s for _ in range(2))
    u = torch.empty_like(s) if watch and i.beta_syn is not None else s
    with torch.cuda.device_of(s):  # type: ignore[no-untyped-call]
        tuned("forward")[job.grid](
            job.x, job.v0, job.u0, job.table, s, v, h, u, job.steps, job.size, job.table.shape[1],
            **job.constants, WATCH=watch, **OPTIONS,
        )  # fmt: skip
    return Outputs(s, *(t if t is not s else None for t in (v, h, u)))


def backward(grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> Sums:
    """As plain.backward; sums in float32 over a block or over time, the rest of them in float64."""
    job, wants = _Job(i, form), dict(zip(LEARNED, need, strict=True))
    gx = i.beta.new_empty(job.shape)
    parts = triton.cdiv(job.size, BLOCKS[0])
    galpha = gx.new_zeros((parts, job.steps) if wants["alpha"] else ())
    gbeta, gtheta, gnegative = (gx.new_empty(job.shape[1:] if wants[n] else ()) for n in ("beta", "theta", "theta_neg"))
    gv0, gu0 = (gx.new_empty(job.shape[1:] if job.constants["START"] else ()) for _ in range(2))
    given = [gx if g is None else g.contiguous() for g in grads]
    with torch.cuda.device_of(gx):  # type: ignore[no-untyped-call]
        tuned("backward")[job.grid](
            *given, job.x, job.v0, job.u0, job.table, i.alpha.contiguous(), gx, galpha, gbeta, gtheta, gnegative,
            gv0, gu0,
            job.steps, job.size, job.table.shape[1], **job.constants,
            DETACH=form.detach, SURROGATE=SURROGATE[form.surrogate], OWN=i.theta_reset is not None,
            GS=grads.s is not None, GV=grads.v is not None, GH=grads.h is not None, GU=grads.u is not None,
            ALPHA=wants["alpha"], BETA=wants["beta"], THETA=wants["theta"], NEGATIVE=wants["theta_neg"], **OPTIONS,
        )  # fmt: skip
    found = (galpha.double().sum(0) if wants["alpha"] else None, gbeta, gtheta, gnegative, gv0, gu0)
    return Sums(gx, *(t if t is not None and t.ndim else None for t in found))
