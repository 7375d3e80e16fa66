"""What stock nir's type check (1.0.8) takes of a graph that is right: its ports' names, and the check itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir

from ..errors import UnsupportedError, Violation
from .storing import write_nir
from .told import metadata_of

REMEDY = "leave --stock out; neuro_deploy reads it as it is"
TITLE = "cannot write the graph for stock nir"
PORTS = ((nir.Input, "input"), (nir.Output, "output"))
"""Stock nir computes the shape behind a nested graph from an Output of that name alone."""


def usual_ports(graph: nir.NIRGraph, prefix: str = "") -> tuple[nir.NIRGraph, list[tuple[str, str]]]:
    """The graph with ports of nested graphs named `input` and `output`, and (port, new name) of those renamed.

    A nested graph with several ports of a kind, or another node of that name, keeps its names.
    """
    renamed: list[tuple[str, str]] = []
    nodes: dict[str, Any] = {}
    names = {str(name): str(name) for name in graph.nodes}
    for kind, usual in PORTS if prefix else ():
        ports = [name for name, node in graph.nodes.items() if type(node) is kind]
        if len(ports) == 1 and usual not in graph.nodes:
            names[str(ports[0])] = usual
            renamed.append((f"{prefix}{ports[0]}", usual))
    for name, node in graph.nodes.items():
        inside: list[tuple[str, str]] = []
        if _foreign(node):
            node, inside = usual_ports(node, f"{prefix}{name}.")
        renamed += inside
        nodes[names[str(name)]] = node
    edges = [(names[str(a)], names[str(b)]) for a, b in graph.edges]
    return nir.NIRGraph(nodes, edges, metadata=dict(graph.metadata), type_check=False), renamed


def check_stock(graph: nir.NIRGraph) -> None:
    """Write the graph to a file and let stock nir read it with its check.  Raises: UnsupportedError that says why not.

    A node of a nested graph that leads nowhere is named: stock nir gives it an Output, and then takes only one.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stock.nir"
        write_nir(graph, path)
        try:
            nir.read(path, type_check=True)
        except Exception as error:  # whatever stock nir raises: it is what its users would see
            text = " ".join(str(error).split())
            told = f"stock nir's type check fails: {text} ({type(error).__name__})"
            what, remedy = "leads nowhere, in a nested graph", "take it out of the graph, or leave --stock out"
            ends = [Violation(name, what, remedy) for name in _ends(graph)]
            raise UnsupportedError(TITLE, [*ends, Violation("graph", told, REMEDY)]) from error


def _foreign(node: Any) -> bool:
    return isinstance(node, nir.NIRGraph) and "kind" not in metadata_of(node)


def _ends(graph: nir.NIRGraph, prefix: str = "") -> Iterator[str]:
    """Nodes of nested graphs behind which there is nothing."""
    leading = {str(source) for source, _ in graph.edges}
    for name, node in graph.nodes.items():
        if prefix and type(node) is not nir.Output and str(name) not in leading:
            yield f"{prefix}{name}"
        if _foreign(node):
            yield from _ends(node, f"{prefix}{name}.")
