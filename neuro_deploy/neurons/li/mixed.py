"""LI in float64 numbers of any unit: it never fires."""

from __future__ import annotations

import numpy as np

from ..mixed import Floats, Values

__all__ = ["fire"]


def fire(h: Floats, p: Values) -> tuple[Floats, Floats]:
    """Spikes and the potential that is left."""
    return np.zeros_like(h), h
