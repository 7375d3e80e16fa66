"""Training: networks, losses, recipes, datasets, the loop, and export to NIR.  Names are resolved when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Recipe": ".recipe",
    "Result": ".loop",
    "Run": ".runs",
    "load_recipe": ".recipe",
    "load_run": ".runs",
    "recipe_names": ".recipe",
    "train": ".loop",
}

if TYPE_CHECKING:
    from .loop import Result as Result
    from .loop import train as train
    from .recipe import Recipe as Recipe
    from .recipe import load_recipe as load_recipe
    from .recipe import recipe_names as recipe_names
    from .runs import Run as Run
    from .runs import load_run as load_run


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
