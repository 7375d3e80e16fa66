"""Potentials of every neuron around a divergence, packed for the page, within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .packing import packed_pair, size_of
from .two_runs import Runs, chip_numbers, flat, scales, thresholds

NARROWEST = 32
"""So many steps are kept before neurons are left out."""
KEYS = ("theta", "rounds", "thetaNeg", "roundsNeg")
DENSE = 8
"""Values in a character at the very best; after a first try, what that try took is expected of the next."""

Rows: TypeAlias = tuple[NDArray[Any] | None, NDArray[Any] | None]
"""(rows, samples, *shape) of each run; None: not recorded."""


class Potentials(NamedTuple):
    """What could be drawn of a population.  states: variable -> its rows.   samples: indices; window: rows that are
    drawn, the first of which is logical step `start`.   order: neurons, by interest."""

    runs: Runs
    name: str
    states: Mapping[str, Rows]
    samples: Sequence[int]
    window: slice
    order: Sequence[int]
    start: int


def fitted(of: Potentials, turn: Sequence[int], middles: Sequence[int | None], budget: int) -> dict[str, Any]:
    """As much of it as fits into `budget` characters: fewer samples first, then fewer steps, then fewer neurons.

    turn: places in `samples`, the most important first.   middles: the step around which each is cut, or None.
    """
    samples, rows, neurons = list(turn), of.window.stop - of.window.start, len(of.order)
    each = 1 / DENSE
    while True:
        count = len(of.states) * len(samples) * rows * neurons
        if count * each <= budget or (rows, neurons, len(samples)) == (1, 1, 1):
            result = _stored(of, samples, middles, rows, neurons)
            stored = (part for parts in result["variables"].values() for part in parts if part)
            taken = sum(map(size_of, stored))
            if taken <= budget or (rows, neurons, len(samples)) == (1, 1, 1):
                return result
            each = 0.98 * taken / count
        if len(samples) > 1:
            samples = samples[: max(1, len(samples) // 2)]
        elif rows > NARROWEST or neurons == 1:
            rows = max(1 if neurons == 1 else NARROWEST, rows * 2 // 3)
        else:
            neurons = max(1, neurons * 2 // 3)


def _stored(
    of: Potentials, samples: Sequence[int], middles: Sequence[int | None], rows: int, neurons: int
) -> dict[str, Any]:
    size = of.runs.a.populations[of.name].size
    which = np.asarray(sorted(of.order[:neurons]))
    windows: list[list[int] | None] = [None] * len(of.samples)
    variables: dict[str, list[Any]] = {v: [None] * len(of.samples) for v in of.states}
    for place in samples:
        part = _around(of, middles[place], rows)
        windows[place] = [of.start + part.start - of.window.start, part.stop - part.start]
        for variable, ends in of.states.items():
            values = (
                None if run is None else run[part, of.samples[place]].reshape(-1, size)[:, which] * flat(u, size)[which]
                for run, u in zip(ends, scales(of.runs, of.name), strict=True)
            )
            variables[variable][place] = packed_pair(*values)
    unit = "chip integers" if chip_numbers(of.runs) else "float units"
    shown = {"neurons": None if neurons == size else which.tolist(), "windows": windows, "variables": variables}
    return {**shown, "unit": unit, "thresholds": _thresholds(of, which)}


def _around(of: Potentials, middle: int | None, rows: int) -> slice:
    """So many rows of the window around a step; from its beginning if there is none."""
    at = of.window.start + (0 if middle is None else middle - of.start)
    begin = min(max(of.window.start, at - rows // 2), of.window.stop - rows)
    return slice(begin, begin + rows)


def _thresholds(of: Potentials, which: NDArray[Any]) -> dict[str, Any] | None:
    found = thresholds(of.runs, of.name)
    if found is None:
        return None
    return {key: _short(values[which]) for key, values in zip(KEYS, found, strict=True)}


def _short(values: NDArray[Any]) -> Any:
    """One number if all are the same, else a list."""
    if (values == values[0]).all():
        return values[0].item()
    return values.tolist()
