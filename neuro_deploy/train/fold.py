"""A torch network without batch norm: folded into the linear layer or convolution before it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UnsupportedError, Violation
from .layers import unseen
from .timed import BatchNorm, Conv1d, Conv2d
from .tracing import TITLE, Layer, layers_of, neuron_modules

WEIGHTED = (nn.Linear, Conv1d, Conv2d)
"""What takes a batch norm in."""


@dataclass(frozen=True, eq=False)
class Folded:
    """A model without batch norm.  model: float32, in eval mode; layers: its modules in order; outputs: the last."""

    model: nn.Module
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]


def fold(model: nn.Module) -> Folded:
    """A float32 copy of the model, in eval mode, with each batch norm folded into the layer before it.

    weight' = gamma / sqrt(var + eps) * weight and bias' = gamma / sqrt(var + eps) * (bias - mean) + beta, in float64,
    then rounded to float32: spikes can change where a potential lies within that rounding of its threshold.  A layer
    that is not learned (no parameter requires a gradient) stays so, with its batch norm.
    Raises: UnsupportedError for a batch norm that does not follow a linear layer or a convolution, weights that are not
    float32, and what no parameter says: hooks, pruning, parametrizations.
    """
    whole = nn.Sequential(model) if isinstance(model, neuron_modules()) else model
    remedy = "call model.float() and check its accuracy first"
    wide = [(name, p.dtype) for name, p in whole.named_parameters() if p.dtype != torch.float32]
    found = [Violation(name, f"is {dtype}, and the file holds float32", remedy) for name, dtype in wide]
    if found := [*unseen(whole), *found]:
        raise UnsupportedError(TITLE, found)
    copied = copy.deepcopy(whole).cpu().eval()
    layers, outputs = layers_of(copied)
    by_name = {layer.name: layer for layer in layers}
    users = [name for layer in layers for name in layer.inputs] + list(outputs)
    violations: list[Violation] = []
    folded: dict[str, str] = {}
    for layer in layers:
        if not isinstance(layer.module, nn.modules.batchnorm._BatchNorm):
            continue
        if problem := _problem(layer, by_name, users):
            violations.append(problem)
            continue
        before = by_name[layer.inputs[0]]
        _fold_into(before.module, layer.module)
        _replace(copied, layer.name, nn.Identity())
        folded[layer.name] = before.name
    if violations:
        raise UnsupportedError(TITLE, violations)

    def inputs_of(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(folded.get(name, name) for name in names)

    kept = tuple(Layer(x.name, x.module, inputs_of(x.inputs)) for x in layers if x.name not in folded)
    return Folded(copied, kept, inputs_of(outputs))


def _problem(layer: Layer, by_name: Mapping[str, Layer], users: Sequence[str]) -> Violation | None:
    """Why a batch norm cannot be folded."""
    norm: Any = layer.module
    if not isinstance(norm, BatchNorm):
        what = f"{type(norm).__name__} takes the batch axis of (T, B, N) for its channels"
        return Violation(layer.name, what, "use neuro_deploy.nn.BatchNorm")
    if norm.running_mean is None:
        return Violation(layer.name, "keeps no running statistics", "set track_running_stats=True")
    before = by_name.get(layer.inputs[0]) if len(layer.inputs) == 1 else None
    if before is None or not isinstance(before.module, WEIGHTED) or users.count(layer.inputs[0]) != 1:
        what = "batch norm that does not follow a linear layer or convolution of its own"
        return Violation(layer.name, what, "put it right behind a Linear, Conv1d or Conv2d")
    if len(before.module.weight) != norm.num_features:
        what = f"batch norm of {norm.num_features} channels behind {len(before.module.weight)} outputs of {before.name}"
        return Violation(layer.name, what, "let its channels be those outputs")
    return None


def _fold_into(layer: Any, norm: Any) -> None:
    def wide(tensor: Tensor | None, default: float) -> Tensor:
        return torch.full_like(norm.running_mean, default).double() if tensor is None else tensor.detach().double()

    factor = wide(norm.weight, 1.0) / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = factor * (wide(layer.bias, 0.0) - norm.running_mean.double()) + wide(norm.bias, 0.0)
    by_row = factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    learned = any(p.requires_grad for p in layer.parameters())
    layer.weight = nn.Parameter((by_row * layer.weight.detach().double()).float(), requires_grad=learned)
    layer.bias = nn.Parameter(bias.float(), requires_grad=learned)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
