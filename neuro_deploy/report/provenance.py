"""Where two runs come from: commands, digests, target, versions."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..comparison import input_names
from ..comparison.runs import run_names
from ..files import digest_of
from ..resources import versions
from ..trace import Trace
from .text import number
from .two_runs import Runs


def provenance(command: str, given: Sequence[str | os.PathLike[str]] = ()) -> dict[str, object]:
    """How results were made: the command, the SHA-256 of the files among what it was given, versions."""
    files = [Path(path) for path in given if Path(path).is_file()]
    names = [path.name if path.is_absolute() else str(path) for path in files]
    digests = {
        name if names.count(name) == 1 else str(path): digest_of(path) for name, path in zip(names, files, strict=True)
    }
    return {"command": command, "SHA-256 of": digests, "version of": {**versions(), "system": platform.platform()}}


def known_of(runs: Runs) -> Iterator[tuple[str, str]]:
    """What the runs and the program say about themselves."""
    for name, trace in zip(run_names(runs.a, runs.b), (runs.a, runs.b), strict=True):
        size = f"{trace.steps} steps of {trace.dt:g} s, {number(trace.batch)} samples"
        yield f"run {name}", f"{trace.kind}, {size}"
        yield from ((f"run {name}: {key}", value) for key, value in trace.provenance.items())
        for population in input_names(runs.a, runs.b):
            if population in trace.populations and "spikes" in trace.populations[population].data:
                yield f"run {name}: SHA-256 of {population}", _digest(runs, trace, population)
        if trace.digest:
            yield f"run {name}: program", trace.digest
        for population, events in trace.counters.items():
            counted = ", ".join(f"{number(n)} {event.replace('_', ' ')}" for event, n in events.items() if n)
            if counted:
                yield f"run {name}: counted in {population}", counted
    if runs.program:
        yield "program", runs.program.digest
        yield "program: target", runs.program.target
        yield "program: runs of at most", f"{number(runs.program.max_steps)} steps"
        yield "program: registers", "proven not to overflow" if runs.program.proven else "not proven"
        yield from (("program: remark", str(remark)) for remark in runs.program.report.get("remarks", []))


def flat_text(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of mappings that may nest."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat_text(value, f"{prefix}{key}: ")
        else:
            yield prefix + key, str(value)


def _digest(runs: Runs, trace: Trace, population: str) -> str:
    """SHA-256 of an input in the compared samples: (T, samples, ...), little-endian int32 or float64."""
    values = trace.aligned(population, "spikes")[:, : runs.result.samples]
    found = hashlib.sha256()
    for step in values:
        found.update(step.astype("<f8" if values.dtype.kind == "f" else "<i4").tobytes())
    return found.hexdigest()
