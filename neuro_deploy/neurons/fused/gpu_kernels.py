# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, assignment"
"""The fused neuron in Triton: a program takes a block of neurons through time, their state in registers.

None of the operations is contracted (launched with enable_fp_fusion=False) and divisions are rounded to nearest, so
spikes, potentials and gradients of x agree with plain.py bit for bit in float32.  Time goes in chunks of CHUNK steps,
whose loads are under way together; in steps that the last chunk has too many, all that is loaded is 0.

Pointers: x, s, gx, ... (T, size), contiguous; v0, gv0, ... (size,); parameters (columns,), or a number (EACH: see
gpu_pieces.parameters).  Pointers of what is not used may be any.  magnitude: for the autotuner.  The constants in
capitals are cpu_kernels.Flags' and Wanted's.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .gpu_pieces import back, charge, earlier, fire, parameters

PART = 128
"""Neurons whose gradients of alpha are added up in float32."""
_PART = tl.constexpr(PART)
VARIES = ["steps", "magnitude"]


@triton.jit(do_not_specialize=VARIES)
def forward(
    x, v0, u0, beta, theta, theta_neg, taken, v_reset, drift, beta_syn, s, v_all, h_all, u_all,
    steps, size, columns, magnitude,
    UP: tl.constexpr, DOWN: tl.constexpr, HARD: tl.constexpr, RESETS: tl.constexpr, DRIFT: tl.constexpr,
    CURRENT: tl.constexpr, START: tl.constexpr, EACH: tl.constexpr, CHUNK: tl.constexpr, WATCH: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Spikes, and with WATCH all of v, h and u."""
    at, row, lane = tl.program_id(0).to(tl.int64) * BLOCK, tl.cast(size, tl.int64), tl.arange(0, BLOCK)
    mask = at + lane < size
    p = parameters(beta, theta, theta_neg, taken, v_reset, drift, beta_syn, columns, at, mask, EACH, BLOCK)
    v, u = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    if START:
        v = tl.load(v0 + at + lane, mask, 0.0)
        if CURRENT:
            u = tl.load(u0 + at + lane, mask, 0.0)
    for t in range(0, steps, CHUNK):
        drives = ()
        for k in tl.static_range(CHUNK):
            drives += (tl.load(x + at + k * row + lane, earlier(mask, t + k, steps), 0.0).to(tl.float32),)
        for k in tl.static_range(CHUNK):
            h, u = charge(v, u, drives[k], p, DRIFT, CURRENT)
            up, down, v = fire(h, p, UP, DOWN, HARD, RESETS)
            there = earlier(mask, t + k, steps)
            tl.store(s + at + lane, up - down if DOWN else up, there)
            if WATCH:
                tl.store(v_all + at + lane, v, there)
                tl.store(h_all + at + lane, h, there)
                if CURRENT:
                    tl.store(u_all + at + lane, u, there)
            at += row


