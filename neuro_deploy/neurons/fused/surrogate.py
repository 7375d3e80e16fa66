"""Surrogate gradients in torch: bumps, and the smooth steps that they are the derivatives of.

The bumps are sequences of single operations that every implementation repeats, each rounded by itself, so that
gradients agree bit for bit in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

MAGIC = 12582912.0
"""1.5 * 2^23: adding and subtracting it rounds a float32 to a whole number."""
LOG2E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4
"""log2(e), and ln 2 in two parts, the first of 10 bits, so that n * LN2_HIGH is exact."""
TAYLOR = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5)
LARGEST = 87.0
"""e^-87 is about the smallest float32 with full precision."""


def exp_minus(a: Tensor) -> Tensor:
    """e^-min(a, 87) for a >= 0.  float32: within 2 units in the last place, by n = round(a / ln 2), r = n*ln 2 - a."""
    a = a.clamp(max=LARGEST)
    if a.dtype != torch.float32:
        return torch.exp(-a)
    n = (a * LOG2E + MAGIC) - MAGIC
    r = (n * LN2_HIGH - a) + n * LN2_LOW
    p = r * TAYLOR[0]
    for c in TAYLOR[1:]:
        p = (p + c) * r
    p = (p * r + r) + 1.0
    return p * ((127 - n.to(torch.int32)) << 23).view(torch.float32)


def sigmoid_bump(z: Tensor) -> Tensor:
    """e / (1 + e)^2 with e = exp(-|z|)."""
    e = exp_minus(z.abs())
    d = e + 1.0
    return e / (d * d)


def triangle_bump(z: Tensor) -> Tensor:
    """max(1 - |z|, 0)."""
    return torch.relu(1.0 - z.abs())


def arctan_bump(z: Tensor) -> Tensor:
    """(1/2) / (1 + (pi*z/2)^2)."""
    y = z * (0.5 * math.pi)
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
"""Name -> F'(z), the bump of a smooth step F from 0 to 1: the logistic function, a piecewise parabola,
arctan(pi*z/2)/pi + 1/2.  The area of each bump is 1."""

STEPS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"sigmoid": torch.sigmoid, "triangle": triangle_step, "arctan": arctan_step}
)
"""Name -> F(z)."""
