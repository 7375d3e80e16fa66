"""Where downloaded datasets lie, and how they get there: only when `fetch` is called."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pooch
import requests

from ...errors import DatasetError
from .base import About, Archive

CACHE = "NEURO_DEPLOY_CACHE"
"""An environment variable: a folder to take in place of the user's cache folder."""
TIMEOUT = 60.0
"""Seconds without a byte after which a download is given up."""
CHUNK = 1 << 16
MEGABYTE = 1e6

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


def cache_dir() -> Path:
    """The folder of the datasets: $NEURO_DEPLOY_CACHE/datasets, or datasets/ in the user's cache folder."""
    root = os.environ.get(CACHE)
    return (Path(root) if root else platformdirs.user_cache_path("neuro_deploy", appauthor=False)) / "datasets"


def prepared(known: About) -> Path:
    """The one file that a downloaded dataset becomes; absent before that."""
    return cache_dir() / f"{known.name}.{'h5' if known.kind == 'events' else 'npz'}"


def missing(known: About) -> DatasetError:
    """What to say where a dataset is not in the cache."""
    return DatasetError(
        f"{known.name}: is not on this machine; get it by 'neuro_deploy datasets {known.name} --download' (some "
        f"{known.size:,.0f} MB), or name its files: --data FILE_OR_FOLDER, in a recipe data.path"
    )


def fetch(known: About, prepare: Callable[[Path, Path], None], progress: Progress = lambda done, total: None) -> Path:
    """Download a dataset's files, check their digests, and make one file of them in the cache; gives its path.

    Files that are whole already are not downloaded again; when the one file is made, they are removed.  An interruption
    leaves no half file under a final name.
    prepare: makes the file (second argument) out of the folder of downloads (first), by atomic rename.
    Raises: DatasetError for a dataset without files, a download that fails, or one with another digest; FormatError for
        files that are not what they should be; FileError if the cache cannot be written.
    """
    if not known.files:
        raise DatasetError(f"{known.name}: nothing is to be downloaded")
    folder, out = cache_dir() / known.name, prepared(known)
    pooch.get_logger().setLevel(logging.WARNING)
    total = int(known.size * MEGABYTE)
    before = 0
    for file in known.files:
        _download(file, folder, known, _Bar(before, total, progress))
        before += int(file.size * MEGABYTE)
    prepare(folder, out)
    shutil.rmtree(folder)
    return out


def _download(file: Archive, folder: Path, known: About, bar: _Bar) -> None:
    """One file into a folder.  Raises: DatasetError."""
    loader = pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT)
    try:
        pooch.retrieve(file.url, f"md5:{file.md5}", file.name, folder, downloader=loader)
    except (requests.RequestException, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(
            f"{known.name}: {file.name} could not be downloaded ({reason}); try again, or get its files in another way "
            f"(source: {known.source}) and name their folder: --data FOLDER"
        ) from error


class _Bar:
    """What pooch calls a progress bar."""

    def __init__(self, before: int, total: int, progress: Progress) -> None:
        self.total = 0
        self._before, self._all, self._progress, self._done = before, total, progress, 0

    def update(self, count: int) -> None:
        """So many more bytes."""
        self._done = min(self._done + count, self.total or self._done + count)
        self._progress(min(self._before + self._done, self._all), self._all)

    def reset(self) -> None:
        """Start at 0 again."""
        self._done = 0

    def close(self) -> None:
        """Nothing is left open."""
