"""Relay on the chip: v = (a << input_shift) + bias; s = v > (vth << threshold_shift)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...fixed import Registers
from ..base import Step, bias_of


def start(params: Any, batch: int, size: int) -> dict[str, Any]:
    return {}


def step(params: Any, state: Any, a: Any, biased: bool, registers: Registers) -> Step:
    v = (a << registers.input_shift) + (bias_of(params) if biased else 0)
    fired = v > params["vth"] << registers.threshold_shift
    return Step(fired.astype(np.int64), {"v": v}, {}, {})
