"""Networks: factories that recipes name.  A factory takes `steps` (T) and a recipe's [network.args]; gives a module."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, NeuroDeployError, RecipeError
from ..neurons import NEURONS, part
from .datasets import Dataset
from .recipe import Recipe, did_you_mean


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of a layer over time: statistics of each neuron over T and B.

    Call: (T, B, N) -> (T, B, N).  Arguments as of torch.nn.BatchNorm1d.  Raises: InputError for another shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (T, B, N)."""
        if input.ndim != 3 or input.shape[2] != self.num_features:
            raise InputError(f"BatchNorm: expected (T, B, {self.num_features}), got {tuple(input.shape)}")
        return super().forward(input.flatten(0, 1)).view_as(input)


def mlp(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    steps: int | None = None,
    neuron: str = "cf",
    *,
    batch_norm: bool = True,
    neuron_args: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """A fully connected network fc1 - bn1 - cf1 - ... - fcL - bnL - cfL; the last population's spikes decide.

    Call: (T, B, inputs) -> spikes (T, B, classes).  Every linear layer has a bias.
    inputs, hidden, classes: numbers of neurons.   steps: T, for alpha per step (None: one alpha for all steps).
    neuron: a kind of neuron ("cf", "lif").   neuron_args: more arguments of its module, the same in every layer.
    batch_norm: False leaves the bn layers out.   Raises: InputError.
    """
    widths = [inputs, *hidden, classes]
    if any(not isinstance(n, int) or n < 1 for n in widths):
        raise InputError(f"mlp: inputs, hidden and classes must be whole numbers of 1 or more, got {widths}")
    try:
        build = part(neuron, "torch").MODULE
    except KeyError:
        kinds = ", ".join(entry.rpartition(".")[2] for entry in NEURONS)
        raise InputError(f"mlp: neuron '{neuron}' is unknown; use one of {kinds}") from None
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(pairwise(widths), 1):
        layers[f"fc{i}"] = nn.Linear(before, after)
        if batch_norm:
            layers[f"bn{i}"] = BatchNorm(after)
        try:
            layers[f"{neuron}{i}"] = build(steps=steps, **(neuron_args or {}))
        except TypeError as error:
            raise InputError(f"mlp: neuron_args do not fit {build.__name__}: {error}") from None
    return nn.Sequential(layers)


def build(recipe: Recipe, data: Dataset) -> nn.Module:
    """The network of a recipe, untrained; `recipe.seed` decides its weights.  torch's global generator stays as it is.

    Imports and runs the code that `network.factory` names.
    Raises: RecipeError if it cannot be imported, does not take the recipe's arguments, or does not fit the data.
    """
    name, args = recipe.network.factory, recipe.network.args
    module, _, function = name.partition(":")
    try:
        factory = getattr(_import(module), function)
        known = inspect.signature(factory).parameters
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        where = "its file must be in the current folder or on PYTHONPATH"
        raise RecipeError(f"network.factory: cannot import '{name}' ({error}); {where}") from error
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    strange = [] if open_ended else [key for key in args if key not in known]
    if strange:
        lines = [f"network.args.{key}: '{name}' does not take it; {did_you_mean(key, tuple(known))}" for key in strange]
        raise RecipeError("\n".join(lines))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            model = factory(**{"steps": recipe.network.steps, **args})
        except (NeuroDeployError, TypeError, ValueError) as error:
            raise RecipeError(f"network.args: '{name}' refuses them: {error}") from error
    if not isinstance(model, nn.Module):
        raise RecipeError(f"network.factory: '{name}' gave a {type(model).__name__}, not a torch module")
    _check_fit(model, recipe, data)
    return model


def _import(module: str) -> ModuleType:
    """Import a module; the current folder is searched last."""
    sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.pop()


def _check_fit(model: nn.Module, recipe: Recipe, data: Dataset) -> None:
    x = torch.zeros(recipe.network.steps, 1, *data.shape)
    want = (recipe.network.steps, 1, data.classes)
    try:
        with torch.no_grad():
            got = tuple(model.eval()(x).shape)
    except (NeuroDeployError, RuntimeError, ValueError, IndexError) as error:
        raise RecipeError(
            f"network.args: the network does not accept {data.name}'s {tuple(x.shape)}: {error}"
        ) from error
    finally:
        model.train()
    if got != want:
        raise RecipeError(f"network.args: the network gives {got}, but {data.name} needs (T, B, classes) = {want}")
