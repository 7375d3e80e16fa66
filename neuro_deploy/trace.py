"""Recorded runs: spikes and states by population, and their file.

In memory an array has shape (rows, B, *shape); row r is the chip's step r, and the population computes logical step t
(the t-th step of its input, from 0) in row `latency + t`.  Float runs have latency 0 everywhere.

File (contract): NIRGraphData HDF5, readable by `nir.read_data`: one node per population, one observable per variable
with data (B, rows, N) in C order; our attributes `shape`, `latency`, `unit`, `dtype` on the node and `schema`, `steps`,
`backend`, `kind`, `program_digest`, `counters`, `provenance` at the root.  A population's name outside
[A-Za-z0-9_.-] is percent-escaped.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import h5py
import numpy as np
from numpy.typing import NDArray

from .errors import FormatError, InputError
from .files import atomic_write, open_h5
from .shown import Shown

SCHEMA = 1
VARIABLES = ("spikes", "v", "h", "u")
"""What a trace can hold: spikes s, potential after firing v, potential before firing h, synaptic current u."""


def escape(name: str) -> str:
    """A population's name as an HDF5 key; reversible by `unescape`.  Raises: InputError for an empty name."""
    if not name:
        raise InputError("a population needs a name")
    text = re.sub(r"[^A-Za-z0-9_.-]", lambda m: "".join(f"%{b:02X}" for b in m.group().encode()), name)
    return text.replace(".", "%2E") if set(text) == {"."} else text


