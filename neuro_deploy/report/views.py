"""What the HTML report draws: spikes and potentials of a few samples and neurons, as plain JSON, within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..comparison import Comparison, input_names
from ..comparison.exact import Pair, blocks, pair
from ..comparison.statistics import unit_of
from ..neurons import spec
from ..program import ChipProgram
from ..trace import VARIABLES, Trace

SAMPLES = 8
POPULATIONS = 40
ROWS = 1000
NEURONS = 6
MOST_LEVELS = 8
PLOT_EVENTS = 6000
"""Most markers in one raster."""
EVENTS = 160_000
"""Most spikes stored, about 2.5 MB."""
POINTS = 320_000
"""Most values of potentials stored, about 2.5 MB."""


class Runs(NamedTuple):
    """Two runs and what is known of them.  exact: their numbers are of one kind (then they are shown as they are)."""

    a: Trace
    b: Trace
    result: Comparison
    program: ChipProgram | None

    @property
    def exact(self) -> bool:
        """False for a float run against an integer run: potentials are then shown in float units."""
        return self.a.kind == self.b.kind

    def both(self, name: str, variable: str) -> Pair | None:
        """The rows that belong together, if both recorded the variable."""
        if any(name not in t.populations or variable not in t.populations[name].data for t in (self.a, self.b)):
            return None
        return pair(self.a, self.b, name, variable, self.result.samples)


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
    """Everything that the report's script needs, as JSON types."""
    a, b = runs.a, runs.b
    common = [n for n in a.populations if n in b.populations]
    found = {name: marks(runs, name) for name in common}
    names = sorted(common, key=lambda n: not found[n].samples.any())[:POPULATIONS]
    names = [n for n in common if n in names]
    rows = min(ROWS, max((p.data[v].shape[0] for p in a.populations.values() for v in p.data), default=1))
    most = max(1, min(SAMPLES, POINTS // (4 * rows * max(1, len(names)))))
    differing = np.logical_or.reduce([m.samples for m in found.values()]) if found else np.zeros(1, np.bool_)
    chosen = choose_samples(differing, runs.result.first.sample if runs.result.first else None, most)
    return {
        "names": [runs.result.a, runs.result.b] if runs.result.a != runs.result.b else ["a", "b"],
        "exact": runs.exact,
        "steps": a.steps,
        "first": runs.result.first.step if runs.result.first else None,
        "samples": [{"index": s, "differs": bool(differing[s])} for s in chosen],
        "sample": chosen.index(runs.result.first.sample) if runs.result.first else 0,
        "populations": [_population(runs, n, found[n], chosen, len(names)) for n in names],
        "omitted": len(common) - len(names),
    }


def choose_samples(differing: NDArray[np.bool_], first: int | None, most: int) -> list[int]:
    """At most `most` samples: that of the first difference, others that differ (two places kept), the first ones."""
    where = [int(s) for s in np.flatnonzero(differing)]
    wanted = ([first] if first is not None else []) + where[: max(1, most - 2)] + list(range(len(differing))) + where
    return sorted(list(dict.fromkeys(wanted))[:most])


def _population(runs: Runs, name: str, found: Marks, samples: Sequence[int], populations: int) -> dict[str, Any]:
    recording = runs.a.populations[name]
    spikes = runs.both(name, "spikes")
    states = {v: both for v in ("v", "h") if (both := runs.both(name, v)) is not None}
    any_pair = spikes or next(iter(states.values()), None)
    base: dict[str, Any] = {"name": name, "shape": list(recording.shape), "size": recording.size}
    base |= {"input": name in input_names(runs.a, runs.b), "differing": int(found.neurons.sum())}
    base |= {"raster": None, "membrane": None}
    if any_pair is None:
        return base
    window = _window(runs, any_pair)
    first = runs.result.first
    activity = _activity(spikes, samples, window, recording.size)
    order = _order(found, activity, recording.shape, first.neuron if first and first.population == name else None)
    base |= {"start": any_pair.start + window.start, "rows": window.stop - window.start}
    base["cut"] = base["rows"] < any_pair.a.shape[0]
    if spikes is not None:
        budget = min(PLOT_EVENTS, EVENTS // (populations * len(samples)))
        base["raster"] = _raster(runs, name, spikes, samples, window, order, activity, budget)
    if states:
        values = 2 * len(states) * len(samples) * populations * int(base["rows"])
        base["membrane"] = _membrane(
            runs, name, states, samples, window, order[: max(1, min(NEURONS, POINTS // values))], found
        )
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


def _label(shape: tuple[int, ...], neuron: int) -> str:
    return ", ".join(str(int(i)) for i in np.unravel_index(neuron, shape)) if shape else "0"


def _raster(
    runs: Runs,
    name: str,
    spikes: Pair,
    samples: Sequence[int],
    window: slice,
    order: list[int],
    activity: NDArray[np.int64],
    budget: int,
) -> dict[str, Any]:
    fitting = int(np.searchsorted(np.cumsum(activity[order]), budget, side="right"))
    neurons = np.asarray(sorted(order[: max(1, fitting)]))
    shape, size = runs.a.populations[name].shape, runs.a.populations[name].size
    scale = _scales(runs, name) if name in input_names(runs.a, runs.b) else (np.asarray(1.0), np.asarray(1.0))
    events = []
    for s in samples:
        x, y = (run[window, s].reshape(-1, size)[:, neurons] for run in (spikes.a, spikes.b))
        step, which = np.nonzero((x != 0) | (y != 0))
        shown = [_numbers(v[step, which] * _flat(u, size)[neurons[which]]) for v, u in zip((x, y), scale, strict=True)]
        first = spikes.start + window.start
        events.append({"t": (step + first).tolist(), "n": which.tolist(), "a": shown[0], "b": shown[1]})
    return {"labels": [_label(shape, int(n)) for n in neurons], "events": events}


def _membrane(
    runs: Runs,
    name: str,
    states: dict[str, Pair],
    samples: Sequence[int],
    window: slice,
    neurons: Sequence[int],
    found: Marks,
) -> dict[str, Any]:
    shape, size = runs.a.populations[name].shape, runs.a.populations[name].size
    scale = _scales(runs, name)
    entries = []
    for n in neurons:
        lines = []
        for s in samples:
            line = {}
            for variable, both in states.items():
                ends = (run[window, s].reshape(-1, size)[:, n] for run in (both.a, both.b))
                line[variable] = [_numbers(v * _flat(u, size)[n]) for v, u in zip(ends, scale, strict=True)]
            lines.append(line)
        differs = bool(found.neurons[n])
        entry = {"label": _label(shape, n), "differs": differs, "lines": lines}
        entries.append({**entry, "threshold": _thresholds(runs, name, n)})
    return {"neurons": entries, "unit": "chip integers" if _chip(runs) else "float units"}


def _chip(runs: Runs) -> bool:
    return runs.exact and runs.a.kind == "integer"


def _scales(runs: Runs, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """What to multiply the values of either run with: their units where a float meets an integer run, else 1."""
    if runs.exact:
        return np.asarray(1), np.asarray(1)
    return unit_of(runs.a, name), unit_of(runs.b, name)


def _flat(unit: NDArray[Any], size: int) -> NDArray[Any]:
    return np.broadcast_to(unit.reshape(-1), (size,))


def _thresholds(runs: Runs, name: str, neuron: int) -> list[float]:
    """k * theta for k = 1..K of a neuron, in the units shown; [] if the program does not say."""
    known = [p for p in runs.program.populations if p.name == name] if runs.program else []
    levels = spec(known[0].kind).levels(known[0].params, runs.program.registers) if runs.program and known else None
    if levels is None or (runs.exact and not _chip(runs)):
        return []
    size = known[0].size
    theta, rounds, theta_neg, rounds_neg = (int(_flat(values, size)[neuron]) for values in levels)
    unit = 1.0 if _chip(runs) else float(_flat(known[0].unit, size)[neuron])
    up = [k * theta * unit for k in range(1, min(MOST_LEVELS, rounds) + 1)]
    return up + [-k * theta_neg * unit for k in range(1, min(MOST_LEVELS, rounds_neg) + 1)]


def _numbers(values: NDArray[Any]) -> list[float | int | None]:
    """JSON numbers: integers as they are, floats with six digits, None for what is not finite."""
    if values.dtype.kind in "biu":
        return np.asarray(values, np.int64).tolist()  # type: ignore[no-any-return]
    floats = (float(f"{v:.6g}") if np.isfinite(v) else None for v in values.tolist())
    return [int(v) if v is not None and v.is_integer() and abs(v) < 1e15 else v for v in floats]
