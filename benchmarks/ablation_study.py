"""The study of ablation.py: one setting at a time, on validation only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from ablation_workloads import (
    ALPHA,
    ARMS,
    BETA,
    PNB,
    ROUNDS,
    STUDY,
    SURROGATE,
    THETA,
    TSL,
    Arm,
    Job,
    Record,
    Workload,
    key_of,
)

SEEDS = (1001, 1002, 1003)
BASE: Mapping[str, Any] = MappingProxyType(
    dict(
        zip(
            (ALPHA, SURROGATE, THETA, BETA, "readout.scale", TSL, ROUNDS, PNB),
            (4.0, "sigmoid", 1.0, 0.9, 4.0, 0.01, 3, 0.1),
            strict=True,
        )
    )
)
"""What is kept while one setting is varied: what the recipes had when the study began."""
LIF, LIF_TSL, CF, CF_TSL, ALL = ARMS


@dataclass(frozen=True)
class Variant:
    """An arm with the setting BASE but for `changed`."""

    label: str
    arm: Arm
    changed: Mapping[str, Any]

    def jobs(self, workload: Workload) -> list[Job]:
        """One a seed."""
        base = {"training.lr": workload.lr, **BASE}
        setting = {**{name: base[name] for name in self.arm.tuned}, **self.changed}
        return [Job(workload, self.arm, setting, seed, STUDY) for seed in SEEDS]


def spaced(first: float, last: float, steps: int) -> list[float]:
    """From `first` to `last`, each the same factor after the one before."""
    return [float(f"{value:.3g}") for value in np.geomspace(first, last, steps)]


def topics(workload: Workload) -> dict[str, list[Variant]]:
    """What is varied, by its title; the first of each is what the others are compared with."""
    rates = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    learned = [Variant(f"learned at {rate:g}", CF_TSL, {TSL: rate}) for rate in rates]
    shapes = [(s, a) for s in ("sigmoid", "arctan", "triangle") for a in (4.0, 2.0, 1.0)]
    steps = workload.steps
    return {
        "Circulations K": [
            Variant("LIF", LIF, {}),
            *(Variant(f"K = {k}", CF, {ROUNDS: k}) for k in (2, 3, 4, 6)),
        ],
        "Surrogate and its alpha, CF": [Variant(f"{s}, {a:g}", CF, {SURROGATE: s, ALPHA: a}) for s, a in shapes],
        "Learning rate of alpha, CF": [Variant("alpha fixed", CF, {}), *learned],
        "Learning rate of alpha, LIF": [
            Variant("alpha fixed", LIF, {}),
            *(Variant(f"learned at {rate:g}", LIF_TSL, {TSL: rate}) for rate in rates),
        ],
        "Alpha at the start, step by step, CF + TSL-SG": [
            learned[1],
            Variant("learned at 0.001, from 1 in the first step to 4", CF_TSL, {TSL: 1e-3, ALPHA: spaced(1, 4, steps)}),
            Variant("learned at 0.001, from 4 in the first step to 1", CF_TSL, {TSL: 1e-3, ALPHA: spaced(4, 1, steps)}),
        ],
        "Weight of PNB, CF + TSL-SG": [
            Variant("without", CF_TSL, {}),
            *(Variant(f"{weight:g}", ALL, {PNB: weight}) for weight in (0.003, 0.01, 0.03, 0.1, 0.3)),
        ],
    }


def study_jobs(workload: Workload) -> list[Job]:
    """All runs of a workload's study, seed by seed."""
    variants = [variant.jobs(workload) for found in topics(workload).values() for variant in found]
    return [job for together in zip(*variants, strict=True) for job in together]


def study_report(workload: Workload, done: Mapping[str, Record]) -> str:
    """The study's tables in Markdown, of the seeds with which all of a table's variants were run; "" without any."""
    tables = []
    for title, variants in topics(workload).items():
        found = [[done.get(key_of(job.known)) for job in variant.jobs(workload)] for variant in variants]
        tables.append(topic_report(title, found, variants))
    tables = [table for table in tables if table]
    return "\n".join([f"#### {workload.title}", "", *tables]) if tables else ""


def topic_report(title: str, found: Sequence[Sequence[Record | None]], variants: Sequence[Variant]) -> str:
    """One table.  found: variant by variant, seed by seed."""
    rows = [[record for record in together if record] for together in zip(*found, strict=True) if all(together)]
    if not rows:
        return ""
    accuracy = np.array([[100 * record["accuracy"] for record in row] for row in rows])
    spikes = np.array([[record["spikes"] for record in row] for row in rows])
    seeds = f"{len(rows)} seed{'s' * (len(rows) > 1)}"
    lines = [
        f"| {title} | validation %, {seeds} | sd | spikes a sample | points | better in |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for i, variant in enumerate(variants):
        gain = accuracy[:, i] - accuracy[:, 0]
        sd = f"{accuracy[:, i].std(ddof=1):.2f}" if len(rows) > 1 else "-"
        rest = f"{gain.mean():+.2f} | {(gain > 0).sum()} of {len(gain)}" if i else "| "
        mean = f"{accuracy[:, i].mean():.2f} | {sd} | {spikes[:, i].mean():,.0f}"
        lines.append(f"| {variant.label} | {mean} | {rest} |")
    return "\n".join([*lines, ""])
