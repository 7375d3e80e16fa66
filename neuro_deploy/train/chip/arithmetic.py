"""A chip's weights, biases and accumulators in torch, with gradients: rounding passes them, clipping does not.

    q = clip(step * round(w / size / step), -most, most)             dq/dw = 1 / size inside

Whole numbers stand in float64 tensors between these functions, since gradients need floats; every one is exact.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...engine.plain import EXACT_FLOAT64
from ...errors import UnsupportedError, Violation
from ...fixed import Registers

EXACT_FLOAT32 = 1 << 24
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


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def rounded(x: Tensor) -> Tensor:
    """Half to even, straight-through."""
    return cast(Tensor, _Round.apply(x))  # type: ignore[no-untyped-call]


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


def accumulates_exactly(where: str, reach: int, largest: int) -> torch.dtype:
    """The dtype in which sums of products of whole numbers are exact.

    reach: bound of |sum|, and so of every partial sum.   largest: of the operands.
    float32 needs reach < 2^24, and operands of 8 bits: they survive whatever torch is told to let tensor cores make of
    float32 (TF32, bf16; products and sums stay float32), so it is not asked; float64 needs reach < 2^53.
    Raises: UnsupportedError, naming `where`, beyond that.
    """
    if reach < EXACT_FLOAT32 and largest <= EXACT_BFLOAT16:
        return torch.float32
    if reach < EXACT_FLOAT64:
        return torch.float64
    what, remedy = f"a synaptic sum can reach {reach}, which no float holds exactly (below 2^53)", "use smaller spikes"
    raise UnsupportedError(TITLE, [Violation(where, what, remedy)])


def wrapped(x: Tensor, bits: int) -> Tensor:
    """x modulo 2^bits into [-2^(bits-1), 2^(bits-1)): what an accumulator keeps.  x: whole, any exact float64."""
    size = float(1 << bits)
    left = torch.remainder(x, size)
    return torch.where(left >= size / 2, left - size, left)
