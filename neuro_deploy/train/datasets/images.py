"""Sets of images: read from the formats in which they are published, kept as one .npz, given as Datasets.

An .npz has `train_image` (B, *shape) uint8, `train_label` (B,), `test_image` and `test_label`; or only `image` and
`label`, then a part for testing is held out by the seed (`splitting.test_split`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ...errors import FormatError
from ...files import read_npz, write_npz
from ..recipe import DataSettings
from .base import About, Dataset, Samples, digest_of
from .cache import missing, prepared
from .splitting import test_split

PIXEL = 255
"""The largest value of a pixel: inputs are pixels over it."""
PARTS = ("train_image", "train_label", "test_image", "test_label")
IDX_UINT8 = 0x08

Arrays = Mapping[str, Samples]
Reader = Callable[[Path], Arrays]
"""From a folder or a file as published to the four arrays."""


def load_images(known: About, asked: DataSettings, read: Reader) -> Dataset:
    """The dataset: float32 (B, *shape), pixels over 255.

    From `asked.path` (an .npz, or files as they are published), or else from the cache.
    Raises: DatasetError if it is in neither; FileError, FormatError.
    """
    path = Path(asked.path).expanduser() if asked.path else prepared(known)
    if not asked.path and not path.exists():
        raise missing(known)
    arrays = dict(read_npz(path) if path.suffix == ".npz" else read(path))
    digest = digest_of(*(arrays[name] for name in sorted(arrays)))
    if {"image", "label"} <= set(arrays):
        arrays = _split(arrays, asked, path)
    check(arrays, known, path)
    x = {part: (arrays[f"{part}_image"] / PIXEL).astype(np.float32) for part in ("train", "test")}
    y = {part: arrays[f"{part}_label"].astype(np.int64) for part in ("train", "test")}
    shaped = {part: values.reshape(len(values), *known.shape) for part, values in x.items()}
    pixels = (0.0, 1.0, 1 / PIXEL)
    return Dataset(
        known.name, shaped["train"], y["train"], shaped["test"], y["test"], known.classes, *pixels, digest=digest
    )


def prepare_images(known: About, read: Reader, folder: Path, out: Path) -> None:
    """Make the cache's .npz out of the published files.  Raises: FormatError, also for too few; FileError."""
    arrays = read(folder)
    check(arrays, known, folder)
    counts = {part: len(arrays[f"{part}_label"]) for part in ("train", "test")}
    if counts != {"train": known.train, "test": known.test}:
        raise FormatError(f"{folder}: {counts} images, {known.name} has {known.train} and {known.test}")
    write_npz(out, **arrays)


def _split(arrays: Arrays, asked: DataSettings, path: Path) -> dict[str, Samples]:
    if len(arrays["image"]) != len(arrays["label"]):
        raise FormatError(f"{path}: {len(arrays['image'])} images and {len(arrays['label'])} labels")
    train, test = test_split(len(arrays["label"]), asked)
    parts = {"train": train, "test": test}
    return {f"{part}_{what}": arrays[what][chosen] for part, chosen in parts.items() for what in ("image", "label")}


def check(arrays: Arrays, known: About, path: Path) -> None:
    """Raise FormatError unless the four arrays are images and labels of this dataset."""
    if lacking := [name for name in PARTS if name not in arrays]:
        found = ", ".join(arrays) or "nothing"
        raise FormatError(f"{path}: no {', '.join(lacking)}; found {found}; {known.name}'s images were expected")
    for part in ("train", "test"):
        image, label = arrays[f"{part}_image"], arrays[f"{part}_label"]
        size = int(np.prod(known.shape))
        if image.dtype != np.uint8 or image[:1].size != size or len(image) != len(label) or label.ndim != 1:
            raise FormatError(
                f"{path}: {part}: expected uint8 images of {size} values and a label each, got {image.dtype} "
                f"{image.shape} and {label.shape}"
            )
        if label.dtype.kind not in "iu" or label.min() < 0 or label.max() >= known.classes:
            raise FormatError(f"{path}: {part}: labels must be integers in [0, {known.classes - 1}]")


def read_idx(data: bytes, where: str) -> Samples:
    """The array of an IDX file: uint8, of any number of axes.

    Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database: 0, 0, the type (0x08: uint8), the number of axes, each
    axis' length as a big-endian int32, then the values in C order.
    Raises: FormatError for another type, or another size than it says.
    """
    axes = data[3] if len(data) > 3 else 0
    if data[:3] != bytes((0, 0, IDX_UINT8)) or not axes or len(data) < 4 + 4 * axes:
        raise FormatError(f"{where}: not an IDX file of uint8")
    shape = struct.unpack(f">{axes}i", data[4 : 4 + 4 * axes])
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes)
    if values.size != np.prod(shape):
        raise FormatError(f"{where}: {values.size} values, an array {shape} was announced")
    return values.reshape(shape)


def read_cifar(data: bytes, labels: int, where: str) -> tuple[Samples, Samples]:
    """Images (B, 3, 32, 32) and labels (B,), uint8, of a file of CIFAR's binary version.

    labels: bytes of labels before each image; the last of them is the class (CIFAR-100: coarse, then fine).
    Source: A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html: rows of a label and 3,072 values,
    red, then green, then blue.
    Raises: FormatError for a file that is no whole number of rows.
    """
    size = 3 * 32 * 32
    if not data or len(data) % (labels + size):
        raise FormatError(f"{where}: {len(data)} bytes are no whole number of images")
    rows = np.frombuffer(data, np.uint8).reshape(-1, labels + size)
    return rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, labels - 1]
