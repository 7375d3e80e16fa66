# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"
"""What the kernels in gpu_kernels.py are made of: a step of a block of neurons, and the same step backward.

The operations are those of plain.py in its order.  p: a block's parameters, in the order of form.PARAMETERS, each a
number or a value for each neuron.  Triton reads these functions' text, and takes no annotation but constexpr.
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
    for k in tl.static_range(1, MOST + 1):
        z = h - theta * float(k)
        height = bump(sharp * z, SURROGATE)
        slope += height
        tilt += z * height
        weight += height * float(k)
    return alpha * slope, tilt, alpha * weight


@triton.jit
def earlier(mask, t, end):
    """mask where t < end, else nothing; compared as blocks, since Triton 3.9's interpreter spreads no truth value."""
    return mask & (tl.full(mask.shape, t, tl.int32) < end)


@triton.jit
def parameter(pointer, column, mask, EACH: tl.constexpr):
    """A number, or with EACH a value for each neuron of a block."""
    return tl.load(pointer + column, mask, 0.0) if EACH else tl.load(pointer)


@triton.jit
def parameters(
    beta, theta, theta_neg, taken, v_reset, drift, beta_syn, columns, at, mask,
    EACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All of them, of the block from neuron `at` on.  EACH: a bit for each, from the lowest on."""
    c = ((at % columns).to(tl.int32) + tl.arange(0, BLOCK)) % columns
    return (
        parameter(beta, c, mask, EACH & 1),
        parameter(theta, c, mask, EACH & 2),
        parameter(theta_neg, c, mask, EACH & 4),
        parameter(taken, c, mask, EACH & 8),
        parameter(v_reset, c, mask, EACH & 16),
        parameter(drift, c, mask, EACH & 32),
        parameter(beta_syn, c, mask, EACH & 64),
    )


@triton.jit
def charge(v, u, drive, p, DRIFT: tl.constexpr, CURRENT: tl.constexpr):
    """The potential before firing, and the current."""
    if CURRENT:
        u = p[6] * u + drive
        drive = u
    h = p[0] * v + drive
    if DRIFT:
        h = h + p[5]
    return h, u


@triton.jit
def fire(h, p, UP: tl.constexpr, DOWN: tl.constexpr, HARD: tl.constexpr, RESETS: tl.constexpr):
    """up, down, and the potential after them."""
    up, down = fired(h, p[1], UP), fired(-h, p[2], DOWN)
    if HARD:
        v = h * (1.0 - up)
        if RESETS:
            v = v + p[4] * up
    else:
        v = h - p[3] * up
        if DOWN:
            v = v + p[2] * down
    return up, down, v


@triton.jit
def back(
    h, alpha, gs, gv, gh, p, UP: tl.constexpr, DOWN: tl.constexpr, HARD: tl.constexpr, DETACH: tl.constexpr,
    SURROGATE: tl.constexpr, OWN: tl.constexpr, RESETS: tl.constexpr,
):  # fmt: skip
    """The gradient of h, from those of s, v and of h elsewhere; what it adds to those of alpha, -theta, theta_neg."""
    up, down = fired(h, p[1], UP), fired(-h, p[2], DOWN)
    slope, tilt, weight = slopes(h, p[1], alpha, UP, SURROGATE)
    gup = gs
    if not DETACH:
        if HARD:
            if RESETS:
                gup = gs + p[4] * gv
            gup = gup - gv * h
        else:
            gup = gs - p[3] * gv
    term, negative = gup * tilt, tl.zeros(h.shape, tl.float32)
    if DOWN:
        gdown = -gs if DETACH else -gs + p[2] * gv
        below, below_tilt, below_weight = slopes(-h, p[2], alpha, DOWN, SURROGATE)
        gh = gh - gdown * below
        term = term + gdown * below_tilt
        negative = gv * down - gdown * below_weight
    gh = (gh + (gv * (1.0 - up) if HARD else gv)) + gup * slope
    return gh, term, (gup * weight if HARD or OWN else gup * weight + gv * up), negative
