"""The files of a download: in a folder, in archives, or both; nothing is unpacked onto the disk."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ...errors import FileError, FormatError

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
"""What damaged archives raise (RuntimeError: encrypted; NotImplementedError: an unknown compression)."""
TARS = (".tar", ".tar.gz", ".tgz")


def files_in(path: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Every file with one of these endings: its name (with folders, "/" between), and what it holds.

    path: a folder, searched through, or a single file.  Of .zip, .tar, .tar.gz and .tgz files comes what is in them; a
    file that ends in .gz comes unpacked and without that ending.  Sorted by name, within an archive as it has them.
    Raises: FileError if path cannot be read; FormatError for a damaged archive.
    """
    if not path.exists():
        raise FileError(f"{path}: does not exist; a dataset's file or folder was expected")
    found = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    base = path if path.is_dir() else path.parent
    for file in found:
        name = file.relative_to(base).as_posix()
        try:
            yield from _of_file(file, name, endings)
        except DAMAGED as error:
            raise FormatError(f"{file}: cannot be read, or is damaged ({error or type(error).__name__})") from error


def _of_file(file: Path, name: str, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """What `files_in` gives of one file."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(file) as archive:
            for inner in archive.namelist():
                if inner.endswith(endings):
                    yield inner, archive.read(inner)
    elif name.endswith(TARS):
        with tarfile.open(file) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name.endswith(endings) else None
                if stream is not None:
                    yield member.name, stream.read()
    elif name.removesuffix(".gz").endswith(endings):
        data = file.read_bytes()
        yield (name.removesuffix(".gz"), gzip.decompress(data)) if name.endswith(".gz") else (name, data)
