"""Networks: factories that recipes name.  A factory takes `steps` (T) and a recipe's [network.args]; gives a module.

dense.py          mlp, recurrent_mlp
convolutional.py  vgg, sew_resnet
transformer.py    spiking_transformer
parts.py          what they are built of
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, cast

import torch
from torch import nn

from ...errors import NeuroDeployError, RecipeError
from ..datasets import Dataset
from ..recipe import Recipe, did_you_mean
from .convolutional import sew_resnet, vgg
from .dense import mlp, recurrent_mlp
from .transformer import spiking_transformer

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {f.__name__: f for f in (mlp, recurrent_mlp, vgg, sew_resnet, spiking_transformer)}
)
"""Factories that a recipe names without their module.  To add one: a function in a file beside this one, and here."""


def build(recipe: Recipe, data: Dataset) -> nn.Module:
    """The network of a recipe, untrained; `recipe.seed` decides its weights.  torch's global generator stays as it is.

    Imports and runs the code that `network.factory` names, if that is no name of ARCHITECTURES.
    Raises: RecipeError if it cannot be imported, does not take the recipe's arguments, or does not fit the data.
    """
    name, args = recipe.network.factory, recipe.network.args
    try:
        factory = _factory(name)
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


def _factory(name: str) -> Callable[..., Any]:
    """By its name in ARCHITECTURES, or as "module:function"."""
    module, colon, function = name.partition(":")
    if colon:
        return cast(Callable[..., Any], getattr(_import(module), function))
    if name not in ARCHITECTURES:
        hint = did_you_mean(name, tuple(ARCHITECTURES))
        raise RecipeError(f"network.factory: unknown architecture '{name}'; {hint} (or module:function)")
    return ARCHITECTURES[name]


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


__all__ = ["ARCHITECTURES", "build", "mlp", "recurrent_mlp", "sew_resnet", "spiking_transformer", "vgg"]
