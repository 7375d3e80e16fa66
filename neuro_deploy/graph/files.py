"""NIR files: read without trusting them, written atomically."""

from __future__ import annotations

import os

import h5py
import nir

from ..errors import FormatError, InputError
from ..files import atomic_write, open_h5


def read_nir(path: str | os.PathLike[str]) -> nir.NIRGraph:
    """Read a NIR file by stock `nir`, without its type check (`read_graph` makes its own).

    Raises: FileError, FormatError.
    """
    with open_h5(path, "a NIR file") as handle:
        if "node" not in handle or not isinstance(handle["node"], h5py.Group):
            raise FormatError(f"{path}: not a NIR file (it has no group 'node')")
        try:
            graph = nir.read(path, type_check=False)
        except (AssertionError, RecursionError, UnicodeDecodeError, IndexError) as error:
            raise FormatError(f"{path}: stock nir cannot read it ({type(error).__name__}: {error})") from error
    if not isinstance(graph, nir.NIRGraph):
        raise FormatError(f"{path}: holds a single {type(graph).__name__} node, not a NIRGraph")
    return graph


def write_nir(graph: nir.NIRGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph atomically; the same graph gives the same bytes.

    Raises: FileError; InputError if the arguments are swapped (stock `nir.write` has the path first).
    """
    if not isinstance(graph, nir.NIRNode):
        raise InputError("write_nir(graph, path): the graph comes first")
    with atomic_write(path) as temporary:
        try:
            nir.write(temporary, graph)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"stock nir cannot write this graph ({error}); scalar parameters must be arrays"
            ) from error
