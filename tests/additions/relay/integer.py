"""Relay on the chip: v = (a << 6) + bias; s = v > (vth << 6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import Step, bias_of


def start(params: Any, batch: int, size: int) -> dict[str, Any]:
    return {}


def step(params: Any, state: Any, a: Any, biased: bool) -> Step:
    v = (a << 6) + (bias_of(params) if biased else 0)
    return Step((v > params["vth"] << 6).astype(np.int64), {"v": v}, {}, {})
