"""CIFAR10-DVS: an event camera before moving CIFAR-10 images, 128 x 128 pixels, 1,000 recordings a class.

It has no split: data.test_share are held out to test, by data.seed.  Frames cover a recording's whole duration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import FormatError
from ..recipe import DataSettings
from .archives import files_in
from .base import About, Archive, Dataset
from .events import load_events, prepare_events
from .formats import read_aedat2
from .recordings import Recording

FILES = "https://ndownloader.figshare.com/files/"
CLASSES = {
    "airplane": (7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
    "automobile": (7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
    "bird": (7712794, "a9c207c91c55b9dc2002dc21c684d785"),
    "cat": (7712812, "52c63c677c2b15fa5146a8daf4d56687"),
    "deer": (7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    "dog": (7712818, "f379ebdf6703d16e0a690782e62639c3"),
    "frog": (7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
    "horse": (7712851, "e7cbbf77bec584ffbf913f00e682782a"),
    "ship": (7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
    "truck": (7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
}
"""Number of the file, and its MD5; the order is that of the labels."""
NAME = re.compile(r"cifar10_([a-z]+)_(\d+)\.aedat$")
ABOUT = About(
    "cifar10_dvs",
    "an event camera before moving photographs",
    "events",
    (2, 128, 128),
    10,
    8_000,
    2_000,
    licence="CC BY 4.0",
    source="H. Li et al., Front. Neurosci. 11:309, 2017, https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
    files=tuple(Archive(f"{name}.zip", f"{FILES}{number}", md5, 750) for name, (number, md5) in CLASSES.items()),
)


def read(path: Path) -> Iterator[Recording]:
    """The recordings of the .aedat files, or of their archives.  Raises: FormatError, FileError."""
    labels = list(CLASSES)
    for name, data in files_in(path, (".aedat",)):
        found = NAME.search(name)
        if not found or found[1] not in labels:
            raise FormatError(f"{path}: {name}: expected cifar10_CLASS_NUMBER.aedat")
        label = labels.index(found[1])
        yield Recording("all", f"{label}/{int(found[2]):05d}", label, *read_aedat2(data, name))


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: counts, uint8 (B, T, 2, 128, 128).  Raises: RecipeError, DatasetError, FileError, FormatError."""
    return load_events(ABOUT, asked, steps, read)


def prepare(folder: Path, out: Path) -> None:
    """One file of the downloaded ones.  Raises: FormatError, FileError."""
    prepare_events(ABOUT, read, folder, out)
