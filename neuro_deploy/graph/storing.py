"""NIR files, written: atomically, by stock `nir`, and nothing that a file cannot hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UnsupportedError, Violation
from ..files import atomic_write
from .files import joined

LAYOUT = h5py.h5f.LIBVER_V110
"""The layout of HDF5 1.10 (2016) and later, fixed, so that bytes do not depend on the library.

The older one, h5py's default, has an index of 2 to 4 KB for each compressed array, and 1 KB for each group:
a network of 2,000 neurons came to 1.2 MB, of which 0.16 were numbers.
"""


def write_nir(graph: nir.NIRGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph atomically, by stock `nir`; the same graph gives the same bytes.

    Raises: FileError; UnsupportedError with all parameters that a file cannot hold; InputError if the arguments are
    swapped (stock `nir.write` has the path first).
    """
    if not isinstance(graph, nir.NIRNode):
        raise InputError("write_nir(graph, path): the graph comes first")
    violations: list[Violation] = []
    content = _storable(graph.to_dict(), "", violations)
    if violations:
        raise UnsupportedError("cannot write the graph to a NIR file", violations)
    with atomic_write(path) as temporary:
        try:
            nir.write(_created(temporary), SimpleNamespace(to_dict=lambda: content))
        except (TypeError, ValueError) as error:
            raise InputError(f"stock nir cannot write this graph ({error})") from error


def _created(path: Path) -> h5py.h5f.FileID:
    """An empty HDF5 file, which stock `nir` writes into and closes.  It holds no times."""
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(LAYOUT, LAYOUT)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    return h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, creation, access)


def _storable(node: Mapping[str, Any], where: str, violations: list[Violation]) -> dict[str, Any]:
    """A node's dictionary as stock `nir.write` can store it without loss; what it cannot goes to `violations`."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if not key or "/" in key or key == ".":
            violations.append(Violation(joined(where, key), "HDF5 has no such name", "give it a name without '/'"))
        elif isinstance(value, dict):
            found[key] = _storable(value, where if key == "nodes" else joined(where, key), violations)
        elif isinstance(value, np.ndarray):
            found[key] = _stored(value)
        elif value is None and key != "input_type":
            what = f"{key} is not set, and stock nir cannot read a file without it"
            remedy = "set it; 'neuro_deploy normalize OLD.nir --nir NEW.nir' fills in what older files lack"
            violations.append(Violation(where or "the graph", what, remedy))
        elif value is not None:
            found[key] = value
    return found


def _stored(array: NDArray[Any]) -> Any:
    """One number for a 0-d array (stock `nir` compresses arrays), text of a variable length for text."""
    if array.ndim == 0:
        return array[()]
    return np.array(array, h5py.string_dtype()) if array.dtype.kind in "US" else array
