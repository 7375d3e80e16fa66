"""NIR, the only float representation: its files, what a graph says, and its linear chains composed.

`Reading` and `Composed` are views that a consumer makes when it needs them; they are never stored.
To add a NIR primitive: one registered function in nodes.py.
"""

from __future__ import annotations

from .compose import Composed, ComposedPopulation, ComposedSynapse, compose
from .files import read_nir
from .nesting import joined_name
from .reading import InputRange, Node, Reading, read_graph
from .storing import write_nir
from .told import assume
from .writing import write_graph

__all__ = [
    "Composed",
    "ComposedPopulation",
    "ComposedSynapse",
    "InputRange",
    "Node",
    "Reading",
    "assume",
    "compose",
    "joined_name",
    "read_graph",
    "read_nir",
    "write_graph",
    "write_nir",
]
