"""A chip's weights, biases and sums in torch, with gradients: rounding passes them, clipping does not.

    q = clip(step * round(w / size / step), -most, most)             dq/dw = 1 / size inside
    a = floor((s @ q.T) * 2^exponent)                                exact, in float32 or float64

Whole numbers stand in float64 tensors between these functions, since gradients need floats; every one is exact.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import UnsupportedError, Violation
from ..fixed import Registers

EXACT_FLOAT32, EXACT_FLOAT64, ACCUMULATOR = 1 << 24, 1 << 53, 1 << 31
EXACT_BFLOAT16 = 1 << 8
"""Whole numbers up to here are exact with the 8 significant bits that a tensor core may leave of an operand."""
TITLE = "cannot train in the chip's arithmetic"


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, size: Tensor, step: int, most: int) -> Tensor:
        wanted = step * torch.round(w.double() / size / step)
        kept = wanted.clamp(-most, most)
        ctx.save_for_backward(size, wanted - kept)
        return kept

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        size, beyond = ctx.saved_tensors
        passes = (beyond == 0) | (beyond * grad > 0)
        return (grad * passes / size).float(), None, None, None


def quantize(w: Tensor, size: Tensor, step: int, most: int) -> Tensor:
    """Multiples of `step` in [-most, most], float64, for float weights w in units of `size` (broadcast).

    Straight-through: dq/dw = 1 / size; a clipped weight gets a gradient only if that leads back inside.
    """
    return cast(Tensor, _Quantize.apply(w, size, step, most))  # type: ignore[no-untyped-call]


def mantissas(value: Tensor, registers: Registers, toward_zero: bool = False) -> tuple[Tensor, Tensor]:
    """Mantissa and the smallest exponent that hold a bias of so many register units, float64 (N,), clipped.

    toward_zero: round so, instead of half to even.
    """
    top, widest = (1 << (registers.bias_bits - 1)) - 1, (1 << registers.bias_exponent_bits) - 1
    rounded = torch.trunc if toward_zero else torch.round
    exponent = torch.zeros_like(value)
    for e in range(widest):
        exponent = torch.where(rounded(value / 2.0**e).abs() > top, e + 1, exponent)
    return rounded(value / 2.0**exponent).clamp(-top, top), exponent


class _Bias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, step: Tensor, registers: Registers) -> Tensor:
        wanted = b.double() / step
        mantissa, exponent = mantissas(wanted, registers)
        top = float(((1 << (registers.bias_bits - 1)) - 1) << ((1 << registers.bias_exponent_bits) - 1))
        ctx.save_for_backward(step, wanted - wanted.clamp(-top, top))
        return mantissa * 2.0**exponent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        step, beyond = ctx.saved_tensors
        return (grad * ((beyond == 0) | (beyond * grad > 0)) / step).float(), None, None


def quantize_bias(b: Tensor, step: Tensor, registers: Registers) -> Tensor:
    """mantissa << exponent of a float bias b in register units of size `step`; float64 (N,), straight-through."""
    return cast(Tensor, _Bias.apply(b, step, registers))  # type: ignore[no-untyped-call]


def accumulates_exactly(reach: int, largest: int) -> torch.dtype:
    """The dtype in which sums of products of whole numbers are exact.

    reach: bound of |sum|, and so of every partial sum.   largest: of the operands.
    float32 needs reach < 2^24, and operands that survive what torch lets tensor cores make of them (TF32 or bf16 where
    `torch.set_float32_matmul_precision` is not "highest"; the sums stay float32); float64 needs reach < 2^53.
    Raises: UnsupportedError beyond the chip's accumulator of 32 bits, where the sum would wrap.
    """
    if reach >= ACCUMULATOR:
        what = f"a synaptic sum can reach {reach}, beyond the accumulator's {ACCUMULATOR - 1}"
        raise UnsupportedError(TITLE, [Violation("sum", what, "train with fewer inputs or circulations")])
    whole = torch.get_float32_matmul_precision() == "highest" or largest <= EXACT_BFLOAT16
    if reach < EXACT_FLOAT32 and whole:
        return torch.float32
    assert reach < EXACT_FLOAT64
    return torch.float64


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, s: Tensor, q: Tensor, exponent: int, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(s, q)
        ctx.gain = 2.0**exponent
        a = (s.to(dtype) @ q.to(dtype).T).double() * ctx.gain
        return torch.floor(a) if exponent < 0 else a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        s, q = ctx.saved_tensors
        g = grad.float() * ctx.gain
        to_s = g @ q.float() if ctx.needs_input_grad[0] else None
        to_q = g.flatten(0, 1).T @ s.float().flatten(0, 1) if ctx.needs_input_grad[1] else None
        return to_s, None if to_q is None else to_q.double(), None, None


def synaptic_sum(s: Tensor, q: Tensor, exponent: int, dtype: torch.dtype) -> Tensor:
    """floor((s @ q.T) * 2^exponent), float64 (T, B, N).

    s: whole numbers (T, B, M).   q: whole numbers, float64 (N, M).   dtype: one in which it is exact
    (`accumulates_exactly`).
    """
    return cast(Tensor, _Sum.apply(s, q, exponent, dtype))  # type: ignore[no-untyped-call]
