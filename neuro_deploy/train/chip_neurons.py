"""A chip's neurons in torch: forward in int64, as neurons/*/integer.py say; backward the float equations there.

ds/dh = sum_k alpha * F'(alpha * (h - k*theta))        at the chip's h, in float units
dv/dh = 1, dv/ds = -taken (soft reset);   dv/dh = 1 - s, dv/ds = v_reset - h (hard)
du[t]/du[t-1] = beta_syn,  dh[t]/dv[t-1] = beta;   rounding toward zero passes gradients, a clipped h none
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..fixed import Registers
from ..neurons.fused.plain import slopes
from .chip_arithmetic import ACCUMULATOR


@dataclass(frozen=True, eq=False)
class Dynamics:
    """A population's arithmetic.

    kind: "cf", "lif" or "li".   params: its integer parameters without the bias, int64, () or (N,); see neurons/*.
    size: float value of a register step, float32 (N,): what the surrogate sees.   surrogate: a key of SURROGATES.
    detach_reset: True keeps gradients out of the reset.
    """

    kind: str
    params: Mapping[str, Tensor]
    registers: Registers
    size: Tensor
    surrogate: str
    detach_reset: bool

    @property
    def unity(self) -> int:
        """The decay factor that keeps everything."""
        return self.registers.unity

    def levels(self) -> tuple[Tensor, int, Tensor, int]:
        """theta, K, theta_neg, K_neg in register units; 0 rounds for a side that does not fire."""
        params, shift = self.params, self.registers.threshold_shift
        if self.kind == "li":
            one = torch.ones_like(params["dv"])
            return one, 0, one, 0
        theta = params["vth"] << shift
        if self.kind == "lif":
            return theta, 1, theta, 0
        return theta, int(params["rounds"].max()), params["vth_neg"] << shift, int(params["rounds_neg"].max())

    def fire(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and the potential that is left; int64 (B, N)."""
        theta, most, theta_neg, most_neg = self.levels()
        up = torch.div(h - 1, theta, rounding_mode="floor").clamp(0, most)
        if self.kind == "lif":
            return up, torch.where(up > 0, self.params.get("v_reset", torch.zeros_like(h)), h)
        v = h - up * self.params.get("theta_reset", theta)
        if not most_neg:
            return up, v
        down = torch.div(-h - 1, theta_neg, rounding_mode="floor").clamp(0, most_neg)
        return up - down, v + down * theta_neg


KINDS = ("cf", "lif", "li")
"""Neuron kinds that `Dynamics` knows."""


def decay(x: Tensor, factor: Tensor, bits: int) -> Tensor:
    """sgn(x) * ((|x| * factor) >> bits), toward zero.  int64: a product needs up to 36 bits, float32 has 24."""
    return torch.sign(x) * ((x.abs() * factor) >> bits)


class Charged(NamedTuple):
    """u (or None) and h, int64 (B, N), and where they wrapped or clipped."""

    u: Tensor | None
    h: Tensor
    wraps: Tensor | None
    clips: Tensor


def charge(dynamics: Dynamics, u: Tensor | None, v: Tensor, a: Tensor, bias: Tensor) -> Charged:
    """Current and potential before firing; see neurons/integer.py.  All int64; a: the sums, within 32 bits."""
    registers, params = dynamics.registers, dynamics.params
    x, wraps = a << registers.input_shift, None
    if u is not None:
        exact = decay(u, dynamics.unity - 1 - params["du"], registers.decay_bits) + x
        half = 1 << (registers.u_bits - 1)
        kept = ((exact + ACCUMULATOR) & (2 * ACCUMULATOR - 1)) - ACCUMULATOR
        x = u = torch.where(kept > half, kept - 2 * half, torch.where(kept <= -half, kept + 2 * half, kept))
        wraps = u != exact
    exact = decay(v, dynamics.unity - params["dv"], registers.decay_bits) + x + bias
    h = exact.clamp(-registers.v_limit, registers.v_limit)
    return Charged(u, h, wraps, h != exact)


class _Population(torch.autograd.Function):
    """Through time at once: forward in int64, backward the float equations at the integers' values."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, bias: Tensor, alpha: Tensor, dynamics: Dynamics) -> tuple[Tensor, ...]:
        whole, offset = a.long(), bias.long()
        v = torch.zeros_like(whole[0])
        u = torch.zeros_like(v) if "du" in dynamics.params else None
        rows: list[tuple[Tensor, ...]] = []
        for t in range(len(whole)):
            charged = charge(dynamics, u, v, whole[t], offset)
            s, v = dynamics.fire(charged.h)
            u = charged.u
            wraps = torch.zeros_like(charged.clips) if charged.wraps is None else charged.wraps
            rows.append((s, v, charged.h, v if u is None else u, charged.clips, wraps))
        s, v, h, current, clips, wraps = (torch.stack(column) for column in zip(*rows, strict=True))
        ctx.dynamics = dynamics
        ctx.save_for_backward(alpha, h.int(), s.int(), clips)
        sent = v.double() * dynamics.size if dynamics.kind == "li" else s.double()
        ctx.mark_non_differentiable(s, v, h, current, clips, wraps)
        return sent.float(), h.float() * dynamics.size, s, v, h, current, clips, wraps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_h: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        dynamics: Dynamics = ctx.dynamics
        alpha, h, s, clips = ctx.saved_tensors
        return (*_through_time(dynamics, alpha, h, s, clips, grad, grad_h), None)


def population(a: Tensor, bias: Tensor, alpha: Tensor, dynamics: Dynamics) -> tuple[Tensor, ...]:
    """A population over time.

    a: sums, whole numbers, float64 (T, B, N).   bias: in register units, whole, float64 (N,).   alpha: (T,), > 0.
    Gives, each (T, B, N): what it sends, float32 (spikes, or an integrator's potential in float units); h in float
    units (both with gradients); s, v, h and u (v where there is no current), int64; where h clipped and u wrapped,
    bool.
    """
    return cast("tuple[Tensor, ...]", _Population.apply(a, bias, alpha, dynamics))  # type: ignore[no-untyped-call]


class _Side(NamedTuple):
    """One polarity: slope and tilt of its surrogate, (T, B, N), and what a spike takes from the potential, (N,)."""

    slope: Tensor
    tilt: Tensor
    taken: Tensor


def _side(dynamics: Dynamics, alpha: Tensor, h: Tensor, theta: Tensor, most: int, taken: Tensor) -> _Side:
    """ds/dh and ds/dalpha of one side; h: (T, B, N) in float units, theta and taken too."""
    slope, tilt, _ = slopes(h, theta, alpha[:, None, None], most, dynamics.surrogate)
    return _Side(slope, tilt, taken)


def _through_time(
    dynamics: Dynamics, alpha: Tensor, h: Tensor, s: Tensor, clips: Tensor, grad: Tensor, grad_h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of a, bias and alpha: the float equations, backward through time, at the integers' values.

    ds/dh = sum_k alpha * F'(alpha * (h - k*theta));   dv/dh = 1, dv/ds = -taken (soft) or the reset's (hard)
    """
    params, size, unity = dynamics.params, dynamics.size, float(dynamics.unity)
    theta, most, theta_neg, most_neg = dynamics.levels()
    x, hard = h.float() * size, dynamics.kind == "lif"
    up = _side(dynamics, alpha, x, theta * size, most, params.get("theta_reset", theta) * size)
    down = _side(dynamics, alpha, -x, theta_neg * size, most_neg, theta_neg * size) if most_neg else None
    keep = (unity - params["dv"]) / unity
    keep_u = (unity - 1 - params["du"]) / unity if "du" in params else torch.zeros_like(keep)
    reset = params["v_reset"] * size if "v_reset" in params else torch.zeros_like(size)
    to_a, to_bias, to_alpha = torch.zeros_like(x), torch.zeros_like(size), torch.zeros_like(alpha)
    to_v, to_u = torch.zeros_like(x[0]), torch.zeros_like(x[0])
    for t in reversed(range(len(x))):
        if dynamics.kind == "li":
            to_v = to_v + grad[t]
        to_s = grad[t] if dynamics.kind != "li" else torch.zeros_like(to_v)
        jump = (reset - x[t]) if hard else -up.taken
        through = to_s if dynamics.detach_reset else to_s + to_v * jump
        to_h = (to_v * (1 - s[t]) if hard else to_v) + through * up.slope[t] + grad_h[t]
        to_alpha[t] += (through * up.tilt[t]).sum()
        if down is not None:
            through = -to_s if dynamics.detach_reset else -to_s + to_v * down.taken
            to_h = to_h - through * down.slope[t]
            to_alpha[t] += (through * down.tilt[t]).sum()
        to_h = to_h.masked_fill(clips[t], 0.0)
        to_u = to_h + keep_u * to_u
        to_a[t] = to_u
        to_bias += to_h.sum(0)
        to_v = keep * to_h
    weight = size * float(1 << dynamics.registers.input_shift)
    return (to_a * weight).double(), (to_bias * size).double(), to_alpha
