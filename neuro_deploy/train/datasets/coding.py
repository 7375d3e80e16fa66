"""How values and events become what a network gets at each step.  All integer-friendly: what comes out is whole
multiples of a quantum, so that the chip's encoder changes nothing.

    direct    x[t] = x                                    the values themselves (`base.direct`); graded spikes
    sequence  x[t] = the t-th part of x, in C order       the values, read one part after the other
    rate      s[t] = 1 with probability p                 spikes, drawn from a seed
    latency   s[t] = 1 at the one t that p decides        spikes, the largest value first
    frames    c[t, polarity, y, x]                        events in the t-th part of a window, counted

p is the place of a value in its range, (x - low) / (high - low), as a fraction of whole levels: `levels`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .base import Samples

Bits = NDArray[np.uint8]
UNKNOWN_LEVELS = 255
"""Levels of values that are on no known grid."""
CHUNK = 256
"""Samples that are coded at once."""


def levels(x: Samples, low: float, high: float, quantum: float) -> tuple[NDArray[np.int64], int]:
    """The level of each value, 0 for `low` to M for `high`, and M.

    x: numbers within [low, high].   quantum: their grid; 0.0: unknown, then M = 255 and values are rounded (half-even).
    Raises: InputError for an empty range, or one that is no whole number of quanta.
    """
    if not high > low:
        raise InputError(f"a range of [{low}, {high}] cannot be coded")
    most = round((high - low) / quantum) if quantum else UNKNOWN_LEVELS
    if quantum and abs(most * quantum - (high - low)) > 1e-6 * (high - low):
        raise InputError(f"a range of [{low}, {high}] is no whole number of quanta of {quantum}")
    found = np.rint((x.astype(np.float64) - low) * (most / (high - low))).astype(np.int64)
    return np.clip(found, 0, most), most


def rate(x: Samples, low: float, high: float, quantum: float, steps: int, rng: np.random.Generator) -> Bits:
    """Rate coding: at each step a spike with probability p = L / M (Bernoulli), each independent of all others.

    s[b, t, i] = 1 where u[b, t, i] < L[b, i] / M, with u uniform in [0, 1), drawn from `rng` in C order: the spikes of
    the first samples do not depend on how many follow.
    x: (B, *shape), or (B, T, *shape) for a value per step (then steps = 0).
    Returns: uint8 (B, T, *shape), 0 or 1.   Raises: InputError.
    """
    level, most = levels(x, low, high, quantum)
    if steps:
        level = level[:, None]
    shape = (len(x), steps, *x.shape[1:]) if steps else x.shape
    out = np.empty(shape, np.uint8)
    for start in range(0, len(x), CHUNK):
        part = out[start : start + CHUNK]
        part[:] = rng.random(part.shape) < level[start : start + CHUNK] / most
    return out


def latency(x: Samples, low: float, high: float, quantum: float, steps: int) -> Bits:
    """Latency coding: one spike per value, the larger the earlier; the lowest value never fires.

    It falls into step t = floor((M - L) * (T - 1) / M + 1/2), so L = M at the first step and the smallest levels at the
    last; computed in integers.   x: (B, *shape).   steps: T >= 1.
    Returns: uint8 (B, T, *shape), 0 or 1.   Raises: InputError.
    """
    level, most = levels(x, low, high, quantum)
    when = ((most - level) * (steps - 1) * 2 + most) // (2 * most)
    out = np.zeros((len(x), steps, *x.shape[1:]), np.uint8)
    for t in range(steps):
        out[:, t] = (when == t) & (level > 0)
    return out


def frames(
    events: tuple[Samples, Samples, Samples, Samples],
    sensor: tuple[int, int, int],
    steps: int,
    window: int,
    max_count: int,
    pool: int = 1,
) -> tuple[Bits, int, int]:
    """Event frames: how many events each pixel and polarity had in each of T equal parts of a window of time.

    c[t, p, y, x] = min(max_count, #events with polarity p, pixel (y, x) of pool x pool sensor pixels,
                                   and t = floor(t_us * T / window))
    events: x, y, polarity, t_us, integers (N,) each, t_us >= 0 microseconds; those at `window` or later are dropped.
    sensor: channels (polarities: 0 off, 1 on), height, width.   window: microseconds; 0: the recording's own duration,
        first event to last.   max_count: [1, 255].   pool: divides height (or it is 1) and width.
    Returns: uint8 (T, channels, height / pool, width / pool); how many events were dropped; how many were clipped.
    Raises: InputError for events beyond the sensor, or a pool that does not divide it.
    """
    x, y, polarity, t = (np.asarray(each).astype(np.int64) for each in events)
    channels, height, width = sensor
    tall = pool if height > 1 else 1
    if height % tall or width % pool:
        raise InputError(f"data.events.pool = {pool} does not divide the sensor's {height} x {width}")
    for name, values, limit in (("x", x, width), ("y", y, height), ("polarity", polarity, channels)):
        if len(values) and not (values.min() >= 0 and values.max() < limit):
            raise InputError(f"events have {name} in [{values.min()}, {values.max()}], the sensor ends at {limit - 1}")
    if not window and len(t):
        t = t - t.min()
        window = int(t.max()) + 1
    kept = (t >= 0) & (t < window)
    part = t[kept] * steps // max(window, 1)
    shape = (steps, channels, height // tall, width // pool)
    place = np.ravel_multi_index((part, polarity[kept], y[kept] // tall, x[kept] // pool), shape)
    counts = np.bincount(place, minlength=int(np.prod(shape))).reshape(shape)
    clipped = np.minimum(counts, max_count)
    return clipped.astype(np.uint8), int((~kept).sum()), int((counts - clipped).sum())
