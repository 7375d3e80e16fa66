"""`diagnose`: what kind of fault makes two integer runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..comparison.account import Programs, Side, sides
from ..comparison.exact import compare_values, pair
from ..comparison.result import plain
from ..comparison.runs import compare
from ..program import ChipProgram
from ..trace import Trace
from .changes import changes
from .faults import Case, Fault, case_of
from .looks import explaining
from .records import records, some_samples


@dataclass(frozen=True)
class Diagnosis:
    """Why two runs differ.

    equal: they do not.   run: which of them departs from its program, or, of two programs, is the other one.
    faults: one after the other in the order in which they act; (): none is certain.   choices: of one more population,
    faults of which each alone explains every record, so that nothing tells which it is; they are of different kinds.
    samples: how many were looked at.   sentence: all of it for people.
    """

    equal: bool
    run: str
    faults: tuple[Fault, ...]
    choices: tuple[Fault, ...]
    samples: int
    sentence: str

    @property
    def kind(self) -> str:
        """The kind of the fault; "" if there is none, several kinds, or nothing tells."""
        kinds = dict.fromkeys(f.kind for f in self.faults)
        return next(iter(kinds)) if len(kinds) == 1 and not self.choices else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"kind": self.kind, **plain(self)}


def diagnose(a: Trace, b: Trace, programs: Programs) -> Diagnosis:
    """What kind of fault explains the difference of two integer runs.

    a, b: what `compare` takes; a is the run that is right.   programs: of both runs, or that of each.
    Of two programs that the runs follow, the difference of the programs is told.  Else each population's records are
    held against its program, step by step, from the run's own inputs and states: where they depart, single faults
    (explanation/looks.py) are tried, and one counts only if it explains every recorded value.
    Raises: InputError as `compare` does, and for runs without the spikes and states that this needs.
    """
    result = compare(a, b, programs=programs)
    one, other = sides(a, b, programs)
    if result.first is None:
        return Diagnosis(True, "", (), (), result.samples, "no difference")
    samples = tuple(some_samples(a, b, other.program, result.samples))
    if wrong := _inputs(a, b, one.program, result.samples):
        fault = Fault("input", wrong, f"{wrong}: the two runs got another input")
        return _told(result.b, (fault,), (), samples)
    if one.program != other.program and not _cases(other, samples):
        return _told(result.b, tuple(_acting(one, other, samples)), (), samples)
    for name, side in ((result.b, other), (result.a, one)):
        if cases := _cases(side, samples):
            found, choices = _explained(cases)
            return _told(name, found, choices, samples)
    return Diagnosis(False, "", (), (), len(samples), "both runs follow their program; what differs is not in it")


def _inputs(a: Trace, b: Trace, program: ChipProgram, samples: int) -> str:
    """The first input that differs, or ""."""
    for e in program.encoders:
        recorded = all(e.name in t.populations and "spikes" in t.populations[e.name].data for t in (a, b))
        if recorded and compare_values(e.name, "spikes", pair(a, b, e.name, "spikes", samples))[1] is not None:
            return e.name
    return ""


def _cases(side: Side, samples: Sequence[int]) -> list[Case]:
    """The populations that depart from the program, the earliest first."""
    found = []
    for position, p in enumerate(side.program.populations):
        if p.name in side.trace.populations:
            whole = records(side.program, side.trace, p.name, samples)
            case = case_of(side.trace, tuple(samples), whole)
            if case is not None:
                found.append((_start(case), position, case))
    return [case for *_, case in sorted(found, key=lambda entry: entry[:2])]


def _start(case: Case) -> int:
    """The first logical step in which the population departs."""
    seen = case.held.seen
    where = np.any([case.found[v] != seen[v] for v in seen if v in case.found], axis=0).any(axis=1)
    return int(case.held.row[int(where.argmax()), 0]) - case.held.population.latency


def _explained(cases: Sequence[Case]) -> tuple[tuple[Fault, ...], tuple[Fault, ...]]:
    """The faults of the populations that have one, and those of the first that several kinds explain."""
    found: list[Fault] = []
    choices: tuple[Fault, ...] = ()
    for case in cases:
        fitting = tuple(explaining(case))
        if len({f.kind for f in fitting}) > 1 and not choices:
            choices = fitting
        elif len({f.kind for f in fitting}) > 1:
            found.append(Fault("", case.name, f"{case.name}: " + "; or ".join(f.text for f in fitting)))
        elif fitting:
            found.append(fitting[0])
        else:
            found.append(
                Fault("", case.name, f"{case.name}: departs from its program, and no single fault explains it")
            )
    return tuple(found), choices


def _acting(one: Side, other: Side, samples: Sequence[int]) -> list[Fault]:
    """The programs' differences, those first whose population departs first from the other's program."""
    found = changes(one.program, other.program)
    order = {case.name: i for i, case in enumerate(_cases(Side(other.trace, one.program), samples))}
    acting = [f for f in found if f.population == "" or f.population in order]
    return sorted(acting or found, key=lambda f: order.get(f.population, -1))


def _told(run: str, found: tuple[Fault, ...], choices: tuple[Fault, ...], samples: Sequence[int]) -> Diagnosis:
    parts = [f.text for f in found]
    if choices:
        parts.append("one of these, and the records do not tell which: " + "; or ".join(f.text for f in choices))
    sentence = f"in {run}: " + "; ".join(parts)
    return Diagnosis(False, run, found, choices, len(samples), sentence)
