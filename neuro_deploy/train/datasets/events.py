"""Recordings of event sensors as Datasets: counted into frames, which are kept for the next time."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import FileError, FormatError, InputError, RecipeError
from ...files import atomic_write, open_h5
from ..recipe import DataSettings
from .base import DIGEST, About, Dataset, Samples
from .cache import missing, prepared
from .coding import frames
from .recordings import SPLITS, Reader, Recording, is_cache, of_cache, of_npz, write_cache
from .splitting import test_split

log = logging.getLogger(__name__)

ARRAYS = ("train_x", "train_y", "test_x", "test_y")
SCHEMA = 1
"""Of kept frames: another number where `coding.frames` would count otherwise."""

Parts: TypeAlias = Mapping[str, tuple[Samples, Samples]]
"""Frames and labels, of "train" and "test"."""


def load_events(known: About, asked: DataSettings, steps: int, read: Reader) -> Dataset:
    """The dataset: counts, uint8 (B, T, *shape), in [0, max_count] (see `coding.frames`).

    steps: T >= 1.   From `asked.path` (an .npz, a file of the cache, or files as they are published), or the cache;
    what comes from the cache is kept there as frames as well, so that the next call with these settings is quick.
    The order of samples is that of their names, whatever they were read from.
    Raises: RecipeError for no steps or a pool that does not fit; DatasetError if the data is not here; FileError,
        FormatError.
    """
    if not steps:
        raise RecipeError(f"{known.name}: how many frames?  The number of steps is needed (network.steps)")
    if asked.path:
        return _made(known, asked, steps, Path(asked.path).expanduser(), read)
    path = prepared(known)
    if not path.exists():
        raise missing(known)
    kept = _kept_at(path, known, asked, steps)
    try:
        return _dataset(known, asked, steps, *_kept(kept))
    except FileError as error:
        log.info("no frames from earlier: %s", error)
    made = _made(known, asked, steps, path, read)
    arrays = {name: getattr(made, name) for name in ARRAYS}
    with atomic_write(kept) as temporary, h5py.File(temporary, "w") as file:
        for name, values in arrays.items():
            chunk = (1, *values.shape[1:]) if values.ndim > 1 else None
            packed = {"compression": "gzip", "compression_opts": 1} if chunk else {}
            file.create_dataset(name, data=values, chunks=chunk, **packed)
        file.attrs["digest"] = made.digest
    return made


def _kept_at(path: Path, known: About, asked: DataSettings, steps: int) -> Path:
    """Where frames of the cache's recordings are kept: another place for any other recordings or settings."""
    facts = path.stat()
    told = {
        "schema": SCHEMA,
        "source": [facts.st_size, facts.st_mtime_ns],
        "about": [known.shape, known.window],
        "steps": steps,
        "events": asked.events.model_dump(),
        "split": [asked.seed, asked.test_share],
    }
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:DIGEST]
    return path.with_name(f"{known.name}.frames-{key}.h5")


def _kept(path: Path) -> tuple[Parts, str]:
    """Frames and labels that an earlier call kept, and their digest.  Raises: FileError, FormatError."""
    with open_h5(path, "frames of an earlier run") as file:
        arrays = {name: file[name][()] for name in ARRAYS}
        parts = {part: (arrays[f"{part}_x"], arrays[f"{part}_y"]) for part in ("train", "test")}
        return parts, str(file.attrs["digest"])


def _made(known: About, asked: DataSettings, steps: int, path: Path, read: Reader) -> Dataset:
    """The dataset out of the recordings at a path."""
    readers: dict[str, Reader] = {".npz": of_npz, ".h5": of_cache if is_cache(path) else read}
    found: dict[str, list[tuple[str, int, Samples]]] = {split: [] for split in SPLITS}
    digests, lost = [], np.zeros(3, np.int64)
    for each in readers.get(path.suffix, read)(path):
        counts, *events = _frames_of(each, known, asked, steps, path)
        found[each.split].append((each.name, each.label, counts))
        digests.append(each.digest)
        lost += (len(each.x), *events)
    log.info("%s: of %d events %d were beyond the window, %d beyond max_count", path, *lost)
    parts = {split: _stacked(samples) for split, samples in found.items() if samples}
    if set(parts) == {"all"}:
        x, y = parts["all"]
        train, test = test_split(len(y), asked)
        parts = {"train": (x[train], y[train]), "test": (x[test], y[test])}
    if set(parts) != {"train", "test"}:
        raise FormatError(f"{path}: recordings to train and to test were expected, got {', '.join(parts) or 'none'}")
    return _dataset(known, asked, steps, parts, hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:DIGEST])


def _frames_of(
    each: Recording, known: About, asked: DataSettings, steps: int, path: Path
) -> tuple[NDArray[np.uint8], int, int]:
    """A recording's frames, in the dataset's shape, events dropped and clipped."""
    channels, height, width = known.shape if len(known.shape) == 3 else (1, 1, *known.shape)
    settings = asked.events
    if not 0 <= each.label < known.classes:
        raise FormatError(f"{path}: {each.name} has the label {each.label}, not one of [0, {known.classes - 1}]")
    try:
        counts, dropped, clipped = frames(
            each.events,
            (channels, height, width),
            steps,
            settings.window or known.window,
            settings.max_count,
            settings.pool,
        )
    except InputError as error:
        kind = RecipeError if "pool" in str(error) else FormatError
        raise kind(f"{path}: {each.name}: {error}") from error
    return (counts if len(known.shape) == 3 else counts.reshape(steps, -1)), dropped, clipped


def _stacked(samples: list[tuple[str, int, Samples]]) -> tuple[Samples, Samples]:
    """Frames (B, T, *shape) and labels (B,), in the order of their names; empties the list."""
    samples.sort(key=lambda sample: sample[0], reverse=True)
    x = np.empty((len(samples), *samples[0][2].shape), np.uint8)
    y = np.empty(len(samples), np.int64)
    for i in range(len(samples)):
        _, y[i], x[i] = samples.pop()
    return x, y


def _dataset(known: About, asked: DataSettings, steps: int, parts: Parts, digest: str) -> Dataset:
    for x, _ in parts.values():
        x.flags.writeable = False
    (train_x, train_y), (test_x, test_y) = parts["train"], parts["test"]
    counts = (0.0, float(asked.events.max_count), 1.0)
    return Dataset(known.name, train_x, train_y, test_x, test_y, known.classes, *counts, steps=steps, digest=digest)


def prepare_events(known: About, read: Reader, folder: Path, out: Path) -> None:
    """Make the cache's file out of the published files.  Raises: FormatError, also for too few of them; FileError."""

    def counted() -> Iterator[Recording]:
        counts = dict.fromkeys(SPLITS, 0)
        for each in read(folder):
            counts[each.split] += 1
            yield each
        found = sum(counts.values())
        if found != known.train + known.test:
            raise FormatError(f"{folder}: {found} recordings, {known.name} has {known.train + known.test}")

    for old in out.parent.glob(f"{known.name}.frames-*.h5"):
        old.unlink()
    write_cache(out, counted())
