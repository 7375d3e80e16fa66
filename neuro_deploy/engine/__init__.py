"""Who executes a ChipProgram in integers: `plain` is the definition (numpy), `fast` the same in compiled loops.

Both take the same request and give the same numbers, bit for bit.  `backends/sim` shows them to users, and `lower`
looks at registers with them.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..program import ChipProgram
from . import fast, plain
from .base import Execution, Request, spike_dtype

Counters = dict[str, dict[str, int]]


def simulate(program: ChipProgram, x: NDArray[Any], request: Request) -> tuple[Execution, Counters]:
    """Encode an input and execute the program, by the engine that finishes earlier.

    x: (T, B, *shape), finite numbers.   Gives the execution, and the encoders' counters {encoder: {"clipped": n}}.
    Raises: InputError; RegisterError in strict mode.
    """
    if fast.choose(program, request, x.shape[1]):
        return fast.simulate(program, x, request)
    return simulate_plainly(program, x, request)


def simulate_plainly(program: ChipProgram, x: NDArray[Any], request: Request) -> tuple[Execution, Counters]:
    """The same, by the definition."""
    inputs, counters = program.encode(x)
    return plain.run(program, inputs, request), counters


__all__ = ["Counters", "Execution", "Request", "simulate", "simulate_plainly", "spike_dtype"]
