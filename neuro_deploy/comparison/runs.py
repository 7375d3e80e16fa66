"""`compare`: two recorded runs, exactly or by statistics."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..program import Readout
from ..trace import VARIABLES, Trace, load_trace
from .account import Programs, cause, sides
from .exact import compare_values, divergence, pair
from .result import Comparison, Divergence, NotCompared, VariableComparison
from .statistics import check_labels, decisions, population_statistics

Source = Trace | str | os.PathLike[str]


def compare(
    a: Source,
    b: Source,
    *,
    readout: Readout | None = None,
    labels: NDArray[Any] | None = None,
    programs: Programs | None = None,
    distances: bool = False,
) -> Comparison:
    """Compare two runs, given as traces or paths of trace files.

    A variable with the same latency and number of rows in both is compared over all rows, else over its logical steps.
    `equal` needs spikes and v of every population but the inputs from both sides, and u where both recorded it.
    With 360 samples on one side and 50 on the other the first 50 are compared, and a note says so.
    A population that only one side has counts as not recorded by the other.

    readout: how to decide, for the agreement of decisions.   labels: (B,) integers, for the accuracy of both.
    programs: of two integer runs, the program of both, or that of each; then the first difference tells its cause.
    distances: of a float and an integer run, measure spike train distances too (needs the extra `statistics`).
    Raises: FileError, FormatError for a file; InputError if the runs have no population in common, another number of
    steps, another shape of a population, or another number of samples with other inputs; for wrong labels, programs of
    other runs; or if distances are asked for of two runs that are compared exactly, or `elephant` is missing.
    """
    a, b = _load(a), _load(b)
    samples, notes = _check(a, b)
    names, inputs = run_names(a, b), input_names(a, b)
    common = [name for name in a.populations if name in b.populations]
    missing = _not_compared(a, b, inputs)
    if readout is None:
        check_labels(labels, samples)
    chosen = decisions(a, b, readout, labels, samples) if readout else None
    if programs is not None:
        accounts = sides(a, b, programs)
    if a.kind != b.kind:
        stats = tuple(population_statistics(a, b, name, samples, name in inputs, distances) for name in common)
        return Comparison("statistics", a.backend, b.backend, a.steps, samples, (), stats, missing, None, chosen, notes)
    if distances:
        raise InputError("distances are statistics of a float against an integer run; these two are compared exactly")
    exact, first = _exact(a, b, common, samples)
    if first is not None and programs is not None:
        flat = int(np.ravel_multi_index(first.neuron, a.populations[first.population].shape)) if first.neuron else 0
        first = replace(first, cause=cause(*accounts, first.population, flat, first.step, first.sample))
    return Comparison("exact", *names, a.steps, samples, exact, (), missing, first, chosen, notes)


def input_names(a: Trace, b: Trace) -> tuple[str, ...]:
    """The inputs: populations of latency 0 in an integer run; of two float runs the first, if it only has spikes."""
    integer = [trace for trace in (a, b) if trace.kind == "integer"]
    names = list(dict.fromkeys([*a.populations, *b.populations]))
    if integer:
        return tuple(n for n in names if any(n in t.populations and t.populations[n].latency == 0 for t in integer))
    seen = [set(t.populations[names[0]].data) for t in (a, b) if names and names[0] in t.populations]
    return (names[0],) if seen and len(names) > 1 and all(s <= {"spikes"} for s in seen) else ()


def run_names(a: Trace, b: Trace) -> tuple[str, str]:
    """The backends, told apart: ("sim", "lava"), or ("sim (a)", "sim (b)")."""
    return (a.backend, b.backend) if a.backend != b.backend else (f"{a.backend} (a)", f"{b.backend} (b)")


def _load(source: Source) -> Trace:
    return source if isinstance(source, Trace) else load_trace(source)


def _check(a: Trace, b: Trace) -> tuple[int, tuple[str, ...]]:
    """How many samples to compare, and notes.  Raises: InputError with all reasons why the runs cannot be compared."""
    common = [name for name in a.populations if name in b.populations]
    problems = []
    if not common:
        problems.append(
            f"no population in common ({', '.join(a.populations) or 'none'}; {', '.join(b.populations) or 'none'}); "
            "compare runs of the same network"
        )
    if a.steps != b.steps:
        problems.append(f"{a.steps} and {b.steps} steps; simulate both with the same input")
    for name in common:
        shapes = a.populations[name].shape, b.populations[name].shape
        if shapes[0] != shapes[1]:
            problems.append(f"{name}: shape {shapes[0]} and {shapes[1]}; compare runs of the same network")
    samples = min(a.batch, b.batch)
    notes = []
    if not problems and a.batch != b.batch:
        known = _same_inputs(a, b, common, samples)
        if known is False:
            problems.append(
                f"{a.batch} and {b.batch} samples, and the inputs of the first {samples} differ; "
                "simulate both with the same input"
            )
        assumed = "" if known else " (their inputs cannot be compared: taken to be the same)"
        notes.append(f"compared the first {samples} samples: the runs have {a.batch} and {b.batch}{assumed}")
    if problems:
        raise InputError("the runs cannot be compared:\n  " + "\n  ".join(problems))
    if a.digest and b.digest and a.digest != b.digest:
        notes.append(f"the runs come from different programs ({a.digest[:12]} and {b.digest[:12]})")
    if a.dt != b.dt:
        notes.append(f"the runs have different steps dt ({a.dt:g} s and {b.dt:g} s)")
    return samples, tuple(notes)


def _same_inputs(a: Trace, b: Trace, common: list[str], samples: int) -> bool | None:
    """True or False if both recorded inputs of the same kind, None if that cannot be told."""
    known = [n for n in input_names(a, b) if n in common]
    known = [n for n in known if all("spikes" in t.populations[n].data for t in (a, b))]
    if a.kind != b.kind or not known:
        return None
    return all(compare_values(n, "spikes", pair(a, b, n, "spikes", samples))[1] is None for n in known)


def _not_compared(a: Trace, b: Trace, inputs: tuple[str, ...]) -> tuple[NotCompared, ...]:
    found = []
    for name in dict.fromkeys([*a.populations, *b.populations]):
        for variable in VARIABLES:
            has = [name in t.populations and variable in t.populations[name].data for t in (a, b)]
            needed = variable in ("spikes", "v") and name not in inputs
            if all(has) or not (any(has) or needed):
                continue
            without = [who for who, recorded in zip(run_names(a, b), has, strict=True) if not recorded]
            found.append(NotCompared(name, variable, f"not recorded by {' and '.join(without)}", needed))
    return tuple(found)


def _exact(
    a: Trace, b: Trace, common: list[str], samples: int
) -> tuple[tuple[VariableComparison, ...], Divergence | None]:
    results, firsts = [], []
    for position, name in enumerate(common):
        for rank, variable in enumerate(VARIABLES):
            if any(variable not in t.populations[name].data for t in (a, b)):
                continue
            both = pair(a, b, name, variable, samples)
            result, index = compare_values(name, variable, both)
            results.append(result)
            if index is not None:
                row, sample, *neuron = index
                firsts.append(((both.start + row, position, sample, neuron, rank), name, variable, both, index))
    if not firsts:
        return tuple(results), None
    _, name, variable, both, index = min(firsts, key=lambda entry: entry[0])
    return tuple(results), divergence(a, b, name, variable, both, index)
