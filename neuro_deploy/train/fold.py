"""A torch network as a chain of named steps, with batch norm folded into the linear layer before it."""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import UnsupportedError, Violation
from ..neurons import NEURONS, part
from .layers import unseen
from .nets import BatchNorm

TITLE = "cannot export the model"
REMEDY = "build it of Linear, BatchNorm, Flatten, Dropout and neuro_deploy's neurons, joined by +"
ADDITIONS = (operator.add, operator.iadd, torch.add)
FOREIGN = ("snntorch", "norse", "spikingjelly", "sinabs")
"""Packages whose models have adapters."""
PASSING = (nn.Identity, nn.Dropout)


@dataclass(frozen=True, eq=False)
class Layer:
    """One module of a model.  inputs: names of the layers (or "input") whose sum it gets."""

    name: str
    module: nn.Module
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Folded:
    """A model without batch norm.  model: float32, in eval mode; layers: its modules in order; outputs: the last."""

    model: nn.Module
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]


def neuron_modules() -> tuple[type, ...]:
    """The module classes of all neuron kinds."""
    return tuple(part(entry.rpartition(".")[2], "torch").MODULE for entry in NEURONS)


class _Tracer(fx.Tracer):
    """Neurons and torch's own layers are leaves; containers are traced through."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaves = (*neuron_modules(), nn.modules.batchnorm._BatchNorm)
        return isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)


def layers_of(model: nn.Module) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The model's modules in order, and the names of those that make the output.

    Raises: UnsupportedError for anything but modules and additions, all of it at once.
    """
    try:
        graph = _Tracer().trace(model)
    except (fx.proxy.TraceError, TypeError, RuntimeError, AssertionError) as error:
        foreign = dict.fromkeys(f for m in model.modules() if (f := type(m).__module__.partition(".")[0]) in FOREIGN)
        remedy = "".join(f"it holds neurons of {name}: use nd.from_{name}; or " for name in foreign) + REMEDY
        violation = Violation(type(model).__name__, f"its forward cannot be traced ({error})", remedy)
        raise UnsupportedError(TITLE, [violation]) from error
    sums: dict[fx.Node, tuple[str, ...]] = {}
    layers: list[Layer] = []
    violations: list[Violation] = []
    outputs: tuple[str, ...] = ()
    modules = dict(model.named_modules())
    for node in graph.nodes:
        terms = [sums.get(given, ()) for given in node.all_input_nodes]
        sources = tuple(name for term in terms for name in term)
        if node.op == "placeholder":
            sums[node] = ("input",)
        elif node.op == "output":
            outputs = sources
        elif node.op == "call_function" and node.target in ADDITIONS and len(terms) == 2 and not node.kwargs:
            sums[node] = _joined(terms[0], terms[1])
            if not sums[node] and all(terms):
                what = f"adds two sums, ({' + '.join(terms[0])}) + ({' + '.join(terms[1])})"
                remedy = "add one after the other: float sums depend on their order, and NIR keeps one order per node"
                violations.append(Violation(node.name, what, remedy))
        elif node.op == "call_module":
            if any(layer.name == str(node.target) for layer in layers):
                violations.append(Violation(str(node.target), "is called twice", "give each call a module of its own"))
            module = modules[str(node.target)]
            sums[node] = sources if isinstance(module, PASSING) else (str(node.target),)
            if not isinstance(module, PASSING):
                layers.append(Layer(str(node.target), module, sources))
        else:
            violations.append(Violation(node.name, f"'{node.target}' is not a module or an addition", REMEDY))
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    if len(placeholders) != 1:
        violations.append(Violation(type(model).__name__, f"takes {len(placeholders)} inputs", "one is supported"))
    if violations:
        raise UnsupportedError(TITLE, violations)
    return tuple(layers), outputs


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The terms of a sum in the order of its float additions, from the left; () where it has none."""
    if len(other) == 1:
        return (*one, *other)
    return (*other, *one) if len(one) == 1 else ()


def fold(model: nn.Module) -> Folded:
    """A float32 copy of the model, in eval mode, with each batch norm folded into the linear layer before it.

    weight' = gamma / sqrt(var + eps) * weight and bias' = gamma / sqrt(var + eps) * (bias - mean) + beta, in float64,
    then rounded to float32: spikes can change where a potential lies within that rounding of its threshold.
    Raises: UnsupportedError for a batch norm that does not follow a linear layer, weights that are not float32, and
    what no parameter says: hooks, pruning, parametrizations.
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
    violations, folded = [], {}
    for layer in layers:
        if not isinstance(layer.module, nn.modules.batchnorm._BatchNorm):
            continue
        if not isinstance(layer.module, BatchNorm):
            what = f"{type(layer.module).__name__} takes the batch axis of (T, B, N) for its channels"
            violations.append(Violation(layer.name, what, "use neuro_deploy.nn.BatchNorm"))
            continue
        if layer.module.running_mean is None:
            violations.append(Violation(layer.name, "keeps no running statistics", "set track_running_stats=True"))
            continue
        before = by_name.get(layer.inputs[0]) if len(layer.inputs) == 1 else None
        used = sum(name == layer.inputs[0] for other in layers for name in other.inputs) + (layer.inputs[0] in outputs)
        if before is None or not isinstance(before.module, nn.Linear) or used != 1:
            what = "batch norm that does not follow a linear layer of its own"
            violations.append(Violation(layer.name, what, "put it right behind a Linear layer"))
            continue
        _fold_into(before.module, layer.module)
        _replace(copied, layer.name, nn.Identity())
        folded[layer.name] = before.name
    if violations:
        raise UnsupportedError(TITLE, violations)

    def inputs_of(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(folded.get(name, name) for name in names)

    kept = tuple(Layer(x.name, x.module, inputs_of(x.inputs)) for x in layers if x.name not in folded)
    return Folded(copied, kept, inputs_of(outputs))


def _fold_into(linear: nn.Linear, norm: Any) -> None:
    def wide(tensor: Tensor | None, default: float) -> Tensor:
        return torch.full_like(norm.running_mean, default).double() if tensor is None else tensor.detach().double()

    factor = wide(norm.weight, 1.0) / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = factor * (wide(linear.bias, 0.0) - norm.running_mean.double()) + wide(norm.bias, 0.0)
    linear.weight = nn.Parameter((factor[:, None] * linear.weight.detach().double()).float())
    linear.bias = nn.Parameter(bias.float())


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
