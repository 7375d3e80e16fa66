"""The tables of ablation.py in README.md and benchmarks/README.md, made from results/ between two marks each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ablation_tables import Outcome, against_first, probability

Found = Mapping[str, Sequence[Outcome | None]]
ROOT = Path(__file__).resolve().parent.parent
HEAD = (
    "| | LIF, test % | CF + TSL-SG + PNB | points | p, Holm | spikes | at most LIF's spikes: points | p, Holm |",
    "|---|---:|---:|---:|---:|---:|---:|---:|",
)


def overview(found: Mapping[str, Found]) -> str:
    """A row for each workload that was run: the first arm, the last one, their difference, and that at equal spikes.

    found: title -> outcomes of each arm for the two choices, "best" and "equal".
    """
    lines = list(HEAD)
    for title, choice in found.items():
        first, last = choice["best"][0], choice["best"][-1]
        if first is None or last is None:
            continue
        spikes = f"{np.mean(last.spikes) / np.mean(first.spikes):.2f} x"
        cells = [title, spread(first), spread(last), *compared(choice["best"]), spikes, *compared(choice["equal"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(outcome: Outcome) -> str:
    """Mean and standard deviation over seeds."""
    return f"{np.mean(outcome.accuracy):.2f} ± {np.std(outcome.accuracy, ddof=1):.2f}"


def compared(arms: Sequence[Outcome | None]) -> tuple[str, str]:
    """Points and p of the last arm against the first; empty where one was not run."""
    points, p = against_first(arms)[len(arms) - 1]
    return ("", "") if np.isnan(points) else (f"{points:+.2f}", probability(p))


def placed(text: str, name: str, table: str) -> str:
    """The text with the table between its two marks.  Raises: ValueError without the marks."""
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no marks of the table '{name}'")
    return pattern.sub(lambda m: m.group(1) + table.strip() + m.group(2), text)


def current(tables: Mapping[str, Mapping[str, str]]) -> dict[Path, str]:
    """The pages as they should be.  tables: file, from the root -> name of the marks -> table."""
    pages = {}
    for file, of_file in tables.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        for name, table in of_file.items():
            text = placed(text, name, table)
        pages[ROOT / file] = text
    return pages
