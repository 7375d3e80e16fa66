"""Recordings of event sensors: read one by one from whatever holds them, and kept as one file.

An .npz has, for `train` and `test` each, `*_x`, `*_y`, `*_polarity`, `*_t_us` (N,), all recordings one after the other,
`*_offset` (B + 1,), recording i being [offset[i]:offset[i+1]], and `*_label` (B,).  The cache's HDF5 file has the same
by groups `train` and `test` (or `all`, for data without a split), with `stop` for offset[1:], and `name`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import FormatError
from ...files import atomic_write, open_h5, read_npz
from .base import Samples

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
