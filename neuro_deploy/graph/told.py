"""What our metadata says of a graph: time step, discretization, reset, input, readout; and saying it for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import nir
import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError, Violation
from ..neurons.scheme import DISCRETIZATIONS, METADATA, RESETS, Scheme, metadata_of

__all__ = ["Told", "assume", "inner_scheme", "metadata_of", "plain_metadata", "scheme_of", "strange", "told_of"]

DEFAULTS = Scheme(1.0)
"""What NIR means where a file says nothing (but for dt, which must be said)."""


def _one_of(known: Mapping[str, str]) -> Callable[[str], str]:
    """A check that a text is one of the keys."""

    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"must be one of {', '.join(map(repr, known))}, got {value!r}")
        return value

    return check


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


class ToldEncoder(_Metadata):
    """The input's integers; see program.Encoder."""

    numerator: int = Field(ge=1)
    denominator: int = Field(ge=1)
    bits: int = Field(ge=1, le=32)
    signed: bool
    low: int
    high: int
    offset: int = 0


class ToldChip(_Metadata):
    """The scales of a network that was trained in a chip's arithmetic: what `compile` must find again.

    weight_bits: width of the weights.   unit: population -> float value of a weight unit, one a neuron.
    exponent: synapse -> its exponent.
    """

    target: str
    weight_bits: int = Field(ge=2)
    encoder: ToldEncoder
    unit: dict[str, list[Annotated[float, Field(gt=0)]]]
    exponent: dict[str, int]


class Told(_Metadata):
    """Our metadata of a graph (entry "neuro_deploy"); everything may be missing in a foreign file."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dt: float | None = Field(default=None, gt=0)
    discretization: Annotated[str, AfterValidator(_one_of(DISCRETIZATIONS))] | None = None
    reset: Annotated[str, AfterValidator(_one_of(RESETS))] | None = None
    rounds: int | None = Field(default=None, ge=1)
    fires: Literal[">", ">="] | None = None
    steps: int | None = Field(default=None, ge=1)
    family: str | None = None
    input: ToldInput | None = None
    readout: ToldReadout | None = None
    chip: ToldChip | None = None


def told_of(graph: nir.NIRGraph) -> Told:
    """Our metadata of the graph, checked.  Raises: InputError with all problems."""
    for wrong in strange("graph", graph.metadata):
        raise InputError(str(wrong))
    return _checked(metadata_of(graph), "the file's neuro_deploy metadata is not valid:")


def strange(name: str, metadata: Any) -> Iterable[Violation]:
    """An entry "neuro_deploy" of a node or a graph that is none of ours."""
    if isinstance(metadata, Mapping) and not isinstance(metadata.get(METADATA, {}), dict):
        what = f"its metadata '{METADATA}' is {metadata[METADATA]!r:.40}, not a group of entries"
        yield Violation(name, what, "remove it, or store it by another name")


def inner_scheme(name: str, metadata: Any, scheme: Scheme) -> Iterable[Violation]:
    """Where a nested graph's metadata says another scheme than that of the whole, by which its nodes would be read."""
    if violations := list(strange(name, metadata)):
        yield from violations
        return
    entry = metadata.get(METADATA, {}) if isinstance(metadata, Mapping) else {}
    told = _checked(entry, f"{name}: its neuro_deploy metadata is not valid:")
    outer = {"dt": scheme.dt, **scheme.told(), "rounds": scheme.rounds}
    for key, value in outer.items():
        inner = getattr(told, key)
        if inner is not None and inner != value:
            what = f"its metadata says {key} = {inner!r}, the graph around it {value!r}"
            yield Violation(name, what, "one graph has one scheme: run it apart, or export it by the other's")


def _checked(entry: Mapping[str, Any], title: str) -> Told:
    try:
        return Told.model_validate(plain_metadata(entry))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise InputError("\n".join([title, *lines])) from error


def plain_metadata(value: Any) -> Any:
    """Metadata as Python types."""
    if isinstance(value, Mapping):
        return {str(k): plain_metadata(v) for k, v in value.items()}
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
        raise InputError(
            "the file does not say its time step, and a guess would change its spikes; give --dt SECONDS, or by --as "
            "FAMILY whose file it is ('neuro_deploy inspect' shows which families fit)"
        )
    if stored is not None and dt is not None and stored != dt:
        raise InputError(f"the file says dt = {stored!r} s, not {dt!r} s; leave --dt out")
    return stored if stored is not None else float(dt or 0)


def _option(key: str) -> str:
    return "--as" if key == "family" else f"--{key}"


def assume(
    graph: nir.NIRGraph,
    *,
    dt: float | None = None,
    discretization: str | None = None,
    reset: str | None = None,
    rounds: int | None = None,
    fires: str | None = None,
    family: str | None = None,
) -> nir.NIRGraph:
    """The graph with what its file does not say put into our metadata; what is None stays open.

    dt: seconds a step.   discretization: a key of DISCRETIZATIONS.   reset: a key of RESETS, with at most `rounds`
    spikes a step.   fires: ">" or ">=" the threshold.  (See neurons.scheme.Scheme.)   family: whose convention it is.
    Raises: InputError for a value that cannot be, or one that contradicts the file.
    """
    given = {"dt": dt, "discretization": discretization, "reset": reset, "rounds": rounds, "fires": fires}
    given["family"] = family
    wanted = {key: value for key, value in given.items() if value is not None}
    stored, _ = told_of(graph), _checked(wanted, "that cannot be:")
    for key, value in wanted.items():
        known = getattr(stored, key)
        if known is not None and known != value:
            raise InputError(f"the file says {key} = {known!r}, not {value!r}; leave {_option(key)} out")
    entry = {**metadata_of(graph), **wanted}
    metadata = {**graph.metadata, METADATA: entry}
    return nir.NIRGraph(dict(graph.nodes), list(graph.edges), metadata=metadata, type_check=False)
