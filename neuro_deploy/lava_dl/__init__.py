"""lava-dl's `.net` files: read, and turned into a ChipProgram (integers as they are) or a NIR graph.

**Time.**  In slayer (with its default `delay_shift`) and on the chip, a layer gets the spikes of the layer before one
step later, and every layer's bias acts from the first step on.  So every population has latency 1: its logical step t
is slayer's step t, and in row r of a trace stands what netx's time step r shows (netx counts from 1; without an input
block netx's source takes a step more, and its biases act that step too early).  A run of T steps ends as slayer's does:
what is still under way between layers is not waited for.

**Units.**  1.0 is one weight unit: weights and `vThMant` are the file's numbers, a register's step is 1/64.
"""

from __future__ import annotations

from .chip import to_program
from .graph import to_nir
from .layers import Layer, Net, Neurons
from .reader import import_net

__all__ = ["Layer", "Net", "Neurons", "import_net", "to_nir", "to_program"]
