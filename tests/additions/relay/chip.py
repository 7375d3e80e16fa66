"""Relay in a chip's arithmetic, in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..chip import Dynamics, Firing, Side


def fire(d: Dynamics, h: Tensor) -> tuple[Tensor, Tensor]:
    return (h > d.level("vth")).long(), h


def firing(d: Dynamics, x: Tensor, s: Tensor, alpha: Tensor) -> Firing:
    theta = d.level("vth")
    slope, tilt = d.counted(x, alpha, theta, torch.ones_like(theta))
    return Firing(torch.zeros_like(x), (Side(1, slope, tilt, torch.zeros_like(d.size)),))
