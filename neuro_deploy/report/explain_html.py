"""What `explain` found, as HTML: charts of what each number format costs, in which layer; alone or within a report."""

from __future__ import annotations

import os

from markupsafe import Markup

from ..explanation import Explanation
from ..files import write_text
from ..resources import versions
from .bars import Series, bars
from .explain_table import decided, layer_counts
from .page import rendered

AXIS = "spikes that differ from float"


def write_explanation(path: str | os.PathLike[str], found: Explanation, *, title: str, command: str) -> None:
    """Write a self-contained HTML report, atomically.  Raises: FileError."""
    write_text(path, render_explanation(found, title, command))


def render_explanation(found: Explanation, title: str, command: str) -> str:
    """The report's text."""
    parts = {
        "found": found,
        "decided": lambda effect: decided(effect, found.samples),
        "title": title,
        "sections": Markup(explain_sections(found)),
        "provenance": [("command", command), *versions().items()],
    }
    return rendered("explain.html.j2", parts)


def explain_sections(found: Explanation) -> str:
    """The sections of a page that tell it: formats, layers, proposals."""
    costly, places = layer_counts(found)
    names = list(places)
    by_layer = [Series(name, [places[at][k] or 0 for at in names]) for k, name in enumerate(costly)]
    formats = [
        Series("on alone", [f.alone.differing for f in found.formats]),
        Series("all on but this one", [f.without.differing for f in found.formats]),
    ]
    what = "Spikes that differ, by number format"
    parts = {
        "chart": Markup(bars(what, [f.name for f in found.formats], formats, AXIS, mark=found.chip.differing)),
        "by_layer": Markup(bars(f"{what} and layer", names, by_layer, AXIS, stacked=True)) if names else "",
        "found": found,
        "decided": lambda effect: decided(effect, found.samples),
        "costly": costly,
        "layers": places,
    }
    return rendered("explain_sections.html.j2", parts)
