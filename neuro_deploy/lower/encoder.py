"""The input's integers: which scale, how many bits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..errors import InputError, Violation
from ..graph import InputRange
from ..graph.compose import ComposedInput
from ..program import Encoder
from ..target import Target

FEWEST_BITS = 4
LARGEST_DENOMINATOR = 1 << 20


def exact_levels(known: InputRange) -> int | None:
    """How many multiples of its quantum the input spans (max |level|), if it is given on a grid that holds 0."""
    if known.quantum <= 0:
        return None
    levels = np.array([known.low, known.high]) / known.quantum
    whole = np.rint(levels)
    return int(np.abs(whole).max()) if np.allclose(levels, whole, rtol=0, atol=1e-6) else None


def rational(value: float) -> Fraction:
    """A positive number as a fraction, exact to a millionth or better at any size: 255 of 1/(1/255)."""
    if value >= 1:
        return Fraction(value).limit_denominator(LARGEST_DENOMINATOR)
    return 1 / Fraction(1 / value).limit_denominator(LARGEST_DENOMINATOR)


def encoder_for(given: ComposedInput, known: InputRange, bits: int) -> Encoder:
    """The encoder with a payload of `bits` (sign included).

    Where the input lies on a grid that fits, one integer step is one quantum and nothing is rounded; else the largest
    magnitude takes the whole payload.  The clip rule is the input's known range.
    Raises: InputError for a range without any value but 0.
    """
    signed = known.low < 0
    most = (1 << (bits - 1 if signed else bits)) - 1
    reach = max(abs(known.low), abs(known.high))
    if not np.isfinite(reach) or reach == 0 or known.low > known.high:
        raise InputError(f"input '{given.name}': a range of [{known.low}, {known.high}] cannot be encoded")
    levels = exact_levels(known)
    if levels is not None and 0 < levels <= most:
        scale = rational(1 / known.quantum)
        bits = max(1, levels.bit_length() + signed)
    else:
        scale = rational(most / reach)
    low, high = (int(np.rint(edge * scale.numerator / scale.denominator)) for edge in (known.low, known.high))
    ratio = (scale.numerator, scale.denominator)
    return Encoder(given.name, given.shape, *ratio, bits, signed, min(0, low), max(0, high), parts=given.parts)


def input_violations(given: ComposedInput, known: InputRange, target: Target) -> list[Violation]:
    """Graded input on a target that takes binary spikes only."""
    if target.input.payload_bits.value > 0 or (known.low >= 0 and exact_levels(known) == 1):
        return []
    return [
        Violation(
            given.name,
            f"graded input in [{known.low:g}, {known.high:g}], but {target.name} takes binary spikes",
            "code the input as spikes (rate, latency), or choose a target with graded input such as loihi2",
        )
    ]


def payload_choices(known: InputRange, target: Target, wanted: int | None) -> list[int]:
    """Payload widths to try, widest first.  An input on a grid that fits the default is kept exactly.

    Raises: InputError if `wanted` is beyond the target.
    """
    narrowest = 2 if known.low < 0 else 1
    limit = max(narrowest, min(target.input.payload_bits.value, 30 + narrowest))  # executors keep int32
    if wanted is not None:
        if not narrowest <= wanted <= limit:
            raise InputError(f"input_bits must be in [{narrowest}, {limit}] on {target.name}, got {wanted}")
        return [wanted]
    default = min(limit, max(narrowest, target.input.default_bits.value))
    levels = exact_levels(known)
    if levels is not None and levels.bit_length() + (known.low < 0) <= default:
        return [default]
    return list(range(default, min(FEWEST_BITS, default) - 1, -1))
