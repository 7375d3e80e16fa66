"""Objects that show themselves in a notebook; `report/notebook.py` draws them."""

from __future__ import annotations

import importlib
import sys
from typing import Any, cast


class Shown:
    """Has `_repr_html_`, which notebooks call.  What draws stands far above, so it is imported by name when asked."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return html(self)


def html(what: Any) -> str:
    """A piece of HTML without scripts.  what: a NIR graph, or what is Shown."""
    return cast(str, importlib.import_module("neuro_deploy.report.notebook").html(what))


def teach() -> None:
    """Teach IPython, where it runs, to show NIR graphs, whose class is not ours."""
    if "IPython" not in sys.modules:
        return
    shell = sys.modules["IPython"].get_ipython()
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type_by_name("nir.ir.graph", "NIRGraph", html)
