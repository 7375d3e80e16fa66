"""Datasets.  To add one: a file here (or a module elsewhere) with `ABOUT` and `load`, and its name in DATASETS.

ABOUT: About                                  what is known of it before it is loaded
load(asked: DataSettings, steps: int) -> Dataset      its samples; steps: T, for frames (0: any)
prepare(folder: Path, out: Path) -> None      only with ABOUT.files: make one file of what was downloaded
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import cast

import numpy as np

from ...errors import RecipeError
from ..recipe import DataSettings, EventSettings, Recipe, did_you_mean
from .base import About, Dataset, direct
from .coding import latency, rate
from .splitting import validated

__all__ = ["DATASETS", "About", "Dataset", "about", "data_of", "dataset_names", "direct", "load_dataset", "module_of"]

DATASETS: tuple[str, ...] = (
    *("digits", "mnist1d"),
    *("mnist", "cifar10", "cifar100"),
    *("basic_motions", "japanese_vowels"),
    *("nmnist", "shd", "dvs_gesture", "cifar10_dvs"),
)
"""Names of the datasets: files beside this one, or dotted paths of modules elsewhere."""
TRAINING, TESTING = 0, 1
"""What the spikes of rate coding are drawn for, beside the seed."""


def dataset_names() -> tuple[str, ...]:
    """The names of all datasets."""
    return tuple(entry.rpartition(".")[2] for entry in DATASETS)


def module_of(name: str) -> ModuleType:
    """The module of a dataset.  Raises: RecipeError for an unknown one."""
    for entry in DATASETS:
        if entry.rpartition(".")[2] == name:
            return importlib.import_module(entry if "." in entry else f"{__name__}.{entry}")
    raise RecipeError(f"data.name: unknown dataset '{name}'; {did_you_mean(name, dataset_names())}")


def about(name: str) -> About:
    """What is known of a dataset before it is loaded.  Raises: RecipeError for an unknown one."""
    return cast(About, module_of(name).ABOUT)


def load_dataset(name: str, shape: Sequence[int] = ()) -> Dataset:
    """The dataset `name`, coded directly.

    shape: of a sample, where it is to be another than the dataset's own (elements stay in C order).
    Raises: as `load`.
    """
    return load(DataSettings(name=name, shape=list(shape)))


def data_of(recipe: Recipe) -> Dataset:
    """The data of a recipe, as its network gets them.  Raises: as `load`."""
    return load(recipe.data, recipe.network.steps)


def load(asked: DataSettings, steps: int = 0) -> Dataset:
    """A dataset: read, coded, in the shape that is asked for, with the validation part held out.

    steps: T; 0: as many as the data has, where it has its own.
    Raises: RecipeError for an unknown dataset, or settings that do not fit it; DatasetError if it is not on this
        machine; FileError, FormatError for files that cannot be read.
    """
    module = module_of(asked.name)
    known = about(asked.name)
    if known.kind != "events" and asked.events != EventSettings():
        raise RecipeError(f"data.events is for recordings of an event sensor; {asked.name} has none")
    if known.kind == "events" and asked.coding != "direct":
        raise RecipeError(f"data.coding: {asked.name} is counted into frames; data.events.max_count = 1 makes spikes")
    if asked.path and not known.files:
        raise RecipeError(f"data.path: {asked.name} is not read from files; leave it out")
    data = cast(Dataset, module.load(asked, steps))
    if data.steps and steps and data.steps != steps:
        raise RecipeError(f"network.steps = {steps}, but {asked.name} has {data.steps} steps of its own; set that")
    data = coded(data, asked, steps)
    return validated(data.reshaped(tuple(asked.shape)) if asked.shape else data, asked)


def coded(data: Dataset, asked: DataSettings, steps: int) -> Dataset:
    """The dataset in `asked.coding`, for T steps.  Raises: RecipeError if that makes no sense for it."""
    if asked.coding == "direct":
        return data
    if asked.coding == "sequence":
        return _in_parts(data, asked, steps)
    if data.steps and asked.coding == "latency":
        raise RecipeError(f"data.coding = 'latency' is for static samples; {data.name} has a value at each step")
    if not (steps or data.steps):
        raise RecipeError(f"data.coding = '{asked.coding}' needs the number of steps")
    known = (data.input_low, data.input_high, data.input_quantum)
    parts = {"train_x": (data.train_x, TRAINING), "test_x": (data.test_x, TESTING)}
    if asked.coding == "latency":
        spikes = {name: latency(x, *known, steps) for name, (x, _) in parts.items()}
    else:
        spikes = {
            name: rate(x, *known, 0 if data.steps else steps, np.random.default_rng([asked.seed, which]))
            for name, (x, which) in parts.items()
        }
    own = {"steps": data.steps or steps, "input_low": 0.0, "input_high": 1.0, "input_quantum": 1.0}
    return replace(data, **spikes, **own)  # type: ignore[arg-type]


def _in_parts(data: Dataset, asked: DataSettings, steps: int) -> Dataset:
    """Static samples read part by part, in C order, a part of `asked.shape` at each step.  Raises: RecipeError."""
    size, own = math.prod(data.shape), math.prod(asked.shape)
    if data.steps:
        raise RecipeError(f"data.coding = 'sequence' is for static samples; {data.name} has a value at each step")
    if not asked.shape or size % own:
        what = f"needs data.shape, a part of a sample of {data.name}, whose shape is {data.shape}"
        raise RecipeError(f"data.coding = 'sequence' {what}; got {asked.shape}")
    if steps not in (0, size // own):
        what = f"{data.name} has {size // own} parts of {asked.shape}"
        raise RecipeError(f"network.steps = {steps}, but {what}; set that")
    train_x, test_x = (x.reshape(len(x), -1, *asked.shape) for x in (data.train_x, data.test_x))
    return replace(data, steps=size // own, train_x=train_x, test_x=test_x)
