"""A population in a chip's arithmetic, in torch: forward in int64, as neurons/*/integer.py say; backward in float.

    dc/dh = sum_k alpha * F'(alpha * (h - k*theta))       c: spikes of one sign, at the chip's h in float units
    dv/dh = keep,  dv/dc = jump                           what a kind's reset makes of them (neurons/KIND/chip.py)
    du[t]/du[t-1] = beta_syn,  dh[t]/dv[t-1] = beta;      rounding toward zero passes gradients, a clipped h none

A sequence may be computed in several parts, each from the state that the one before it left.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..fixed import Registers
from . import package, part
from .fused.plain import slopes

ACCUMULATOR = 1 << 31
"""What 32 bits wrap at."""


@dataclass(frozen=True, eq=False)
class Dynamics:
    """A population's arithmetic.

    kind: a neuron kind with a chip.py.   params: its integer parameters without the bias, int64, () or (N,).
    size: float value of a register step, float32 (N,): what the surrogate sees.   surrogate: a key of SURROGATES.
    detach_reset: True keeps gradients out of the reset.   fires: False for a kind whose potential is its output.
    """

    kind: str
    params: Mapping[str, Tensor]
    registers: Registers
    size: Tensor
    surrogate: str = "sigmoid"
    detach_reset: bool = False
    fires: bool = True

    def level(self, name: str) -> Tensor:
        """A threshold in register units."""
        return self.params[name] << self.registers.threshold_shift

    @cached_property
    def idle(self) -> frozenset[str]:
        """Parameters that are 0 in all neurons."""
        return frozenset(name for name, value in self.params.items() if not bool(value.any()))

    def counted(self, x: Tensor, alpha: Tensor, theta: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
        """dc/dx and dc/dalpha of c = #{k in 1..most : x > k * theta}, by the surrogate; both (T, B, N).

        x: (T, B, N) in float units.   alpha: (T,).   theta, most: () or (N,), theta in register units.
        """
        sharp, level = alpha[:, None, None], theta * self.size
        first, *others = torch.unique(most).tolist()
        slope, tilt, _ = slopes(x, level, sharp, first, self.surrogate)
        for k in others:
            one, other, _ = slopes(x, level, sharp, k, self.surrogate)
            slope, tilt = torch.where(most == k, one, slope), torch.where(most == k, other, tilt)
        return slope, tilt


class Side(NamedTuple):
    """Spikes of one sign, c of them.

    sign: +1 or -1.   slope, tilt: dc/dh and dc/dalpha, (T, B, N).   jump: dv/dc, (N,) or (T, B, N), in float units.
    """

    sign: int
    slope: Tensor
    tilt: Tensor
    jump: Tensor


class Firing(NamedTuple):
    """The derivatives of a kind's firing.  keep: dv/dh at the spikes that there are, (T, B, N); None: 1."""

    keep: Tensor | None
    sides: tuple[Side, ...]


def trainable(kind: str) -> bool:
    """True for a neuron kind that has a chip.py."""
    return importlib.util.find_spec(f"{package(kind)}.chip") is not None


def decay(x: Tensor, factor: Tensor, bits: int) -> Tensor:
    """sgn(x) * ((|x| * factor) >> bits), toward zero.  int64: a product needs up to 36 bits, float32 has 24."""
    return torch.sign(x) * ((x.abs() * factor) >> bits)


def crossed(x: Tensor, theta: Tensor, most: Tensor) -> Tensor:
    """#{k in 1..most : x > k * theta} for theta >= 1, int64."""
    gone = torch.div(x - 1, theta, rounding_mode="floor")
    return torch.minimum(gone.clamp(min=0), most)


class Charged(NamedTuple):
    """u (or None) and h, int64 (B, N), and where they wrapped or clipped."""

    u: Tensor | None
    h: Tensor
    wraps: Tensor | None
    clips: Tensor


def charge(dynamics: Dynamics, u: Tensor | None, v: Tensor, a: Tensor, bias: Tensor | int) -> Charged:
    """Current and potential before firing; see neurons/integer.py.  All int64; a: the sums, within 32 bits."""
    registers, params = dynamics.registers, dynamics.params
    x, wraps = a << registers.input_shift, None
    if u is not None:
        exact = decay(u, registers.unity - 1 - params["du"], registers.decay_bits) + x
        half = 1 << (registers.u_bits - 1)
        kept = ((exact + ACCUMULATOR) & (2 * ACCUMULATOR - 1)) - ACCUMULATOR
        x = u = torch.where(kept > half, kept - 2 * half, torch.where(kept <= -half, kept + 2 * half, kept))
        wraps = u != exact
    left = decay(v, registers.unity - params["dv"], registers.decay_bits) if "dv" in params else 0
    exact = left + x + bias
    h = exact.clamp(-registers.v_limit, registers.v_limit)
    return Charged(u, h, wraps, h != exact)


class State(NamedTuple):
    """What a population keeps from one step to the next.

    v, u: int64 (B, N); u None without a current.   of_v, of_u: the same in float units, float32, with gradients.
    """

    v: Tensor
    u: Tensor | None
    of_v: Tensor
    of_u: Tensor


def start(dynamics: Dynamics, batch: int) -> State:
    """The state before the first step: zeros."""
    n, device = len(dynamics.size), dynamics.size.device
    v, none = torch.zeros(batch, n, dtype=torch.int64, device=device), torch.zeros(batch, n, device=device)
    return State(v, v if "du" in dynamics.params else None, none, none)


