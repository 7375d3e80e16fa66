"""The input's integers in compiled loops: what `Encoder.encode` gives, in the dtype that the engine wants.

    q = clip(round_half_even(x * numerator / denominator) + offset)

in float64 as the definition, so that every rounding is the same; integers that need no scale and no offset are only
clipped, in their own dtype.  Nothing of the input's size is made beside the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import Encoder
from .jit import compiled

Array = NDArray[Any]
COMPILED = ("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64")
"""Dtypes of x that are read as they are; others are copied to float64 first, as the definition does."""
EXACT = {"float32": 1 << 24, "float64": 1 << 53}
"""Float dtype -> whole numbers up to this are exact in it."""


@compiled
def clip_whole(x: Array, out: Array, place: tuple[int, int, int, int, int, int], low: Any, high: Any) -> Any:
    """out = clip(x, low, high) for integers; gives how many were clipped.  low, high: of x's dtype.

    x, out: flat.   place: (rows, n, start in x, from row to row in x, start in out, from row to row in out).
    """
    rows, n, start, step, to, jump = place
    clipped: Any = 0
    for r in range(rows):
        source, target = x[start + r * step : start + r * step + n], out[to + r * jump : to + r * jump + n]
        met = np.int32(0)
        for j in range(source.shape[0]):
            new = min(max(source[j], low), high)
            met = np.int32(met + np.int32(new != source[j]))
            target[j] = new
        clipped += met
    return clipped


@compiled
def round_own(x: Array, out: Array, place: tuple[int, int, int, int, int, int], low: Any, high: Any) -> Any:
    """The same for float32 or float64, rounded half to even before it is clipped.  -1: some are not finite."""
    rows, n, start, step, to, jump = place
    clipped: Any = 0
    odd = np.int32(0)
    for r in range(rows):
        source, target = x[start + r * step : start + r * step + n], out[to + r * jump : to + r * jump + n]
        met = np.int32(0)
        for j in range(source.shape[0]):
            whole = np.rint(source[j])
            new = min(max(whole, low), high)
            odd = np.int32(odd | np.int32(not abs(whole) < np.inf))
            met = np.int32(met + np.int32(new != whole))
            target[j] = np.int32(new)
        clipped += met
    return -1 if odd != 0 else clipped


@compiled
def round_scaled(
    x: Array, out: Array, place: tuple[int, int, int, int, int, int], scale: tuple[float, ...], divide: bool
) -> Any:
    """The same for any numbers.  scale: (numerator, denominator, offset, low, high), float64.

    divide: False for a denominator that is given as its reciprocal.
    """
    rows, n, start, step, to, jump = place
    numerator, denominator, offset, low, high = scale
    clipped: Any = 0
    odd = np.int32(0)
    for r in range(rows):
        source, target = x[start + r * step : start + r * step + n], out[to + r * jump : to + r * jump + n]
        met = np.int32(0)
        for j in range(source.shape[0]):
            scaled = np.float64(source[j]) * numerator
            scaled = np.rint(scaled / denominator if divide else scaled * denominator) + offset
            new = min(max(scaled, low), high)
            odd = np.int32(odd | np.int32(not abs(scaled) < np.inf))
            met = np.int32(met + np.int32(new != scaled))
            target[j] = np.int32(new)
        clipped += met
    return -1 if odd != 0 else clipped


class Rounding:
    """How the numbers of one input become its integers.

    x: (T, B, *encoder.shape), any numbers.   Raises: InputError for another shape.
    """

    def __init__(self, encoder: Encoder, x: Array) -> None:
        if x.ndim < 2 or x.shape[2:] != encoder.shape:
            encoder.encode(x)  # raises
        self.encoder, self.x = encoder, x
        self.direct = x.dtype.name in COMPILED and x.dtype.isnative and x.flags.c_contiguous and x.flags.writeable
        e, dtype = encoder, np.dtype("uint8") if x.dtype == bool else x.dtype
        reach = max(abs(e.low), abs(e.high))
        self.scale: tuple[float, ...] | None = None
        if x.dtype.name in COMPILED and (e.numerator, e.denominator, e.offset) == (1, 1, 0):
            if dtype.kind == "f" and reach <= EXACT[dtype.name]:
                self.kernel: Any = round_own
                self.limits = dtype.type(e.low), dtype.type(e.high)
                return
            if dtype.kind != "f" and (whole := np.iinfo(dtype)).max >= e.low and whole.min <= e.high:
                self.kernel = clip_whole
                self.limits = dtype.type(max(e.low, whole.min)), dtype.type(min(e.high, whole.max))
                return
        self.kernel, self.divide = round_scaled, e.denominator & (e.denominator - 1) != 0
        denominator = float(e.denominator) if self.divide else 1.0 / e.denominator
        self.scale = float(e.numerator), denominator, float(e.offset), float(e.low), float(e.high)

    def fill(self, rows: tuple[int, int], samples: tuple[int, int], out: Array, first: int) -> int:
        """out[r, first + i] = the integers of sample samples[0] + i in row r, for r in rows; gives how many clipped.

        out: (rows, samples, N), C-contiguous.   Raises: InputError for values that are NaN or infinite.
        """
        (r0, r1), (b0, b1), n = rows, samples, out.shape[2]
        if self.direct:
            x, every, start = self.x, self.x.shape[1], (r0 * self.x.shape[1] + b0) * n
        else:
            part = self.x[r0:r1, b0:b1]
            named = part.dtype.name in COMPILED
            x = np.array(part, part.dtype.newbyteorder("=") if named else np.float64, order="C")
            every, start = b1 - b0, 0
        flat = (x.view(np.uint8) if x.dtype == bool else x).reshape(-1)
        place = (r1 - r0, (b1 - b0) * n, start, every * n, (r0 * out.shape[1] + first) * n, out.shape[1] * n)
        if self.scale is None:
            clipped = self.kernel(flat, out.reshape(-1), place, *self.limits)
        else:
            clipped = self.kernel(flat, out.reshape(-1), place, self.scale, self.divide)
        if clipped < 0:
            self.encoder.encode(self.x[r0:r1, b0:b1])  # raises
        return int(clipped)


def encode(encoder: Encoder, x: Array, dtype: Any = np.int32) -> tuple[Array, int]:
    """What `encoder.encode(x)` gives, in any integer dtype that holds low..high, and how many values were clipped.

    x: (T, B, *shape), finite numbers.   Raises: InputError for another shape or non-finite values.
    """
    rounding = Rounding(encoder, x)
    out = np.empty((*x.shape[:2], int(np.prod(encoder.shape, dtype=np.int64))), dtype)
    clipped = rounding.fill((0, x.shape[0]), (0, x.shape[1]), out, 0)
    return out.reshape(x.shape), clipped
