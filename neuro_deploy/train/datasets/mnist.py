"""MNIST: handwritten digits, 28 x 28 pixels of 8 bits.

Not shipped: `neuro_deploy datasets mnist --download`, or --data with an .npz (see `images`) or the four IDX files.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import FormatError
from ..recipe import DataSettings
from .archives import files_in
from .base import About, Archive, Dataset
from .images import Arrays, load_images, prepare_images, read_idx

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train_image": ("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9.9),
    "train_label": ("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432", 0.1),
    "test_image": ("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3", 1.7),
    "test_label": ("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c", 0.1),
}
ABOUT = About(
    "mnist",
    "handwritten digits, 8 bits a pixel",
    "static",
    (1, 28, 28),
    10,
    60_000,
    10_000,
    licence="CC BY-SA 3.0",
    source="Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist/",
    files=tuple(Archive(f"{name}.gz", f"{MIRROR}{name}.gz", md5, size) for name, md5, size in FILES.values()),
)


def read(path: Path) -> Arrays:
    """The four arrays of the IDX files, packed or not.  Raises: FormatError, FileError."""
    names = {name: part for part, (name, _, _) in FILES.items()}
    names |= {name.replace("-idx", ".idx"): part for name, part in names.items()}
    found = {}
    for name, data in files_in(path, ("-ubyte",)):
        if part := names.get(name.rpartition("/")[2]):
            found[part] = read_idx(data, name)
    if lacking := [FILES[part][0] for part in FILES if part not in found]:
        raise FormatError(f"{path}: no {', '.join(lacking)} (.gz or not); MNIST's four files were expected")
    return found


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: pixels over 255, float32 (B, 1, 28, 28).  Raises: DatasetError, FileError, FormatError."""
    return load_images(ABOUT, asked, read)


def prepare(folder: Path, out: Path) -> None:
    """One file of the downloaded ones.  Raises: FormatError, FileError."""
    prepare_images(ABOUT, read, folder, out)
