"""LI in a chip's arithmetic, in torch: v = h, and no spike.  See neurons/chip.py for the interface."""

from __future__ import annotations

import torch
from torch import Tensor

from ..chip import Dynamics, Firing


def fire(d: Dynamics, h: Tensor) -> tuple[Tensor, Tensor]:
    """No spikes, and the potential as it is, int64 (B, N)."""
    return torch.zeros_like(h), h


def firing(d: Dynamics, x: Tensor, s: Tensor, alpha: Tensor) -> Firing:
    """Its derivatives: dv/dh = 1."""
    return Firing(None, ())
