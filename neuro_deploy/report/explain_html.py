"""What `explain` found, as HTML: charts of what each number format costs, in which layer; alone or within a report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ..explanation import Explanation
from ..files import write_text
from ..resources import versions
from .bars import Series, bars
from .explain_table import decided
from .text import number, percent

AXIS = "spikes that differ from float"


def write_explanation(path: str | os.PathLike[str], found: Explanation, *, title: str, command: str) -> None:
    """Write a self-contained HTML report, atomically.  Raises: FileError."""
    write_text(path, render_explanation(found, title, command))


def render_explanation(found: Explanation, title: str, command: str) -> str:
    """The report's text."""
    parts = {
        "css": Markup((files(__package__) / "report.css").read_text(encoding="utf-8")),
        "title": title,
        "sections": Markup(explain_sections(found)),
        "provenance": [("command", command), *versions().items()],
    }
    return _rendered("explain.html.j2", found, parts)


def explain_sections(found: Explanation) -> str:
    """The sections of a page that tell it: formats, layers, proposals."""
    costly = [f for f in found.formats if f.layers]
    names = list(dict.fromkeys(at for f in costly for at in f.layers))
    rows = [{"name": at, "values": [f.layers[at].differing if at in f.layers else 0 for f in costly]} for at in names]
    by_layer = [Series(f.name, [f.layers[at].differing if at in f.layers else 0 for at in names]) for f in costly]
    formats = [
        Series("on alone", [f.alone.differing for f in found.formats]),
        Series("all on but this one", [f.without.differing for f in found.formats]),
    ]
    what = "Spikes that differ, by number format"
    parts = {
        "chart": Markup(bars(what, [f.name for f in found.formats], formats, AXIS, mark=found.chip.differing)),
        "by_layer": Markup(bars(f"{what} and layer", names, by_layer, AXIS, stacked=True)) if names else "",
        "costly": [f.name for f in costly],
        "layers": rows,
    }
    return _rendered("explain_sections.html.j2", found, parts)


def _rendered(template: str, found: Explanation, parts: Mapping[str, object]) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, percent=percent)
    text = (files(__package__) / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(
        found=found, decided=lambda effect: decided(effect, found.samples), **parts
    )
