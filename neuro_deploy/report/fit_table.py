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


def fit_table(fit: Mapping[str, Any]) -> RenderableType:
    """What each population takes, with totals and shares of a chip; then the fullest core of each.

    fit: `Fit.to_dict()`.
    """
    populations = table("What each population takes, over all its cores", _columns(), _rows(fit))
    title = f"The fullest core of each, and its share of what a core of {fit['target']} has"
    fullest = table(title, ("name", *(f"{text}#" for text in RESOURCES.values())), _fullest(fit))
    notes = [Text(note, "dim") for note in fit["notes"]]
    return Group(Text(_sentence(fit), "bold"), Text(), populations, fullest, *notes, Text())


def _sentence(fit: Mapping[str, Any]) -> str:
    cores, per_chip = fit["cores"], fit["cores_per_chip"]
    chips = f"{number(fit['chips'])} chip{'s' if fit['chips'] > 1 else ''}" if fit["chips"] else f"chips: {UNKNOWN}"
    of = f" of {number(per_chip)} a chip" if per_chip else ""
    return f"Fit on {fit['target']}: {number(cores)} core{'s' if cores != 1 else ''}{of}, {chips}"


def _columns() -> tuple[str, ...]:
    return ("name", "cores#", "limited by", "connections#", "stored#", *(f"{t}#" for t in RESOURCES.values()))


def _rows(fit: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for p in fit["populations"]:
        limited_by = RESOURCES.get(p["bound_by"], "")
        counts = (number(p[name]) for name in ("connections", "stored_on_cores"))
        yield p["name"], number(p["cores"]), limited_by, *counts, *(number(p["total"][name]) for name in RESOURCES)
    sums = [number(fit[name]) for name in ("connections", "stored_on_cores")]
    total = ["total", number(fit["cores"]), "", *sums, *(number(fit["total"][name]) for name in RESOURCES)]
    yield tuple(Text(cell, "bold") for cell in total)
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


def _fullest(fit: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    limits = fit["limits"]
    for p in fit["populations"]:
        yield p["name"], *(_used(p["fullest"][name], limits[name]) for name in RESOURCES)
    has = [number(limits[name]) if limits[name] else UNKNOWN for name in RESOURCES]
    yield tuple(Text(cell, "bold") for cell in ("a core has", *has))


def _share(value: int, limit: int) -> str:
    return percent(value / limit) if limit else NONE


def _used(value: int, limit: int) -> Text:
    if not limit:
        return Text(number(value))
    return Text(f"{number(value)} ({value / limit:.0%})", "bold red" if value > limit else "")
