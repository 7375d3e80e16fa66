"""The two runs that a report shows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..comparison import Comparison
from ..comparison.exact import Pair, pair
from ..comparison.statistics import unit_of
from ..neurons import spec
from ..program import ChipProgram
from ..trace import Trace


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

    def either(self, name: str, variable: str, like: Pair) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """The variable in each run (None: not recorded), in the rows of `like`, a pair of the same population."""
        found = self.both(name, variable)
        if found is not None:
            return found.a, found.b
        rows = [
            None
            if variable not in t.populations[name].data
            else t.populations[name].data[variable][:, : self.result.samples]
            if like.span == "all rows"
            else t.aligned(name, variable)[:, : self.result.samples]
            for t in (self.a, self.b)
        ]
        return rows[0], rows[1]

    def both(self, name: str, variable: str) -> Pair | None:
        """The rows that belong together, if both recorded the variable."""
        if any(name not in t.populations or variable not in t.populations[name].data for t in (self.a, self.b)):
            return None
        return pair(self.a, self.b, name, variable, self.result.samples)


def chip_numbers(runs: Runs) -> bool:
    """Whether values are shown as the chip's integers; else in float units."""
    return runs.exact and runs.a.kind == "integer"


def scales(runs: Runs, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """What to multiply the values of either run with: their units where a float meets an integer run, else 1."""
    if runs.exact:
        return np.asarray(1), np.asarray(1)
    return unit_of(runs.a, name), unit_of(runs.b, name)


def flat(unit: NDArray[Any], size: int) -> NDArray[Any]:
    """A value per neuron, (N,)."""
    return np.broadcast_to(unit.reshape(-1), (size,))


class Thresholds(NamedTuple):
    """Firing thresholds and rounds of each neuron, (N,), in the units shown: k * theta, k = 1..rounds, and mirrored."""

    theta: NDArray[Any]
    rounds: NDArray[Any]
    theta_neg: NDArray[Any]
    rounds_neg: NDArray[Any]


def thresholds(runs: Runs, name: str) -> Thresholds | None:
    """The thresholds of a population; None if the program does not say, or the units are others."""
    known = [p for p in runs.program.populations if p.name == name] if runs.program else []
    levels = spec(known[0].kind).levels(known[0].params, runs.program.registers) if runs.program and known else None
    if levels is None or (runs.exact and not chip_numbers(runs)):
        return None
    size = known[0].size
    unit = np.asarray(1) if chip_numbers(runs) else known[0].unit
    theta, rounds, theta_neg, rounds_neg = (flat(np.asarray(values), size) for values in levels)
    return Thresholds(theta * flat(unit, size), rounds, theta_neg * flat(unit, size), rounds_neg)
