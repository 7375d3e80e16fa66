"""The verdict of a whole road: float network, simulator and Lava, judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import Readout
from ..trace import Trace
from .result import Comparison, plain
from .runs import compare
from .statistics import check_labels

EVENTS = {
    "clipped": "{} values lie beyond the range that the program was compiled for, and were clipped",
    "v_clips": "a potential met its register's limit {} times: that is not what the network means",
    "u_wraps": "a current wrapped around {} times: that is not what the network means",
    "a_wraps": "an input sum wrapped around {} times: that is not what the network means",
}
"""What the counters of a run mean."""


@dataclass(frozen=True)
class Verdict:
    """Does the chip do what was trained?

    passed: sim and Lava are equal, every number (so False if Lava did not run).
    sentence: the result for people.
    samples: how many sim ran; lava_samples: how many of them Lava ran too (0: it did not run).
    accuracy: "float", "sim", "lava" -> fraction right, of those that ran, if labels are known.
    exact: sim against Lava; statistics: float against sim.
    counters: population -> event -> count, of sim, where not zero (register clips and wraps).
    witnesses: population -> which Lava process judged it.
    remarks: what weakens the verdict (populations without a spike; clips and wraps).
    """

    passed: bool
    sentence: str
    samples: int
    lava_samples: int
    accuracy: Mapping[str, float]
    exact: Comparison | None
    statistics: Comparison | None
    counters: Mapping[str, Mapping[str, int]]
    witnesses: Mapping[str, str]
    remarks: tuple[str, ...] = ()

    @property
    def differing_spikes(self) -> int | None:
        """Spikes that differ between sim and Lava; None if Lava did not run."""
        return self.exact.differing_spikes if self.exact else None

    @property
    def differing(self) -> int | None:
        """Values (spikes and states) that differ between sim and Lava; None if Lava did not run."""
        return self.exact.differing if self.exact else None

    @property
    def agreement(self) -> float | None:
        """Fraction of decisions that float and sim share; None if unknown."""
        return self.statistics.decisions.agreement if self.statistics and self.statistics.decisions else None

    @property
    def exit_code(self) -> int:
        """0 passed, 1 not."""
        return 0 if self.passed else 1

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        derived = {
            "differing_spikes": self.differing_spikes,
            "differing": self.differing,
            "agreement": self.agreement,
        }
        nested = {
            "exact": self.exact.to_dict() if self.exact else None,
            "statistics": self.statistics.to_dict() if self.statistics else None,
        }
        return {**plain(self), **derived, **nested}


def judge(
    sim: Trace,
    *,
    lava: Trace | None = None,
    reference: Trace | None = None,
    readout: Readout | None = None,
    labels: NDArray[Any] | None = None,
    witnesses: Mapping[str, str] | None = None,
    silent: Sequence[str] = (),
) -> Verdict:
    """Compare sim with Lava exactly, and the float run with sim statistically.

    sim, lava: integer runs of one program (Lava's may have fewer samples).   reference: a float run.
    labels: (B,) integers.   witnesses: population -> text, such as "Lava LIF" or "our CF in Lava".
    Raises: InputError as `compare` does.
    """
    runs = {"float": reference, "sim": sim, "lava": lava}
    accuracy = {}
    if readout is not None and labels is not None:
        accuracy = {name: _accuracy(run, readout, labels) for name, run in runs.items() if run is not None}
    exact = compare(sim, lava, readout=readout) if lava is not None else None
    statistics = compare(reference, sim, readout=readout, labels=labels) if reference is not None else None
    counters = {
        name: {event: n for event, n in events.items() if n}
        for name, events in sim.counters.items()
        if any(events.values())
    }
    return Verdict(
        passed=exact is not None and exact.equal,
        sentence=_sentence(exact, statistics),
        samples=sim.batch,
        lava_samples=exact.samples if exact else 0,
        accuracy=accuracy,
        exact=exact,
        statistics=statistics,
        counters=counters,
        witnesses=dict(witnesses or {}),
        remarks=_remarks(sim, silent),
    )


def _accuracy(run: Trace, readout: Readout, labels: NDArray[Any]) -> float:
    right = check_labels(labels, run.batch)
    return float(np.mean(readout.decide(run) == right))


def _sentence(exact: Comparison | None, statistics: Comparison | None) -> str:
    if exact is None:
        text = "Not judged: Lava did not run"
    elif exact.equal:
        variables = "spikes and states"
        text = (
            f"Same {variables}: sim and Lava agree in every one of {exact.values:,} numbers "
            f"over {exact.samples} sample{'s' * (exact.samples != 1)}"
        )
    elif exact.differing:
        text = (
            f"Different: sim and Lava differ in {exact.differing:,} of {exact.values:,} numbers, first at {exact.first}"
        )
    else:
        text = "Not judged: " + exact.summary()
    if statistics and statistics.decisions:
        text += (
            f"; float and sim decide alike in {statistics.decisions.agreeing} of {statistics.decisions.samples} samples"
        )
    return text + "."


def counter_remarks(run: Trace) -> tuple[str, ...]:
    """A run's counters that are not zero, in words."""
    return tuple(
        f"{name}: {EVENTS.get(event, event + ' {} times').format(f'{count:,}')}"
        for name, events in run.counters.items()
        for event, count in events.items()
        if count
    )


def _remarks(sim: Trace, known: Sequence[str]) -> tuple[str, ...]:
    firing = {n: p for n, p in sim.populations.items() if n not in known and "spikes" in p.data}
    silent = [n for n, p in firing.items() if not p.data["spikes"].any()]
    remarks = [f"{name} never fires: its equality says little" for name in silent]
    return (*remarks, *counter_remarks(sim))
