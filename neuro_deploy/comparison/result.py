"""What a comparison found: frozen data, plain JSON on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from ..shown import Shown
from .cause import Cause, Number


def plain(value: Any) -> Any:
    """Dataclasses, mappings, tuples and numpy scalars as JSON types; NaN and infinities as text ("nan", "inf")."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


@dataclass(frozen=True)
class VariableComparison:
    """One variable of one population, value by value.

    span: which rows: "all rows" (tail and rows before the latency too) or "logical steps" (0..T-1, aligned).
    values: how many were compared; differing: how many are not equal (NaN never is).
    max_abs: largest |a - b| (NaN if one of the differing values is NaN).
    by_step: (logical step, how many differ there), of the steps with a difference, in order.
    """

    population: str
    variable: str
    span: Literal["all rows", "logical steps"]
    values: int
    differing: int
    max_abs: Number
    by_step: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class NotCompared:
    """What was left out, and why.  needed: equality cannot be claimed without it."""

    population: str
    variable: str
    reason: str
    needed: bool


@dataclass(frozen=True)
class Divergence:
    """The first value that differs: by logical step, then population, sample, neuron (C order), variable.

    step: logical step t = row - latency; negative before the latency, T or more in the tail.
    neuron: index in the population's shape.   a, b: the two values.
    context: (label, value in a, value in b) of what was recorded around it: "v[t-1]", "u[t]", "h[t]", ...; None: not
    recorded there.
    cause: inputs, sums, potentials and thresholds on both sides, if the runs' programs were given.
    """

    population: str
    variable: str
    step: int
    sample: int
    neuron: tuple[int, ...]
    a: Number
    b: Number
    context: tuple[tuple[str, Number | None, Number | None], ...] = ()
    cause: Cause | None = None

    def __str__(self) -> str:
        neuron = self.neuron[0] if len(self.neuron) == 1 else self.neuron
        return (
            f"{self.population}.{self.variable}, step {self.step}, sample {self.sample}, neuron {neuron}: "
            f"{self.a} against {self.b}"
        )


@dataclass(frozen=True)
class TrainDistances:
    """Spike trains of one neuron in one sample, a against b; a spike of value k counts as k at once.

    trains: neurons times samples.   differing: how many pairs differ.   measured: how many of these were measured; the
    others are taken to be like them.
    van_rossum, victor_purpura: mean distance over all pairs, those that do not differ included (0).   time_constant: of
    van Rossum's kernel, in seconds; cost_factor: of Victor and Purpura's shift, 1/s.
    """

    trains: int
    differing: int
    measured: int
    van_rossum: float
    victor_purpura: float
    time_constant: float
    cost_factor: float


@dataclass(frozen=True)
class PopulationStatistics:
    """How near a float and an integer run are, over the logical steps.

    values: neuron-steps.   spikes_a, spikes_b: sums of |s|.   differing_spikes: neuron-steps with another s.
    These three are None for an input, or where spikes were not recorded by both.
    errors: variable -> (max, RMS) of |a - b| in float units (integer * unit).
    count_error: (max, mean) over neurons and samples of the difference of their spike counts.
    distances: how far the spike trains are from each other, if asked for.
    """

    population: str
    values: int
    spikes_a: Number | None
    spikes_b: Number | None
    differing_spikes: int | None
    errors: Mapping[str, tuple[float, float]]
    count_error: tuple[Number, float] | None = None
    distances: TrainDistances | None = None

    @property
    def rate_difference(self) -> float | None:
        """Spikes per neuron-step, b minus a."""
        if self.spikes_a is None or self.spikes_b is None:
            return None
        return (self.spikes_b - self.spikes_a) / self.values


@dataclass(frozen=True)
class Decisions:
    """What a readout decided.  agreeing: samples with the same decision; correct_*: right ones, if labels are known."""

    samples: int
    agreeing: int
    correct_a: int | None = None
    correct_b: int | None = None

    @property
    def agreement(self) -> float:
        """agreeing / samples."""
        return self.agreeing / self.samples


@dataclass(frozen=True)
class Comparison(Shown):
    """Two runs, compared.

    kind: "exact" (two integer or two float runs) or "statistics" (a float run against an integer run; never equal).
    a, b: names of the runs: the backends, or "sim (a)" and "sim (b)".
    steps: T.   samples: how many of the batch were compared, from the first.
    exact: one entry per population and variable; empty for "statistics".
    statistics: one entry per population; empty for "exact".
    not_compared: what one side (or neither) recorded.   notes: what a reader must know (a prefix, other programs).
    """

    kind: Literal["exact", "statistics"]
    a: str
    b: str
    steps: int
    samples: int
    exact: tuple[VariableComparison, ...] = ()
    statistics: tuple[PopulationStatistics, ...] = ()
    not_compared: tuple[NotCompared, ...] = ()
    first: Divergence | None = None
    decisions: Decisions | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def insufficient(self) -> bool:
        """True if something is not recorded that equality needs: spikes and v of every population but the inputs."""
        return any(item.needed for item in self.not_compared)

    @property
    def values(self) -> int:
        """Number of values compared exactly."""
        return sum(item.values for item in self.exact)

    @property
    def differing(self) -> int:
        """Number of values that differ."""
        return sum(item.differing for item in self.exact)

    @property
    def differing_spikes(self) -> int:
        """Number of spikes (of all populations, inputs included) that differ."""
        spikes = sum(item.differing for item in self.exact if item.variable == "spikes")
        return spikes + sum(item.differing_spikes or 0 for item in self.statistics)

    @property
    def equal(self) -> bool:
        """True if everything that must be compared was compared and no value differs."""
        return self.kind == "exact" and self.values > 0 and self.differing == 0 and not self.insufficient

    @property
    def exit_code(self) -> int:
        """0 equal, 1 different or not enough recorded (as diff does; 2 is for errors)."""
        return 0 if self.equal else 1

    def summary(self) -> str:
        """The result in one sentence."""
        size = f"{self.samples} sample{'s' * (self.samples != 1)}"
        if self.kind == "statistics":
            total = sum(s.values for s in self.statistics if s.differing_spikes is not None)
            text = f"{self.differing_spikes:,} of {total:,} spikes differ over {size} (a float against an integer run)"
            if self.decisions:
                text += f"; {self.decisions.agreeing} of {self.decisions.samples} decisions agree"
            return f"statistics: {text}"
        if self.differing:
            spikes = "; every spike is the same" if self.differing_spikes == 0 else ""
            return f"different: {self.differing:,} of {self.values:,} values over {size}{spikes}; first: {self.first}"
        if not self.equal:
            missing = ", ".join(f"{m.population}.{m.variable}" for m in self.not_compared if m.needed) or "everything"
            return f"not enough recorded: no difference in {self.values:,} values, but missing: {missing}"
        return f"equal: {self.values:,} values over {size}, every one the same"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types (NaN and infinities as text)."""
        derived = {
            "equal": self.equal,
            "insufficient": self.insufficient,
            "values": self.values,
            "differing": self.differing,
            "differing_spikes": self.differing_spikes,
            "summary": self.summary(),
        }
        result = {**derived, **plain(self)}
        for entry, item in zip(result["statistics"], self.statistics, strict=True):
            entry["rate_difference"] = plain(item.rate_difference)
        return result
