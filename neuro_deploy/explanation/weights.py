"""Which single weight, changed by how much, could explain an error of the potential."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints, shift
from ..program import Synapse
from .records import Records

TRIED = 64
"""So many candidates of a synapse are tried."""


def changed_weights(held: Records, error: Ints, known: NDArray[np.bool_]) -> Iterator[tuple[Synapse, int, int]]:
    """(synapse, index of the stored weight, change) that the error does not exclude.

    error: of the potential, or of the current, in its own unit, (M, n).   known: where it is, (M, n).
    Each step says: the sum of weights and spikes lies in an interval, so the change does; their intersection is left.
    """
    unit = 1 << held.registers.input_shift
    if not error[known].any() or (error[known] % unit).any():
        return
    wanted = error // unit
    for synapse in held.synapses:
        x = held.arriving[synapse.name].astype(np.int64)
        stored = synapse.weight
        numbered = synapse.wiring.with_weight(np.arange(stored.size).reshape(stored.shape))
        left: dict[int, tuple[int, int]] | None = None
        for place, neuron in enumerate(held.neurons.tolist()):
            sources, entries = numbered.row(neuron)
            weights = stored.reshape(-1)[entries].astype(np.int64)
            rows = known[:, place]
            arriving = x[rows][:, sources]
            own = _intervals(arriving, arriving @ weights, wanted[rows, place], synapse.exponent)
            own_left = {int(e): span for e, span in zip(entries, own, strict=True) if span[0] <= span[1]}
            left = own_left if left is None else _both(left, own_left)
        for entry, (low, high) in list((left or {}).items())[:TRIED]:
            yield from ((synapse, entry, by) for by in range(low, min(high, low + TRIED) + 1) if by)


def _both(one: dict[int, tuple[int, int]], other: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """The intersection of the intervals of each weight."""
    met = {e: (max(one[e][0], other[e][0]), min(one[e][1], other[e][1])) for e in one if e in other}
    return {e: span for e, span in met.items() if span[0] <= span[1]}


def _intervals(x: Ints, product: Ints, wanted: Ints, exponent: int) -> list[tuple[int, int]]:
    """Of each source the smallest and largest change of its weight that adds `wanted` in every step.

    x: spikes (M, k).   product: the sum as it is, (M,).   wanted: what is to be added to the kept sum, (M,).
    """
    kept = shift(product, exponent) + wanted
    if exponent >= 0:
        exact = kept % (1 << exponent) == 0
        low = high = kept >> exponent
        if not exact.all():
            return [(1, 0)] * x.shape[1]
    else:
        low, high = kept << -exponent, ((kept + 1) << -exponent) - 1
    low, high = low - product, high - product
    result = []
    for spikes in x.T:
        fired = spikes != 0
        silent = ~fired
        if not fired.any() or (low[silent] > 0).any() or (high[silent] < 0).any():
            result.append((1, 0))
            continue
        s, size = np.sign(spikes[fired]), np.abs(spikes[fired])
        first, last = np.where(s > 0, low[fired], -high[fired]), np.where(s > 0, high[fired], -low[fired])
        result.append((int((-(-first // size)).max()), int((last // size).min())))
    return result
