"""Interval arithmetic over a lowered network: which values can its registers take, for any input?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.plain import CONV_BITS
from ..fixed import Ints, shift
from ..neurons import spec
from ..neurons.base import Interval
from ..program import Population, Synapse
from ..target import Target

SAFE_SUM = 1 << 15
"""On targets without graded spikes: |sum of a step's inputs| below this, where all public models of Loihi agree."""
CONV_LIMIT = (1 << (CONV_BITS - 1)) - 1
"""Lava's Conv keeps 24 bits of a sum."""


class Window(NamedTuple):
    """How many chip steps a population gets input in, and how many more it only leaks and takes its bias."""

    steps: int
    idle: int


class Reach(NamedTuple):
    """A population's bounds.

    magnitude: name of the register -> largest magnitude per neuron (N,), and the limit of each.   high: register ->
    True per neuron where the largest magnitude is the positive side.
    """

    magnitude: Mapping[str, Ints]
    limit: Mapping[str, int]
    high: Mapping[str, NDArray[np.bool_]]

    @property
    def excess(self) -> NDArray[np.float64]:
        """How far beyond its registers a neuron can come, as a factor, float64 (N,); at most 1 is safe."""
        return np.asarray(np.maximum.reduce([self.magnitude[r] / self.limit[r] for r in self.magnitude]))


def signed_sums(synapse: Synapse) -> Interval:
    """Per target neuron the sums of its negative and of its positive weights, int64 (N,)."""
    one = np.ones((1, synapse.wiring.source_size))
    weight = synapse.weight.astype(np.float64)
    low, high = (
        np.rint(synapse.wiring.with_weight(part).apply(one)[0]).astype(np.int64)
        for part in (np.minimum(weight, 0), np.maximum(weight, 0))
    )
    return Interval(low, high)


def reach(
    population: Population,
    synapses: Sequence[Synapse],
    sources: Mapping[str, tuple[int, int]],
    window: Window,
    target: Target,
) -> Reach:
    """Bounds of one population's registers.

    sources: name -> smallest and largest value of its spikes.
    """
    zero = np.zeros(population.size, np.int64)
    low, high, widest, images = zero, zero, zero, zero
    for synapse in synapses:
        negative, positive = signed_sums(synapse)
        least, most = min(0, sources[synapse.source][0]), max(0, sources[synapse.source][1])
        below, above = positive * least + negative * most, positive * most + negative * least
        if synapse.exponent < 0:
            widest = np.maximum(widest, np.maximum(-below, above))
        below, above = shift(below, synapse.exponent), shift(above, synapse.exponent)
        if synapse.kind == "conv":
            images = np.maximum(images, np.maximum(-below, above))
        low, high = low + below, high + above
    registers = spec(population.kind).bounds(
        population.params, Interval(low, high), window.steps, target.registers, window.idle
    )
    intervals = {"sum": Interval(low, high), **registers}
    bits = {"u": target.state.u_bits.value}
    limit = {name: (1 << (bits.get(name, target.state.v_bits.value) - 1)) - 1 for name in intervals}
    limit["sum"] = sum_limit(target)
    magnitude = {name: interval.magnitude for name, interval in intervals.items()}
    positive_side = {name: interval.high >= -interval.low for name, interval in intervals.items()}
    if widest.any():
        magnitude["sum before shift"], limit["sum before shift"] = widest, (1 << 31) - 1
        positive_side["sum before shift"] = high >= -low
    if images.any():
        magnitude["sum of a convolution"], limit["sum of a convolution"] = images, CONV_LIMIT
        positive_side["sum of a convolution"] = high >= -low
    return Reach(magnitude, limit, positive_side)


def sum_limit(target: Target) -> int:
    """Largest |sum of inputs| in weight units: its shift must fit the accumulator; the safe subset without payloads."""
    fits = ((1 << (target.synapse.accumulator_bits.value - 1)) - 1) >> target.state.input_shift.value
    return min(fits, SAFE_SUM - 1) if target.spike.payload_bits.value == 0 else fits
