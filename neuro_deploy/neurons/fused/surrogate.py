"""Surrogate gradients in torch: bumps, and the smooth steps that they are the derivatives of.

A bump is a function of y = UNITS[name] * z.  Bumps are sequences of single operations that every implementation
repeats, each rounded by itself, so that gradients agree bit for bit in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

MAGIC = 12582912.0
"""1.5 * 2^23: adding and subtracting it rounds a float32 to a whole number."""
LOG2E = 1.4426950408889634
EXP2 = (0.6931469775987161, 0.24022242084635084, 0.055507337435742383, 0.009671512688149897, 0.0013264727247106758)
"""2^r = 1 + EXP2[0]*r + EXP2[1]*r^2 + ... within 1e-7 for |r| <= 1/2: the least largest relative error of degree 5."""
LARGEST = 125.0
"""2^-125 is about the smallest float32 with full precision."""


def exp2_minus(y: Tensor) -> Tensor:
    """2^-y for y >= 0; float32: 2^-125 at least, as 2^-n * 2^r with n = round(y), r = n - y."""
    if y.dtype != torch.float32:
        return torch.exp2(-y)
    y = y.clamp(max=LARGEST)
    m = y + MAGIC
    r = (m - MAGIC) - y
    p = r * EXP2[-1]
    for c in EXP2[-2::-1]:
        p = (p + c) * r
    return ((p + 1.0).view(torch.int32) - (m.view(torch.int32) << 23)).view(torch.float32)


def sigmoid_bump(y: Tensor) -> Tensor:
    """e / (1 + e)^2 with e = 2^-|y|."""
    e = exp2_minus(y.abs())
    d = e + 1.0
    return e / (d * d)


def triangle_bump(y: Tensor) -> Tensor:
    """max(1 - |y|, 0)."""
    return torch.relu(1.0 - y.abs())


def arctan_bump(y: Tensor) -> Tensor:
    """(1/2) / (1 + y^2)."""
    return 0.5 / (y * y + 1.0)


def triangle_step(z: Tensor) -> Tensor:
    """A piecewise parabola from 0 at -1 to 1 at 1."""
    z = z.clamp(-1.0, 1.0)
    return 0.5 + z - 0.5 * z * z.abs()


def arctan_step(z: Tensor) -> Tensor:
    """arctan(pi*z/2)/pi + 1/2."""
    return torch.atan(z * (0.5 * math.pi)) / math.pi + 0.5


BUMPS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"sigmoid": sigmoid_bump, "triangle": triangle_bump, "arctan": arctan_bump}
)
"""Name -> F'(y / unit), the bump of a smooth step F from 0 to 1: the logistic function, a piecewise parabola,
arctan(pi*z/2)/pi + 1/2.  The area of each bump over z is 1."""

UNITS: Mapping[str, float] = MappingProxyType({"sigmoid": LOG2E, "triangle": 1.0, "arctan": 0.5 * math.pi})
"""Name -> y / z."""

STEPS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"sigmoid": torch.sigmoid, "triangle": triangle_step, "arctan": arctan_step}
)
"""Name -> F(z)."""
