"""The graph in the report: the layout of `inspect --svg`, written as SVG with text that can be read and searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import nir

from ..neurons import spec
from ..program import ChipProgram
from ..wiring import Conv
from .nir_drawing import COLOURS, boxes_of, curve, short
from .nir_layout import LINE, Box, Picture, Placed, Route, arrange
from .text import number, shape_text

SCALE, LEGEND, LETTER = 118.0, 0.3, 0.068
"""Pixels of an inch of the layout; inches of the legend; inches of one of its letters."""
AHEAD, BACK = "#444444", COLOURS["neurons that fire"]


def graph_svg(graph: nir.NIRGraph, dt: float | None = None) -> str:
    """A NIR graph as an SVG element.  dt: as for `read_graph`."""
    return _svg(arrange(boxes_of(graph, dt), [(str(a), str(b)) for a, b in graph.edges]), "The network, as NIR")


def program_svg(program: ChipProgram) -> str:
    """The populations and synapses of a program as an SVG element."""
    edges = [(s.source, s.target) for s in program.synapses]
    return _svg(arrange(_boxes(program), edges), "The program: populations and the synapses between them")


def _boxes(program: ChipProgram) -> list[Box]:
    found = [
        Box(e.name, (short(e.name), f"{e.bits} bits", shape_text(e.shape)), "input, output") for e in program.encoders
    ]
    for p in program.populations:
        low, high = spec(p.kind).spike_range(p.params)
        group = "neurons that fire" if (low, high) != (0, 0) else "integrators"
        into = [s for s in program.synapses if s.target == p.name]
        weights = sum(int(s.weight.size) for s in into)
        what = "convolution" if into and all(isinstance(s.wiring, Conv) for s in into) else "synapses"
        lines = (short(p.name), p.kind.upper(), shape_text(p.shape), f"{what}: {number(weights)} weights")
        found.append(Box(p.name, lines if into else lines[:3], group))
    return found


def _svg(picture: Picture, title: str) -> str:
    groups = [g for g in COLOURS if any(placed.box.group == g for placed in picture.boxes)]
    wide = max(picture.width, 0.5 + sum(0.35 + LETTER * len(g) for g in groups))
    width, height = wide * SCALE, (picture.height + LEGEND) * SCALE
    names = ", ".join(placed.box.name for placed in picture.boxes)
    head = (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" class="graph" role="img" '
        f'style="min-width:{0.7 * width:.0f}px" '
        f'aria-label="{escape(f"{title}: {names}")}">'
    )
    tips = _tip("ahead", AHEAD) + _tip("back", BACK)
    parts = [*map(_arrow, picture.routes), *(t for placed in picture.boxes for t in _box(placed))]
    return head + f"<defs>{tips}</defs>" + "".join([*parts, *_legend(groups, picture.height)]) + "</svg>"


def _tip(name: str, colour: str) -> str:
    return (
        f'<marker id="tip-{name}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8Z" fill="{colour}"/></marker>'
    )


def _arrow(route: Route) -> str:
    drawn, controls = "", 0
    for (x, y), what in curve(route.points):
        letter = {"move": "M", "line": "L", "wave": "C", "corner": "Q"}[what]
        length = {"wave": 3, "corner": 2}.get(what, 1)
        drawn += f"{letter if controls == 0 else ' '}{x * SCALE:.1f} {y * SCALE:.1f}"
        controls = (controls + 1) % length
    name, colour = ("back", BACK) if route.back else ("ahead", AHEAD)
    dash = ' stroke-dasharray="6 3"' if route.back else ""
    return f'<path d="{drawn}" fill="none" stroke="{colour}" stroke-width="1.4"{dash} marker-end="url(#tip-{name})"/>'


def _box(placed: Placed) -> Iterator[str]:
    colour, (w, h) = COLOURS[placed.box.group], (placed.width * SCALE, placed.height * SCALE)
    at = f'x="{placed.x * SCALE - w / 2:.1f}" y="{placed.y * SCALE - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}"'
    yield f'<rect {at} rx="7" fill="#fff" stroke="{colour}" stroke-width="1.8"/>'
    yield f'<rect {at} rx="7" fill="{colour}" fill-opacity=".16"/>'
    first = placed.y - LINE * (len(placed.box.lines) - 1) / 2
    for i, line in enumerate(placed.box.lines):
        weight = ' class="strong"' if i == 0 else ""
        y = (first + LINE * i) * SCALE + 4
        yield f'<text x="{placed.x * SCALE:.1f}" y="{y:.1f}" text-anchor="middle"{weight}>{escape(line)}</text>'


def _legend(groups: Sequence[str], height: float) -> Iterator[str]:
    x, y = 0.3, (height + LEGEND / 2) * SCALE
    for group in groups:
        yield f'<rect x="{x * SCALE:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{COLOURS[group]}"/>'
        yield f'<text x="{(x + 0.13) * SCALE:.1f}" y="{y + 4:.1f}">{group}</text>'
        x += 0.35 + LETTER * len(group)
