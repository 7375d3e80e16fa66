"""Recordings of event sensors: read one by one from whatever holds them, kept as one file, counted into frames.

An .npz has, for `train` and `test` each, `*_x`, `*_y`, `*_polarity`, `*_t_us` (N,), all recordings one after the other,
`*_offset` (B + 1,), recording i being [offset[i]:offset[i+1]], and `*_label` (B,).  The cache's HDF5 file has the same
by groups `train` and `test` (or `all`, for data without a split), with `stop` for offset[1:], and `name`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError, InputError, RecipeError
from ...files import atomic_write, open_h5, read_npz
from ..recipe import DataSettings
from .base import DIGEST, About, Dataset, Samples
from .cache import missing, prepared
from .coding import frames
from .splitting import test_split

log = logging.getLogger(__name__)

FIELDS: Mapping[str, type[np.unsignedinteger[Any]]] = {
    "x": np.uint16,
    "y": np.uint8,
    "polarity": np.uint8,
    "t_us": np.uint32,
}
"""What an event is, and how the cache keeps it."""
SPLITS = ("train", "test", "all")
BLOCK = 1 << 20
"""Events that are read or written at once."""
CHUNK = 1 << 18
"""Events that are compressed together."""
FORMAT, SCHEMA = "neuro_deploy events", 1
WHAT = "a file of event recordings"


@dataclass(frozen=True)
class Recording:
    """One recording.  split: "train", "test", or "all" where the data has none; name: orders recordings of a split.

    x, y: pixel; polarity: 0 off, 1 on; t_us: microseconds from its beginning.  Integers (N,).
    """

    split: str
    name: str
    label: int
    x: Samples
    y: Samples
    polarity: Samples
    t_us: Samples

    @property
    def events(self) -> tuple[Samples, Samples, Samples, Samples]:
        """x, y, polarity, t_us."""
        return self.x, self.y, self.polarity, self.t_us

    @property
    def digest(self) -> bytes:
        """SHA-256 of label and events, as the cache keeps them."""
        total = hashlib.sha256(f"{self.split} {self.label}".encode())
        for values, dtype in zip(self.events, FIELDS.values(), strict=True):
            total.update(np.ascontiguousarray(values, dtype).data)
        return total.digest()


Reader = Callable[[Path], Iterator[Recording]]
"""From a folder or a file as published to its recordings."""


def load_events(known: About, asked: DataSettings, steps: int, read: Reader) -> Dataset:
    """The dataset: counts, uint8 (B, T, *shape), in [0, max_count] (see `coding.frames`).

    steps: T >= 1.   From `asked.path` (an .npz, a file of the cache, or files as they are published), or the cache.
    The order of samples is that of their names, whatever they were read from.
    Raises: RecipeError for no steps or a pool that does not fit; DatasetError if the data is not here; FileError,
        FormatError.
    """
    if not steps:
        raise RecipeError(f"{known.name}: how many frames?  The number of steps is needed (network.steps)")
    path = Path(asked.path).expanduser() if asked.path else prepared(known)
    if not asked.path and not path.exists():
        raise missing(known)
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


def _dataset(
    known: About, asked: DataSettings, steps: int, parts: dict[str, tuple[Samples, Samples]], digest: str
) -> Dataset:
    for x, _ in parts.values():
        x.flags.writeable = False
    (train_x, train_y), (test_x, test_y) = parts["train"], parts["test"]
    counts = (0.0, float(asked.events.max_count), 1.0)
    return Dataset(known.name, train_x, train_y, test_x, test_y, known.classes, *counts, steps=steps, digest=digest)


def of_npz(path: Path) -> Iterator[Recording]:
    """The recordings of an .npz.  Raises: FileError, FormatError."""
    arrays = read_npz(path)
    for split in SPLITS[:2]:
        names = [f"{split}_{name}" for name in (*FIELDS, "offset", "label")]
        if lacking := [name for name in names if name not in arrays]:
            found = ", ".join(arrays) or "nothing"
            raise FormatError(f"{path}: no {', '.join(lacking)}; found {found}; event recordings were expected")
        *fields, offset, label = (arrays[name] for name in names)
        if len(offset) != len(label) + 1 or any(len(field) != offset[-1] for field in fields):
            raise FormatError(f"{path}: {split}: offsets, labels and events are not of one length")
        for i, (start, stop) in enumerate(pairwise(offset)):
            yield Recording(split, f"{i:08d}", int(label[i]), *(field[start:stop] for field in fields))


def is_cache(path: Path) -> bool:
    """Whether a file is one that `write_cache` wrote."""
    if not (path.is_file() and h5py.is_hdf5(path)):
        return False
    with h5py.File(path) as file:
        return bool(file.attrs.get("format") == FORMAT)


def of_cache(path: Path) -> Iterator[Recording]:
    """The recordings of a file of the cache, in the order in which they were kept.  Raises: FileError, FormatError."""
    with open_h5(path, WHAT) as file:
        if file.attrs.get("schema") != SCHEMA:
            raise FormatError(f"{path}: schema {file.attrs.get('schema')}, {SCHEMA} was expected; download it again")
        for split in (split for split in SPLITS if split in file):
            group = file[split]
            stops, labels = group["stop"][()], group["label"][()]
            names = group["name"].asstr()[()]
            first = 0
            while first < len(stops):
                begin = int(stops[first - 1]) if first else 0
                last = max(first + 1, int(np.searchsorted(stops, begin + BLOCK, side="right")))
                block = [group[name][begin : int(stops[last - 1])] for name in FIELDS]
                edges = [0, *(stops[first:last] - begin)]
                for i in range(first, last):
                    a, b = edges[i - first], edges[i - first + 1]
                    yield Recording(split, names[i], int(labels[i]), *(values[a:b] for values in block))
                first = last


def write_cache(path: Path, recordings: Iterator[Recording]) -> dict[str, int]:
    """Keep recordings in one HDF5 file, by atomic rename; gives their number by split.

    Raises: FileError; FormatError for a value that the file cannot keep.
    """
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        writers: dict[str, _Writer] = {}
        for each in recordings:
            if each.split not in writers:
                writers[each.split] = _Writer(file.create_group(each.split))
            writers[each.split].add(each)
        for writer in writers.values():
            writer.close()
        file.attrs.update({"format": FORMAT, "schema": SCHEMA})
        return {split: len(writer.labels) for split, writer in writers.items()}


class _Writer:
    """Appends recordings to a group, in blocks."""

    def __init__(self, group: h5py.Group) -> None:
        self.labels: list[int] = []
        self._group, self._names, self._stops = group, list[str](), list[int]()
        self._waiting: dict[str, list[Samples]] = {name: [] for name in FIELDS}
        self._count = self._written = 0
        for name, dtype in FIELDS.items():
            group.create_dataset(
                name,
                (0,),
                dtype,
                maxshape=(None,),
                chunks=(CHUNK,),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )

    def add(self, each: Recording) -> None:
        """Take a recording.  Raises: FormatError for a value beyond its field."""
        for (name, dtype), values in zip(FIELDS.items(), each.events, strict=True):
            if len(values) and not (values.min() >= 0 and values.max() <= np.iinfo(dtype).max):
                raise FormatError(f"{each.name}: {name} in [{values.min()}, {values.max()}] cannot be kept")
            self._waiting[name].append(values.astype(dtype))
        self._count += len(each.x)
        self.labels.append(each.label)
        self._names.append(each.name)
        self._stops.append(self._count)
        if self._count - self._written >= BLOCK:
            self._flush()

    def _flush(self) -> None:
        for name, waiting in self._waiting.items():
            self._group[name].resize((self._count,))
            self._group[name][self._written :] = np.concatenate(waiting) if waiting else []
            waiting.clear()
        self._written = self._count

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._group["label"] = np.array(self.labels, np.int64)
        self._group["stop"] = np.array(self._stops, np.int64)
        self._group.create_dataset("name", data=self._names, dtype=h5py.string_dtype())


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

    write_cache(out, counted())
