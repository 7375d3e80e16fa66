"""How much of a chip a program takes (what `lower/fit.py` stored in its report), as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from .text import NONE, number, percent, table

RESOURCES = {
    "neurons": "neurons",
    "synapse_memory_bytes": "synapse bytes",
    "input_axons": "input axons",
    "output_axons": "output axons",
}
UNKNOWN = "not published"
OVER = " ✗"
"""Behind what is more than a core has."""


def fit_table(fit: Mapping[str, Any]) -> RenderableType:
    """What each population takes, with totals and shares of a chip; then the fullest core of each.

    fit: `Fit.to_dict()`.
    """
    sentence, columns, fullest = facts_of(fit)
    populations = table("What each population takes, over all its cores", columns, _bold(population_rows(fit), 2))
    title = f"The fullest core of each, and its share of what a core of {fit['target']} has"
    notes = [Text(note, "dim") for note in fit["notes"]]
    cores = table(title, fullest, _bold(fullest_rows(fit), 1))
    return Group(Text(sentence, "bold"), Text(), populations, cores, *notes, Text())


def facts_of(fit: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The sentence, the columns of `population_rows`, and those of `fullest_rows` ("#": of numbers)."""
    resources = tuple(f"{text}#" for text in RESOURCES.values())
    columns = ("name", "cores#", "limited by", "connections#", "stored#", *resources)
    return _sentence(fit), columns, ("name", *resources)


def _bold(rows: Iterator[tuple[str, ...]], last: int) -> list[tuple[object, ...]]:
    """The rows, the first of the `last` ones in bold, a cell that is more than a core has in red."""
    found = [tuple(Text(c, "bold red") if c.endswith(OVER) else c for c in row) for row in rows]
    found[-last] = tuple(Text(str(cell), "bold") for cell in found[-last])
    return list(found)


def _sentence(fit: Mapping[str, Any]) -> str:
    cores, per_chip = fit["cores"], fit["cores_per_chip"]
    chips = f"{number(fit['chips'])} chip{'s' if fit['chips'] > 1 else ''}" if fit["chips"] else f"chips: {UNKNOWN}"
    of = f" of {number(per_chip)} a chip" if per_chip else ""
    return f"Fit on {fit['target']}: {number(cores)} core{'s' if cores != 1 else ''}{of}, {chips}"


def population_rows(fit: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """What each population takes; in the last two rows, the total and its share of a chip."""
    for p in fit["populations"]:
        limited_by = RESOURCES.get(p["bound_by"], "")
        counts = (number(p[name]) for name in ("connections", "stored_on_cores"))
        yield p["name"], number(p["cores"]), limited_by, *counts, *(number(p["total"][name]) for name in RESOURCES)
    sums = [number(fit[name]) for name in ("connections", "stored_on_cores")]
    yield "total", number(fit["cores"]), "", *sums, *(number(fit["total"][name]) for name in RESOURCES)
    cores = fit["cores_per_chip"]
    shares = [_share(fit["total"][name], fit["limits"][name] * cores) for name in RESOURCES]
    yield (
        "of a chip",
        _share(fit["cores"], cores),
        "",
        "",
        _share(fit["stored_on_cores"], fit["synapses_per_chip"]),
        *shares,
    )


def fullest_rows(fit: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The fullest core of each population; in the last row, what a core has."""
    limits = fit["limits"]
    for p in fit["populations"]:
        yield p["name"], *(_used(p["fullest"][name], limits[name]) for name in RESOURCES)
    has = [number(limits[name]) if limits[name] else UNKNOWN for name in RESOURCES]
    yield "a core has", *has


def _share(value: int, limit: int) -> str:
    return percent(value / limit) if limit else NONE


def _used(value: int, limit: int) -> str:
    if not limit:
        return number(value)
    return f"{number(value)} ({value / limit:.0%})" + (OVER if value > limit else "")
