"""LIF on the chip, in numpy: the arithmetic of `backends/sim`.

    u' = sgn(u) * ((|u| * (4096 - (du + 1))) >> 12) + (a << 6)           int32
    u  = u' - 2^24 if u' > 2^23 ; u' + 2^24 if u' <= -2^23 ; else u'     one wrap
    h  = clip(sgn(v) * ((|v| * (4096 - dv)) >> 12) + u + bias, -(2^23 - 1), 2^23 - 1)
    s  = h > (vth << 6)
    v  = 0 where s, else h

Source: lava-nc 0.10.0, lava/proc/lif/models.py, AbstractPyLifModelFixed and PyLifModelBitAcc.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...fixed import Ints, clip_symmetric, decay_toward_zero, wrap_int32, wrap_once
from ..base import Step, bias_of

BITS = 24
SHIFT = 6


def start(params: Mapping[str, Ints], batch: int, size: int) -> dict[str, Ints]:
    """The state before the first step: u = v = 0, int64 (B, N)."""
    return {"u": np.zeros((batch, size), np.int64), "v": np.zeros((batch, size), np.int64)}


def step(params: Mapping[str, Ints], state: Mapping[str, Ints], a: Ints, biased: bool) -> Step:
    """One step.  a: int64 (B, N), the int32 sums; biased: False before the population's latency."""
    unwrapped = decay_toward_zero(state["u"], 4095 - params["du"]) + (a << SHIFT)
    u = wrap_once(wrap_int32(unwrapped), BITS)
    wanted = decay_toward_zero(state["v"], 4096 - params["dv"]) + u
    if biased:
        wanted = wanted + bias_of(params)
    h = clip_symmetric(wanted, BITS)
    fired = h > (params["vth"] << SHIFT)
    v = np.where(fired, 0, h)
    events = {"u_wraps": int((u != unwrapped).sum()), "v_clips": int((h != wanted).sum())}
    return Step(fired.astype(np.int64), {"v": v, "h": h, "u": u}, {"u": u, "v": v}, events)
