"""What torch modules of all neuron kinds share: the loop over time, the surrogate gradient, and a way to look inside.

Forward passes are exact: every line of an equation is one float32 operation of its own, rounded once, in the order that
the docstring gives, so another implementation of the same operations in the same order agrees bit for bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..errors import InputError
from .base import FloatNeuron

DEFAULT_ALPHA = 4.0
Parameter = float | Sequence[float] | NDArray[Any] | Tensor
"""A parameter: one number for the population, or one per neuron."""


class States(NamedTuple):
    """What a population did in one forward pass: spikes, v and h, each (T, B, *shape), in the parameters' dtype."""

    spikes: Tensor
    v: Tensor
    h: Tensor


_WATCHERS: ContextVar[tuple[Callable[[nn.Module, States], None], ...]] = ContextVar("_WATCHERS", default=())


@contextmanager
def observe(model: nn.Module) -> Iterator[dict[str, States]]:
    """Within the block, a forward pass of `model` fills the dict: name of each neuron module -> its States.

    Names are those of `model.named_modules()`, in the order of execution; a later pass replaces an earlier one.  The
    tensors carry gradients if gradients are on.  Nothing is stored in the modules.

        with observe(model) as states:
            model(x)
        states["cf1"].h
    """
    names = {id(m): name for name, m in model.named_modules() if isinstance(m, SpikingNeuron)}
    seen: dict[str, States] = {}

    def note(module: nn.Module, states: States) -> None:
        if id(module) in names:
            seen[names[id(module)]] = states

    token = _WATCHERS.set((*_WATCHERS.get(), note))
    try:
        yield seen
    finally:
        _WATCHERS.reset(token)


def _sigmoid(z: Tensor) -> Tensor:
    return torch.sigmoid(z) * torch.sigmoid(-z)


def _triangle(z: Tensor) -> Tensor:
    return torch.relu(1.0 - z.abs())


def _arctan(z: Tensor) -> Tensor:
    return 0.5 / (1.0 + (0.5 * math.pi * z) ** 2)


SURROGATES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"sigmoid": _sigmoid, "triangle": _triangle, "arctan": _arctan}
)
"""Name -> F'(z), the bump of a smooth step F from 0 to 1: the logistic function, a piecewise parabola,
arctan(pi*z/2)/pi + 1/2.  The area of each bump is 1."""


