"""CF on the chip, in numpy: the arithmetic of `backends/sim`.

    x = a << 6                                           a: int32 sum of the synapses; no wrap here (int64)
    h = clip(sgn(v) * ((|v| * (4096 - dv)) >> 12) + x + bias, -(2^23 - 1), 2^23 - 1)
    s = #{k in 1..K : h > k * theta} - #{k in 1..K_neg : h < -k * theta_neg}          theta = vth << 6, strict
    v = h - s * theta   (s >= 0),   h - s * theta_neg   (s < 0)

Source: our reading of arXiv 2605.27412, with the registers of Lava's LIF (docs/semantics.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...fixed import Ints, clip_symmetric, decay_toward_zero
from ..base import Step, bias_of

V_BITS = 24
SHIFT = 6


def start(params: Mapping[str, Ints], batch: int, size: int) -> dict[str, Ints]:
    """The state before the first step: v = 0, int64 (B, N)."""
    return {"v": np.zeros((batch, size), np.int64)}


def rounds(h: Ints, theta: Ints, most: Ints) -> Ints:
    """#{k in 1..most : h > k * theta} for theta >= 1: the rounds that a potential goes."""
    gone: Ints = (h - 1) // theta
    return np.clip(gone, 0, most)


def step(params: Mapping[str, Ints], state: Mapping[str, Ints], a: Ints, biased: bool) -> Step:
    """One step.  a: int64 (B, N), the int32 sums; biased: False before the population's latency."""
    theta = params["vth"] << SHIFT
    theta_neg = params["vth_neg"] << SHIFT
    wanted = decay_toward_zero(state["v"], 4096 - params["dv"]) + (a << SHIFT)
    if biased:
        wanted = wanted + bias_of(params)
    h = clip_symmetric(wanted, V_BITS)
    up = rounds(h, theta, params["rounds"])
    down = rounds(-h, theta_neg, params["rounds_neg"])
    v = h - up * theta + down * theta_neg
    return Step(up - down, {"v": v, "h": h}, {"v": v}, {"v_clips": int((h != wanted).sum())})