@triton.jit(do_not_specialize=VARIES)
def backward(
    gs_all, gv_all, gh_all, gu_all, x, v0, u0, beta, theta, theta_neg, taken, v_reset, drift, beta_syn, alpha,
    gx, states, galpha, gbeta, gtheta, gnegative, gv0, gu0, steps, size, columns, parts, magnitude,
    UP: tl.constexpr, DOWN: tl.constexpr, HARD: tl.constexpr, DETACH: tl.constexpr, SURROGATE: tl.constexpr,
    OWN: tl.constexpr, RESETS: tl.constexpr, DRIFT: tl.constexpr, CURRENT: tl.constexpr, START: tl.constexpr,
    EACH: tl.constexpr, CHUNK: tl.constexpr, ROWS: tl.constexpr,
    GS: tl.constexpr, GV: tl.constexpr, GH: tl.constexpr, GU: tl.constexpr,
    ALPHA: tl.constexpr, BETA: tl.constexpr, THETA: tl.constexpr, NEGATIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of x, v0, u0; of alpha summed over PART neurons, (T, parts); of the others over time, (size,).

    A first pass keeps v and u at the start of every chunk but the last, in rows of `states`, ROWS for a chunk; from
    there each chunk is recomputed, and stays in registers.  `states` may be gx, with ROWS = CHUNK >= 2: a chunk is
    read there before its own numbers are written.
    """
    first, row, lane = tl.program_id(0).to(tl.int64) * BLOCK, tl.cast(size, tl.int64), tl.arange(0, BLOCK)
    at, mask = first, first + lane < size
    p = parameters(beta, theta, theta_neg, taken, v_reset, drift, beta_syn, columns, at, mask, EACH, BLOCK)
    zero = tl.zeros((BLOCK,), tl.float32)
    v, u = zero, zero
    if START:
        v = tl.load(v0 + at + lane, mask, 0.0)
        if CURRENT:
            u = tl.load(u0 + at + lane, mask, 0.0)
    chunks = (steps + CHUNK - 1) // CHUNK
    for c in range(chunks - 1):
        kept = states + first + c * ROWS * row + lane
        tl.store(kept, v, mask)
        if CURRENT:
            tl.store(kept + row, u, mask)
        for _ in tl.static_range(CHUNK):
            h, u = charge(v, u, tl.load(x + at + lane, mask, 0.0).to(tl.float32), p, DRIFT, CURRENT)
            v = fire(h, p, UP, DOWN, HARD, RESETS)[2]
            at += row
    tl.debug_barrier()
    carry, gu, of_beta, of_theta, of_negative = zero, zero, zero, zero, zero
    for r in range(chunks):
        t = (chunks - 1 - r) * CHUNK
        kept = states + first + (chunks - 2 - r) * ROWS * row + lane
        v_next = tl.load(kept, earlier(mask, 0, t), 0.0)
        u_next = tl.load(kept + row, earlier(mask, 0, t), 0.0) if CURRENT else zero
        drives, grads, hs, start = (), (), (), v
        for k in tl.static_range(CHUNK):
            there = earlier(mask, t + k, steps)
            drives += (tl.load(x + at + lane, there, 0.0).to(tl.float32),)
            grads += (tl.load(gs_all + at + lane, there, 0.0) if GS else zero,)
            at += row
        for k in tl.static_range(CHUNK):
            h, u = charge(v, u, drives[k], p, DRIFT, CURRENT)
            v = fire(h, p, UP, DOWN, HARD, RESETS)[2]
            hs += (h,)
        for k in tl.static_range(CHUNK):
            at -= row
            now = t + (CHUNK - 1 - k)
            there = earlier(mask, now, steps)
            gv = tl.load(gv_all + at + lane, there, 0.0) + carry if GV else carry
            gh = tl.load(gh_all + at + lane, there, 0.0) if GH else zero
            sharp = tl.load(alpha + now, now < steps, 0.0)
            gh, term, theta_too, negative_too = back(
                hs[CHUNK - 1 - k], sharp, grads[CHUNK - 1 - k], gv, gh, p,
                UP, DOWN, HARD, DETACH, SURROGATE, OWN, RESETS,
            )  # fmt: skip
            if ALPHA:
                part = tl.program_id(0) * (BLOCK // _PART) + tl.arange(0, BLOCK // _PART)
                sums = tl.sum(tl.reshape(tl.where(there, term, 0.0), (BLOCK // _PART, _PART)), 1)
                tl.store(galpha + now * parts + part, sums, earlier(part < parts, now, steps))
            if THETA:
                of_theta -= theta_too
            if NEGATIVE:
                of_negative += negative_too
            if BETA:
                if k < CHUNK - 1:
                    of_beta += gh * fire(hs[CHUNK - 2 - k], p, UP, DOWN, HARD, RESETS)[2]
                else:
                    of_beta += gh * start
            carry = p[0] * gh
            if CURRENT:
                gu = gh + (tl.load(gu_all + at + lane, there, 0.0) + gu if GU else gu)
                gh = gu
                gu = p[6] * gu
            tl.store(gx + at + lane, gh, there)
        at -= CHUNK * row
        v, u = v_next, u_next
        tl.debug_barrier()
    if BETA:
        tl.store(gbeta + first + lane, of_beta, mask)
    if THETA:
        tl.store(gtheta + first + lane, of_theta, mask)
    if NEGATIVE:
        tl.store(gnegative + first + lane, of_negative, mask)
    if START:
        tl.store(gv0 + first + lane, carry, mask)
        tl.store(gu0 + first + lane, gu, mask)
