"""The borders of a program: how input becomes integers, and how a decision is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fixed import Format
from ..trace import Trace


@dataclass(frozen=True)
class Encoder:
    """Turns float input into integer spikes: q = clip(round_half_even(x * numerator / denominator) + offset).

    bits, signed: the payload's format (1 bit unsigned: binary spikes).
    low, high: the clip rule, within that format.
    parts: name and shape of each Input of the network, where this one joins several (see `join_inputs`).
    """

    name: str
    shape: tuple[int, ...]
    numerator: int
    denominator: int
    bits: int
    signed: bool
    low: int
    high: int
    offset: int = 0
    parts: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each Input of the network."""
        return dict(self.parts or ((self.name, self.shape),))

    @property
    def gain(self) -> float:
        """Integer steps per 1.0."""
        return self.numerator / self.denominator

    @property
    def format(self) -> Format:
        """The payload's integer format."""
        return Format(self.bits, self.signed)

    @property
    def sound(self) -> bool:
        """True if the clip rule lies within the format, and that within int32."""
        int32 = Format(32)
        return self.low <= self.high and all(f.holds(np.array([self.low, self.high])) for f in (self.format, int32))

    def encode(self, x: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
        """Integers of shape (T, B, *shape), and how many values had to be clipped.

        x: (T, B, *shape), finite numbers.  Raises: InputError for another shape or non-finite values.
        """
        if x.ndim < 2 or x.shape[2:] != self.shape:
            raise InputError(f"input '{self.name}': expected shape (T, B, {_text(self.shape)}), got {x.shape}")
        scaled = np.rint(x.astype(np.float64) * float(self.numerator) / float(self.denominator)) + self.offset
        if not np.isfinite(scaled).all():
            raise InputError(f"input '{self.name}': values are NaN or infinite")
        clipped = np.clip(scaled, self.low, self.high)
        return clipped.astype(np.int32), int((clipped != scaled).sum())


@dataclass(frozen=True)
class Readout:
    """How a decision is read: the rule, the population, and the logical steps start..stop-1 (stop 0: the last).

    Rules: the neuron with the largest sum of spikes (`spike_count`), potential in the last step (`last_v`) or mean
    potential (`mean_v`); the lowest index wins a tie.
    """

    population: str
    rule: str = "spike_count"
    start: int = 0
    stop: int = 0

    def readable(self, trace: Trace) -> bool:
        """True if the trace holds what the rule needs."""
        recording = trace.populations.get(self.population)
        return recording is not None and RULES[self.rule][0] in recording.data

    def decide(self, trace: Trace) -> NDArray[np.int64]:
        """Index of the chosen neuron per sample, (B,).  Raises: InputError if the trace lacks what the rule needs."""
        return np.asarray(np.argmax(self._scores(trace), axis=1), np.int64)

    def ties(self, trace: Trace) -> NDArray[np.bool_]:
        """True where several neurons share the highest score, (B,).  Raises: as `decide`."""
        scores = self._scores(trace)
        return np.asarray((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1)

    def _scores(self, trace: Trace) -> NDArray[Any]:
        """(B, N)."""
        variable, score = RULES[self.rule]
        if not self.readable(trace):
            raise InputError(f"readout '{self.rule}' needs '{variable}' of '{self.population}', which is not recorded")
        data = trace.aligned(self.population, variable)[self.start : self.stop or None]
        if len(data) == 0:
            raise InputError(f"readout: no step lies in {self.start}..{self.stop or 'end'} of {trace.steps} steps")
        return score(data).reshape(data.shape[1], -1)


RULES: Mapping[str, tuple[str, Callable[[NDArray[Any]], NDArray[Any]]]] = MappingProxyType(
    {
        "spike_count": ("spikes", lambda spikes: spikes.sum(axis=0)),
        "last_v": ("v", lambda v: v[-1]),
        "mean_v": ("v", lambda v: v.sum(axis=0, dtype=np.int64 if v.dtype.kind in "iu" else np.float64)),
    }
)
"""Readout rule -> (the variable it needs, score of each neuron from (T, B, *shape))."""


def default_rule(fires: bool) -> str:
    """What is read of a population where nobody says: spike counts; of one that never fires, mean potentials."""
    return "spike_count" if fires else "mean_v"


def _text(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