class _Rounds(torch.autograd.Function):
    """Forward #{k in 1..K : h > k*theta}, exactly; backward the derivatives of sum_k F(alpha * (h - k*theta))."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, theta: Tensor, alpha: Tensor, circulations: int, surrogate: str) -> Tensor:
        ctx.save_for_backward(h, theta, alpha)
        ctx.circulations, ctx.surrogate = circulations, surrogate
        s = torch.zeros_like(h)
        for k in range(1, circulations + 1):
            s += h > theta * k
        return s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor | None, None, None]:
        h, theta, alpha = ctx.saved_tensors
        bump = SURROGATES[ctx.surrogate]
        slope, tilt = torch.zeros_like(h), torch.zeros_like(h)
        for k in range(1, ctx.circulations + 1):
            x = h - theta * k
            height = bump(alpha * x)
            slope += height
            if ctx.needs_input_grad[2]:
                tilt += x * height
        return grad * (alpha * slope), None, (grad * tilt).sum() if ctx.needs_input_grad[2] else None, None, None


def rounds(h: Tensor, theta: Tensor, alpha: Tensor, circulations: int, surrogate: str) -> Tensor:
    """How many rounds a potential goes through its threshold, with a surrogate gradient.

        s         = #{k in 1..K : h > theta * k}                 forward, whole numbers; theta * k in theta's dtype
        ds/dh     = sum_k alpha * F'(alpha * (h - k*theta))      backward
        ds/dalpha = sum_k (h - k*theta) * F'(alpha * (h - k*theta))

    h: (B, *shape).   theta: () or shape, > 0; gets no gradient.   alpha: (), > 0, the sharpness at this time step.
    circulations: K >= 0.   surrogate: a key of SURROGATES.
    """
    return cast(Tensor, _Rounds.apply(h, theta, alpha, circulations, surrogate))  # type: ignore[no-untyped-call]


class SpikingNeuron(nn.Module, ABC):
    """A population of leaky neurons over time; a kind's module derives from it and says how its neurons fire.

        h[t] = beta * v[t-1] + x[t]          a product, then a sum, each rounded to float32; v[-1] = 0
        s[t], v[t] = fire(h[t])

    Call: x (T, B, *shape) -> spikes (T, B, *shape), whole numbers in the dtype of the parameters (float32), to which x
    is converted first, under autocast too.
    beta: leak, [0, 1], and theta: threshold, > 0; float32, one number or one per neuron (of the population's shape).
    surrogate, alpha: the smooth bump that stands for ds/dh in the backward pass, and its sharpness at the start, > 0.
    steps: T.  Then alpha is learned for each time step (TSL-SG), of shape (T,), and training with another T is refused;
        without it one alpha of shape (1,) serves all steps.   learnable_alpha: False keeps alpha as it is.
    Raises: InputError.   Source: TSL-SG is our reading of arXiv 2605.27412.
    """

    beta: Tensor
    theta: Tensor

    def __init__(
        self,
        beta: Parameter,
        theta: Parameter,
        *,
        surrogate: str = "sigmoid",
        alpha: float | Sequence[float] = DEFAULT_ALPHA,
        steps: int | None = None,
        learnable_alpha: bool = True,
    ) -> None:
        super().__init__()
        self.register_buffer("beta", parameter(type(self).__name__, "beta", beta, 1.0))
        self.register_buffer("theta", parameter(type(self).__name__, "theta", theta))
        if surrogate not in SURROGATES:
            raise InputError(f"{type(self).__name__}: surrogate '{surrogate}' is unknown; use {', '.join(SURROGATES)}")
        if steps is not None and steps < 1:
            raise InputError(f"{type(self).__name__}: steps must be 1 or more, got {steps}")
        start = parameter(type(self).__name__, "alpha", alpha).double()
        if start.ndim > 1 or (start.ndim == 1 and len(start) not in (1, steps or 1)):
            raise InputError(f"{type(self).__name__}: alpha has shape {tuple(start.shape)}, expected ({steps or 1},)")
        raw = start + torch.log(-torch.expm1(-start))
        self.surrogate = surrogate
        self.steps = steps
        self.raw_alpha = nn.Parameter(raw.expand(steps or 1).float().clone(), requires_grad=learnable_alpha)

    @property
    def alpha(self) -> Tensor:
        """The surrogate's sharpness, > 0, (T,) or (1,): softplus(raw_alpha)."""
        return nn.functional.softplus(self.raw_alpha)

    @abstractmethod
    def fire(self, h: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and the potential after firing, from h (B, *shape) and this step's alpha ()."""

    def forward(self, x: Tensor) -> Tensor:
        """Spikes (T, B, *shape).  Raises: InputError for a wrong shape, or another T than `steps` in training."""
        self._check(x)
        x = x.to(self.beta.dtype)
        alpha = self.alpha
        v = torch.zeros_like(x[0])
        record: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        for t, drive in enumerate(x.unbind(0)):
            h = self.beta * v + drive
            s, v = self.fire(h, alpha[min(t, len(alpha) - 1)])
            for values, value in zip(record, (s, v, h), strict=True):
                values.append(value)
        spikes = torch.stack(record[0])
        if watchers := _WATCHERS.get():
            states = States(spikes, torch.stack(record[1]), torch.stack(record[2]))
            for note in watchers:
                note(self, states)
        return spikes

    def _check(self, x: Tensor) -> None:
        where = type(self).__name__
        if x.ndim < 2 or len(x) == 0:
            raise InputError(f"{where}: expected an input of shape (T, B, ...) with T >= 1, got {tuple(x.shape)}")
        for name, value in (("beta", self.beta), ("theta", self.theta)):
            if value.ndim and value.shape != x.shape[2:]:
                raise InputError(
                    f"{where}: {name} has shape {tuple(value.shape)}, but the input's neurons {tuple(x.shape[2:])}"
                )
        if self.steps not in (None, len(x)) and self.training and torch.is_grad_enabled():
            raise InputError(
                f"{where}: alpha is learned for T = {self.steps} steps, got an input of {len(x)}; train with "
                f"T = {self.steps}, or build the neuron with steps={len(x)}, or steps=None for one alpha"
            )

    def extra_repr(self) -> str:
        """Parameters, for print(module)."""
        shown = {n: f"{v.item():g}" if v.ndim == 0 else f"{tuple(v.shape)}" for n, v in self.named_buffers()}
        return ", ".join([*(f"{n}={v}" for n, v in shown.items()), f"surrogate={self.surrogate}, steps={self.steps}"])


def parameter(where: str, name: str, value: Parameter, most: float | None = None) -> Tensor:
    """`value` as a new float32 tensor.  Raises: InputError unless all of it is in [0, most], or finite and > 0."""
    try:
        tensor = torch.as_tensor(value if isinstance(value, Tensor) else np.array(value)).detach().clone().float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: {name} must be a number or numbers, got {value!r}") from error
    good = torch.isfinite(tensor) & (tensor > 0 if most is None else (tensor >= 0) & (tensor <= most))
    if not good.all() or tensor.numel() == 0:
        got = tensor[~good].flatten()[0].item() if tensor.numel() else "nothing"
        limit = "finite and above 0" if most is None else f"within [0, {most:g}]"
        raise InputError(f"{where}: {name} must be {limit}, got {got}")
    return tensor


def read_parameter(neuron: FloatNeuron, name: str) -> Tensor:
    """Parameter `name` of a FloatNeuron, float32, one per neuron: (*shape)."""
    return torch.from_numpy(np.broadcast_to(neuron.params[name], neuron.shape).astype(np.float32))


def write_parameter(value: Tensor, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A module's parameter for a FloatNeuron.  Raises: InputError if it does not belong to the population's shape."""
    if value.ndim and tuple(value.shape) != shape:
        raise InputError(f"{name} has shape {tuple(value.shape)}, but the population {shape}")
    return value.detach().cpu().numpy().astype(np.float32)