class Rows(NamedTuple):
    """Some steps of a population, each (T, B, N).

    sent: spikes, or the potential in float units of a kind that never fires, and level: h in float units; both
    float32, with gradients.   spikes, v, h, u: int64.   clips, wraps: where h clipped, and u wrapped, bool.
    u, wraps: empty, (T, 0), without a current.
    """

    sent: Tensor
    level: Tensor
    spikes: Tensor
    v: Tensor
    h: Tensor
    u: Tensor
    clips: Tensor
    wraps: Tensor


class _Population(torch.autograd.Function):
    """Forward in int64, backward the float equations at the integers' values."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, bias: Tensor, alpha: Tensor, v: Tensor, u: Tensor, state: State, begin: int, d: Dynamics
    ) -> tuple[Tensor, ...]:
        whole, offset = a.long(), bias.long()
        left, current, fire = state.v, state.u, part(d.kind, "chip").fire
        rows: list[tuple[Tensor, ...]] = []
        for t in range(len(whole)):
            charged = charge(d, current, left, whole[t], offset if t >= begin else 0)
            s, left = fire(d, charged.h)
            current = charged.u
            more = () if charged.u is None or charged.wraps is None else (charged.u, charged.wraps)
            rows.append((s, left, charged.h, charged.clips, *more))
        s, v, h, clips, *others = (torch.stack(column) for column in zip(*rows, strict=True))
        u, wraps = others or (v.new_empty(len(v), 0), clips.new_empty(len(v), 0))
        last = u[-1] if others else torch.zeros_like(v[-1])
        ctx.dynamics, ctx.begin = d, begin
        ctx.save_for_backward(alpha, h.int(), s.int(), clips)
        sent = s.float() if d.fires else v.float() * d.size
        ctx.mark_non_differentiable(s, v, h, u, clips, wraps)
        return sent, h.float() * d.size, v[-1].float() * d.size, last.float() * d.size, s, v, h, u, clips, wraps

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_sent: Tensor, of_level: Tensor, of_v: Tensor, of_u: Tensor, *rest: Any
    ) -> tuple[Tensor | None, ...]:
        alpha, h, s, clips = ctx.saved_tensors
        found = _through_time(ctx.dynamics, alpha, (h, s, clips), (of_sent, of_level, of_v, of_u), ctx.begin)
        return (*found, None, None, None)


def population(
    a: Tensor, bias: Tensor, alpha: Tensor, dynamics: Dynamics, state: State | None = None, begin: int = 0
) -> tuple[Rows, State]:
    """Some steps of a population, and the state after them.

    a: sums, whole numbers, float64 (T, B, N).   bias: in register units, whole, float64 (N,).   alpha: (T,), > 0.
    state: before the first step; None: at rest.   begin: the step in which the bias sets in.
    """
    before = start(dynamics, a.shape[1]) if state is None else state
    found = _Population.apply(a, bias, alpha, before.of_v, before.of_u, before, begin, dynamics)  # type: ignore[no-untyped-call]
    sent, level, of_v, of_u, spikes, v, h, u, clips, wraps = cast("tuple[Tensor, ...]", found)
    after = State(v[-1], u[-1] if "du" in dynamics.params else None, of_v, of_u)
    return Rows(sent, level, spikes, v, h, u, clips, wraps), after


def _at(value: Tensor, t: int) -> Tensor:
    """A step of what has steps; the same for all of what has none."""
    return value[t] if value.ndim == 3 else value


def _through_time(
    d: Dynamics, alpha: Tensor, seen: tuple[Tensor, Tensor, Tensor], grads: tuple[Tensor, ...], begin: int
) -> tuple[Tensor, ...]:
    """Gradients of a, bias, alpha and the state before: the float equations, backward through time.

    seen: h, s and where h clipped.   grads: of what was sent, of h, and of v and u after the last step.
    """
    h, s, clips = seen
    of_sent, of_level, to_v, to_u = grads
    params, size, unity = d.params, d.size, float(d.registers.unity)
    keep = (unity - params["dv"]) / unity if "dv" in params else torch.zeros_like(size)
    keep_u = (unity - 1 - params["du"]) / unity if "du" in params else torch.zeros_like(keep)
    firing: Firing = part(d.kind, "chip").firing(d, h.float() * size, s, alpha)
    to_a, to_bias, to_alpha = torch.zeros_like(of_level), torch.zeros_like(size), torch.zeros_like(alpha)
    clipped = bool(clips.any())
    for t in reversed(range(len(h))):
        to_s = of_sent[t] if d.fires else torch.zeros_like(to_v)
        to_v = to_v if d.fires else to_v + of_sent[t]
        to_h = (to_v if firing.keep is None else to_v * firing.keep[t]) + of_level[t]
        for side in firing.sides:
            through = to_s if side.sign > 0 else -to_s
            if not d.detach_reset:
                through = through + to_v * _at(side.jump, t)
            to_h = to_h + through * side.slope[t]
            to_alpha[t] += (through * side.tilt[t]).sum()
        to_h = to_h.masked_fill(clips[t], 0.0) if clipped else to_h
        to_u = to_h + to_u
        to_a[t] = to_u
        if t >= begin:
            to_bias += to_h.sum(0)
        to_u, to_v = keep_u * to_u, keep * to_h
    weight = size * float(1 << d.registers.input_shift)
    return (to_a * weight).double(), (to_bias * size).double(), to_alpha, to_v, to_u
