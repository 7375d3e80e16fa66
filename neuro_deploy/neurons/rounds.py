"""Rounds through a threshold, with a surrogate gradient: what a kind fires by, step by step."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .fused.plain import crossed, slopes


class _Rounds(torch.autograd.Function):
    """Forward #{k in 1..K : h > k*theta}, exactly; backward the derivatives of sum_k F(alpha * (h - k*theta))."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, theta: Tensor, alpha: Tensor, circulations: int, surrogate: str) -> Tensor:
        ctx.save_for_backward(h, theta, alpha)
        ctx.circulations, ctx.surrogate = circulations, surrogate
        return crossed(h, theta, circulations)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        h, theta, alpha = ctx.saved_tensors
        _, of_theta, of_alpha, *_ = ctx.needs_input_grad
        slope, tilt, weight = slopes(h, theta, alpha, ctx.circulations, ctx.surrogate)
        gtheta = -(grad * weight).sum_to_size(theta.shape) if of_theta else None
        galpha = (grad * tilt).sum(dtype=torch.float64).to(alpha.dtype) if of_alpha else None
        return grad * slope, gtheta, galpha, None, None


def rounds(h: Tensor, theta: Tensor, alpha: Tensor, circulations: int, surrogate: str) -> Tensor:
    """How many rounds a potential goes through its threshold, with a surrogate gradient.

        s         = #{k in 1..K : h > theta * k}                 forward, whole numbers; theta * k in theta's dtype
        ds/dh     = sum_k alpha * F'(alpha * (h - k*theta))      backward
        ds/dalpha = sum_k (h - k*theta) * F'(alpha * (h - k*theta))
        ds/dtheta = -sum_k k * alpha * F'(alpha * (h - k*theta))

    h: (B, *shape).   theta: () or shape, > 0.   alpha: (), > 0, the sharpness at this time step.
    circulations: K >= 0.   surrogate: a key of SURROGATES.
    """
    return cast(Tensor, _Rounds.apply(h, theta, alpha, circulations, surrogate))  # type: ignore[no-untyped-call]
