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

from . import surrogate
from .surrogate import EXP2, LARGEST, UNITS
from .surrogate import MAGIC as ROUNDER

Pointer = Any
F = TypeVar("F", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False}
ROW = 4096
"""Floats in a row of `work`."""
V, U, TERM, TABLE = 0, ROW, 2 * ROW, 3 * ROW
"""Where rows of `work` begin: the potential and the current (backward: their gradients), terms of a sum, parameters."""
WORK = 10 * ROW
BLOCK_NOW, SLOT, BLOCKS, STEPS, SIZE, PERIOD, PIECES, WIDTH, COLUMNS, SCRATCH, EACH, ADDRESSES = range(12)
"""Where a job says: the next block that nobody has, the next slot of scratch; how many blocks, steps and neurons (see
cpu_kernels.py); the table's columns; the address of all scratch and the bytes of a slot; addresses from here on."""
LENGTH = ADDRESSES + 17
X, V0, U0, PARAMETERS, ALPHA, FIRST = range(6)
"""A job's arrays; from FIRST on those that only one of the kernels has."""
VERSION = zlib.crc32(b"".join(Path(file).read_bytes() for file in (__file__, surrogate.__file__)))
"""Of what kernels are made of: a constant of each, since Numba's cache looks at the kernel's own file alone."""

f32 = np.float32
MAGIC, FAR = f32(ROUNDER), f32(LARGEST)
UNIT = tuple(UNITS.values())
C1, C2, C3, C4, C5 = (f32(c) for c in EXP2)
ZERO, HALF, ONE, HALF_PI, PI = f32(0), f32(0.5), f32(1), f32(0.5 * math.pi), math.pi


def inlined(function: F) -> F:
    """A piece that is compiled into its callers."""
    return cast(F, njit(inline="always", **OPTIONS)(function))


def compiled(by: Callable[..., Any], function: Callable[..., Any], **more: Any) -> Any:
    """Compile a function by njit or cfunc; without a cache where none can be written."""
    try:
        return by(cache=True, **OPTIONS, **more)(function)
    except (RuntimeError, OSError):
        return by(**OPTIONS, **more)(function)


def intrinsic(function: Callable[..., Any]) -> Any:
    """A function that writes its own LLVM instructions."""
    return numba.extending.intrinsic(function)


@intrinsic
def halved(typing: Any, p: Any, m: Any) -> Any:
    """p * 2^-n, float32, by its bits, m being MAGIC + n.  p: in 1/2 .. 2; n: in 0 .. 125."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i32 = ir.IntType(32)
        bits, shift = (builder.bitcast(a, i32) for a in arguments)
        return builder.bitcast(builder.sub(bits, builder.shl(shift, ir.Constant(i32, 23))), ir.FloatType())

    return types.float32(types.float32, types.float32), generate


@intrinsic
def pointer(typing: Any, address: Any, dtype: Any) -> Any:
    """A pointer to numbers of this type, from an address, int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(dtype.dtype)(types.int64, dtype), generate  # type: ignore[no-untyped-call]


@intrinsic
def ahead(typing: Any, pointer: Any, n: Any) -> Any:
    """The pointer, n numbers further."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), generate


@intrinsic
def fetch(typing: Any, pointer: Any) -> Any:
    """Ask for the cache line there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i32, i8 = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [i8, i32, i32, i32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [i8], kind)
        builder.call(function, [builder.bitcast(arguments[0], i8), *(ir.Constant(i32, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(pointer), generate


@intrinsic
def taken(typing: Any, pointer: Any) -> Any:
    """The number there, which is one more afterwards, for whoever of the threads comes next."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(pointer), generate


@inlined
def exp2_minus(y: Any, wide: bool) -> Any:
    """surrogate.exp2_minus."""
    if wide:
        return math.exp2(-y)
    y = FAR if y > FAR else y
    m = y + MAGIC
    r = (m - MAGIC) - y
    p = ((((r * C5 + C4) * r + C3) * r + C2) * r + C1) * r + ONE
    return halved(p, m)


@inlined
def bump(y: Any, surrogate: int, wide: bool) -> Any:
    """surrogate.BUMPS."""
    if surrogate == 0:
        e = exp2_minus(abs(y), wide)
        d = e + ONE
        height = e / (d * d)
    elif surrogate == 1:
        d = ONE - abs(y)
        height = ZERO if d < ZERO else d
    else:
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
    sharp = alpha * UNIT[surrogate] if wide else alpha * f32(UNIT[surrogate])
    for k in range(1, most + 1):
        z = h - theta * f32(k)
        height = bump(sharp * z, surrogate, wide)
        slope = height if k == 1 else slope + height
        tilt = z * height if k == 1 else tilt + z * height
        weight = height if k == 1 else weight + height * f32(k)
    return alpha * slope, tilt, alpha * weight


def _total(values: Pointer, n: int) -> float:
    """The sum of the first n numbers, in float64, in any order."""
    total = 0.0
    for i in range(n):
        total += np.float64(values[i])
    return total


total = compiled(njit, _total, fastmath={"reassoc", "nsz"})


@inlined
def array(job: Pointer, k: int, dtype: Any) -> Any:
    """The job's array k."""
    return pointer(job[ADDRESSES + k], dtype)


@inlined
def scratch(job: Pointer, dtype: Any) -> Any:
    """A thread's own rows and trail, in a slot that it takes."""
    rows = pointer(job[SCRATCH] + taken(ahead(job, SLOT)) * job[EACH], dtype)
    return rows, ahead(rows, WORK)


@inlined
def place(block: int, job: Pointer) -> Any:
    """A block's first neuron, its number of neurons, and where they are in the table."""
    row, offset = block // job[PIECES], block % job[PIECES] * job[WIDTH]
    low = row * job[PERIOD] + offset
    return low, min(low + job[WIDTH], (row + 1) * job[PERIOD], job[SIZE]) - low, offset


@inlined
def begin(work: Pointer, v0: Pointer, u0: Pointer, low: int, n: int, start: bool) -> None:
    """Potentials and currents of a block before the first step."""
    u = ahead(work, U)
    for i in range(n):
        work[i] = v0[low + i] if start else ZERO
        u[i] = u0[low + i] if start else ZERO


@inlined
def heads(table: Pointer, width: int) -> Any:
    """A pointer to each row of a table."""
    return (
        table, ahead(table, width), ahead(table, 2 * width), ahead(table, 3 * width), ahead(table, 4 * width),
        ahead(table, 5 * width), ahead(table, 6 * width),
    )  # fmt: skip


@inlined
def columns(work: Pointer, table: Pointer, width: int, n: int, offset: int) -> Any:
    """A block's parameters, a pointer for each; they are copied, so that what is written cannot be among them."""
    for r in range(7):
        there, here = ahead(table, r * width + offset), ahead(work, TABLE + r * ROW)
        for i in range(n):
            here[i] = there[i]
    return heads(ahead(work, TABLE), ROW)


@inlined
def at(p: Any, i: int) -> Any:
    """All parameters of a neuron."""
    return p[0][i], p[1][i], p[2][i], p[3][i], p[4][i], p[5][i], p[6][i]
