"""Real sensor series that an installed package carries: text in the .ts format, standardized and put on a grid."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, FormatError
from ...files import check_readable
from .base import About, Dataset, digest_of

Floats = NDArray[np.float64]

EXTRA = "sensors"
LEVELS, REACH = 32, 127
"""Kept are multiples of 1/32 of a standard deviation, at most 127 of them: 8 bits with the sign."""


def load_series(known: About, archive: str) -> Dataset:
    """The dataset: float32 (B, T, channels), a value per step, multiples of 1/32 in [-127/32, 127/32].

    Each channel has mean 0 and standard deviation 1 over the training set; shorter series end in zeros.
    archive: the name of its files within the package.
    Raises: DatasetError if the package is not installed or does not carry it; FormatError for other files.
    """
    parts = [read_ts(find_ts(known, archive, part)) for part in ("TRAIN", "TEST")]
    values = np.concatenate(parts[0][0])
    mean, deviation = values.mean(0), values.std(0)
    x = []
    for series, _, _ in parts:
        x.append(np.zeros((len(series), known.steps, *known.shape), np.float32))
        for i, one in enumerate(series):
            if len(one) > known.steps or one.shape[1:] != known.shape:
                raise FormatError(
                    f"{known.name}: a series of {one.shape}, at most {(known.steps, *known.shape)} expected"
                )
            x[-1][i, : len(one)] = np.clip(np.rint((one - mean) / deviation * LEVELS), -REACH, REACH) / LEVELS
    y = [np.array([classes.index(label) for label in labels], np.int64) for _, labels, classes in parts]
    grid = (-REACH / LEVELS, REACH / LEVELS, 1 / LEVELS)
    digest = digest_of(*(one for series, _, _ in parts for one in series), *y)
    return Dataset(known.name, x[0], y[0], x[1], y[1], known.classes, *grid, steps=known.steps, digest=digest)


def find_ts(known: About, archive: str, part: str) -> Path:
    """Where the package has a file; the package is not imported.  Raises: DatasetError."""
    found = importlib.util.find_spec(known.package)
    if found is None or not found.submodule_search_locations:
        raise DatasetError(
            f"{known.name}: comes with the package {known.package}, which is not installed; "
            f"pip install 'neuro_deploy[{EXTRA}]'"
        )
    path = Path(found.submodule_search_locations[0]) / "datasets" / "data" / archive / f"{archive}_{part}.ts"
    if not path.is_file():
        try:
            have = version(known.package)
        except PackageNotFoundError:
            have = "of unknown version"
        raise DatasetError(
            f"{known.name}: {known.package} {have} does not carry it (no {path}); "
            f"pip install --force-reinstall '{known.package}==1.2.0', which does"
        )
    return path


def read_ts(path: Path) -> tuple[list[Floats], list[str], list[str]]:
    """Series (T, channels) of any lengths, their labels, and the names of all classes, of a .ts file.

    Lines: "#..." comments; "@key value"; after "@data" a series each, ":" between channels, "," between values, the
    label last.   Source: the format of the UEA & UCR archive, https://www.timeseriesclassification.com.
    Raises: FileError; FormatError for anything else, missing values included.
    """
    series, labels, classes, told = list[Floats](), list[str](), list[str](), False
    for number, line in enumerate(check_readable(path, "a .ts file").read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not told:
            key, _, value = text.partition(" ")
            told = key.lower() == "@data"
            if key.lower() == "@classlabel":
                classes = value.split()[1:]
            continue
        if not text:
            continue
        *channels, label = text.split(":")
        try:
            one = np.array([channel.split(",") for channel in channels], np.float64).T
        except ValueError as error:
            raise FormatError(f"{path}:{number}: not a series of equally long channels ({error})") from error
        if label not in classes or not one.size or not np.isfinite(one).all():
            raise FormatError(f"{path}:{number}: label '{label}' of {classes}, or a value that is missing")
        series.append(one)
        labels.append(label)
    if not series:
        raise FormatError(f"{path}: not a .ts file, or one without series")
    return series, labels, classes
