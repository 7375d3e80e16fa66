"""How numbers are written, the same in tables and reports, and plain tables of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

NONE = "–"


def number(value: float | int | str | None) -> str:
    """A number for people: thousands separated, five significant digits of a float, a dash for None."""
    if value is None or isinstance(value, str):
        return value or NONE
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if math.isfinite(value) and float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.5g}"


def percent(value: float | None) -> str:
    """A fraction as a percentage with two decimals."""
    return NONE if value is None else f"{value:.2%}"


PREFIXES = ((1e-12, "p"), (1e-9, "n"), (1e-6, "µ"), (1e-3, "m"), (1.0, ""))


def quantity(low: float, high: float, unit: str) -> str:
    """A range of a physical quantity with one prefix: "12.3 .. 45.6 nJ"."""
    scale, prefix = next((p for p in reversed(PREFIXES) if high >= p[0]), PREFIXES[0])
    ends = list(dict.fromkeys(f"{value / scale:.3g}" for value in (low, high)))
    return f"{' .. '.join(ends)} {prefix}{unit}"


def span(values: NDArray[Any]) -> str:
    """The range of an array: "3" or "1 .. 5"."""
    if values.size == 0:
        return NONE
    low, high = number(values.min().item()), number(values.max().item())
    return low if low == high else f"{low} .. {high}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape: "64" or "8 x 4 x 4"."""
    return " x ".join(map(str, shape)) or "1"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A rich table of plain text (nothing in it is markup); a column whose name ends in "#" is aligned right."""
    heading = Text(title, "bold") if title else None
    result = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for name in columns:
        right = name.endswith("#")
        result.add_column(
            Text(name.rstrip("#")), justify="right" if right else "left", overflow="fold", no_wrap=name is columns[0]
        )
    for row in rows:
        result.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return result


def facts(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values in two columns without a head."""
    result = Table.grid(padding=(0, 2))
    for name, value in rows:
        result.add_row(Text(name, "dim"), value if isinstance(value, Text) else Text(str(value)))
    return result
