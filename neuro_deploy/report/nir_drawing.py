"""A NIR graph drawn: boxes from left to right, loops as dashed arrows back; SVG and PNG by matplotlib.

nirviz and graphviz need the program `dot`, which pip does not install; matplotlib comes as a wheel everywhere and draws
both formats.  The same graph gives the same bytes (with one version of matplotlib).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import nir
import numpy as np

from ..errors import InputError, UnsupportedError
from ..files import atomic_write
from ..graph import Reading, read_graph
from ..graph.told import metadata_of
from .nir_layout import LINE, Box, Picture, Placed, Point, Route, arrange
from .text import shape_text

COLOURS = {
    "input, output": "#999999",
    "neurons that fire": "#D55E00",
    "integrators": "#E69F00",
    "dense": "#56B4E9",
    "convolution": "#0072B2",
    "pool": "#009E73",
    "other": "#CC79A7",
    "nested graph": "#000000",
}
"""Group -> colour.  Source: Okabe and Ito, Color Universal Design, 2008: told apart with any colour vision."""
GROUPS = {
    **dict.fromkeys((nir.Input, nir.Output), "input, output"),
    **dict.fromkeys((nir.LIF, nir.IF, nir.CubaLIF, nir.Threshold), "neurons that fire"),
    **dict.fromkeys((nir.LI, nir.I, nir.CubaLI), "integrators"),
    **dict.fromkeys((nir.Affine, nir.Linear), "dense"),
    **dict.fromkeys((nir.Conv1d, nir.Conv2d), "convolution"),
    **dict.fromkeys((nir.SumPool2d, nir.AvgPool2d), "pool"),
    nir.NIRGraph: "nested graph",
}
MISSING = "drawing needs matplotlib, which is not installed; install it by: pip install 'neuro_deploy[draw]'"
LONGEST_NAME, MOST_INNER = 26, 4
RADIUS, LEGEND = 0.12, 0.3
MOST_PIXELS, DPI = 30_000, 150


def draw(
    graph: nir.NIRGraph,
    dt: float | None = None,
    *,
    svg: str | os.PathLike[str] | None = None,
    png: str | os.PathLike[str] | None = None,
) -> None:
    """Draw a graph into an SVG file, a PNG file, or both, atomically.

    dt: as for `read_graph`; shapes of nodes that the graph does not let us read are those that the file tells.
    Raises: FileError; InputError if matplotlib is missing.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(MISSING) from error
    picture = arrange(boxes_of(graph, dt), [(str(a), str(b)) for a, b in graph.edges])
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams |= {"svg.hashsalt": "neuro_deploy", "font.family": "DejaVu Sans"}
        figure = Figure(figsize=(_width(picture), picture.height + LEGEND))
        _paint(figure, picture)
        if svg is not None:
            with atomic_write(svg) as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
        if png is not None:
            dpi = min(DPI, MOST_PIXELS / max(_width(picture), picture.height + LEGEND))
            with atomic_write(png) as temporary:
                figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})


def boxes_of(graph: nir.NIRGraph, dt: float | None = None) -> list[Box]:
    """A box for each node of the graph; a nested graph is one.  Inputs come first."""
    try:
        reading = read_graph(graph, dt)
    except (InputError, UnsupportedError):
        reading = None
    shapes = {node.name: node.shape for node in reading.nodes} if reading else {}
    nodes = sorted(graph.nodes.items(), key=lambda item: not isinstance(item[1], nir.Input))
    return [_box(str(name), node, shapes, reading) for name, node in nodes]


def _box(name: str, node: Any, shapes: dict[str, tuple[int, ...]], reading: Reading | None) -> Box:
    told, lines = metadata_of(node), [short(name)]
    group = GROUPS.get(type(node), "other")
    if isinstance(node, nir.NIRGraph) and "kind" in told:
        group = "neurons that fire"
        lines.append(_ours(told))
    elif isinstance(node, nir.NIRGraph):
        inner = [str(n) for n, part in node.nodes.items() if not isinstance(part, (nir.Input, nir.Output))]
        more = ["..."] if len(inner) > MOST_INNER else []
        lines += [f"graph of {len(node.nodes)} nodes", *(f"  {short(n)}" for n in inner[:MOST_INNER]), *more]
    else:
        lines.append(_kind(node))
    shape = shapes.get(name, _shape_told(node))
    return Box(name, (*lines, *([shape_text(shape)] if shape else [])), group)


