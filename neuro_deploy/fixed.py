"""Integer number formats and the primitives of Loihi-class arithmetic (numpy).

Source of the rules: lava-nc 0.10.0, `lava/proc/lif/models.py` (decay, wrap, clip) and `lava/utils/weightutils.py`
(weights), checked against two other public models of Loihi; see docs/semantics.md.  Executors other than
`backends/sim` must not import this module: two executors share data, not arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

DECAY_BITS = 12
"""Fraction bits of a decay factor: a factor f/4096.  Source: Lava `decay_shift = 12`."""


@dataclass(frozen=True)
class Format:
    """An integer format: `bits` wide, two's complement if `signed`."""

    bits: int
    signed: bool = True

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def holds(self, values: NDArray[Any] | int) -> bool:
        """True if every value fits."""
        array = np.asarray(values)
        return array.size == 0 or bool((array.min() >= self.low) and (array.max() <= self.high))

    def __str__(self) -> str:
        return f"{self.bits}-bit {'signed' if self.signed else 'unsigned'} [{self.low}, {self.high}]"


def decay_toward_zero(x: Ints, factor: Ints | int) -> Ints:
    """sgn(x) * ((|x| * factor) >> 12): multiply by factor/4096, rounding toward zero.

    x: int64, |x| < 2^50.  factor: 0..4096.
    """
    magnitude: Ints = np.abs(x)
    scaled: Ints = np.sign(x) * ((magnitude * factor) >> DECAY_BITS)
    return scaled


def wrap_once(x: Ints, bits: int) -> Ints:
    """One wrap into (-2^(bits-1), +2^(bits-1)]: the synaptic current's rule in Lava (not two's complement)."""
    half = 1 << (bits - 1)
    return np.where(x > half, x - 2 * half, np.where(x <= -half, x + 2 * half, x))


def clip_symmetric(x: Ints, bits: int) -> Ints:
    """Clip to +-(2^(bits-1) - 1): the potential's rule in Lava."""
    limit = (1 << (bits - 1)) - 1
    return np.clip(x, -limit, limit)


def shift(x: Ints, exponent: int) -> Ints:
    """x * 2^exponent; a negative exponent is an arithmetic right shift (floor)."""
    return x << exponent if exponent >= 0 else x >> -exponent


def wrap_int32(x: Ints) -> Ints:
    """x modulo 2^32 into [-2^31, 2^31): what an int32 accumulator keeps."""
    return ((x + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
