"""Two recordings side by side, and their exact comparison, in blocks of bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..trace import VARIABLES, Trace
from .cause import Number
from .result import Divergence, VariableComparison

BLOCK = 1 << 22
"""Values handled at once: bounds the temporary memory to some tens of MB."""


class Pair(NamedTuple):
    """The same variable in two runs: views a, b (rows, samples, *shape); row 0 is logical step `start`."""

    a: NDArray[Any]
    b: NDArray[Any]
    start: int
    span: Literal["all rows", "logical steps"]


def pair(a: Trace, b: Trace, population: str, variable: str, samples: int) -> Pair:
    """The rows of two runs that belong together.

    All rows where both have the same latency and number of rows and kind; else the logical steps 0..T-1.
    """
    p, q = a.populations[population], b.populations[population]
    x, y = p.data[variable], q.data[variable]
    if p.latency == q.latency and x.shape[0] == y.shape[0] and a.kind == b.kind:
        return Pair(x[:, :samples], y[:, :samples], -p.latency, "all rows")
    x, y = a.aligned(population, variable), b.aligned(population, variable)
    return Pair(x[:, :samples], y[:, :samples], 0, "logical steps")


def blocks(shape: tuple[int, ...], limit: int = BLOCK) -> Iterator[tuple[slice, slice]]:
    """(rows, samples) slices of at most about `limit` values that cover an array (rows, samples, ...) in C order."""
    rows, samples = shape[:2]
    sample = max(1, int(np.prod(shape[2:], dtype=np.int64)))
    if samples * sample <= limit:
        height = max(1, limit // max(1, samples * sample))
        for r in range(0, rows, height):
            yield slice(r, min(rows, r + height)), slice(0, samples)
        return
    width = max(1, limit // sample)
    for r in range(rows):
        for s in range(0, samples, width):
            yield slice(r, r + 1), slice(s, min(samples, s + width))


def max_distance(a: NDArray[Any], b: NDArray[Any]) -> Number:
    """Largest |a - b|; exact for integers, NaN if any value is NaN; 0 for empty arrays."""
    if a.size == 0:
        return 0
    if a.dtype.kind in "biu" and b.dtype.kind in "biu":
        x, y = a.astype(np.int64), b.astype(np.int64)
        return int((np.maximum(x, y) - np.minimum(x, y)).view(np.uint64).max())
    with np.errstate(all="ignore"):
        return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _larger(x: Number, y: Number) -> Number:
    """max that NaN wins."""
    return x if x != x or x >= y else y


def compare_values(
    population: str, variable: str, pair: Pair, limit: int = BLOCK
) -> tuple[VariableComparison, tuple[int, ...] | None]:
    """Compare value by value (==: no tolerance, NaN never equal, -0.0 equals 0.0).

    Returns: the counts, and the index (row, sample, *neuron) in the pair of the first difference in C order.
    """
    differing, largest, first = 0, 0, None
    by_step: Counter[int] = Counter()
    for rows, samples in blocks(pair.a.shape, limit):
        x, y = pair.a[rows, samples], pair.b[rows, samples]
        unequal = x != y
        count = int(np.count_nonzero(unequal))
        if not count:
            continue
        differing += count
        each = np.count_nonzero(unequal.reshape(len(unequal), -1), axis=1)
        by_step.update({pair.start + rows.start + int(r): int(each[r]) for r in np.flatnonzero(each)})
        largest = _larger(largest, max_distance(x[unequal], y[unequal]))  # type: ignore[assignment]
        if first is None:
            r, s, *neuron = np.unravel_index(int(unequal.argmax()), unequal.shape)
            first = (rows.start + int(r), samples.start + int(s), *map(int, neuron))
    steps = tuple(sorted(by_step.items()))
    return VariableComparison(population, variable, pair.span, pair.a.size, differing, largest, steps), first


def divergence(a: Trace, b: Trace, population: str, variable: str, pair: Pair, index: tuple[int, ...]) -> Divergence:
    """The Divergence at `index` = (row, sample, *neuron) of a pair, with what was recorded around it."""
    row, sample, *neuron = index
    step = pair.start + row

    def at(trace: Trace, name: str, when: int) -> Number | None:
        recording = trace.populations[population]
        data = recording.data.get(name)
        if data is None or not 0 <= when + recording.latency < data.shape[0]:
            return None
        index = (when + recording.latency, sample, *neuron)
        return data[index].item()  # type: ignore[no-any-return]

    wanted = [("v[t-1]", "v", step - 1), *((f"{n}[t]", n, step) for n in reversed(VARIABLES) if n != variable)]
    found = [(label, at(a, name, when), at(b, name, when)) for label, name, when in wanted]
    context = tuple(entry for entry in found if entry[1:] != (None, None))
    return Divergence(
        population, variable, step, sample, tuple(neuron), pair.a[index].item(), pair.b[index].item(), context
    )
