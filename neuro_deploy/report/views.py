"""What the HTML report draws: spikes and potentials of a few samples and neurons, as plain JSON, within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..comparison import input_names
from ..comparison.exact import Pair, blocks
from ..comparison.runs import run_names
from ..trace import VARIABLES
from .packing import packed_pair, size_of
from .potentials import Potentials, Rows, fitted
from .two_runs import Runs, flat, scales

SAMPLES = 8
POPULATIONS = 40
ROWS = 1100
"""Most steps drawn: a thousand, and those before the latency and after the input."""
CELLS = 16_000_000
"""Most neuron-steps of a raster, over all populations and samples."""
RASTERS, POTENTIALS = 4_000_000, 4_000_000
"""Most characters that the page spends on spikes, on potentials."""
INTEREST = 50
"""So many neurons are proposed for their potentials."""


class Marks(NamedTuple):
    """Where a population differs: bool (samples,) and (N,)."""

    samples: NDArray[np.bool_]
    neurons: NDArray[np.bool_]


def marks(runs: Runs, name: str) -> Marks:
    """What differs in any variable that is compared exactly; in spikes, for a float against an integer run."""
    size = runs.a.populations[name].size
    samples, neurons = np.zeros(runs.result.samples, np.bool_), np.zeros(size, np.bool_)
    is_input = name in input_names(runs.a, runs.b)
    for variable in VARIABLES if runs.exact else () if is_input else ("spikes",):
        both = runs.both(name, variable)
        if both is None:
            continue
        for rows, some in blocks(both.a.shape):
            unequal = (both.a[rows, some] != both.b[rows, some]).reshape(rows.stop - rows.start, -1, size)
            samples[some] |= unequal.any(axis=(0, 2))
            neurons |= unequal.any(axis=(0, 1))
    return Marks(samples, neurons)


def view(runs: Runs) -> dict[str, Any]:
    """Everything that the report's script needs, as JSON types; arrays are packed (packing.py)."""
    a, b = runs.a, runs.b
    common = [n for n in a.populations if n in b.populations]
    found = {name: marks(runs, name) for name in common}
    names = sorted(common, key=lambda n: not found[n].samples.any())[:POPULATIONS]
    names = [n for n in common if n in names]
    rows = min(ROWS, max((p.data[v].shape[0] for p in a.populations.values() for v in p.data), default=1))
    most = max(1, min(SAMPLES, CELLS // (rows * max(1, sum(a.populations[n].size for n in names)))))
    differing = np.logical_or.reduce([m.samples for m in found.values()]) if found else np.zeros(1, np.bool_)
    chosen = choose_samples(differing, runs.result.first.sample if runs.result.first else None, most)
    sample = chosen.index(runs.result.first.sample) if runs.result.first else 0
    return {
        "names": list(run_names(a, b)),
        "exact": runs.exact,
        "steps": a.steps,
        "first": runs.result.first.step if runs.result.first else None,
        "samples": [{"index": s, "differs": bool(differing[s])} for s in chosen],
        "sample": sample,
        "populations": [_population(runs, n, found[n], chosen, sample, len(names)) for n in names],
        "omitted": len(common) - len(names),
    }


def choose_samples(differing: NDArray[np.bool_], first: int | None, most: int) -> list[int]:
    """At most `most` samples: that of the first difference, others that differ (two places kept), the first ones."""
    where = [int(s) for s in np.flatnonzero(differing)]
    wanted = ([first] if first is not None else []) + where[: max(1, most - 2)] + list(range(len(differing))) + where
    return sorted(list(dict.fromkeys(wanted))[:most])


def _population(
    runs: Runs, name: str, found: Marks, samples: Sequence[int], sample: int, populations: int
) -> dict[str, Any]:
    recording = runs.a.populations[name]
    spikes = runs.both(name, "spikes")
    states = [v for v in ("v", "h") if any(v in t.populations[name].data for t in (runs.a, runs.b))]
    any_pair = spikes or next((both for v in states if (both := runs.both(name, v)) is not None), None)
    base: dict[str, Any] = {"name": name, "shape": list(recording.shape), "size": recording.size}
    base |= {"input": name in input_names(runs.a, runs.b), "differing": int(found.neurons.sum())}
    base |= {"raster": None, "potentials": None, "interest": [], "first": []}
    if any_pair is None:
        return base
    window = _window(runs, any_pair)
    first = runs.result.first
    activity = _activity(spikes, samples, window, recording.size)
    order = _order(found, activity, recording.shape, first.neuron if first and first.population == name else None)
    base |= {"start": any_pair.start + window.start, "rows": window.stop - window.start, "interest": order[:INTEREST]}
    base["cut"] = base["rows"] < any_pair.a.shape[0]
    shown = {v: runs.either(name, v, any_pair) for v in states}
    base["first"] = _firsts(runs, spikes, shown, samples, window, int(base["start"]), found)
    if spikes is not None:
        most = max(1, CELLS // (len(samples) * populations * int(base["rows"])))
        base["raster"] = _raster(runs, name, spikes, samples, window, order[:most], RASTERS // populations)
    if states and not base["input"]:
        parts = Potentials(runs, name, shown, samples, window, order, base["start"])
        turn = [sample, *(i for i in range(len(samples)) if i != sample)]
        begin = runs.result.first.step if runs.result.first else None
        middles = [place[0] if place else begin for place in base["first"]]
        base["potentials"] = fitted(parts, turn, middles, POTENTIALS // populations)
    return base


def _window(runs: Runs, both: Pair) -> slice:
    """All rows, or ROWS of them around the first difference."""
    total = both.a.shape[0]
    if total <= ROWS:
        return slice(0, total)
    middle = runs.result.first.step - both.start if runs.result.first else 0
    begin = min(max(0, middle - ROWS // 2), total - ROWS)
    return slice(begin, begin + ROWS)


def _activity(spikes: Pair | None, samples: Sequence[int], window: slice, size: int) -> NDArray[np.int64]:
    """Most events of each neuron in one of the samples, (N,)."""
    counts = np.zeros(size, np.int64)
    for s in samples if spikes is not None else ():
        assert spikes is not None
        fired = (spikes.a[window, s] != 0) | (spikes.b[window, s] != 0)
        counts = np.maximum(counts, fired.reshape(-1, size).sum(axis=0))
    return counts


def _order(
    found: Marks, activity: NDArray[np.int64], shape: tuple[int, ...], first: tuple[int, ...] | None
) -> list[int]:
    """Neurons by interest: that of the first difference, those that differ, the most active."""
    order = np.lexsort((np.arange(len(activity)), -activity, ~found.neurons)).tolist()
    head = [int(np.ravel_multi_index(first, shape))] if first is not None and shape else []
    return list(dict.fromkeys([*head, *order]))


def _firsts(
    runs: Runs,
    spikes: Pair | None,
    states: Mapping[str, Rows],
    samples: Sequence[int],
    window: slice,
    start: int,
    found: Marks,
) -> list[list[int] | None]:
    """Of each sample the step and the neuron where this population first differs in the window, or None."""
    given: list[Rows] = [(spikes.a, spikes.b)] if spikes is not None else []
    given += [rows for rows in states.values() if runs.exact]
    places: list[list[int] | None] = []
    for s in samples:
        best: list[int] | None = None
        for x, y in given if found.samples[s] else ():
            if x is None or y is None:
                continue
            unequal = (x[window, s] != y[window, s]).reshape(window.stop - window.start, -1)
            if unequal.any():
                row, neuron = divmod(int(unequal.argmax()), unequal.shape[1])
                best = min(best or [start + row, neuron], [start + row, neuron])
        places.append(best)
    return places


def _raster(
    runs: Runs, name: str, spikes: Pair, samples: Sequence[int], window: slice, order: list[int], budget: int
) -> dict[str, Any]:
    """The spikes of as many neurons as fit into the budget (characters)."""
    size = runs.a.populations[name].size
    scale = scales(runs, name) if name in input_names(runs.a, runs.b) else (np.asarray(1), np.asarray(1))
    while True:
        neurons = np.asarray(sorted(order))
        parts = []
        for s in samples:
            ends = (run[window, s].reshape(-1, size)[:, neurons] for run in (spikes.a, spikes.b))
            x, y = (v * flat(u, size)[neurons] for v, u in zip(ends, scale, strict=True))
            parts.append(packed_pair(x, y))
        taken = sum(map(size_of, parts))
        if taken <= budget or len(order) == 1:
            return {"neurons": None if len(order) == size else neurons.tolist(), "samples": parts}
        order = order[: max(1, min(len(order) * 9 // 10, len(order) * budget // taken))]
