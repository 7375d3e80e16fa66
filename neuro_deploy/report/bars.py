"""Bars that lie, as SVG: for each row one of each series, beside or behind each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from .histograms import nice
from .text import number

WIDTH, RIGHT, TOP, BOTTOM, LEGEND = 760, 76, 22, 40, 24
BAR, GAP, LETTER = 15, 12, 6.6
"""Heights of a bar and between rows; about the width of a letter."""
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#4a555e", "#f0e442")
"""Source: Okabe and Ito, Color Universal Design, 2008."""
LONGEST = 34


class Series(NamedTuple):
    """values: of each row, >= 0."""

    name: str
    values: Sequence[int]


def bars(
    title: str, rows: Sequence[str], series: Sequence[Series], axis: str, *, stacked: bool = False, mark: int = -1
) -> str:
    """An SVG element.  title: for who cannot see it.   mark: a value with a dashed line, "all on"; below 0: none."""
    sums = [sum(s.values[k] for s in series) for k in range(len(rows))]
    most = max([*(sums if stacked else [v for s in series for v in s.values]), mark, 1])
    each = BAR * (1 if stacked else len(series)) + GAP
    left = 16 + LETTER * min(LONGEST, max(map(len, rows), default=0))
    base = TOP + each * len(rows)
    across = (WIDTH - left - RIGHT) / most
    parts = [*_axis(left, base, across, most, axis), *_legend(left, base + BOTTOM, series)]
    for k, row in enumerate(rows):
        top = TOP + each * k + GAP / 2
        middle = top + (each - GAP) / 2 + 4
        parts.append(f'<text x="{left - 8:.0f}" y="{middle:.1f}" text-anchor="end">{escape(_short(row))}</text>')
        at = left
        for i, s in enumerate(series):
            size, y = s.values[k] * across, top if stacked else top + BAR * i
            told = escape(f"{row}, {s.name}: {number(s.values[k])}")
            box = f'x="{at:.1f}" y="{y:.1f}" width="{size:.1f}" height="{BAR - 1}"'
            parts.append(f'<rect {box} fill="{COLOURS[i % len(COLOURS)]}"><title>{told}</title></rect>')
            if not stacked and s.values[k]:
                parts.append(f'<text x="{at + size + 4:.1f}" y="{y + 11:.1f}">{number(s.values[k])}</text>')
            at += size if stacked else 0
        if stacked and sums[k]:
            parts.append(f'<text x="{at + 4:.1f}" y="{top + 11:.1f}">{number(sums[k])}</text>')
    if mark >= 0:
        x = left + mark * across
        parts.append(f'<path d="M{x:.1f} {TOP - 4}V{base}" stroke="#1d252c" stroke-dasharray="5 3" fill="none"/>')
        parts.append(f'<text x="{x:.1f}" y="{TOP - 8}" text-anchor="middle">all on</text>')
    height = base + BOTTOM + LEGEND
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" class="bars" aria-label="{escape(title)}">'
    return head + "".join(parts) + "</svg>"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _axis(left: float, base: float, across: float, most: int, axis: str) -> Iterator[str]:
    step = int(nice(max(1, most / 6)))
    for value in range(0, most + 1, step):
        x = left + value * across
        yield f'<path d="M{x:.1f} {TOP}V{base}" stroke="#e6eaee"/>'
        yield f'<text x="{x:.1f}" y="{base + 14}" text-anchor="middle">{number(value)}</text>'
    yield f'<text x="{(left + WIDTH - RIGHT) / 2:.0f}" y="{base + 31}" text-anchor="middle">{escape(axis)}</text>'


def _legend(left: float, top: float, series: Sequence[Series]) -> Iterator[str]:
    x = left
    for i, s in enumerate(series):
        yield f'<rect x="{x:.1f}" y="{top}" width="11" height="11" fill="{COLOURS[i % len(COLOURS)]}"/>'
        yield f'<text x="{x + 15:.1f}" y="{top + 10}">{escape(s.name)}</text>'
        x += 32 + LETTER * len(s.name)
