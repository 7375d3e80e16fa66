"""CF on the chip, in numpy: the arithmetic of the plain simulator.

    h : see neurons/integer.py
    s = #{k in 1..K : h > k * theta} - #{k in 1..K_neg : h < -k * theta_neg}          theta = vth << 6, strict
    v = h - s * theta_reset   (s >= 0),   h - s * theta_neg   (s < 0)          theta_reset: theta where it has none

Source: our reading of arXiv 2605.27412, with the registers of Lava's LIF (docs/semantics.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...fixed import Ints, Registers
from ..base import Step, visible
from ..integer import charge, start

__all__ = ["rounds", "start", "step"]


def rounds(h: Ints, theta: Ints, most: Ints) -> Ints:
    """#{k in 1..most : h > k * theta} for theta >= 1: the rounds that a potential goes."""
    gone: Ints = (h - 1) // theta
    return np.clip(gone, 0, most)


def step(params: Mapping[str, Ints], state: Mapping[str, Ints], a: Ints, biased: bool, registers: Registers) -> Step:
    """One step.  a: int64 (B, N), the int32 sums; biased: False before the population's latency."""
    theta = params["vth"] << registers.threshold_shift
    theta_neg = params["vth_neg"] << registers.threshold_shift
    u, h, events = charge(params, state, a, biased, registers)
    up = rounds(h, theta, params["rounds"])
    down = rounds(-h, theta_neg, params["rounds_neg"])
    v = h - up * params.get("theta_reset", theta) + down * theta_neg
    return Step(up - down, visible(v=v, h=h, u=u), visible(v=v, u=u), events)
