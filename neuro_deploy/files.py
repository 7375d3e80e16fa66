"""Reading and writing files so that nothing is lost: atomic writes, clear errors, no pickle."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from .errors import FileError, FormatError, InputError

NetworkInput: TypeAlias = np.ndarray[Any, Any] | Mapping[str, np.ndarray[Any, Any]]
"""What a network gets: (T, B, ...), or of each of several inputs by name."""


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it onto `path` when the block ends well.

    After an error, a kill or a full disk, `path` is what it was before: whole and old, or absent.
    Parent folders are made.  Raises: FileError if the path cannot be written.
    """
    final = Path(path)
    try:
        if final.is_dir():
            raise FileError(f"{final}: is a directory; give the path of a file")
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent)
        os.close(handle)
    except OSError as error:
        raise FileError(f"{final}: cannot be written ({_reason(error)}); choose another path") from error
    temporary = Path(name)
    try:
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~umask())
            temporary.replace(final)
        except OSError as error:
            raise FileError(f"{final}: cannot be written ({_reason(error)}); nothing was changed") from error
    finally:
        temporary.unlink(missing_ok=True)


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) atomically.  Raises: FileError."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_readable(path: str | os.PathLike[str], what: str) -> Path:
    """`path` as a Path, if it is a file that can be opened.  Raises: FileError naming `what` was expected."""
    file = Path(path)
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({_reason(error)}); {what} was expected") from error
    return file


def digest_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, hexadecimal.  Raises: OSError."""
    found = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


@contextlib.contextmanager
def open_h5(path: str | os.PathLike[str], what: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; every error while it is read becomes a FormatError that names the file.

    what: the kind of file that was expected, for the message ("a ChipProgram").
    """
    file = check_readable(path, what)
    try:
        with h5py.File(file, "r") as handle:
            yield handle
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, EOFError) as error:
        detail = str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(f"{file}: not {what}, or damaged ({detail})") from error


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of an .npz file, without pickle.  Raises: FileError, FormatError."""
    file = check_readable(path, "an .npz file")
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise FormatError(f"{file}: not an .npz file but a single array; write it with numpy.savez(input=...)")
            with archive:
                return {name: archive[name] for name in archive.files}
    except FileError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise nearly anything for a damaged archive
        raise FormatError(f"{file}: not an .npz file, or damaged ({type(error).__name__}: {error})") from error


def join_inputs(inputs: NetworkInput, shapes: Mapping[str, tuple[int, ...]] | None = None) -> np.ndarray[Any, Any]:
    """Several inputs (T, B, ...) as one (T, B, N): flat, in alphabetical order of their names; one stays as it is.

    inputs: by name, or an array that is one already.
    shapes: the names and shapes (without T and B) that a network takes, to check them; None: anything.
    Raises: InputError for names or shapes that do not fit, or different T or B.
    """
    if not isinstance(inputs, Mapping):
        return np.asarray(inputs)
    wrong = [name for name in inputs if shapes is not None and name not in shapes]
    missing = [name for name in shapes or () if name not in inputs]
    if wrong or missing or not inputs:
        known = ", ".join(shapes or ())
        raise InputError(f"inputs {', '.join(inputs) or '(none)'} are not those of the network ({known})")
    arrays = [np.asarray(inputs[name]) for name in sorted(inputs)]
    for name, x in zip(sorted(inputs), arrays, strict=True):
        check_input(x, f"input '{name}'")
        if shapes is not None and x.shape[2:] != shapes[name]:
            shape = ", ".join(map(str, shapes[name]))
            raise InputError(f"input '{name}': expected shape (T, B, {shape}), got {x.shape}")
        if x.shape[:2] != arrays[0].shape[:2]:
            raise InputError(f"input '{name}' has {x.shape[:2]} steps and samples, others {arrays[0].shape[:2]}")
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate([x.reshape(*x.shape[:2], -1) for x in arrays], axis=2)


def read_input(path: str | os.PathLike[str]) -> tuple[NetworkInput, np.ndarray[Any, Any] | None]:
    """The arrays `input` (T, B, ...) and, if there, `label` (B,) of an .npz file.

    For a network with several inputs the file has arrays named `input.NAME` instead: they come as {NAME: array}, and
    `join_inputs` compares the names with those of the network.
    Raises: FileError, FormatError; InputError for a missing, non-numeric, empty or non-finite input, for both kinds at
    once, or for labels of another length.
    """
    arrays = read_npz(path)
    several = {name.removeprefix("input."): x for name, x in arrays.items() if name.startswith("input.")}
    if several and "input" in arrays:
        names = ", ".join(f"'input.{name}'" for name in sorted(several))
        raise InputError(f"{path}: holds 'input' and {names}; give the input either as one array or by name")
    if not several and "input" not in arrays:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(f"{path}: no array named 'input' of shape (T, B, ...); found {found}")
    x = join_inputs(several) if several else arrays["input"]
    check_input(x, str(path))
    label = arrays.get("label")
    if label is not None and (label.shape != (x.shape[1],) or label.dtype.kind not in "iu"):
        raise InputError(
            f"{path}: 'label' must be {x.shape[1]} integers, one per sample of 'input' (T, B, ...) = {x.shape}, "
            f"got {label.dtype} {label.shape}"
        )
    return several or x, label


def check_input(x: np.ndarray[Any, Any], where: str) -> None:
    """Raise InputError unless x is a finite numeric array of shape (T >= 1, B >= 1, ...)."""
    if x.dtype.kind not in "biuf":
        raise InputError(f"{where}: 'input' must be numbers, got dtype {x.dtype}")
    if x.ndim < 3 or 0 in x.shape:
        raise InputError(f"{where}: 'input' must have shape (T, B, ...) without empty axes, got {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{where}: 'input' holds {int((~np.isfinite(x)).sum())} values that are NaN or infinite")


def write_npz(path: str | os.PathLike[str], **arrays: np.ndarray[Any, Any]) -> None:
    """Write arrays to a compressed .npz atomically, byte for byte the same for the same arrays.  Raises: FileError."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in sorted(arrays.items()):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