def _ours(told: Any) -> str:
    up, down = (int(np.max(told.get(key, 0))) for key in ("circulations", "circulations_neg"))
    span = f"{-down} .. {up}" if down else f"up to {up}"
    return f"{str(told['kind']).upper()}, spikes {span}" if up else str(told["kind"]).upper()


def _kind(node: Any) -> str:
    kernel = getattr(node, "kernel_size", ())
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        kernel = np.shape(node.weight)[2:]
    return " ".join([type(node).__name__, *([shape_text(np.atleast_1d(kernel).tolist())] if np.size(kernel) else [])])


def _shape_told(node: Any) -> tuple[int, ...]:
    told = next(iter((getattr(node, "output_type", None) or {}).values()), None)
    return () if told is None else tuple(int(n) for n in np.atleast_1d(told))


def short(name: str) -> str:
    """A name that fits into a box."""
    half = LONGEST_NAME // 2 - 1
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _width(picture: Picture) -> float:
    return max(picture.width, 4.0)


def _paint(figure: Any, picture: Picture) -> None:
    height = picture.height + LEGEND
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _width(picture)), ylim=(height, 0))
    axes.set_axis_off()
    for route in picture.routes:
        axes.add_patch(_arrow(route))
    for placed in picture.boxes:
        _paint_box(axes, placed)
    groups = {placed.box.group for placed in picture.boxes}
    x = 0.3
    for group in (g for g in COLOURS if g in groups):
        axes.plot([x], [height - LEGEND / 2], "s", color=COLOURS[group], markersize=7)
        axes.text(x + 0.1, height - LEGEND / 2, group, fontsize=7, va="center")
        x += 0.3 + 0.065 * len(group)


def _paint_box(axes: Any, placed: Placed) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, colour = (placed.x - placed.width / 2, placed.y - placed.height / 2), COLOURS[placed.box.group]
    pads = (0.0, -0.03) if placed.box.group == "nested graph" else (0.0,)
    looks: list[tuple[float, dict[str, Any]]] = [(pad, {"fc": "white", "ec": colour, "lw": 1.4}) for pad in pads]
    for pad, look in [*looks, (0.0, {"fc": colour, "alpha": 0.18, "lw": 0})]:
        style = f"round,pad={pad},rounding_size=0.06"
        axes.add_patch(FancyBboxPatch(corner, placed.width, placed.height, boxstyle=style, zorder=2, **look))
    first = placed.y - LINE * (len(placed.box.lines) - 1) / 2
    for i, line in enumerate(placed.box.lines):
        weight = "bold" if i == 0 else "normal"
        at = (placed.x, first + LINE * i)
        axes.text(*at, line, ha="center", va="center", fontsize=7.5, weight=weight, parse_math=False, zorder=3)


def _arrow(route: Route) -> Any:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    codes = {"move": Path.MOVETO, "line": Path.LINETO, "wave": Path.CURVE4, "corner": Path.CURVE3}
    path = list(curve(route.points))
    style = {"ls": (0, (4, 2)), "color": COLOURS["neurons that fire"]} if route.back else {"color": "#444444"}
    return FancyArrowPatch(
        path=Path([point for point, _ in path], [codes[what] for _, what in path]),
        arrowstyle="-|>",
        mutation_scale=8,
        lw=1.0,
        shrinkA=0,
        shrinkB=0,
        zorder=1,
        **style,
    )


def curve(points: Sequence[Point]) -> Iterator[tuple[Point, str]]:
    """A path: waves between points at different heights, round corners where it turns from across to up or down."""
    yield points[0], "move"
    here = points[0]
    for there, after in zip(points[1:], [*points[2:], None], strict=True):
        if _slanted(here, there):
            middle = (here[0] + there[0]) / 2
            yield from (((middle, here[1]), "wave"), ((middle, there[1]), "wave"), (there, "wave"))
        elif after is None or _slanted(there, after) or (here[0] == there[0]) == (there[0] == after[0]):
            yield there, "line"
        else:
            radius = min(RADIUS, _length(here, there) / 2, _length(there, after) / 2)
            beyond = _towards(there, after, radius)
            yield from ((_towards(there, here, radius), "line"), (there, "corner"), (beyond, "corner"))
            here = beyond
            continue
        here = there


def _slanted(a: Point, b: Point) -> bool:
    return a[0] != b[0] and a[1] != b[1]


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(start: Point, end: Point, by: float) -> Point:
    part = by / (_length(start, end) or 1.0)
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part
