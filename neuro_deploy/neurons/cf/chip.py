"""CF in a chip's arithmetic, in torch.  See integer.py for what it computes, neurons/chip.py for the interface."""

from __future__ import annotations

from torch import Tensor

from ..chip import Dynamics, Firing, Side, crossed


def fire(d: Dynamics, h: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and the potential that is left, int64 (B, N)."""
    theta = d.level("vth")
    up = crossed(h, theta, d.params["rounds"])
    v = h - up * d.params.get("theta_reset", theta)
    if "rounds_neg" in d.idle:
        return up, v
    below = d.level("vth_neg")
    down = crossed(-h, below, d.params["rounds_neg"])
    return up - down, v + down * below


def firing(d: Dynamics, x: Tensor, s: Tensor, alpha: Tensor) -> Firing:
    """Its derivatives: dv/dh = 1, dv/dc = -theta_reset, and theta_neg of the other side.

    x: h in float units, (T, B, N).   s: spikes.   alpha: (T,).
    """
    theta, taken = d.level("vth"), d.params.get("theta_reset", d.level("vth"))
    sides = [Side(1, *d.counted(x, alpha, theta, d.params["rounds"]), -taken * d.size)]
    if "rounds_neg" not in d.idle:
        below = d.level("vth_neg")
        slope, tilt = d.counted(-x, alpha, below, d.params["rounds_neg"])
        sides.append(Side(-1, -slope, tilt, below * d.size))
    return Firing(None, tuple(sides))
