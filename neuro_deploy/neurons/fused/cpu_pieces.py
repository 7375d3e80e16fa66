"""Pieces of the fused neuron's kernels in Numba (cpu_kernels.py), compiled into them.

Every operation is one of float32 (or float64), in plain.py's order, none contracted.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba.extending
import numpy as np
from llvmlite import ir
from numba import njit, types
from numpy.typing import NDArray

from .surrogate import LARGEST, TAYLOR
from .surrogate import LN2_HIGH as HIGH
from .surrogate import LN2_LOW as LOW
from .surrogate import LOG2E as LOG
from .surrogate import MAGIC as ROUNDER

Array = NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False}
ROW = 4096
"""Floats in a row of `work`."""
V, U, TERM, TABLE = 0, ROW, 2 * ROW, 3 * ROW
"""Where rows of `work` begin: the potential and the current (backward: their gradients), terms of a sum, parameters."""
WORK = 10 * ROW
VERSION = zlib.crc32(Path(__file__).read_bytes())
"""Of this file's text: a constant of every kernel, since Numba's cache looks at the kernel's own file alone."""

f32 = np.float32
MAGIC, LOG2E, LN2_HIGH, LN2_LOW = f32(ROUNDER), f32(LOG), f32(HIGH), f32(LOW)
C6, C5, C4, C3, C2 = (f32(c) for c in TAYLOR)
ZERO, HALF, ONE, MOST, HALF_PI, PI = f32(0), f32(0.5), f32(1), f32(LARGEST), f32(0.5 * math.pi), math.pi


def inlined(function: F) -> F:
    """A piece that is compiled into its callers."""
    return cast(F, njit(inline="always", **OPTIONS)(function))


def compiled(function: F, **more: Any) -> F:
    """Compile a function; without a cache where no folder for it can be written."""
    try:
        return cast(F, njit(cache=True, **OPTIONS, **more)(function))
    except RuntimeError:
        return cast(F, njit(**OPTIONS, **more)(function))


def intrinsic(function: Callable[..., Any]) -> Any:
    """A function that writes its own LLVM instructions."""
    return numba.extending.intrinsic(function)


@intrinsic
def power_of_two(typing: Any, n: Any) -> Any:
    """2^n, float32, by its bits.  n: int32 in -126 .. 127."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i32 = ir.IntType(32)
        bits = builder.shl(builder.add(arguments[0], ir.Constant(i32, 127)), ir.Constant(i32, 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def peek(typing: Any, array: Any, i: Any) -> Any:
    """array[i] of a contiguous view, i >= 0: without a look at i's sign, which would keep loops from being vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, types.int64), generate


@intrinsic
def poke(typing: Any, array: Any, i: Any, value: Any) -> Any:
    """array[i] = value, likewise."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        stored = context.cast(builder, arguments[2], signature.args[2], signature.args[0].dtype)
        builder.store(stored, builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@inlined
def exp_minus(a: Any, wide: bool) -> Any:
    """surrogate.exp_minus."""
    a = MOST if a > MOST else a
    if wide:
        return math.exp(-a)
    n = (a * LOG2E + MAGIC) - MAGIC
    r = (n * LN2_HIGH - a) + n * LN2_LOW
    p = ((((r * C6 + C5) * r + C4) * r + C3) * r + C2) * r
    p = (p * r + r) + ONE
    return p * power_of_two(np.int32(-n))


@inlined
def bump(z: Any, surrogate: int, wide: bool) -> Any:
    """F'(z)."""
    if surrogate == 0:
        e = exp_minus(abs(z), wide)
        d = e + ONE
        height = e / (d * d)
    elif surrogate == 1:
        y = ONE - abs(z)
        height = ZERO if y < ZERO else y
    else:
        y = z * HALF_PI
        height = HALF / (y * y + ONE)
    return height


@inlined
def step(z: Any, surrogate: int) -> Any:
    """F(z), float64."""
    if surrogate == 0:
        y = 1.0 / (1.0 + math.exp(-z))
    elif surrogate == 1:
        c = min(max(z, -1.0), 1.0)
        y = 0.5 + c - 0.5 * c * abs(c)
    else:
        y = math.atan(z * HALF_PI) / PI + 0.5
    return y


@inlined
def fired(h: Any, theta: Any, alpha: Any, most: int, surrogate: int, smooth: bool) -> Any:
    """Rounds through a threshold."""
    s = ZERO
    for k in range(1, most + 1):
        if smooth:
            s += step(alpha * (h - theta * f32(k)), surrogate)
        else:
            s += f32(h > theta * f32(k))
    return s


@inlined
def left(h: Any, up: Any, down: Any, theta_neg: Any, taken: Any, v_reset: Any, f: Any) -> Any:
    """The potential after firing."""
    hard, resets, signed = f
    if hard:
        v = h * (ONE - up)
        if resets:
            v = v + v_reset * up
    else:
        v = h - taken * up
        if signed:
            v = v + theta_neg * down
    return v


@inlined
def slopes(h: Any, theta: Any, alpha: Any, most: int, surrogate: int, wide: bool) -> Any:
    """d/dh, d/dalpha and -d/dtheta of the rounds."""
    slope, tilt, weight = ZERO, ZERO, ZERO
    for k in range(1, most + 1):
        z = h - theta * f32(k)
        height = bump(alpha * z, surrogate, wide)
        slope += height
        tilt += z * height
        weight += height * f32(k)
    return alpha * slope, tilt, alpha * weight


def _total(values: Array, n: int) -> float:
    """The sum of the first n numbers of a flat array, in float64, in any order."""
    total = 0.0
    for i in range(n):
        total += np.float64(peek(values, i))
    return total


total = compiled(_total, fastmath={"reassoc", "nsz"})


@inlined
def place(block: int, size: int, period: int, pieces: int, width: int) -> Any:
    """A block's first neuron, its number of neurons, and where they are in the table."""
    row, offset = block // pieces, block % pieces * width
    low = row * period + offset
    return low, min(low + width, (row + 1) * period, size) - low, offset


@inlined
def begin(work: Array, table: Array, v0: Array, u0: Array, low: int, n: int, offset: int, f: Any) -> None:
    """Fill the rows of `work` for a block."""
    scalar, start = f
    for i in range(n):
        poke(work, V + i, v0[low + i] if start else ZERO)
        poke(work, U + i, u0[low + i] if start else ZERO)
    if not scalar:
        for r in range(7):
            for i in range(n):
                poke(work, TABLE + r * ROW + i, table[r, offset + i])


@inlined
def at(work: Array, i: int) -> Any:
    """All parameters of a neuron."""
    b, th, tn = peek(work, TABLE + i), peek(work, TABLE + ROW + i), peek(work, TABLE + 2 * ROW + i)
    tr, vr = peek(work, TABLE + 3 * ROW + i), peek(work, TABLE + 4 * ROW + i)
    return b, th, tn, tr, vr, peek(work, TABLE + 5 * ROW + i), peek(work, TABLE + 6 * ROW + i)
