"""What `explain` found, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..comparison.result import plain


@dataclass(frozen=True)
class Effect:
    """How a run differs from the float run.

    differing: neuron-steps with another spike; layers: of them in each population.   agreeing: samples with the same
    decision, correct: with the right one; None where there is no readout, no label.
    """

    differing: int
    layers: Mapping[str, int]
    agreeing: int | None = None
    correct: int | None = None


@dataclass(frozen=True)
class FormatCost:
    """What one number format costs.

    alone: it is on in all layers, all others are off.   without: it is off, all others are on.
    layers: layer -> it is on in this layer alone; {} if it costs nothing alone.
    """

    name: str
    meaning: str
    alone: Effect
    without: Effect
    layers: Mapping[str, Effect]


@dataclass(frozen=True)
class Proposal:
    """A change that may bring the chip nearer to the float run.

    what: the change in words; command: how to make it.   possible: False where this target cannot do it.
    effect: measured, None where it was not; why: what else is to be known of it.
    removes: fraction of the differing spikes that it removes (below 0: it adds some).
    """

    what: str
    command: str
    possible: bool
    effect: Effect | None
    removes: float | None
    why: str = ""


@dataclass(frozen=True)
class Explanation:
    """Which number format costs how much.

    target, steps, samples: of the run.   decisions: neuron-steps of populations that can fire.   fired: with a spike.
    exact: the float run; chip: all formats on, which is what `sim` gives, bit for bit.
    unlike_reference: neuron-steps in which the float64 run and the float32 reference differ; None: not compared.
    formats: by cost alone, the largest first.   proposals: the cheapest to make first; chosen: index of the proposed
    one, None where nothing is proposed.   trained_here: the network was trained in this target's arithmetic, so that
    the chip's run is what was trained.
    """

    target: str
    steps: int
    samples: int
    decisions: int
    fired: int
    exact: Effect
    chip: Effect
    unlike_reference: int | None
    formats: tuple[FormatCost, ...]
    proposals: tuple[Proposal, ...]
    chosen: int | None
    trained_here: bool = False

    @property
    def sentence(self) -> str:
        """The result in one or two sentences."""
        share = self.chip.differing / max(1, self.decisions)
        text = f"float to {self.target}: {self.chip.differing:,} of {self.decisions:,} spikes differ ({share:.3%})"
        if self.chip.correct is not None and self.exact.correct is not None:
            change = (self.chip.correct - self.exact.correct) / self.samples
            text += f", accuracy {self.exact.correct / self.samples:.2%} -> {self.chip.correct / self.samples:.2%}"
            text += f" ({100 * change:+.2f} points)"
        elif self.chip.agreeing is not None:
            text += f", {self.chip.agreeing} of {self.samples} decisions agree"
        if self.chip.differing and self.formats:
            worst = self.formats[0]
            text += f"; most by {worst.name} ({worst.alone.differing:,} alone)"
        if self.chosen is not None:
            text += f".  Proposed: {self.proposals[self.chosen].what}"
        if self.trained_here:
            text += ".  It was trained in this chip's arithmetic: what the chip does is what was trained"
        return text + "."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"sentence": self.sentence, **plain(self)}
