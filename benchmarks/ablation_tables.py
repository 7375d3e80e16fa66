"""The statistics of ablation.py, and its tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

TITLES = {"best": "Best trial of each arm", "equal": "At most as many spikes on validation as LIF's best trial"}
STEPS = ((1, 0), (2, 0), (3, 2), (4, 3))
"""Arms that differ by one idea, as (with, without), numbered as they are listed."""


@dataclass(frozen=True)
class Outcome:
    """An arm on a workload.

    setting: the trial that was taken, by a recipe's keys.   validation: its accuracy there, in percent.
    accuracy: on the test set in percent, spikes: a sample, both seed by seed.
    """

    arm: str
    setting: Mapping[str, Any]
    validation: float
    accuracy: tuple[float, ...]
    spikes: tuple[float, ...]


def paired(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Mean of a - b, and the two-sided p of the paired t-test; NaN where all differences are the same."""
    difference = np.subtract(a, b)
    if np.ptp(difference) == 0:
        return float(difference.mean()), math.nan
    return float(difference.mean()), float(stats.ttest_rel(a, b).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p of each of several tests for all of them together.  NaN stay, and count.

    The i-th smallest of m is multiplied by m - i + 1; a larger p never gets a smaller result; at most 1.
    Source: S. Holm, Scandinavian Journal of Statistics 6:65, 1979.
    """
    corrected, least = [math.nan] * len(p), 0.0
    for rank, i in enumerate(sorted((i for i, value in enumerate(p) if not math.isnan(value)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = least
    return corrected


def ideas(found: Mapping[str, Sequence[Outcome | None]], trials: Sequence[Sequence[float]]) -> list[str]:
    """What each idea adds to the arm without it, as a table: by seed, of both choices; same settings by trial."""
    lines = [
        "What each idea adds to the arm without it, on test; best trials also with the same settings on validation:"
    ]
    lines += ["", "| arms | points | p, Holm | points by trial, mean | better in |", "|---|---:|---:|---:|---:|"]
    lines += _added(found["best"], trials, "")
    lines += _added(found["equal"], None, ", at most LIF's spikes")
    return [*lines, ""]


def _added(arms: Sequence[Outcome | None], trials: Sequence[Sequence[float]] | None, where: str) -> list[str]:
    """Rows of one choice, which Holm corrects together."""
    pairs = [(i, j, a, b) for i, j in STEPS if (a := arms[i]) and (b := arms[j])]
    found = [paired(a.accuracy, b.accuracy) for _, _, a, b in pairs]
    corrected = holm([p for _, p in found])
    lines = []
    for (i, j, a, b), (mean, _), together in zip(pairs, found, corrected, strict=True):
        same = " | "
        if trials is not None:
            gains = np.subtract(trials[i], trials[j])
            same = f"{gains.mean():+.2f} | {(gains > 0).sum()} of {len(gains)}"
        lines.append(f"| {a.arm} against {b.arm}{where} | {mean:+.2f} | {probability(together)} | {same} |")
    return lines


def probability(p: float) -> str:
    """Of a p: three digits after the point."""
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def against_first(arms: Sequence[Outcome | None]) -> dict[int, tuple[float, float]]:
    """Points and Holm's p of each arm but the first against it, by its place; NaN where one was not run."""
    first = arms[0]
    against = {i: paired(o.accuracy, first.accuracy) for i, o in enumerate(arms) if i and o and first}
    corrected = dict(zip(against, holm([p for _, p in against.values()]), strict=True))
    return {i: (against[i][0], corrected[i]) if i in against else (math.nan, math.nan) for i in range(1, len(arms))}


def summary(name: str, arms: Sequence[Outcome | None]) -> list[str]:
    """Accuracy and spikes of each arm, against the first one, as a table."""
    against = against_first(arms)
    lines = [f"{TITLES[name]}:", "", "| arm | validation % | test %, mean | sd | spikes a sample | points | p, Holm |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for i, o in enumerate(arms):
        if o is None:
            lines.append("| none, or not run | | | | | | |")
            continue
        mean, sd = np.mean(o.accuracy), np.std(o.accuracy, ddof=1)
        rest = f"| {against[i][0]:+.2f} | {probability(against[i][1])} |" if i in against else "| | |"
        lines.append(f"| {o.arm} | {o.validation:.1f} | {mean:.2f} | {sd:.2f} | {np.mean(o.spikes):,.0f} {rest}")
    return [*lines, ""]


def settings(arms: Sequence[Outcome | None]) -> list[str]:
    """What was taken for each arm, as a table."""
    names = list(dict.fromkeys(key for o in arms if o for key in o.setting))
    lines = [
        " | ".join(["| arm", *(name.rpartition(".")[2] for name in names)]) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for o in arms:
        if o:
            lines.append(" | ".join([f"| {o.arm}", *(str(o.setting.get(name, "")) for name in names)]) + " |")
    return [*lines, ""]


def report(title: str, found: Mapping[str, Sequence[Outcome | None]], trials: Sequence[Sequence[float]]) -> str:
    """All tables of a workload.  trials: accuracy of each arm on validation in percent, trial by trial."""
    best = found["best"]
    lines = [f"#### {title}", ""]
    if not any(best):
        return "\n".join([*lines, "Not run.", ""])
    lines += [*summary("best", best), *summary("equal", found["equal"])]
    lines += ideas(found, trials)
    return "\n".join([*lines, "What was taken:", "", *settings(best)])
