"""CIFAR-10: photographs of ten kinds of things, 32 x 32 pixels in three colours of 8 bits; the binary version."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import FormatError
from ..recipe import DataSettings
from .archives import files_in
from .base import About, Archive, Dataset
from .images import Arrays, load_images, prepare_images, read_cifar

PAGE = "https://www.cs.toronto.edu/~kriz/"
ABOUT = About(
    "cifar10",
    "photographs in ten classes",
    "static",
    (3, 32, 32),
    10,
    50_000,
    10_000,
    licence="none stated; the authors ask to be cited",
    source=f"A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, {PAGE}cifar.html",
    files=(
        Archive("cifar-10-binary.tar.gz", f"{PAGE}cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170.1),
    ),
)
TRAIN, TEST = tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"


def read(path: Path) -> Arrays:
    """The four arrays of the .bin files, or of their archive.  Raises: FormatError, FileError."""
    found = {name.rpartition("/")[2]: read_cifar(data, 1, name) for name, data in files_in(path, (".bin",))}
    if lacking := [name for name in (*TRAIN, TEST) if name not in found]:
        raise FormatError(f"{path}: no {', '.join(lacking)}; the files of CIFAR-10's binary version were expected")
    image, label = (np.concatenate(part) for part in zip(*(found[name] for name in TRAIN), strict=True))
    return {"train_image": image, "train_label": label, "test_image": found[TEST][0], "test_label": found[TEST][1]}


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: values over 255, float32 (B, 3, 32, 32).  Raises: DatasetError, FileError, FormatError."""
    return load_images(ABOUT, asked, read)


def prepare(folder: Path, out: Path) -> None:
    """One file of the downloaded ones.  Raises: FormatError, FileError."""
    prepare_images(ABOUT, read, folder, out)
