"""Who can run a network.  To add a backend: a file here and its name in BACKENDS, or an entry point.

A backend's module holds `BACKEND`, an object as `base.Backend` describes.  Others can come from another distribution by
an entry point of the group `neuro_deploy.backends`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, cast

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, InputError
from ..files import NetworkInput, check_input, join_inputs
from ..graph import read_graph
from ..program import ChipProgram
from ..trace import VARIABLES, Trace
from .base import Backend, Job, Progress, quiet

BACKENDS: tuple[str, ...] = ("reference", "sim", "sim-plain", "lava", "lava-float")
"""Names of the backends that come with neuro_deploy; the module is the name with `_` for `-`."""


STRICT = ("sim", "sim-plain")
"""Backends that can stop at the first wrap or clip."""


def backend_names() -> tuple[str, ...]:
    """Ours, then those of entry points."""
    others = sorted(point.name for point in entry_points(group="neuro_deploy.backends"))
    return (*BACKENDS, *(name for name in others if name not in BACKENDS))


def load_backend(name: str) -> Backend:
    """The backend of that name.  Raises: BackendError for an unknown one, with the nearest."""
    if name in BACKENDS:
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        return cast(Backend, module.BACKEND)
    for point in entry_points(group="neuro_deploy.backends"):
        if point.name == name:
            return cast(Backend, point.load())
    near = difflib.get_close_matches(name, backend_names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(backend_names())}"
    raise BackendError(f"unknown backend '{name}'; {hint}")


def simulate(
    source: ChipProgram | nir.NIRGraph,
    x: NetworkInput,
    backend: str = "sim",
    record: Sequence[str] = ("spikes", "v", "u"),
    samples: int | None = None,
    *,
    only: Sequence[str] | None = None,
    strict: bool = False,
    dt: float | None = None,
    timeout: float | None = None,
    progress: Progress = quiet,
) -> Trace:
    """Run a network on an input and record it.

    source: a ChipProgram for "sim" and "lava", a NIR graph for "reference" and "lava-float".
    x: float input (T, B, *shape); it is rounded only by the program's encoder.  Of a network with several inputs:
        {name: (T, B, *shape)}, or one (T, B, N) of them all, flat and in alphabetical order of their names.
    record: which of spikes, v, h, u; what a backend or a neuron cannot show is left out.
    samples: only the first so many of the batch.
    only: the populations to keep (their names); by default all.  Of a large test set the last one is often enough.
    strict: stop at the first wrap or clip of a register, and say where; only "sim" can, the others refuse.
    dt: seconds a step, for a graph that does not say.   timeout: seconds that a Lava run may take.
    progress: called with (samples or steps done, of how many).
    Raises: BackendError (RegisterError in strict mode), InputError, UnsupportedError.
    """
    runner = load_backend(backend)
    wanted = ChipProgram if runner.consumes == "program" else nir.NIRGraph
    if not isinstance(source, wanted):
        given = "a ChipProgram" if isinstance(source, ChipProgram) else "a NIR graph"
        need = "a ChipProgram (run 'neuro_deploy compile' first)" if wanted is ChipProgram else "the NIR graph"
        raise BackendError(f"backend '{backend}' runs {need}, not {given}")
    record = (record,) if isinstance(record, str) else tuple(record)
    unknown = [name for name in record if name not in VARIABLES]
    if unknown or not record:
        raise InputError(f"cannot record {', '.join(unknown) or 'nothing'}; choose from {', '.join(VARIABLES)}")
    x = _joined(source, x, dt)
    check_input(x, "input")
    if samples is not None and (not isinstance(samples, int) or not 1 <= samples <= x.shape[1]):
        raise InputError(f"samples must be in [1, {x.shape[1]}] for this input, got {samples}")
    if strict and backend not in STRICT:
        raise InputError(f"strict: backend '{backend}' does not watch its registers; {' and '.join(STRICT)} do")
    if timeout is not None and not 0 < timeout < float("inf"):
        raise InputError(f"timeout must be a positive number of seconds, got {timeout}")
    if isinstance(source, ChipProgram) and x.shape[0] > source.max_steps:
        raise InputError(
            f"input (T, B, ...) has {x.shape[0]} steps, but the program's bounds hold for {source.max_steps}; "
            f"compile with --max-steps {x.shape[0]}"
        )
    kept = None if only is None else tuple(only)
    if kept is not None and isinstance(source, ChipProgram):
        _check_names(kept, [*(e.name for e in source.encoders), *(p.name for p in source.populations)])
    job = Job(x[:, :samples], record, dt, timeout, progress, kept, strict)
    trace = runner.run(source, job)
    if isinstance(source, ChipProgram):
        trace = replace(trace, provenance={**trace.provenance, **source.report.get("scheme", {})})
    trace = trace if kept is None else _only(trace, kept)
    if not any(recording.data for recording in trace.populations.values()):
        raise InputError(f"nothing to record: {', '.join(trace.populations)} show none of {', '.join(record)}")
    return trace


def _joined(source: ChipProgram | nir.NIRGraph, x: NetworkInput, dt: float | None) -> NDArray[Any]:
    """Several inputs as the source's one.  Raises: InputError for other names or shapes."""
    if not isinstance(x, Mapping):
        return np.asarray(x)
    return join_inputs(x, source.inputs if isinstance(source, ChipProgram) else dict(read_graph(source, dt).inputs))


def _only(trace: Trace, names: tuple[str, ...]) -> Trace:
    """The trace with these populations alone.  Raises: InputError for a name that it does not have."""
    _check_names(names, list(trace.populations))
    return replace(trace, populations={n: r for n, r in trace.populations.items() if n in names})


def _check_names(names: tuple[str, ...], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InputError(f"only: no population {', '.join(unknown) or 'is named'}; known: {', '.join(known)}")


__all__ = ["BACKENDS", "Backend", "backend_names", "load_backend", "simulate"]
