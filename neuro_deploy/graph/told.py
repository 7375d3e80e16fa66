"""What our metadata says of a graph: time step, discretization, reset, input, readout; and saying it for a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import nir
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..neurons.base import DISCRETIZATIONS, METADATA, Scheme

DEFAULTS = Scheme(1.0)
"""What NIR means where a file says nothing (but for dt, which must be said)."""


class _Metadata(BaseModel):
    """More entries are somebody else's."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ToldReadout(_Metadata):
    """How the decision is read."""

    population: str
    rule: Literal["spike_count", "last_v", "mean_v"] | None = None
    start: int = Field(default=0, ge=0)
    stop: int = Field(default=0, ge=0)


class ToldInput(_Metadata):
    """The input's range and grid."""

    low: float
    high: float
    quantum: float = Field(default=0.0, ge=0)


class Told(_Metadata):
    """Our metadata of a graph (entry "neuro_deploy"); everything may be missing in a foreign file."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dt: float | None = Field(default=None, gt=0)
    discretization: Literal["forward Euler", "exponential", "exponential, impulses"] | None = None
    reset: Literal["value", "subtract"] | None = None
    rounds: int | None = Field(default=None, ge=1)
    fires: Literal[">", ">="] | None = None
    steps: int | None = Field(default=None, ge=1)
    input: ToldInput | None = None
    readout: ToldReadout | None = None


def metadata_of(node: nir.NIRNode) -> Mapping[str, Any]:
    """Our entry in a node's metadata, or an empty mapping."""
    metadata = getattr(node, "metadata", None)
    told = metadata.get(METADATA) if isinstance(metadata, dict) else None
    return told if isinstance(told, dict) else {}


def told_of(graph: nir.NIRGraph) -> Told:
    """Our metadata of the graph, checked.  Raises: InputError with all problems."""
    try:
        return Told.model_validate(_plain(metadata_of(graph)))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InputError("\n".join(["the file's neuro_deploy metadata is not valid:", *lines])) from error


def _plain(value: Any) -> Any:
    """Metadata as Python types."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def scheme_of(told: Told, dt: float | None) -> Scheme:
    """How the file's equations become steps.  dt: seconds a step, if the file does not say.

    Raises: InputError if dt is unknown or contradicts the file.
    """
    return Scheme(
        _time_step(told.dt, dt),
        told.discretization or DEFAULTS.discretization,
        told.reset or DEFAULTS.reset,
        told.rounds or DEFAULTS.rounds,
        told.fires == ">=",
    )


def _time_step(stored: float | None, dt: float | None) -> float:
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise InputError(f"dt must be a positive number of seconds, got {dt}")
    if stored is None and dt is None:
        raise InputError("the file does not say its time step, and a guess would change its spikes; give --dt SECONDS")
    if stored is not None and dt is not None and stored != dt:
        raise InputError(f"the file says dt = {stored!r} s, not {dt!r} s; leave --dt out")
    return stored if stored is not None else float(dt or 0)


def assume(
    graph: nir.NIRGraph,
    *,
    dt: float | None = None,
    discretization: str | None = None,
    reset: str | None = None,
    rounds: int | None = None,
    fires: str | None = None,
) -> nir.NIRGraph:
    """The graph with what its file does not say put into our metadata; what is None stays open.

    dt: seconds a step.   discretization: a key of DISCRETIZATIONS.   reset: "value" or "subtract", with at most
    `rounds` spikes a step.   fires: ">" or ">=" the threshold.  (See neurons.base.Scheme.)
    Raises: InputError for a value that cannot be, or one that contradicts the file.
    """
    if discretization is not None and discretization not in DISCRETIZATIONS:
        raise InputError(
            f"discretization must be one of {', '.join(map(repr, DISCRETIZATIONS))}, got {discretization!r}"
        )
    if reset not in (None, "value", "subtract"):
        raise InputError(f"reset must be 'value' or 'subtract', got {reset!r}")
    given = {"dt": dt, "discretization": discretization, "reset": reset, "rounds": rounds, "fires": fires}
    wanted = {key: value for key, value in given.items() if value is not None}
    stored = told_of(graph)
    for key, value in wanted.items():
        known = getattr(stored, key)
        if known is not None and known != value:
            raise InputError(f"the file says {key} = {known!r}, not {value!r}; leave --{key} out")
    entry = {**metadata_of(graph), **wanted}
    result = nir.NIRGraph(
        dict(graph.nodes), list(graph.edges), metadata={**graph.metadata, METADATA: entry}, type_check=False
    )
    told_of(result)
    return result
