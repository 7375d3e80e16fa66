# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"
"""The fused neuron in Triton: a program takes a block of neurons through time, their state in registers.

The operations are those of plain.py in its order, none contracted (launched with enable_fp_fusion=False), divisions
rounded to nearest, so spikes, potentials and gradients of x agree with it bit for bit in float32.  Pointers: x, s, gx,
... (T, size), contiguous; v0, gv0, ... (size,); table (7, columns), rows as in form.PARAMETERS, columns 1 or `neurons`.
Pointers of what is not used may be any.  The constants in capitals are cpu_kernels.Flags' and Wanted's.  Triton reads
these functions' text, and takes no annotation but constexpr.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .surrogate import EXP2, LARGEST, MAGIC, UNITS

_MAGIC, _LARGEST = tl.constexpr(MAGIC), tl.constexpr(LARGEST)
_C1, _C2, _C3, _C4, _C5 = (tl.constexpr(c) for c in EXP2)
_LOG2E, _HALF_PI = tl.constexpr(UNITS["sigmoid"]), tl.constexpr(UNITS["arctan"])


@triton.jit
def bump(y, SURROGATE: tl.constexpr):
    """surrogate.BUMPS: 0 sigmoid, 1 triangle, 2 arctan."""
    if SURROGATE == 0:
        a = tl.abs(y)
        a = tl.where(a > _LARGEST, _LARGEST, a)
        m = a + _MAGIC
        r = (m - _MAGIC) - a
        p = ((((r * _C5 + _C4) * r + _C3) * r + _C2) * r + _C1) * r + 1.0
        e = (p.to(tl.int32, bitcast=True) - (m.to(tl.int32, bitcast=True) << 23)).to(tl.float32, bitcast=True)
        d = e + 1.0
        height = tl.div_rn(e, d * d)
    elif SURROGATE == 1:
        d = 1.0 - tl.abs(y)
        height = tl.where(d < 0.0, 0.0, d)
    else:
        d = y * y + 1.0
        height = tl.div_rn(tl.full(d.shape, 0.5, tl.float32), d)
    return height


@triton.jit
def fired(h, theta, MOST: tl.constexpr):
    """Rounds through a threshold."""
    s = tl.zeros(h.shape, tl.float32)
    for k in tl.static_range(1, MOST + 1):
        s += (h > theta * float(k)).to(tl.float32)
    return s


@triton.jit
def slopes(h, theta, alpha, MOST: tl.constexpr, SURROGATE: tl.constexpr):
    """d/dh, d/dalpha and -d/dtheta of the rounds."""
    slope, tilt, weight = tl.zeros(h.shape, tl.float32), tl.zeros(h.shape, tl.float32), tl.zeros(h.shape, tl.float32)
    sharp = alpha * (_LOG2E if SURROGATE == 0 else 1.0 if SURROGATE == 1 else _HALF_PI)
    reach = sharp * h
    for k in tl.static_range(1, MOST + 1):
        level = theta * float(k)
        height = bump(reach - sharp * level, SURROGATE)
        slope += height
        tilt += (h - level) * height
        weight += height * float(k)
    return alpha * slope, tilt, alpha * weight


@triton.jit
def left(
    h, up, down, theta_neg, taken, v_reset,
    DOWN: tl.constexpr, HARD: tl.constexpr, RESETS: tl.constexpr,
):  # fmt: skip
    """The potential after firing."""
    if HARD:
        v = h * (1.0 - up)
        if RESETS:
            v = v + v_reset * up
    else:
        v = h - taken * up
        if DOWN:
            v = v + theta_neg * down
    return v


@triton.jit
def parameters(table, at, columns, mask):
    """All parameters of a block of neurons, in order."""
    c = at % columns
    beta, theta = tl.load(table + c, mask, 0.0), tl.load(table + columns + c, mask, 0.0)
    theta_neg, taken = tl.load(table + 2 * columns + c, mask, 0.0), tl.load(table + 3 * columns + c, mask, 0.0)
    v_reset, drift = tl.load(table + 4 * columns + c, mask, 0.0), tl.load(table + 5 * columns + c, mask, 0.0)
    return beta, theta, theta_neg, taken, v_reset, drift, tl.load(table + 6 * columns + c, mask, 0.0)


@triton.jit
def forward(
    x, v0, u0, table, s, v_all, h_all, u_all, steps, size, columns,
    UP: tl.constexpr, DOWN: tl.constexpr, HARD: tl.constexpr, RESETS: tl.constexpr, DRIFT: tl.constexpr,
    CURRENT: tl.constexpr, START: tl.constexpr, WATCH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Spikes, and with WATCH all of v, h and u."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < size
    beta, theta, theta_neg, taken, v_reset, drift, beta_syn = parameters(table, at, columns, mask)
    v, u = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    if START:
        v, u = tl.load(v0 + at, mask, 0.0), tl.load(u0 + at, mask, 0.0)
    for _ in range(steps):
        drive = tl.load(x + at, mask, 0.0).to(tl.float32)
        if CURRENT:
            u = beta_syn * u + drive
            drive = u
        h = beta * v + drive
        if DRIFT:
            h = h + drift
        up, down = fired(h, theta, UP), fired(-h, theta_neg, DOWN)
        v = left(h, up, down, theta_neg, taken, v_reset, DOWN, HARD, RESETS)
        tl.store(s + at, up - down if DOWN else up, mask)
        if WATCH:
            tl.store(v_all + at, v, mask)
            tl.store(h_all + at, h, mask)
            if CURRENT:
                tl.store(u_all + at, u, mask)
        at += size


@triton.jit
def backward(
    gs_all, gv_all, gh_all, gu_all, x, v0, u0, table, alpha,
    gx, galpha, gbeta, gtheta, gnegative, gv0, gu0, steps, size, columns,
    UP: tl.constexpr, DOWN: tl.constexpr, HARD: tl.constexpr, DETACH: tl.constexpr, SURROGATE: tl.constexpr,
    OWN: tl.constexpr, RESETS: tl.constexpr, DRIFT: tl.constexpr, CURRENT: tl.constexpr, START: tl.constexpr,
    GS: tl.constexpr, GV: tl.constexpr, GH: tl.constexpr, GU: tl.constexpr,
    ALPHA: tl.constexpr, BETA: tl.constexpr, THETA: tl.constexpr, NEGATIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of x, v0, u0; of alpha summed over a block, (blocks, T); of the others over time, (size,); in float32.

    Potentials are recomputed from x; gx holds them until its own numbers take their places.
    """
    first = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    at, mask = first, first < size
    beta, theta, theta_neg, taken, v_reset, drift, beta_syn = parameters(table, at, columns, mask)
    start, u = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    if START:
        start, u = tl.load(v0 + at, mask, 0.0), tl.load(u0 + at, mask, 0.0)
    v = start
    for _ in range(steps):
        drive = tl.load(x + at, mask, 0.0).to(tl.float32)
        if CURRENT:
            u = beta_syn * u + drive
            drive = u
        h = beta * v + drive
        if DRIFT:
            h = h + drift
        tl.store(gx + at, h, mask)
        up, down = fired(h, theta, UP), fired(-h, theta_neg, DOWN)
        v = left(h, up, down, theta_neg, taken, v_reset, DOWN, HARD, RESETS)
        at += size
    tl.debug_barrier()
    zero = tl.zeros((BLOCK,), tl.float32)
    carry, gu, of_beta, of_theta, of_negative = zero, zero, zero, zero, zero
    for r in range(steps):
        t = steps - 1 - r
        at -= size
        h, a = tl.load(gx + at, mask, 0.0), tl.load(alpha + t)
        gs = tl.load(gs_all + at, mask, 0.0) if GS else zero
        gv = tl.load(gv_all + at, mask, 0.0) + carry if GV else carry
        gh = tl.load(gh_all + at, mask, 0.0) if GH else zero
        up, down = fired(h, theta, UP), fired(-h, theta_neg, DOWN)
        slope, tilt, weight = slopes(h, theta, a, UP, SURROGATE)
        gup = gs
        if not DETACH:
            if HARD:
                if RESETS:
                    gup = gs + v_reset * gv
                gup = gup - gv * h
            else:
                gup = gs - taken * gv
        term = gup * tilt
        if DOWN:
            gdown = -gs if DETACH else -gs + theta_neg * gv
            below, below_tilt, below_weight = slopes(-h, theta_neg, a, DOWN, SURROGATE)
            gh = gh - gdown * below
            term = term + gdown * below_tilt
            if NEGATIVE:
                of_negative += gv * down - gdown * below_weight
        gh = (gh + (gv * (1.0 - up) if HARD else gv)) + gup * slope
        if ALPHA:
            tl.store(galpha + tl.program_id(0) * steps + t, tl.sum(tl.where(mask, term, 0.0), 0))
        if THETA:
            of_theta -= gup * weight if HARD or OWN else gup * weight + gv * up
        if BETA:
            e = tl.load(gx + at - size, mask & (at >= size), 0.0)
            e_up, e_down = fired(e, theta, UP), fired(-e, theta_neg, DOWN)
            before = left(e, e_up, e_down, theta_neg, taken, v_reset, DOWN, HARD, RESETS)
            of_beta += gh * tl.where(at >= size, before, start)
        carry = beta * gh
        if CURRENT:
            gu = gh + (tl.load(gu_all + at, mask, 0.0) + gu if GU else gu)
            gh = gu
            gu = beta_syn * gu
        tl.store(gx + at, gh, mask)
    if BETA:
        tl.store(gbeta + first, of_beta, mask)
    if THETA:
        tl.store(gtheta + first, of_theta, mask)
    if NEGATIVE:
        tl.store(gnegative + first, of_negative, mask)
    if START:
        tl.store(gv0 + first, carry, mask)
        tl.store(gu0 + first, gu, mask)
