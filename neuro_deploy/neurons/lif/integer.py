"""LIF on the chip, in numpy: the arithmetic of the plain simulator.

    u, h : see neurons/integer.py
    s    = h > (vth << 6)
    v    = v_reset where s, else h                v_reset: 0 where the population has none

Source: lava-nc 0.10.0, lava/proc/lif/models.py, AbstractPyLifModelFixed and PyLifModelBitAcc.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...fixed import Ints, Registers
from ..base import Step, visible
from ..integer import charge, start

__all__ = ["start", "step"]


def step(params: Mapping[str, Ints], state: Mapping[str, Ints], a: Ints, biased: bool, registers: Registers) -> Step:
    """One step.  a: int64 (B, N), the int32 sums; biased: False before the population's latency."""
    u, h, events = charge(params, state, a, biased, registers)
    fired = h > (params["vth"] << registers.threshold_shift)
    v = np.where(fired, params.get("v_reset", np.int64(0)), h)
    return Step(fired.astype(np.int64), visible(v=v, h=h, u=u), visible(v=v, u=u), events)
