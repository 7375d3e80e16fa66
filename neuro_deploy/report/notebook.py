"""Objects as HTML, for notebooks: the tables of the command line, and a graph's drawing."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import nir
from rich.console import Console, RenderableType

from ..comparison import Comparison, Verdict
from ..comparison.margins import Margins
from ..estimates import Estimate
from ..program import ChipProgram
from ..trace import Trace
from .estimate_table import estimate_table
from .graph_svg import graph_svg
from .margins_table import margins_table
from .nir_table import nir_table
from .tables import comparison_table, program_table, trace_table, verdict_table

WIDTH = 120
"""Characters of a line."""
FRAME = '<pre style="font-family: monospace; line-height: 1.25; overflow-x: auto; color: inherit">{code}</pre>'
FIGURE = '<div style="max-width: 100%; overflow-x: auto; background: white; font: 12px sans-serif">{}</div>'

TABLES: Mapping[type, Callable[[Any], RenderableType]] = MappingProxyType(
    {
        ChipProgram: program_table,
        Trace: trace_table,
        Comparison: comparison_table,
        Verdict: verdict_table,
        Estimate: estimate_table,
        Margins: margins_table,
        nir.NIRGraph: partial(nir_table, targets=False),
    }
)


def html(what: Any) -> str:
    """A piece of HTML without scripts.  what: of a class in TABLES."""
    table = next(table for kind, table in TABLES.items() if isinstance(what, kind))
    console = Console(width=WIDTH, record=True, file=io.StringIO(), force_jupyter=False)
    console.print(table(what))
    text = console.export_html(code_format=FRAME, inline_styles=True)
    return FIGURE.format(graph_svg(what)) + text if isinstance(what, nir.NIRGraph) else text
