"""LIF in a chip's arithmetic, in torch.  See integer.py for what it computes, neurons/chip.py for the interface."""

from __future__ import annotations

import torch
from torch import Tensor

from ..chip import Dynamics, Firing, Side


def fire(d: Dynamics, h: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and the potential that is left, int64 (B, N)."""
    fired = h > d.level("vth")
    return fired.long(), torch.where(fired, d.params.get("v_reset", torch.zeros_like(h)), h)


def firing(d: Dynamics, x: Tensor, s: Tensor, alpha: Tensor) -> Firing:
    """Its derivatives: dv/dh = 1 - s, dv/ds = v_reset - h.

    x: h in float units, (T, B, N).   s: spikes.   alpha: (T,).
    """
    theta = d.level("vth")
    slope, tilt = d.counted(x, alpha, theta, torch.ones_like(theta))
    jump = d.params["v_reset"] * d.size - x if "v_reset" in d.params else -x
    return Firing((1 - s).to(x.dtype), (Side(1, slope, tilt, jump),))
