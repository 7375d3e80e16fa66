"""The fused neuron in Numba: one pass over time for a block of neurons that stays in the cache.

`forward_kernel` and `backward_kernel` compile the equations of form.py for one combination of options, for float32, or
for float64, as gradcheck looks at them.  They do the operations of plain.py in its order, none contracted, so spikes,
potentials and the gradients of x are equal to it bit for bit in float32.  The backward pass recomputes potentials from
x, so nothing but x is kept for it.

A kernel takes the address of a job: numbers, and addresses of arrays (cpu_pieces.py, ADDRESSES).  All threads that work
on it call the kernel with the same job, and take blocks one by one until there are none.

Arrays: x, s, gx, ... (T, M), M = B*N; v0, gv0, ... (M,); what is not used may be anywhere; table (7, columns),
rows as in form.PARAMETERS; work (WORK,), trail (T * width,): scratch of a thread; order: T-1 .. 0, from memory, since
LLVM computes one number at a time where it sees the loop around run backwards.  Blocks have `width` <= ROW neurons or
fewer, and lie within one period of the table, which has `pieces` of them.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numba import cfunc, types

from .cpu_pieces import (
    ALPHA,
    BLOCK_NOW,
    BLOCKS,
    COLUMNS,
    FIRST,
    PARAMETERS,
    SIZE,
    STEPS,
    TERM,
    U0,
    V0,
    VERSION,
    WIDTH,
    U,
    X,
    ahead,
    array,
    at,
    begin,
    columns,
    compiled,
    fired,
    heads,
    left,
    place,
    scratch,
    slopes,
    taken,
    total,
)
from .team import Kernel

ZERO, ONE = np.float32(0), np.float32(1)
SIGNATURE = types.void(types.CPointer(types.int64))  # type: ignore[no-untyped-call]


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
def forward_kernel(f: Flags, watch: bool) -> Kernel:
    """Spikes, and with `watch` all of v, h and u.  A job's own arrays: s, v, h, u."""
    UP, DOWN, DRIFT, CURRENT, SCALAR = f.up, f.down, f.drift, f.current, f.scalar
    KIND, SMOOTH, REST, START = f.surrogate, f.smooth, (f.hard, f.v_reset, f.down > 0), f.start
    WATCH, EDITION, REAL = watch, VERSION, np.float64 if f.wide else np.float32

    def forward(job: Any) -> None:
        steps, size, width = job[STEPS], job[SIZE], job[COLUMNS]
        x, v0, u0, table = array(job, X, REAL), array(job, V0, REAL), array(job, U0, REAL), array(job, PARAMETERS, REAL)
        alpha, s_all, v_all = array(job, ALPHA, REAL), array(job, FIRST, REAL), array(job, FIRST + 1, REAL)
        h_all, u_all = array(job, FIRST + 2, REAL), array(job, FIRST + 3, REAL)
        kept_v, _ = scratch(job, REAL)
        kept_u = ahead(kept_v, U)
        beta, theta, theta_neg, reset, v_reset, drift, beta_syn = at(heads(table, width), 0)
        while EDITION:
            block = taken(ahead(job, BLOCK_NOW))
            if block >= job[BLOCKS]:
                break
            low, n, offset = place(block, job)
            begin(kept_v, v0, u0, low, n, START)
            if not SCALAR:
                p = columns(kept_v, table, width, n, offset)
            for t in range(steps):
                a, row = alpha[t], t * size + low
                given, s, vs, hs, us = (
                    ahead(x, row),
                    ahead(s_all, row),
                    ahead(v_all, row),
                    ahead(h_all, row),
                    ahead(u_all, row),
                )
                for i in range(n):
                    if not SCALAR:
                        beta, theta, theta_neg, reset, v_reset, drift, beta_syn = at(p, i)
                    u = given[i]
                    if CURRENT:
                        u = beta_syn * kept_u[i] + u
                        kept_u[i] = u
                    h = beta * kept_v[i] + u
                    if DRIFT:
                        h = h + drift
                    up = fired(h, theta, a, UP, KIND, SMOOTH)
                    down = fired(-h, theta_neg, a, DOWN, KIND, SMOOTH)
                    v = left(h, up, down, theta_neg, reset, v_reset, REST)
                    kept_v[i] = v
                    s[i] = up - down if DOWN else up
                    if WATCH:
                        hs[i] = h
                        vs[i] = v
                        if CURRENT:
                            us[i] = u

    return Kernel(compiled(partial(cfunc, SIGNATURE), forward))


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
def backward_kernel(f: Flags, w: Wanted) -> Kernel:
    """Gradients of x, v0, u0; in float64 of alpha summed over a block, (blocks, T), of the others over time, (M,).

    A job's own arrays: gradients of s, v, h, u; of x, alpha, beta, theta, theta_neg, v0, u0; order (T,), int64.
    """
    UP, DOWN, HARD, DETACH, OWN, RESETS = f.up, f.down, f.hard, f.detach, f.own, f.v_reset
    DRIFT, CURRENT, SCALAR, KIND, SMOOTH, WIDE = f.drift, f.current, f.scalar, f.surrogate, f.smooth, f.wide
    REST, START = (f.hard, f.v_reset, f.down > 0), f.start
    GS, GV, GH, GU, OF_ALPHA, BETA, THETA, NEGATIVE = w
    EDITION, REAL, SUM = VERSION, np.float64 if f.wide else np.float32, np.float64

    def backward(job: Any) -> None:
        steps, size, width, block_width = job[STEPS], job[SIZE], job[COLUMNS], job[WIDTH]
        x, v0, u0, table = array(job, X, REAL), array(job, V0, REAL), array(job, U0, REAL), array(job, PARAMETERS, REAL)
        alpha, gs_all, gv_all = array(job, ALPHA, REAL), array(job, FIRST, REAL), array(job, FIRST + 1, REAL)
        gh_all, gu_all, gx = array(job, FIRST + 2, REAL), array(job, FIRST + 3, REAL), array(job, FIRST + 4, REAL)
        galpha, gbeta, gtheta = array(job, FIRST + 5, SUM), array(job, FIRST + 6, SUM), array(job, FIRST + 7, SUM)
        gnegative, gv0, gu0 = array(job, FIRST + 8, SUM), array(job, FIRST + 9, REAL), array(job, FIRST + 10, REAL)
        order = array(job, FIRST + 11, np.int64)
        kept_v, trail = scratch(job, REAL)
        kept_u, terms = ahead(kept_v, U), ahead(kept_v, TERM)
        beta, theta, theta_neg, reset, v_reset, drift, beta_syn = at(heads(table, width), 0)
        while EDITION:
            block = taken(ahead(job, BLOCK_NOW))
            if block >= job[BLOCKS]:
                break
            low, n, offset = place(block, job)
            begin(kept_v, v0, u0, low, n, START)
            if not SCALAR:
                p = columns(kept_v, table, width, n, offset)
            for t in range(steps):
                a, given, hs = alpha[t], ahead(x, t * size + low), ahead(trail, t * block_width)
                for i in range(n):
                    if not SCALAR:
                        beta, theta, theta_neg, reset, v_reset, drift, beta_syn = at(p, i)
                    u = given[i]
                    if CURRENT:
                        u = beta_syn * kept_u[i] + u
                        kept_u[i] = u
                    h = beta * kept_v[i] + u
                    if DRIFT:
                        h = h + drift
                    hs[i] = h
                    up, down = fired(h, theta, a, UP, KIND, SMOOTH), fired(-h, theta_neg, a, DOWN, KIND, SMOOTH)
                    kept_v[i] = left(h, up, down, theta_neg, reset, v_reset, REST)
            begin(kept_v, v0, u0, low, n, False)
            for r in range(steps):
                t = order[r]
                a, row, hs = alpha[t], t * size + low, ahead(trail, t * block_width)
                gss, gvs, ghs, gus = ahead(gs_all, row), ahead(gv_all, row), ahead(gh_all, row), ahead(gu_all, row)
                gone, earlier, b = ahead(gx, row), ahead(trail, (t - 1) * block_width), alpha[t - 1 if t > 0 else 0]
                for i in range(n):
                    if not SCALAR:
                        beta, theta, theta_neg, reset, v_reset, drift, beta_syn = at(p, i)
                    h = hs[i]
                    gs = gss[i] if GS else ZERO
                    gv = gvs[i] + kept_v[i] if GV else kept_v[i]
                    gh = ghs[i] if GH else ZERO
                    up, down = fired(h, theta, a, UP, KIND, SMOOTH), fired(-h, theta_neg, a, DOWN, KIND, SMOOTH)
                    slope, tilt, weight = slopes(h, theta, a, UP, KIND, WIDE)
                    gup = gs
                    if not DETACH:
                        gup = (gs + v_reset * gv if RESETS else gs) - gv * h if HARD else gs - reset * gv
                    term = gup * tilt
                    if DOWN:
                        gdown = -gs if DETACH else -gs + theta_neg * gv
                        below = slopes(-h, theta_neg, a, DOWN, KIND, WIDE)
                        gh = gh - gdown * below[0]
                        term = term + gdown * below[1]
                        if NEGATIVE:
                            gnegative[low + i] += gv * down - gdown * below[2]
                    gh = (gh + (gv * (ONE - up) if HARD else gv)) + gup * slope
                    if OF_ALPHA:
                        terms[i] = term
                    if THETA:
                        gtheta[low + i] -= gup * weight if HARD or OWN else gup * weight + gv * up
                    if BETA:
                        before = v0[low + i] if START else ZERO
                        if t > 0:
                            e = earlier[i]
                            up, down = fired(e, theta, b, UP, KIND, SMOOTH), fired(-e, theta_neg, b, DOWN, KIND, SMOOTH)
                            before = left(e, up, down, theta_neg, reset, v_reset, REST)
                        gbeta[low + i] += gh * before
                    kept_v[i] = beta * gh
                    if CURRENT:
                        gh = gh + (gus[i] + kept_u[i] if GU else kept_u[i])
                        kept_u[i] = beta_syn * gh
                    gone[i] = gh
                if OF_ALPHA:
                    galpha[block * steps + t] = total(terms, n)
            if START:
                for i in range(n):
                    gv0[low + i] = kept_v[i]
                    gu0[low + i] = kept_u[i]

    return Kernel(compiled(partial(cfunc, SIGNATURE), backward))
