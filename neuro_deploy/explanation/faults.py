"""What may be wrong with a population, one fault at a time: each is tried on the run's own records, all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints
from ..neurons import spec
from ..trace import Trace
from .records import Change, Records, departs, explains, predict

KINDS = {
    "weight": "a weight is another one",
    "missing bias": "a bias does not act",
    "bias": "a bias is another one",
    "bias start": "a bias acts from another step on",
    "reset": "a spike leaves another potential",
    "leak": "a leak factor is another one",
    "leak rounding": "a leak rounds down, not toward zero",
    "late": "inputs arrive later",
    "early": "inputs arrive earlier",
    "saturation": "the potential stops at a limit",
    "wrap": "the potential wraps around at a limit",
    "threshold": "a threshold is another one",
    "strictness": "a potential at its threshold is taken otherwise",
    "rounds": "another number of spikes a step is possible",
    "input": "the input is another one",
    "exponent": "a synapse shifts its sum otherwise",
    "connections": "a synapse, or a population, is missing",
    "registers": "number formats are others",
    "parameter": "a parameter is another one",
}
"""The names of faults."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    kind: a key of KINDS; "": none of them explains it.   population: which has it ("" for all).
    synapse: of a weight, an exponent or a delay.
    neurons: flat indices of those that have it, the first ones; (): all.   sources: of weights, the sending neurons.
    a, b: the two values, where there is one (of the first neuron).   text: all of it in words.
    """

    kind: str
    population: str
    text: str
    synapse: str = ""
    neurons: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()
    a: int | None = None
    b: int | None = None

    def __post_init__(self) -> None:
        assert not self.kind or self.kind in KINDS, self.kind


@dataclass(frozen=True, eq=False)
class Case:
    """A population that departs from its program.

    trace, samples: its run.   whole: all its neurons; held: those that depart.   found: their prediction.
    """

    trace: Trace
    samples: tuple[int, ...]
    whole: Records
    held: Records
    found: dict[str, Ints]

    @property
    def name(self) -> str:
        return self.whole.population.name

    @property
    def neurons(self) -> tuple[int, ...]:
        """The first of those that depart."""
        return tuple(self.held.neurons[:FIRST].tolist())

    def fits(self, change: Change) -> bool:
        """True if the change alone explains every recorded value of the neurons that depart."""
        return explains(self.held, predict(self.held, change))

    def fault(self, kind: str, text: str, a: int | None = None, b: int | None = None, synapse: str = "") -> Fault:
        """A fault of these neurons."""
        return Fault(kind, self.name, f"{self.name}: {text}", synapse, self.neurons, (), a, b)


FIRST = 10


def case_of(trace: Trace, samples: tuple[int, ...], whole: Records) -> Case | None:
    """The neurons of a population that depart from their program; None if none does."""
    where = departs(whole, predict(whole)).any(axis=0)
    if not where.any():
        return None
    held = whole.of(where)
    return Case(trace, samples, whole, held, predict(held))


def potential_error(case: Case) -> tuple[Ints, NDArray[np.bool_]]:
    """h recorded minus h predicted, (M, n), and where it is known.

    Without h from v: in steps without a spike; where a spike subtracts, in all in which it is the same.
    """
    seen, found = case.held.seen, case.found
    if "h" in seen and "h" in found:
        return seen["h"] - found["h"], np.ones(seen["h"].shape, np.bool_)
    fired = seen.get("spikes", found["spikes"])
    levels = spec(case.whole.population.kind).levels(case.held.params, case.held.registers)
    known = (found["spikes"] == 0) & (fired == 0)
    if levels is not None and "h" in found:
        s = found["spikes"]
        theta = np.where(s > 0, case.held.params.get("theta_reset", levels.theta), levels.theta_neg)
        if np.array_equal(found["h"] - s * theta, found["v"]):
            known = fired == s
    return seen["v"] - found["v"], known


def current_error(case: Case) -> tuple[Ints, NDArray[np.bool_]]:
    """The same of the current; of a current without memory that is not recorded, that of the potential."""
    seen, found = case.held.seen, case.found
    if "u" in seen and "u" in found:
        return seen["u"] - found["u"], np.ones(seen["u"].shape, np.bool_)
    return potential_error(case)
