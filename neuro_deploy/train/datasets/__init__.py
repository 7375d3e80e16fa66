"""Datasets.  To add one: a file here (or a module elsewhere) with `load() -> Dataset`, and its name in DATASETS."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...errors import RecipeError
from ...trace import frozen
from ..recipe import did_you_mean

DATASETS: tuple[str, ...] = ("digits", "mnist1d")
"""Names of the datasets: files beside this one, or dotted paths of modules elsewhere."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with labels, split for training and testing.  Static input: each sample is shown at every step.

    train_x, test_x: float32 (B, *shape), within [input_low, input_high].   train_y, test_y: int64 (B,), 0 .. classes-1.
    input_quantum: all inputs are whole multiples of it; 0.0: unknown.
    """

    name: str
    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    classes: int
    input_low: float
    input_high: float
    input_quantum: float = 0.0

    def __post_init__(self) -> None:
        for name in ("train_x", "train_y", "test_x", "test_y"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample, without time and batch."""
        return self.train_x.shape[1:]

    def reshaped(self, shape: tuple[int, ...]) -> Dataset:
        """The same with samples of another shape.  Raises: RecipeError if they have another number of elements."""
        if math.prod(shape) != math.prod(self.shape):
            raise RecipeError(
                f"data.shape: samples of {self.name} have the shape {self.shape}, which does not make {shape}"
            )
        test_x, train_x = (x.reshape(len(x), *shape) for x in (self.test_x, self.train_x))
        return replace(self, train_x=train_x, test_x=test_x)

    def test_input(self, steps: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The test set as a network sees it: (T, B, *shape), and its labels (B,)."""
        return direct(self.test_x, steps), self.test_y


def direct(x: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Direct coding: the samples (B, *shape) at each of T steps, (T, B, *shape)."""
    return np.repeat(x[None], steps, axis=0)


def load_dataset(name: str, shape: Sequence[int] = ()) -> Dataset:
    """The dataset `name`.

    shape: of a sample, where it is to be another than the dataset's own (elements stay in C order).
    Raises: RecipeError for an unknown dataset, or a shape of another size.
    """
    for entry in DATASETS:
        if entry.rpartition(".")[2] == name:
            module = importlib.import_module(entry if "." in entry else f"{__name__}.{entry}")
            data = cast(Dataset, module.load())
            return data.reshaped(tuple(shape)) if shape else data
    known = [entry.rpartition(".")[2] for entry in DATASETS]
    raise RecipeError(f"data.name: unknown dataset '{name}'; {did_you_mean(name, known)}")
