"""What the integer steps of all neuron kinds share: current, leak and bias, in numpy.

    u' = sgn(u) * ((|u| * (4095 - du)) >> 12) + (a << 6)                 where the population has `du`; int32
    u  = u' - 2^24 if u' > 2^23 ; u' + 2^24 if u' <= -2^23 ; else u'     one wrap
    h  = clip(sgn(v) * ((|v| * (4096 - dv)) >> 12) + x + bias, -(2^23 - 1), 2^23 - 1)

with x = u, or x = a << 6 (not wrapped) without `du`.  The numbers are those of the default registers.
Source: lava-nc 0.10.0, lava/proc/lif/models.py, AbstractPyLifModelFixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints, Registers, clip_symmetric, decay_toward_zero, wrap_bits, wrap_once
from .base import bias_of


class Charged(NamedTuple):
    """A population before it fires.  u: int64 (B, N), or None without a current; h: int64 (B, N).

    events: "u_wraps", "v_clips" -> where they happened, bool (B, N).
    """

    u: Ints | None
    h: Ints
    events: dict[str, NDArray[np.bool_]]


def start(params: Mapping[str, Ints], batch: int, size: int) -> dict[str, Ints]:
    """The state before the first step: v = 0, and u = 0 where there is a current; int64 (B, N)."""
    names = ("u", "v") if "du" in params else ("v",)
    return {name: np.zeros((batch, size), np.int64) for name in names}


def charge(
    params: Mapping[str, Ints], state: Mapping[str, Ints], a: Ints, biased: bool, registers: Registers
) -> Charged:
    """Current and potential before firing.  a: int64 (B, N), the int32 sums; biased: False before the latency."""
    events = {}
    x, u = a << registers.input_shift, None
    if "du" in params:
        keep = registers.unity - 1 - params["du"]
        exact = decay_toward_zero(state["u"], keep, registers.decay_bits) + x
        x = u = wrap_once(wrap_bits(exact, 32), registers.u_bits)
        events["u_wraps"] = u != exact
    exact = decay_toward_zero(state["v"], registers.unity - params["dv"], registers.decay_bits) + x
    if biased:
        exact = exact + bias_of(params)
    h = clip_symmetric(exact, registers.v_bits)
    events["v_clips"] = h != exact
    return Charged(u, h, events)