def unescape(key: str) -> str:
    """Inverse of `escape`."""
    return unquote(key)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A C-contiguous read-only array with the same values (a copy only if it must be)."""
    result = np.asarray(array, order="C")
    if result.flags.writeable and (result is array or result.base is not None):
        result = result.copy()
    result.flags.writeable = False
    return result


@dataclass(frozen=True, eq=False)
class Recording:
    """What one population did.

    shape: the population's shape without time and batch.
    latency: row of the logical step 0.
    unit: float size of one integer step of v, h and u; a number, or one per neuron (N,); 1.0 in a float run.
    data: variable name -> (rows, B, *shape).
    """

    shape: tuple[int, ...]
    latency: int
    unit: NDArray[np.float64]
    data: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", frozen(np.asarray(self.unit, np.float64)))
        object.__setattr__(self, "data", MappingProxyType({k: frozen(v) for k, v in self.data.items()}))
        for name, array in self.data.items():
            if name not in VARIABLES or array.shape[2:] != self.shape:
                raise InputError(f"recording '{name}': shape {array.shape} does not end in {self.shape}")

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Shown):
    """A recorded run.

    populations: name -> Recording, from input to output.
    steps: number T of logical steps.   dt: seconds a step.
    backend: who ran it.   kind: "integer" or "float".
    digest: the ChipProgram's digest ("" for a float run).
    counters: population -> events, such as {"v_clips": 3} (values that met a register's limit).
    provenance: names and versions that produced the run (text only).
    """

    populations: Mapping[str, Recording]
    steps: int
    dt: float
    backend: str
    kind: str
    digest: str = ""
    counters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "populations", MappingProxyType(dict(self.populations)))
        for name, population in self.populations.items():
            for variable, array in population.data.items():
                if array.shape[0] < population.latency + self.steps:
                    raise InputError(
                        f"trace: {name}.{variable} has {array.shape[0]} rows, fewer than latency "
                        f"{population.latency} + {self.steps} steps"
                    )

    def __repr__(self) -> str:
        names = ", ".join(self.populations)
        return f"<Trace of {self.backend}: {self.steps} steps, {self.batch} samples, populations {names}>"

    @property
    def batch(self) -> int:
        """Number B of samples."""
        return next((a.shape[1] for p in self.populations.values() for a in p.data.values()), 0)

    def aligned(self, population: str, variable: str) -> NDArray[Any]:
        """(T, B, *shape): the logical steps 0..T-1.  Raises: KeyError if it was not recorded."""
        recording = self.populations.get(population)
        if recording is None:
            raise KeyError(f"no population '{population}'; recorded are {', '.join(self.populations)}")
        if variable not in recording.data:
            remedy = "simulate(..., record=('spikes', 'v', 'h', 'u')) keeps what there is"
            raise KeyError(f"no '{variable}' of {population}, but {', '.join(recording.data)}; {remedy}")
        return recording.data[variable][recording.latency : recording.latency + self.steps]


def save_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace atomically; the same trace gives the same bytes.  Raises: FileError."""
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as handle:
        handle.attrs["__type__"] = "NIRGraphData"
        handle.attrs["schema"] = SCHEMA
        handle.attrs["steps"] = trace.steps
        handle.attrs["backend"] = trace.backend
        handle.attrs["kind"] = trace.kind
        handle.attrs["program_digest"] = trace.digest
        handle.attrs["dt"] = trace.dt
        handle.attrs["counters"] = json.dumps({k: dict(v) for k, v in trace.counters.items()}, sort_keys=True)
        handle.attrs["provenance"] = json.dumps(dict(trace.provenance), sort_keys=True)
        handle.attrs["order"] = json.dumps([escape(name) for name in trace.populations])
        nodes = handle.create_group("nodes")
        for name, recording in trace.populations.items():
            _save_recording(nodes.create_group(escape(name)), recording, trace.dt)


def _save_recording(group: h5py.Group, recording: Recording, dt: float) -> None:
    group.attrs["__type__"] = "NIRNodeData"
    group.attrs["shape"] = np.asarray(recording.shape, np.int64)
    group.attrs["latency"] = recording.latency
    group.attrs["dtype"] = json.dumps({k: str(v.dtype) for k, v in recording.data.items()}, sort_keys=True)
    group.create_dataset("unit", data=recording.unit)  # an attribute holds 64 KiB at most
    observables = group.create_group("observables")
    for variable, array in recording.data.items():
        rows, batch = array.shape[:2]
        leaf = observables.create_group(variable)
        leaf.attrs["__type__"] = "TimeGriddedData"
        leaf.attrs["dt"] = dt
        data = array.reshape(rows, batch, recording.size).swapaxes(0, 1)
        leaf.create_dataset("data", data=data, compression="gzip", compression_opts=1, shuffle=True)


def load_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace file.  Raises: FileError, FormatError."""
    with open_h5(path, "a trace file") as handle:
        if handle.attrs.get("__type__") != "NIRGraphData" or "steps" not in handle.attrs:
            raise FormatError(f"{path}: not a trace of neuro_deploy")
        if int(handle.attrs["schema"]) > SCHEMA:
            raise FormatError(
                f"{path}: its schema {handle.attrs['schema']} is newer than {SCHEMA}; upgrade neuro_deploy"
            )
        keys = json.loads(handle.attrs["order"])
        populations = {unescape(key): _load_recording(handle["nodes"][key]) for key in keys}
        try:
            return Trace(
                populations=populations,
                steps=int(handle.attrs["steps"]),
                dt=float(handle.attrs["dt"]),
                backend=str(handle.attrs["backend"]),
                kind=str(handle.attrs["kind"]),
                digest=str(handle.attrs["program_digest"]),
                counters=json.loads(handle.attrs["counters"]),
                provenance=json.loads(handle.attrs["provenance"]),
            )
        except InputError as error:
            raise FormatError(f"{path}: {error}") from error


def _load_recording(group: h5py.Group) -> Recording:
    shape = tuple(int(n) for n in group.attrs["shape"])
    data = {}
    for variable, leaf in group["observables"].items():
        array = leaf["data"][()]
        data[variable] = array.swapaxes(0, 1).reshape(array.shape[1], array.shape[0], *shape)
    order = [name for name in VARIABLES if name in data]
    return Recording(shape, int(group.attrs["latency"]), group["unit"][()], {name: data[name] for name in order})
