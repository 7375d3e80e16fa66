"""The fused neuron in Numba: one pass over time for a block of neurons that stays in the cache.

`forward_kernel` and `backward_kernel` compile the equations of form.py for one combination of options, for float32, or
for float64, as gradcheck looks at them.  They do the operations of plain.py in its order, none contracted, so spikes,
potentials and the gradients of x are equal to it bit for bit in float32.  The backward pass recomputes potentials from
x, so nothing but x is kept for it.

Arrays: x, s, gx, ... (T, M), M = B*N; v0, gv0, ... (M,); what is not used has size 0; table (7, period), rows as in
form.PARAMETERS; work (WORK,), trail (T * width,): scratch of a thread; order: T-1 .. 0, from memory, since LLVM
computes one number at a time where it sees the loop around run backwards.  Blocks number `first` to `last` - 1 have
`width` <= ROW neurons or fewer, and lie within one period of the table, which has `pieces` of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cpu_pieces import TERM, VERSION, U, V, at, begin, compiled, fired, left, peek, place, poke, slopes, total

Array = NDArray[Any]
ZERO, ONE = np.float32(0), np.float32(1)


class Flags(NamedTuple):
    """A kernel's constants.  surrogate: 0 sigmoid, 1 triangle, 2 arctan; own: theta_reset is not theta; scalar: the
    table has one column; start: v0 and u0 are given; wide: float64; the rest as in form.py."""

    up: int
    down: int
    hard: bool
    detach: bool
    surrogate: int
    smooth: bool
    own: bool
    v_reset: bool
    drift: bool
    current: bool
    scalar: bool
    start: bool
    wide: bool


@cache
def forward_kernel(f: Flags, watch: bool) -> Callable[..., None]:
    """Spikes, and with `watch` all of v, h and u."""
    UP, DOWN, DRIFT, CURRENT, SCALAR = f.up, f.down, f.drift, f.current, f.scalar
    KIND, SMOOTH, REST, START = f.surrogate, f.smooth, (f.hard, f.v_reset, f.down > 0), (f.scalar, f.start)
    WATCH, EDITION = watch, VERSION

    def forward(
        x: Array, v0: Array, u0: Array, table: Array, alpha: Array,
        s: Array, v_all: Array, h_all: Array, u_all: Array,
        work: Array, first: int, last: int, period: int, pieces: int, width: int,
    ) -> None:  # fmt: skip
        beta, theta, theta_neg, taken = table[0, 0], table[1, 0], table[2, 0], table[3, 0]
        v_reset, drift, beta_syn = table[4, 0], table[5, 0], table[6, 0]
        for block in range(first, last):
            low, n, offset = place(block, x.shape[1], period, pieces, width)
            begin(work, table, v0, u0, low, n, offset, START)
            for t in range(len(x) if EDITION else 0):
                a, given, sent = alpha[t], x[t, low : low + n], s[t, low : low + n]
                vs, hs, us = v_all[t, low : low + n], h_all[t, low : low + n], u_all[t, low : low + n]
                for i in range(n):
                    if not SCALAR:
                        beta, theta, theta_neg, taken, v_reset, drift, beta_syn = at(work, i)
                    u = peek(given, i)
                    if CURRENT:
                        u = beta_syn * peek(work, U + i) + u
                        poke(work, U + i, u)
                    h = beta * peek(work, V + i) + u
                    if DRIFT:
                        h = h + drift
                    up = fired(h, theta, a, UP, KIND, SMOOTH)
                    down = fired(-h, theta_neg, a, DOWN, KIND, SMOOTH)
                    v = left(h, up, down, theta_neg, taken, v_reset, REST)
                    poke(work, V + i, v)
                    poke(sent, i, up - down if DOWN else up)
                    if WATCH:
                        poke(hs, i, h)
                        poke(vs, i, v)
                        if CURRENT:
                            poke(us, i, u)

    return compiled(forward)


class Wanted(NamedTuple):
    """Constants of a backward kernel: which gradients of the outputs there are, and which are wanted of parameters."""

    s: bool
    v: bool
    h: bool
    u: bool
    alpha: bool
    beta: bool
    theta: bool
    theta_neg: bool


@cache
def backward_kernel(f: Flags, w: Wanted) -> Callable[..., None]:
    """Gradients of x, v0, u0; in float64 of alpha summed over a block, (blocks, T), of the others over time, (M,)."""
    UP, DOWN, HARD, DETACH, OWN, RESETS = f.up, f.down, f.hard, f.detach, f.own, f.v_reset
    DRIFT, CURRENT, SCALAR, KIND, SMOOTH, WIDE = f.drift, f.current, f.scalar, f.surrogate, f.smooth, f.wide
    REST, START = (f.hard, f.v_reset, f.down > 0), (f.scalar, f.start)
    GS, GV, GH, GU, ALPHA, BETA, THETA, NEGATIVE = w
    EDITION = VERSION

    def backward(
        gs_all: Array, gv_all: Array, gh_all: Array, gu_all: Array,
        x: Array, v0: Array, u0: Array, table: Array, alpha: Array,
        gx: Array, galpha: Array, gbeta: Array, gtheta: Array, gnegative: Array, gv0: Array, gu0: Array,
        work: Array, trail: Array, order: Array, first: int, last: int, period: int, pieces: int, width: int,
    ) -> None:  # fmt: skip
        steps = len(x) if EDITION else 0
        beta, theta, theta_neg, taken = table[0, 0], table[1, 0], table[2, 0], table[3, 0]
        v_reset, drift, beta_syn = table[4, 0], table[5, 0], table[6, 0]
        for block in range(first, last):
            low, n, offset = place(block, x.shape[1], period, pieces, width)
            begin(work, table, v0, u0, low, n, offset, START)
            for t in range(steps):
                a, given = alpha[t], x[t, low : low + n]
                for i in range(n):
                    if not SCALAR:
                        beta, theta, theta_neg, taken, v_reset, drift, beta_syn = at(work, i)
                    u = peek(given, i)
                    if CURRENT:
                        u = beta_syn * peek(work, U + i) + u
                        poke(work, U + i, u)
                    h = beta * peek(work, V + i) + u
                    if DRIFT:
                        h = h + drift
                    poke(trail, t * width + i, h)
                    up, down = fired(h, theta, a, UP, KIND, SMOOTH), fired(-h, theta_neg, a, DOWN, KIND, SMOOTH)
                    poke(work, V + i, left(h, up, down, theta_neg, taken, v_reset, REST))
            for i in range(n):
                poke(work, V + i, ZERO)
                poke(work, U + i, ZERO)
            for r in range(steps):
                t = order[r]
                a, gone = alpha[t], gx[t, low : low + n]
                gss, gvs = gs_all[t, low : low + n], gv_all[t, low : low + n]
                ghs, gus = gh_all[t, low : low + n], gu_all[t, low : low + n]
                for i in range(n):
                    if not SCALAR:
                        beta, theta, theta_neg, taken, v_reset, drift, beta_syn = at(work, i)
                    h = peek(trail, t * width + i)
                    gs = peek(gss, i) if GS else ZERO
                    gv = peek(gvs, i) + peek(work, V + i) if GV else peek(work, V + i)
                    gh = peek(ghs, i) if GH else ZERO
                    up, down = fired(h, theta, a, UP, KIND, SMOOTH), fired(-h, theta_neg, a, DOWN, KIND, SMOOTH)
                    slope, tilt, weight = slopes(h, theta, a, UP, KIND, WIDE)
                    gup = gs
                    if not DETACH:
                        gup = (gs + v_reset * gv if RESETS else gs) - gv * h if HARD else gs - taken * gv
                    term = gup * tilt
                    if DOWN:
                        gdown = -gs if DETACH else -gs + theta_neg * gv
                        below = slopes(-h, theta_neg, a, DOWN, KIND, WIDE)
                        gh = gh - gdown * below[0]
                        term = term + gdown * below[1]
                        if NEGATIVE:
                            gnegative[low + i] += gv * down - gdown * below[2]
                    gh = (gh + (gv * (ONE - up) if HARD else gv)) + gup * slope
                    if ALPHA:
                        poke(work, TERM + i, term)
                    if THETA:
                        gtheta[low + i] -= gup * weight if HARD or OWN else gup * weight + gv * up
                    if BETA:
                        before = v0[low + i] if START[1] else ZERO
                        if t > 0:
                            e, b = peek(trail, (t - 1) * width + i), alpha[t - 1]
                            up, down = fired(e, theta, b, UP, KIND, SMOOTH), fired(-e, theta_neg, b, DOWN, KIND, SMOOTH)
                            before = left(e, up, down, theta_neg, taken, v_reset, REST)
                        gbeta[low + i] += gh * before
                    poke(work, V + i, beta * gh)
                    if CURRENT:
                        gh = gh + (peek(gus, i) + peek(work, U + i) if GU else peek(work, U + i))
                        poke(work, U + i, beta_syn * gh)
                    poke(gone, i, gh)
                if ALPHA:
                    galpha[block, t] = total(work[TERM : TERM + n], n)
            if START[1]:
                for i in range(n):
                    gv0[low + i] = peek(work, V + i)
                    gu0[low + i] = peek(work, U + i)

    return compiled(backward)
