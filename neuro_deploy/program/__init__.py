"""ChipProgram: a network as integers for one target, and its file."""

from __future__ import annotations

from .borders import RULES, Encoder, Readout, default_rule
from .data import ChipProgram, DenseSynapse, Population, Synapse
from .files import FORMAT, load_program, save_program

__all__ = [
    "FORMAT",
    "RULES",
    "ChipProgram",
    "DenseSynapse",
    "Encoder",
    "Population",
    "Readout",
    "Synapse",
    "default_rule",
    "load_program",
    "save_program",
]
