"""Parameters of neurons in torch: their ranges, learned ones, and their way from and to a FloatNeuron."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from ..errors import InputError
from .base import FloatNeuron

Parameter = float | Sequence[float] | NDArray[Any] | Tensor
"""A parameter: one number for the population, or one per neuron."""


class Leak(nn.Module):
    """Keeps a leak within (0, 1)."""

    def forward(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw)

    def right_inverse(self, leak: Tensor) -> Tensor:
        return torch.logit(leak)


class Positive(nn.Module):
    """Keeps a threshold above 0."""

    def forward(self, raw: Tensor) -> Tensor:
        return nn.functional.softplus(raw)

    def right_inverse(self, threshold: Tensor) -> Tensor:
        return threshold + torch.log(-torch.expm1(-threshold))


def learned(module: nn.Module, name: str, range_: nn.Module) -> None:
    """Make a buffer a parameter that is learned, within a range."""
    value = getattr(module, name)
    delattr(module, name)
    module.register_parameter(name, nn.Parameter(value))
    register_parametrization(module, name, range_)


class Range(NamedTuple):
    """Which finite numbers a parameter may hold: a test, element by element, and its words."""

    holds: Callable[[Tensor], Tensor]
    words: str


POSITIVE = Range(lambda x: x > 0, "finite and above 0")
NOT_NEGATIVE = Range(lambda x: x >= 0, "finite and 0 or more")
LEAK = Range(lambda x: (x >= 0) & (x <= 1), "within [0, 1]")
INSIDE = Range(lambda x: (x > 0) & (x < 1), "within (0, 1)")
FINITE = Range(torch.isfinite, "finite")


def parameter(where: str, name: str, value: Parameter, allowed: Range = POSITIVE) -> Tensor:
    """`value` as a new float32 tensor.  Raises: InputError unless all of it is finite and `allowed`."""
    try:
        tensor = torch.as_tensor(value if isinstance(value, Tensor) else np.array(value)).detach().clone().float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: {name} must be a number or numbers, got {value!r}") from error
    good = torch.isfinite(tensor) & allowed.holds(tensor)
    if not good.all() or tensor.numel() == 0:
        got = tensor[~good].flatten()[0].item() if tensor.numel() else "nothing"
        raise InputError(f"{where}: {name} must be {allowed.words}, got {got}")
    return tensor


def read_parameter(neuron: FloatNeuron, name: str) -> Tensor:
    """Parameter `name` of a FloatNeuron, float32, one per neuron: (*shape)."""
    return torch.from_numpy(np.broadcast_to(neuron.params[name], neuron.shape).astype(np.float32))


def read_optional(neuron: FloatNeuron, name: str) -> Tensor | None:
    """The same, or None if the FloatNeuron does not have it."""
    return read_parameter(neuron, name) if name in neuron.params else None


def write_parameter(value: Tensor, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A module's parameter for a FloatNeuron.  Raises: InputError if it does not belong to the population's shape."""
    if value.ndim and tuple(value.shape) != shape:
        raise InputError(f"{name} has shape {tuple(value.shape)}, but the population {shape}")
    return value.detach().cpu().numpy().astype(np.float32)


def write_optional(module: nn.Module, names: Iterable[str], shape: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """Those of these parameters that the module has (not None), for a FloatNeuron.  Raises: as `write_parameter`."""
    found = {name: getattr(module, name, None) for name in names}
    return {name: write_parameter(value, name, shape) for name, value in found.items() if value is not None}
