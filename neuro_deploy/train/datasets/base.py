"""What a dataset is: its samples, and what is known of it before it is loaded."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import RecipeError
from ...trace import frozen

if TYPE_CHECKING:
    from torch import Tensor

Samples = NDArray[Any]
Labels = NDArray[np.int64]
DIGEST = 16
"""Hexadecimal digits of a digest that are kept."""


@dataclass(frozen=True)
class Archive:
    """A file to download.  size: megabytes, about; md5: of its bytes, as its publisher or the usual loaders give it."""

    name: str
    url: str
    md5: str
    size: float


@dataclass(frozen=True)
class About:
    """What is known of a dataset before it is loaded.

    kind: "static" (each sample is one array, shown at every step), "series" (a value per step) or "events" (recordings
        of an event sensor, counted into frames).
    shape: of a sample, without time and batch.   steps: of a series.   classes: number of labels.
    train, test: numbers of samples.   licence, source: of the data.   package: what must be installed, if anything.
    files: what `fetch` downloads, if anything.   window: microseconds that the frames of a recording cover, 0: its own
        duration.   digest: what the digest of the data is known to be, "" if it depends on more than the dataset.
    """

    name: str
    title: str
    kind: Literal["static", "series", "events"]
    shape: tuple[int, ...]
    classes: int
    train: int
    test: int
    licence: str
    source: str
    steps: int = 0
    package: str = ""
    files: tuple[Archive, ...] = ()
    window: int = 0
    digest: str = ""

    @property
    def size(self) -> float:
        """Megabytes to download."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with labels, split for training, validation and testing.

    train_x, valid_x, test_x: (B, *shape), shown at every step; or, where `steps` is T > 0, (B, T, *shape), a value per
        step.  Within [input_low, input_high]; float32, or uint8 for counts and spikes.
    train_y, valid_y, test_y: int64 (B,), 0 .. classes-1.   valid_x, valid_y: empty where nothing was held out.
    input_quantum: all inputs are whole multiples of it; 0.0: unknown.
    digest: of what was read, before coding and splitting.
    """

    name: str
    train_x: Samples
    train_y: Labels
    test_x: Samples
    test_y: Labels
    classes: int
    input_low: float
    input_high: float
    input_quantum: float = 0.0
    steps: int = 0
    valid_x: Samples = field(default_factory=lambda: np.empty(0))
    valid_y: Labels = field(default_factory=lambda: np.empty(0, np.int64))
    digest: str = ""

    def __post_init__(self) -> None:
        if not len(self.valid_x):
            object.__setattr__(self, "valid_x", self.train_x[:0])
            object.__setattr__(self, "valid_y", self.train_y[:0])
        for name in ("train_x", "train_y", "valid_x", "valid_y", "test_x", "test_y"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample, without time and batch."""
        return self.train_x.shape[2 if self.steps else 1 :]

    def reshaped(self, shape: tuple[int, ...]) -> Dataset:
        """The same with samples of another shape.  Raises: RecipeError if they have another number of elements."""
        if math.prod(shape) != math.prod(self.shape):
            raise RecipeError(
                f"data.shape: samples of {self.name} have the shape {self.shape}, which does not make {shape}"
            )
        parts = {name: getattr(self, name) for name in ("train_x", "valid_x", "test_x")}
        time = (self.steps,) if self.steps else ()
        return replace(self, **{name: x.reshape(len(x), *time, *shape) for name, x in parts.items()})

    def shown(self, x: Tensor, steps: int) -> Tensor:
        """A batch of samples as a network sees it: float32 (T, B, *shape).

        x: samples of this dataset, on any device.   steps: T; of data with a value per step, its own.
        """
        x = x.float()
        return x.transpose(0, 1) if self.steps else x.expand(steps, *x.shape)

    def test_input(self, steps: int) -> tuple[NDArray[np.float32], Labels]:
        """The test set as a network sees it: (T, B, *shape), and its labels (B,)."""
        if not self.steps:
            return direct(self.test_x, steps), self.test_y
        return np.ascontiguousarray(self.test_x.swapaxes(0, 1), np.float32), self.test_y


def direct(x: Samples, steps: int) -> NDArray[np.float32]:
    """Direct coding: the samples (B, *shape) at each of T steps, float32 (T, B, *shape)."""
    return np.repeat(x[None].astype(np.float32, copy=False), steps, axis=0)


def digest_of(*arrays: Samples) -> str:
    """The first digits of the SHA-256 of arrays: their dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()[:DIGEST]
