"""The verdict of a whole road: float network, simulator and Lava, judged together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import Readout
from ..shown import Shown
from ..trace import Trace
from .result import Comparison, plain
from .runs import compare
from .statistics import check_labels

LOSS, ALIKE = 0.005, 0.99
"""A loss of accuracy, and a share of decisions that are alike, from which on a verdict has a remark."""
EVENTS = {
    "clipped": "{} values lie beyond the range that the program was compiled for, and were clipped",
    "v_clips": "a potential met its register's limit {} times: that is not what the network means",
    "u_wraps": "a current wrapped around {} times: that is not what the network means",
    "a_wraps": "an input sum wrapped around {} times: that is not what the network means",
}
"""What the counters of a run mean."""


@dataclass(frozen=True)
class Verdict(Shown):
    """Does the chip do what was trained?

    passed: sim and Lava are equal, every number, and some neuron fired (so False if Lava did not run).
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
    shown = sim if exact is None else _first(sim, exact.samples)
    empty = exact is not None and exact.equal and _still(shown, silent)
    return Verdict(
        passed=exact is not None and exact.equal and not empty,
        sentence=_sentence(exact, statistics, empty),
        samples=sim.batch,
        lava_samples=exact.samples if exact else 0,
        accuracy=accuracy,
        exact=exact,
        statistics=statistics,
        counters=counters,
        witnesses=dict(witnesses or {}),
        remarks=(*_losses(accuracy, statistics), *_remarks(shown, sim, silent, readout)),
    )


def _accuracy(run: Trace, readout: Readout, labels: NDArray[Any]) -> float:
    right = check_labels(labels, run.batch)
    return float(np.mean(readout.decide(run) == right))


def _first(run: Trace, samples: int) -> Trace:
    """The run's first samples."""
    kept = {
        name: replace(p, data={variable: array[:, :samples] for variable, array in p.data.items()})
        for name, p in run.populations.items()
    }
    return replace(run, populations=kept)


def _firing(run: Trace, known: Sequence[str]) -> dict[str, bool]:
    """Population that could fire -> whether it did.  known: those that never do, and inputs are no populations."""
    return {
        name: bool(p.data["spikes"].any())
        for name, p in run.populations.items()
        if name not in known and p.latency > 0 and "spikes" in p.data
    }


def _still(run: Trace, known: Sequence[str]) -> bool:
    """True if there are neurons that could fire, and none did: then equality says nothing."""
    firing = _firing(run, known)
    return bool(firing) and not any(firing.values())


def _sentence(exact: Comparison | None, statistics: Comparison | None, empty: bool) -> str:
    if exact is None:
        text = "Not judged: Lava did not run"
    elif empty:
        text = f"Not judged: no neuron fires in the {exact.samples} samples, so that sim and Lava agree says nothing"
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


def _losses(accuracy: Mapping[str, float], statistics: Comparison | None) -> Iterator[str]:
    """What is said where the chip, equal to its own simulation or not, decides worse than the float network."""
    judged = "the verdict is about the chip's integers, not about how good they are: 'explain' tells what costs it"
    if "float" in accuracy and accuracy["float"] - accuracy["sim"] > LOSS:
        yield f"accuracy falls by {100 * (accuracy['float'] - accuracy['sim']):.1f} points on the chip; {judged}"
    elif statistics and statistics.decisions and statistics.decisions.agreement < ALIKE:
        d = statistics.decisions
        yield f"float and sim decide differently in {d.samples - d.agreeing:,} of {d.samples:,} samples; {judged}"


def _remarks(shown: Trace, sim: Trace, known: Sequence[str], readout: Readout | None) -> tuple[str, ...]:
    """shown: the samples that were judged; sim: all of them."""
    where = "" if shown.batch == sim.batch else f" in the {shown.batch} samples that Lava ran"
    silent = [n for n, fires in _firing(shown, known).items() if not fires]
    remarks = [f"{name} never fires{where}: its equality says little" for name in silent]
    if readout is not None and readout.readable(sim) and (ties := int(readout.ties(sim).sum())):
        remarks.append(f"{ties} of {sim.batch} decisions are ties, which the lowest index wins")
    return (*remarks, *counter_remarks(sim))
