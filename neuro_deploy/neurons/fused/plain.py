"""The fused neuron in plain torch: the definition, for every dtype and device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .form import Form, Inputs, Outputs, Sums
from .surrogate import BUMPS, STEPS, UNITS


def crossed(h: Tensor, theta: Tensor, most: int) -> Tensor:
    """#{k in 1..most : h > theta * k}, in the dtype of h."""
    s = torch.zeros_like(h)
    for k in range(1, most + 1):
        s = s + (h > theta * k).to(h.dtype)
    return s


def fired(h: Tensor, theta: Tensor, alpha: Tensor, most: int, form: Form) -> Tensor:
    """How many rounds, or their smooth stand-in."""
    if not form.smooth:
        return crossed(h, theta, most)
    s = torch.zeros_like(h)
    for k in range(1, most + 1):
        s = s + STEPS[form.surrogate](alpha * (h - theta * k))
    return s


def left(h: Tensor, up: Tensor, hard: bool, of: Any) -> Tensor:
    """What so many rounds leave of h.  of: its theta, theta_reset and v_reset."""
    v: Tensor = h * (1.0 - up) if hard else h - (of.theta if of.theta_reset is None else of.theta_reset) * up
    return v if of.v_reset is None or not hard else v + of.v_reset * up


def fire(h: Tensor, alpha: Tensor, i: Inputs, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    """up, down and v of a step."""
    up = fired(h, i.theta, alpha, form.circulations, form)
    v, down = left(h, up, form.hard, i), torch.zeros_like(h)
    if form.circulations_neg and i.theta_neg is not None:
        down = fired(-h, i.theta_neg, alpha, form.circulations_neg, form)
        v = v + i.theta_neg * down
    return up, down, v


def run(i: Inputs, form: Form) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """s, v, h, u of each step (u: of the current, or x)."""
    x = i.x.to(i.beta.dtype)
    v = torch.zeros_like(x[0]) if i.v0 is None else i.v0
    u = torch.zeros_like(x[0]) if i.u0 is None else i.u0
    seen: tuple[list[Tensor], ...] = ([], [], [], [])
    for drive, alpha in zip(x.unbind(0), i.alpha.unbind(0), strict=True):
        u = drive if i.beta_syn is None else i.beta_syn * u + drive
        h = i.beta * v + u
        if i.drift is not None:
            h = h + i.drift
        up, down, v = fire(h, alpha, i, form)
        for kept, value in zip(seen, (up - down if form.circulations_neg else up, v, h, u), strict=True):
            kept.append(value)
    return seen  # type: ignore[return-value]


def forward(i: Inputs, form: Form, watch: bool) -> Outputs:
    """Spikes; with `watch` also v, h, and u where there is a current; contiguous, however x lies in memory."""
    s, v, h, u = run(i, form)
    wanted = (True, watch, watch, watch and i.beta_syn is not None)
    found = (torch.stack(kept).contiguous() if w else None for kept, w in zip((s, v, h, u), wanted, strict=True))
    return Outputs(*found)


def slopes(h: Tensor, theta: Tensor, alpha: Tensor, most: int, surrogate: str) -> tuple[Tensor, Tensor, Tensor]:
    """d/dh, d/dalpha and -d/dtheta of the rounds."""
    slope, tilt, weight = (torch.zeros_like(h) for _ in range(3))
    sharp = alpha * UNITS[surrogate]
    for k in range(1, most + 1):
        z = h - theta * k
        height = BUMPS[surrogate](sharp * z)
        slope = slope + height
        tilt = tilt + z * height
        weight = weight + height * k
    return alpha * slope, tilt, alpha * weight


def backward(grads: Outputs, i: Inputs, form: Form, need: Sequence[bool]) -> Sums:
    """Gradients from those of the outputs.  need: which of LEARNED are wanted; what is not may be there too."""
    _, vs, hs, _ = run(i, form)
    start = torch.zeros_like(hs[0]) if i.v0 is None else i.v0
    zero = torch.zeros_like(hs[0])
    signed = bool(form.circulations_neg) and i.theta_neg is not None
    gv, gu, gx, galpha = zero, zero, [], []
    wide = [torch.zeros_like(zero, dtype=torch.float64) for _ in range(3)]
    for t in reversed(range(len(hs))):
        h, alpha, gs = hs[t], i.alpha[t], zero if grads.s is None else grads.s[t]
        gv = gv if grads.v is None else grads.v[t] + gv
        gh = zero if grads.h is None else grads.h[t]
        up, down, _ = fire(h, alpha, i, form)
        slope, tilt, weight = slopes(h, i.theta, alpha, form.circulations, form.surrogate)
        gup = gs if form.detach else _reset(gs, gv, h, i, form)
        term = gup * tilt
        if signed:
            gdown = -gs if form.detach else -gs + i.theta_neg * gv  # type: ignore[operator]
            below = slopes(-h, i.theta_neg, alpha, form.circulations_neg, form.surrogate)  # type: ignore[arg-type]
            gh = gh - gdown * below[0]
            term = term + gdown * below[1]
            wide[2] += gv * down - gdown * below[2]
        gh = (gh + (gv * (1.0 - up) if form.hard else gv)) + gup * slope
        galpha.append(term.sum(dtype=torch.float64))
        wide[1] -= gup * weight + gv * up if not form.hard and i.theta_reset is None else gup * weight
        wide[0] += gh * (vs[t - 1] if t else start)
        if i.beta_syn is not None:
            gu = gh + gu if grads.u is None else gh + (grads.u[t] + gu)
            gx.append(gu)
            gu = i.beta_syn * gu
        else:
            gx.append(gh)
        gv = i.beta * gh
    return Sums(torch.stack(gx[::-1]), torch.stack(galpha[::-1]), wide[0], wide[1], wide[2], gv, gu)


def _reset(gs: Tensor, gv: Tensor, h: Tensor, i: Inputs, form: Form) -> Tensor:
    """The gradient of up: of the output, and through the reset."""
    if not form.hard:
        return gs - (i.theta if i.theta_reset is None else i.theta_reset) * gv
    return (gs if i.v_reset is None else gs + i.v_reset * gv) - gv * h
