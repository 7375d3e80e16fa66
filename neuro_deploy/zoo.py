"""The zoo: models that came with this installation, trained in a chip's arithmetic, ready to be deployed.

models/NAME/
    recipe.toml   what it was trained by
    model.nir     the network; `compile` finds in it the integers that it was trained with
    card.json     what was measured of it (written, with card.md, by docs/zoo.py)
    card.md       the same for people

A folder with a recipe alone is a model to train.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError, InputError
from .files import NetworkInput, check_readable
from .resources import resource_dir
from .train import load_recipe, recipe_names
from .train.recipe import Recipe, did_you_mean

NETWORK, CARD, PAGE = "model.nir", "card.json", "card.md"
SCHEMA = 1
TARGET = "loihi2"
"""What the zoo's models are trained for."""
LAVA_SAMPLES = 50
"""What `verify NAME` runs in Lava unless told."""


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo.

    folder: where its files are.   card: what was measured; empty where it is not trained here.
    """

    name: str
    folder: Path
    card: Mapping[str, Any]

    @property
    def trained(self) -> bool:
        """True if its network is here."""
        return bool(self.card)

    @property
    def network(self) -> Path:
        """The NIR file.  Raises: InputError if it is not trained here."""
        if not self.trained:
            which = ", ".join(model.name for model in zoo() if model.trained)
            remedy = f"train it ('neuro_deploy train {self.name} --out RUN'), or take one of {which}"
            raise InputError(f"{self.name}: the zoo has its recipe, not the trained network; {remedy}")
        return self.folder / NETWORK

    @property
    def recipe(self) -> Recipe:
        """Its recipe.  Raises: RecipeError, FileError."""
        return load_recipe(self.name)

    def test_input(self) -> tuple[NetworkInput, NDArray[np.int64]]:
        """The test set of its data, as its network gets it: (T, B, ...), and labels (B,).

        Raises: RecipeError; DatasetError if the data is not on this machine.
        """
        from .train.datasets import data_of

        return data_of(self.recipe).test_input(self.recipe.network.steps)

    @property
    def page(self) -> str:
        """The card as Markdown.  Raises: InputError if it is not trained here; FileError."""
        return check_readable(self.network.with_name(PAGE), "a card").read_text(encoding="utf-8")


def zoo() -> tuple[ZooModel, ...]:
    """All models, by name.  Raises: FormatError for a card that is damaged."""
    return tuple(zoo_model(name) for name in recipe_names())


def zoo_model(name: str) -> ZooModel:
    """The model of that name.  Raises: InputError for an unknown one, with the nearest; FormatError."""
    names = recipe_names()
    if name not in names:
        raise InputError(f"no model of the zoo is called '{name}'; {did_you_mean(name, names)}")
    folder = resource_dir("models") / name
    return ZooModel(name, folder, _card(folder / CARD))


def named(source: str | os.PathLike[str]) -> ZooModel | None:
    """The model of the zoo that `source` names, or None for a path: an existing file, or one with a suffix or folder.
    A folder of a model's name is none.

    Raises: InputError for a bare word that is neither.
    """
    text, path = os.fspath(source), Path(source)
    if path.is_file() or path.suffix or path.name != text:
        return None
    if text not in recipe_names():
        if path.is_dir():
            return None
        raise InputError(f"{text}: neither a file nor a model of the zoo; {did_you_mean(text, recipe_names())}")
    return zoo_model(text)


def _card(path: Path) -> Mapping[str, Any]:
    """What was measured, or nothing.  Raises: FormatError."""
    if not path.exists():
        return {}
    try:
        card: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not a card of the zoo ({error})") from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise FormatError(f"{path}: not a card of the zoo in schema {SCHEMA}")
    return card
