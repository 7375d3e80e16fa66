"""Integer number formats and the primitives of Loihi-class arithmetic (numpy).

Source of the rules: lava-nc 0.10.0, `lava/proc/lif/models.py` (decay, wrap, clip) and `lava/utils/weightutils.py`
(weights), checked against two other public models of Loihi; see docs/semantics.md.  The executors in Lava must not
import this module: two executors share data, not arithmetic.
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


@dataclass(frozen=True)
class Registers:
    """A target's number formats, as far as its arithmetic depends on them.  The defaults are Loihi's, and Lava's.

    v_bits, u_bits: potential and synaptic current.   decay_bits: fraction bits of a decay factor.
    input_shift: left shift of a synaptic sum into u.   threshold_shift: of a threshold's mantissa.
    threshold_bits: of that mantissa.   bias_bits: of a bias's mantissa, its sign among them; bias_exponent_bits.
    Source: lava-nc 0.10.0, `lava/proc/lif/models.py`.
    """

    v_bits: int = 24
    u_bits: int = 24
    decay_bits: int = DECAY_BITS
    input_shift: int = 6
    threshold_shift: int = 6
    threshold_bits: int = 17
    bias_bits: int = 13
    bias_exponent_bits: int = 3

    @property
    def unity(self) -> int:
        """The decay factor that keeps everything: 4096."""
        return 1 << self.decay_bits

    @property
    def v_limit(self) -> int:
        """Largest |v| and |h|: 2^23 - 1."""
        return (1 << (self.v_bits - 1)) - 1

    @property
    def problems(self) -> list[str]:
        """What no executor could do; [] if nothing."""
        ranges = {"v_bits": (2, 31), "u_bits": (2, 31), "decay_bits": (1, 16), "input_shift": (0, 16)}
        ranges |= {"threshold_shift": (0, 16), "threshold_bits": (1, 31), "bias_bits": (2, 24)}
        ranges["bias_exponent_bits"] = (0, 3)
        values = {name: getattr(self, name) for name in ranges}
        return [
            f"registers: {name} {values[name]} must be in [{low}, {high}]"
            for name, (low, high) in ranges.items()
            if not low <= values[name] <= high
        ]


LOIHI = Registers()
"""Loihi's registers, as Lava models them."""


def decay_toward_zero(x: Ints, factor: Ints | int, bits: int = DECAY_BITS) -> Ints:
    """sgn(x) * ((|x| * factor) >> bits): multiply by factor / 2^bits, rounding toward zero.

    x: int64, |x| < 2^46.  factor: 0..2^bits.
    """
    magnitude: Ints = np.abs(x)
    scaled: Ints = np.sign(x) * ((magnitude * factor) >> bits)
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


def wrap_bits(x: Ints, bits: int) -> Ints:
    """x modulo 2^bits into [-2^(bits-1), 2^(bits-1)): two's complement, what an accumulator of that width keeps."""
    half = 1 << (bits - 1)
    return ((x + half) & ((1 << bits) - 1)) - half
