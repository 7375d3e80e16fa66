"""Distances of spike trains: van Rossum, and Victor and Purpura, by the library elephant (extra `statistics`).

A spike of value k is k spikes at one time; spikes below zero are a train of their own.  Victor-Purpura distances of the
two trains add up, van Rossum's as the sides of a right angle.
Source: M. van Rossum, Neural Computation 13 (2001) 751-763; J. Victor and K. Purpura, J. Neurophysiol. 76 (1996)
1310-1326; computed by `elephant.spike_train_dissimilarity` (a single spike against none has distance 1 in both).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .exact import Pair
from .result import TrainDistances

MISSING = (
    "spike train distances need elephant, which is not installed; install it by: pip install 'neuro_deploy[statistics]'"
)
MOST = 100
"""So many pairs of a population are measured (some ms each), evenly spread over those that differ."""
STEPS = 5.0
"""The time constant, in steps of the run."""


def train_distances(both: Pair, dt: float) -> TrainDistances:
    """Mean distances of the spike trains of a population.  both: whole numbers.   dt: seconds a step.

    The kernel's time constant is STEPS steps, the cost of shifting a spike by that much is 1.
    Raises: InputError if elephant is missing.
    """
    elephant = Elephant()
    shape = (*both.a.shape[:2], -1)
    a, b = both.a.reshape(shape), both.b.reshape(shape)
    where = np.argwhere((a != b).any(axis=0))
    chosen = where[np.unique(np.linspace(0, len(where) - 1, min(MOST, len(where))).round().astype(np.int64))]
    tau = STEPS * dt
    sums = np.zeros(2)
    for sample, neuron in chosen:
        sums += elephant.measure(a[:, sample, neuron], b[:, sample, neuron], dt, tau)
    trains = a.shape[1] * a.shape[2]
    share = len(where) / (max(1, len(chosen)) * max(1, trains))
    rossum, purpura = (float(s * share) for s in sums)
    return TrainDistances(trains, len(where), len(chosen), rossum, purpura, tau, 1.0 / tau)


class Elephant:
    """elephant's two distances.  Raises: InputError if it is missing."""

    def __init__(self) -> None:
        try:
            import neo
            import quantities
            from elephant import spike_train_dissimilarity
        except ImportError as error:
            raise InputError(f"{MISSING} ({error})") from error
        self.neo, self.second, self.library = neo, quantities.s, spike_train_dissimilarity

    def measure(self, a: NDArray[Any], b: NDArray[Any], dt: float, tau: float) -> tuple[float, float]:
        """(van Rossum, Victor-Purpura) of two series of spike values, (T,)."""
        squares, total = 0.0, 0.0
        for sign in (1, -1):
            trains = [self._train(np.maximum(0, sign * series.astype(np.int64)), dt) for series in (a, b)]
            if not any(len(train) for train in trains):
                continue
            rossum = self.library.van_rossum_distance(trains, time_constant=tau * self.second)
            purpura = self.library.victor_purpura_distance(trains, cost_factor=1 / (tau * self.second))
            squares, total = squares + float(rossum[0, 1]) ** 2, total + float(purpura[0, 1])
        return math.sqrt(squares), total

    def _train(self, counts: NDArray[np.int64], dt: float) -> Any:
        times = np.repeat(np.arange(len(counts)), counts) * dt
        return self.neo.SpikeTrain(times * self.second, t_stop=len(counts) * dt * self.second)
