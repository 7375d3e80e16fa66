"""What the kinds' mixed.py share: firing in float64, in whatever unit potentials and thresholds have (explanation/)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]
"""A population's parameters by their names in float, each () or (N,)."""


def rounds(h: Floats, theta: Floats, most: Floats) -> Floats:
    """#{k in 1..most : h > k * theta}.  h: (B, N)."""
    gone = np.zeros_like(h)
    for k in range(1, int(np.max(most)) + 1):
        above = (h > k * theta) & (k <= most)
        if not above.any():
            break
        gone += above
    return gone
