"""Spiking Heidelberg Digits: spoken digits in English and German, as spikes of a model of the cochlea, 700 channels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import FormatError
from ..recipe import DataSettings
from .archives import files_in
from .base import About, Archive, Dataset
from .events import load_events, prepare_events
from .formats import read_shd
from .recordings import Recording

FILES = "https://zenkelab.org/datasets/"
ABOUT = About(
    "shd",
    "spoken digits as spikes of a cochlea",
    "events",
    (700,),
    20,
    8156,
    2264,
    licence="CC BY 4.0",
    source="B. Cramer et al., IEEE TNNLS 33:2744, 2022, https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/",
    files=(
        Archive("shd_train.h5.zip", f"{FILES}shd_train.h5.zip", "f3252aeb598ac776c1b526422d90eecb", 130),
        Archive("shd_test.h5.zip", f"{FILES}shd_test.h5.zip", "1503a5064faa34311c398fb0a1ed0a6f", 38),
    ),
    window=1_400_000,
)


def read(path: Path) -> Iterator[Recording]:
    """The recordings of shd_train.h5 and shd_test.h5, packed or not.  Raises: FormatError, FileError."""
    for name, data in files_in(path, (".h5",)):
        split = next((split for split in ("train", "test") if f"shd_{split}" in name), None)
        if split is None:
            raise FormatError(f"{path}: {name}: shd_train.h5 and shd_test.h5 were expected")
        for i, (label, events) in enumerate(read_shd(data, name)):
            yield Recording(split, f"{i:08d}", label, *events)


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: counts, uint8 (B, T, 700).  Raises: RecipeError, DatasetError, FileError, FormatError."""
    return load_events(ABOUT, asked, steps, read)


def prepare(folder: Path, out: Path) -> None:
    """One file of the downloaded ones.  Raises: FormatError, FileError."""
    prepare_events(ABOUT, read, folder, out)
