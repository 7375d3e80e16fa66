"""N-MNIST: an event camera that moves three times before MNIST digits, 34 x 34 pixels, a third of a second each.

Not shipped: `neuro_deploy datasets nmnist --download`, or --data with an .npz (see `recordings`), or a folder with the
.bin files under Train/0 to Train/9 and Test/0 to Test/9 (or their archives).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import FormatError
from ..recipe import DataSettings
from .archives import files_in
from .base import About, Archive, Dataset
from .events import load_events, prepare_events
from .formats import read_atis
from .recordings import Recording

FILES = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
ABOUT = About(
    "nmnist",
    "an event camera before MNIST digits",
    "events",
    (2, 34, 34),
    10,
    60_000,
    10_000,
    licence="CC BY-SA 4.0",
    source="G. Orchard et al., Front. Neurosci. 9:437, 2015, https://www.garrickorchard.com/datasets/n-mnist",
    files=(
        Archive(
            "train.zip",
            f"{FILES}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
            "20959b8e626244a1b502305a9e6e2031",
            1011,
        ),
        Archive(
            "test.zip",
            f"{FILES}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
            "69ca8762b2fe404d9b9bad1103e97832",
            170,
        ),
    ),
    window=315_000,
)


def read(path: Path) -> Iterator[Recording]:
    """The recordings of the .bin files.  Raises: FormatError, FileError."""
    for name, data in files_in(path, (".bin",)):
        *folders, label, _ = ["", "", *name.split("/")]
        splits = [folder.lower() for folder in folders if folder.lower() in ("train", "test")]
        if not splits or not label.isdecimal():
            raise FormatError(f"{path}: {name}: expected Train/DIGIT/NAME.bin or Test/DIGIT/NAME.bin")
        yield Recording(splits[-1], name, int(label), *read_atis(data, name))


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: counts, uint8 (B, T, 2, 34, 34).  Raises: RecipeError, DatasetError, FileError, FormatError."""
    return load_events(ABOUT, asked, steps, read)


def prepare(folder: Path, out: Path) -> None:
    """One file of the downloaded ones.  Raises: FormatError, FileError."""
    prepare_events(ABOUT, read, folder, out)
