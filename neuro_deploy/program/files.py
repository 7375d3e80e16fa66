"""ChipPrograms as HDF5 files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import h5py

from ..errors import FormatError
from ..files import atomic_write, open_h5
from ..trace import escape
from .data import SCHEMA, ChipProgram, DenseSynapse, Encoder, Population, Readout, arrays, header, plain, sections

FORMAT = "neuro_deploy.program"


def save_program(program: ChipProgram, path: str | os.PathLike[str]) -> None:
    """Write a program atomically to one HDF5 file; the same program gives the same bytes.  Raises: FileError."""
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as handle:
        handle.attrs["format"] = FORMAT
        handle.attrs["schema"] = SCHEMA
        handle.attrs["digest"] = program.digest
        handle.attrs["head"] = json.dumps(header(program), sort_keys=True)
        handle.create_dataset("report", data=json.dumps(dict(program.report), sort_keys=True))
        for section, items in sections(program).items():
            group = handle.create_group(section)
            group.attrs["count"] = len(items)
            for index, item in enumerate(items):
                leaf = group.create_group(f"{index:04d}.{escape(item.name)}")
                leaf.attrs["kind"] = getattr(item, "kind", "encoder")
                leaf.attrs["fields"] = json.dumps(plain(item), sort_keys=True)
                for name, array in arrays(item).items():
                    packed = {"compression": "gzip", "shuffle": True} if array.size > 64 else {}
                    leaf.create_dataset(name, data=array, **packed)


def load_program(path: str | os.PathLike[str]) -> ChipProgram:
    """Read a program and check its digest.  Raises: FileError; FormatError for a damaged, changed or newer file."""
    with open_h5(path, "a ChipProgram (.program.h5)") as handle:
        if handle.attrs.get("format") != FORMAT:
            raise FormatError(f"{path}: not a ChipProgram; make one with 'neuro_deploy compile'")
        if int(handle.attrs["schema"]) > SCHEMA:
            raise FormatError(
                f"{path}: its schema {handle.attrs['schema']} is newer than {SCHEMA}; upgrade neuro_deploy"
            )

        head = json.loads(handle.attrs["head"])
        readout = head.pop("readout")
        program = ChipProgram(
            **head,
            encoders=tuple(Encoder(**_shaped(values)) for values, _ in _read(handle["encoders"])),
            populations=tuple(_population(values, arrays) for values, arrays in _read(handle["populations"])),
            synapses=tuple(DenseSynapse(**values, **arrays) for values, arrays in _read(handle["synapses"])),
            readout=Readout(**readout) if readout else None,
            report=json.loads(handle["report"][()]),
        )
        if program.digest != handle.attrs["digest"]:
            raise FormatError(f"{path}: its content does not match its digest; it was changed or damaged")
        return program


def _read(group: h5py.Group) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for key in sorted(group):
        leaf = group[key]
        found: dict[str, Any] = {k: v[()] for k, v in leaf.items() if isinstance(v, h5py.Dataset)}
        if "params" in leaf:
            found["params"] = {k: v[()] for k, v in leaf["params"].items()}
        yield json.loads(leaf.attrs["fields"]), found


def _shaped(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "shape": tuple(values["shape"])}


def _population(values: dict[str, Any], arrays: dict[str, Any]) -> Population:
    return Population(**_shaped(values), **arrays)
