"""Interval arithmetic over a lowered network: which values can its registers take, for any input?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints
from ..neurons import spec
from ..neurons.base import Interval
from ..program import DenseSynapse, Population
from ..target import Target

SAFE_SUM = 1 << 15
"""On targets without graded spikes: |sum of a step's inputs| below this, where all public models of Loihi agree."""


class Reach(NamedTuple):
    """A population's bounds: name of the register -> largest magnitude per neuron (N,), and the limit of each."""

    magnitude: Mapping[str, Ints]
    limit: Mapping[str, int]

    @property
    def excess(self) -> NDArray[np.float64]:
        """How far beyond its registers a neuron can come, as a factor, float64 (N,); at most 1 is safe."""
        return np.asarray(np.maximum.reduce([self.magnitude[r] / self.limit[r] for r in self.magnitude]))


def reach(
    population: Population,
    synapses: list[DenseSynapse],
    sources: Mapping[str, tuple[int, int]],
    steps: int,
    target: Target,
) -> Reach:
    """Bounds of one population's registers.

    sources: name -> smallest and largest value of its spikes.  steps: chip steps that a run takes at most.
    """
    low = np.zeros(population.size, np.int64)
    high = np.zeros(population.size, np.int64)
    absolute = np.zeros(population.size, np.int64)
    for synapse in synapses:
        weight = synapse.weight.astype(np.int64) << synapse.exponent
        positive, negative = np.maximum(weight, 0).sum(axis=1), np.minimum(weight, 0).sum(axis=1)
        least, most = sources[synapse.source]
        low += positive * min(0, least) + negative * max(0, most)
        high += positive * max(0, most) + negative * min(0, least)
        absolute += (positive - negative) * max(abs(least), abs(most))
    registers = spec(population.kind).bounds(population.params, Interval(low, high), steps)
    magnitude = {"sum": absolute, **{name: interval.magnitude for name, interval in registers.items()}}
    bits = {"u": target.state.u_bits.value}
    limit = {name: (1 << (bits.get(name, target.state.v_bits.value) - 1)) - 1 for name in magnitude}
    limit["sum"] = sum_limit(target)
    return Reach(magnitude, limit)


def sum_limit(target: Target) -> int:
    """Largest |sum of inputs| in weight units: its shift must fit the accumulator; the safe subset without payloads."""
    fits = ((1 << (target.synapse.accumulator_bits.value - 1)) - 1) >> target.state.input_shift.value
    return min(fits, SAFE_SUM - 1) if target.spike.payload_bits.value == 0 else fits
