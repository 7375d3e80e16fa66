"""What `lava.py` of each neuron kind gives, and what they share.

    fixed(size, params)       a population with integer parameters in Lava's fixed point
    floating(size, params)    a population with float parameters in Lava's floating point

Both give a Body.  They are written from docs/semantics.md and share no function with integer.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Body(NamedTuple):
    """A population as Lava runs it.

    process: with ports `a_in` and `s_out` of shape (N,).   model: the process model that runs it; it keeps what it
    sent as `s_out_buff`, as Lava's own do.
    states: Vars to clear before a sample.   shows: what can be recorded beside spikes, attributes of the model.
    witness: whose model it is.   bias: the Var of the bias, which acts from the population's latency on.
    """

    process: Any
    model: type
    states: tuple[str, ...]
    shows: tuple[str, ...]
    witness: str
    bias: str = "bias_mant"


def each(values: Any, size: int, dtype: type | None = None) -> NDArray[Any]:
    """A parameter, one per neuron: (N,), writable."""
    return np.broadcast_to(np.asarray(values, dtype), (size,)).copy()
