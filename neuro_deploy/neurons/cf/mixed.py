"""CF in float64 numbers of any unit: see the equations in spec.py."""

from __future__ import annotations

from ..mixed import Floats, Values, rounds

__all__ = ["fire"]


def fire(h: Floats, p: Values) -> tuple[Floats, Floats]:
    """Spikes and the potential that is left."""
    up = rounds(h, p["theta"], p["circulations"])
    down = rounds(-h, p["theta_neg"], p["circulations_neg"])
    return up - down, h - up * p.get("theta_reset", p["theta"]) + down * p["theta_neg"]
