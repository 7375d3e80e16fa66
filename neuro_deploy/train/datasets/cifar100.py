"""CIFAR-100: photographs of a hundred kinds of things, 32 x 32 pixels in three colours of 8 bits; the binary version.

The label is the fine one.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import FormatError
from ..recipe import DataSettings
from .archives import files_in
from .base import About, Archive, Dataset
from .cifar10 import PAGE
from .images import Arrays, load_images, prepare_images, read_cifar

ABOUT = About(
    "cifar100",
    "photographs in a hundred classes",
    "static",
    (3, 32, 32),
    100,
    50_000,
    10_000,
    licence="none stated; the authors ask to be cited",
    source=f"A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, {PAGE}cifar.html",
    files=(
        Archive("cifar-100-binary.tar.gz", f"{PAGE}cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168.5),
    ),
)


def read(path: Path) -> Arrays:
    """The four arrays of train.bin and test.bin, or of their archive.  Raises: FormatError, FileError."""
    found = {name.rpartition("/")[2]: read_cifar(data, 2, name) for name, data in files_in(path, (".bin",))}
    if lacking := [name for name in ("train.bin", "test.bin") if name not in found]:
        raise FormatError(f"{path}: no {', '.join(lacking)}; the files of CIFAR-100's binary version were expected")
    parts = {part: found[f"{part}.bin"] for part in ("train", "test")}
    return {f"{part}_{what}": values[i] for part, values in parts.items() for i, what in enumerate(("image", "label"))}


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: values over 255, float32 (B, 3, 32, 32).  Raises: DatasetError, FileError, FormatError."""
    return load_images(ABOUT, asked, read)


def prepare(folder: Path, out: Path) -> None:
    """One file of the downloaded ones.  Raises: FormatError, FileError."""
    prepare_images(ABOUT, read, folder, out)
