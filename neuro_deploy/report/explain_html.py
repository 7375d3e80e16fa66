"""`explain`'s report: one HTML file with a chart of what each number format costs, in which layer."""

from __future__ import annotations

import os
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ..explanation import Explanation
from ..files import write_text
from ..resources import versions
from .explain_table import decided
from .text import number, percent


def write_explanation(path: str | os.PathLike[str], found: Explanation, *, title: str, command: str) -> None:
    """Write a self-contained HTML report, atomically.  Raises: FileError."""
    write_text(path, render_explanation(found, title, command))


def render_explanation(found: Explanation, title: str, command: str) -> str:
    """The report's text."""
    folder = files(__package__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, percent=percent)
    parts = {
        "css": Markup((folder / "report.css").read_text(encoding="utf-8")),
        "script": Markup((folder / "explain.js").read_text(encoding="utf-8")),
        "plotly": Markup((files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")),
        "title": title,
        "found": found,
        "decided": lambda effect: decided(effect, found.samples),
        "provenance": [("command", command), *versions().items()],
        "data": chart(found),
    }
    return environment.from_string((folder / "explain.html.j2").read_text(encoding="utf-8")).render(parts)


def chart(found: Explanation) -> dict[str, Any]:
    """What the chart shows: per format the spikes that differ, on alone and all but this; per layer where it is on."""
    costly = [f for f in found.formats if f.layers]
    layers = list(dict.fromkeys(at for f in costly for at in f.layers))
    return {
        "formats": [f.name for f in found.formats],
        "alone": [f.alone.differing for f in found.formats],
        "without": [f.without.differing for f in found.formats],
        "chip": found.chip.differing,
        "costly": [f.name for f in costly],
        "layers": [
            {"name": at, "values": [f.layers[at].differing if at in f.layers else 0 for f in costly]} for at in layers
        ],
    }
