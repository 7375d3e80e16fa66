"""A float run against an integer run: how near, never equal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..program import Readout
from ..trace import Trace
from .cause import Number
from .distances import train_distances
from .exact import Pair, blocks, pair
from .result import Decisions, PopulationStatistics


def unit_of(trace: Trace, population: str) -> NDArray[np.float64]:
    """The float size of one step of v, h, u (or of an input's integer), to multiply (..., *shape) with."""
    recording = trace.populations[population]
    return recording.unit.reshape(recording.shape) if recording.unit.ndim else recording.unit


def population_statistics(
    a: Trace, b: Trace, name: str, samples: int, is_input: bool, distances: bool = False
) -> PopulationStatistics:
    """Spike counts and differences, and the error of each other variable that both recorded, in float units.

    An input has no spikes of its own: its error is that of its values.   distances: see `train_distances`.
    """
    values = a.steps * samples * a.populations[name].size
    counted: tuple[Number | None, Number | None, int | None] = (None, None, None)
    errors, count_error, trains = {}, None, None
    for variable in a.populations[name].data:
        if variable not in b.populations[name].data:
            continue
        both = pair(a, b, name, variable, samples)
        if variable == "spikes" and not is_input:
            counted = _spikes(both)
            count_error = _counts(both)
            trains = train_distances(both, a.dt) if distances else None
        else:
            errors[variable] = _errors(both, unit_of(a, name), unit_of(b, name))
    return PopulationStatistics(name, values, *counted, errors, count_error, trains)


def _spikes(both: Pair) -> tuple[Number, Number, int]:
    sums, differing = [0.0, 0.0], 0
    for rows, samples in blocks(both.a.shape):
        x, y = both.a[rows, samples], both.b[rows, samples]
        differing += int(np.count_nonzero(x != y))
        for i, block in enumerate((x, y)):
            sums[i] += float(np.abs(block.astype(np.float64)).sum())
    whole: list[Number] = [int(s) if s.is_integer() else s for s in sums]
    return whole[0], whole[1], differing


def _counts(both: Pair) -> tuple[Number, float]:
    """(max, mean) of | sum over the steps of a - of b | per neuron and sample."""
    totals = [np.zeros(both.a.shape[1:], np.float64) for _ in range(2)]
    for rows, samples in blocks(both.a.shape):
        for total, run in zip(totals, (both.a, both.b), strict=True):
            total[samples] += run[rows, samples].sum(axis=0, dtype=np.float64)
    error = np.abs(totals[0] - totals[1])
    most = float(error.max(initial=0.0))
    return int(most) if most.is_integer() else most, float(error.mean()) if error.size else 0.0


def _errors(both: Pair, unit_a: NDArray[np.float64], unit_b: NDArray[np.float64]) -> tuple[float, float]:
    largest, squares = 0.0, 0.0
    with np.errstate(all="ignore"):
        for rows, samples in blocks(both.a.shape):
            error = np.abs(both.a[rows, samples] * unit_a - both.b[rows, samples] * unit_b)
            largest = float(np.maximum(largest, error.max(initial=0.0)))
            squares += float(np.square(error).sum())
    return largest, float(np.sqrt(squares / max(1, both.a.size)))


def check_labels(labels: NDArray[Any] | None, samples: int) -> NDArray[Any] | None:
    """The labels of the first `samples` samples.  Raises: InputError unless they are that many integers or more."""
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) < samples:
        raise InputError(f"labels: at least {samples} integers expected, got {array.dtype} {array.shape}")
    return array[:samples]


def decisions(a: Trace, b: Trace, readout: Readout, labels: NDArray[Any] | None, samples: int) -> Decisions:
    """What both runs decide, over the first `samples` samples.  Raises: InputError if the readout's data is missing."""
    x, y = readout.decide(a)[:samples], readout.decide(b)[:samples]
    right = check_labels(labels, samples)
    agreeing = int((x == y).sum())
    if right is None:
        return Decisions(samples, agreeing)
    return Decisions(samples, agreeing, int((x == right).sum()), int((y == right).sum()))
