"""Templates of this folder, filled."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .text import number, percent


def text_of(name: str) -> str:
    """A file of this folder."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def rendered(template: str, parts: Mapping[str, object]) -> str:
    """A template with its parts and the style sheet; what is no Markup is escaped, and nothing may be missing."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, percent=percent)
    return environment.from_string(text_of(template)).render({"css": Markup(text_of("report.css")), **parts})
