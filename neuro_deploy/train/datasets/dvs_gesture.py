"""DVS Gesture: 11 gestures of hand and arm before an event camera, 128 x 128 pixels, as cut into gestures by tonic.

Frames cover a recording's whole duration, some six seconds, unless data.events.window says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import FormatError
from ..recipe import DataSettings
from .archives import files_in
from .base import About, Archive, Dataset
from .events import load_events, prepare_events
from .formats import read_gesture
from .recordings import Recording

FILES = "https://figshare.com/ndownloader/files/"
ABOUT = About(
    "dvs_gesture",
    "gestures before an event camera",
    "events",
    (2, 128, 128),
    11,
    1077,
    264,
    licence="CC BY 4.0",
    source="A. Amir et al., CVPR 2017, https://research.ibm.com/interactive/dvsgesture/",
    files=(
        Archive("ibmGestureTrain.tar.gz", f"{FILES}38022171", "3a8f0d4120a166bac7591f77409cb105", 2300),
        Archive("ibmGestureTest.tar.gz", f"{FILES}38020584", "56070e45dadaa85fff82e0fbfbc06de5", 570),
    ),
)


def read(path: Path) -> Iterator[Recording]:
    """The recordings of ibmGestureTrain/USER/LABEL.npy and ibmGestureTest.  Raises: FormatError, FileError."""
    for name, data in files_in(path, (".npy",)):
        split = next((split for split in ("Train", "Test") if f"ibmGesture{split}/" in name), None)
        label = name.rpartition("/")[2].removesuffix(".npy")
        if split is None or not label.isdecimal():
            raise FormatError(f"{path}: {name}: expected ibmGestureTrain/USER/LABEL.npy or ibmGestureTest/...")
        yield Recording(split.lower(), name, int(label), *read_gesture(data, name))


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: counts, uint8 (B, T, 2, 128, 128).  Raises: RecipeError, DatasetError, FileError, FormatError."""
    return load_events(ABOUT, asked, steps, read)


def prepare(folder: Path, out: Path) -> None:
    """One file of the downloaded ones.  Raises: FormatError, FileError."""
    prepare_events(ABOUT, read, folder, out)
