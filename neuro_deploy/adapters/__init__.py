"""Networks of other frameworks as NIR graphs, and back.

    layers.py   torch layers that have no time, in both directions, and what a module becomes (Fragment, Kept)
    norms.py    what a chain holds, and batch norm folded into the layers before it
    checks.py   what a chain of modules does not show, and is refused
    chain.py    a model's modules in order -> a NIR graph
    proof.py    the modules and the graph, run side by side
    links.py    a NIR graph -> a chain of links, for the way back
    FRAMEWORK.py   from_FRAMEWORK(), to_FRAMEWORK() and NEURONS: each class of the framework, and how it is kept

A framework is imported only where its modules are built (`to_...`); reading a model needs its modules alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from .layers import Kept

FRAMEWORKS: tuple[str, ...] = ("snntorch", "norse", "spikingjelly", "sinabs")
"""Names of the files beside this one."""


def neurons(framework: str) -> Mapping[str, Kept]:
    """A framework's neuron classes by name, each with how it is kept ("exact: ...", "refused: ...")."""
    return cast(Mapping[str, Kept], importlib.import_module(f"{__name__}.{framework}").NEURONS)


__all__ = ["FRAMEWORKS", "Kept", "neurons"]
