"""Networks in a chip's arithmetic, as torch modules: their forward pass is the chip, number by number.

arithmetic, wires, sums      rounding with gradients; synapses, and their sums as an accumulator keeps them
population, synapse          what of each is learned, and what is frozen
schedule, weights, module    the order of execution; the integers; the module itself
forms, names, plan, export   the program as a NIR graph, which compiles to the same integers
origin, checks               what a graph knows of the program that was compiled from it; what cannot be trained
"""

from __future__ import annotations

from .module import Chip, ChipStates, fixed_in, neurons_of
from .population import ChipPopulation

__all__ = ["Chip", "ChipPopulation", "ChipStates", "fixed_in", "neurons_of"]
