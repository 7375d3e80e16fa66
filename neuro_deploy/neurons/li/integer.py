"""LI on the chip, in numpy: v = h, and no spike.  u, h: see neurons/integer.py."""

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
    return Step(np.zeros_like(h), visible(v=h, h=h, u=u), visible(v=h, u=u), events)
