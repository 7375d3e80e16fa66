"""ChipPrograms as HDF5 files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any

import h5py

from ..errors import FormatError
from ..files import atomic_write, open_h5
from ..fixed import Registers
from ..trace import escape
from ..wiring import WIRINGS
from .borders import Encoder, Readout
from .data import SCHEMA, ChipProgram, Population, Synapse, arrays, header, plain, sections

FORMAT = "neuro_deploy.program"


def save_program(program: ChipProgram, path: str | os.PathLike[str]) -> None:
    """Write a program atomically to one HDF5 file; the same program gives the same bytes.  Raises: FileError."""
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as handle:
        write_program(program, handle)


def write_program(program: ChipProgram, handle: h5py.Group) -> None:
    """Write a program into an empty group of an HDF5 file."""
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
        return read_program(handle, path)


def read_program(handle: h5py.Group, path: str | os.PathLike[str]) -> ChipProgram:
    """Read a program from a group of an HDF5 file.  path: of the file, for messages.  Raises: FormatError, KeyError."""
    if handle.attrs.get("format") != FORMAT:
        raise FormatError(f"{path}: not a ChipProgram; make one with 'neuro_deploy compile'")
    if int(handle.attrs["schema"]) > SCHEMA:
        raise FormatError(f"{path}: its schema {handle.attrs['schema']} is newer than {SCHEMA}; upgrade neuro_deploy")
    if int(handle.attrs["schema"]) < SCHEMA:
        raise FormatError(f"{path}: made by an older neuro_deploy (schema {handle.attrs['schema']}); compile again")

    head = json.loads(handle.attrs["head"])
    readout, registers = head.pop("readout"), Registers(**head.pop("registers"))
    program = ChipProgram(
        **head,
        encoders=tuple(Encoder(**_tuples(values)) for _, values, _ in _read(handle["encoders"])),
        populations=tuple(
            Population(**_tuples(values), **arrays) for _, values, arrays in _read(handle["populations"])
        ),
        synapses=tuple(_synapse(*parts) for parts in _read(handle["synapses"])),
        readout=Readout(**readout) if readout else None,
        registers=registers,
        report=json.loads(handle["report"][()]),
    )
    if program.digest != handle.attrs["digest"]:
        raise FormatError(f"{path}: its content does not match its digest; it was changed or damaged")
    return program


def _read(group: h5py.Group) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(kind, scalar fields, arrays) of each item of a section."""
    for key in sorted(group):
        leaf = group[key]
        found: dict[str, Any] = {k: v[()] for k, v in leaf.items() if isinstance(v, h5py.Dataset)}
        if "params" in leaf:
            found["params"] = {k: v[()] for k, v in leaf["params"].items()}
        yield str(leaf.attrs["kind"]), json.loads(leaf.attrs["fields"]), found


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {k: _tuple(v) for k, v in values.items()}


def _tuple(value: Any) -> Any:
    return tuple(_tuple(v) for v in value) if isinstance(value, list) else value


def _synapse(kind: str, values: dict[str, Any], arrays: dict[str, Any]) -> Synapse:
    own = {f.name for f in dataclasses.fields(Synapse)}
    layout = {k: v for k, v in _tuples(values).items() if k not in own}
    return Synapse(wiring=WIRINGS[kind](**layout, **arrays), **{k: v for k, v in values.items() if k in own})
