"""LIF in float64 numbers of any unit: see the equations in spec.py."""

from __future__ import annotations

import numpy as np

from ..mixed import Floats, Values

__all__ = ["fire"]


def fire(h: Floats, p: Values) -> tuple[Floats, Floats]:
    """Spikes and the potential that is left."""
    fired = h > p["theta"]
    return fired.astype(np.float64), np.where(fired, p.get("v_reset", 0.0), h)
