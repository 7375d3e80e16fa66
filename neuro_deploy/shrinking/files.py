"""Cases as HDF5 files: a ChipProgram's file with the input, the other program and the first difference beside it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import h5py
import numpy as np

from ..comparison.result import Divergence, plain
from ..errors import FormatError
from ..files import atomic_write, open_h5
from ..program import FORMAT, ChipProgram
from ..program.files import read_program, write_program
from .case import Case

SCHEMA = 1
GROUP = "case"


def save_case(case: Case, first: Divergence | None, path: str | os.PathLike[str]) -> None:
    """Write a case atomically to one file, which `load_program` reads as its first program, too.

    first: where its runs differ.   Raises: FileError.
    """
    one, other = case.programs
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as handle:
        write_program(one, handle)
        group = handle.create_group(GROUP)
        group.attrs["schema"] = SCHEMA
        group.attrs["backends"] = json.dumps(case.backends)
        group.attrs["difference"] = json.dumps(plain(asdict(first)) if first else None)
        packed = {"compression": "gzip", "shuffle": True} if case.x.size > 64 else {}
        group.create_dataset("input", data=case.x, **packed)
        if other != one:
            write_program(other, group.create_group("other"))


def load_case(path: str | os.PathLike[str]) -> Case:
    """Read a case.  Raises: FileError; FormatError for a damaged, changed or newer file, or one that is no case."""
    with open_h5(path, "a case of 'neuro_deploy shrink'") as handle:
        if handle.attrs.get("format") != FORMAT or GROUP not in handle:
            raise FormatError(f"{path}: not a case; 'neuro_deploy shrink' makes one")
        group = handle[GROUP]
        if int(group.attrs["schema"]) > SCHEMA:
            raise FormatError(
                f"{path}: its schema {group.attrs['schema']} is newer than {SCHEMA}; upgrade neuro_deploy"
            )
        one: ChipProgram = read_program(handle, path)
        other = read_program(group["other"], path) if "other" in group else one
        a, b = json.loads(group.attrs["backends"])
        return Case((one, other), np.asarray(group["input"][()]), (str(a), str(b)))


def is_case(path: str | os.PathLike[str]) -> bool:
    """True if the file is a case.  Raises: FileError, FormatError."""
    with open_h5(path, "a .nir, .program.h5 or .trace.h5 file") as handle:
        return handle.attrs.get("format") == FORMAT and GROUP in handle
