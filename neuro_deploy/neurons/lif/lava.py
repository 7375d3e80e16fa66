"""LIF in Lava: Lava's own process and models, untouched; with a reset to another value, the same with that value.

See neurons/lava.py for the interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.proc.lif.models import PyLifModelBitAcc, PyLifModelFloat
from lava.proc.lif.process import LIF
from numpy.typing import NDArray

from ..lava import Body, each

OWN = "Lava's own LIF"
RESET = "Lava's own LIF dynamics and threshold, with our reset value"


class _Reset:
    """Mixed into a model of Lava's LIF, before it: v = v_reset at a spike.  h: the potential before that."""

    proc_params: Any
    v: NDArray[Any]
    h: NDArray[Any]

    def reset_voltage(self, spike_vector: NDArray[np.bool_]) -> None:
        """v_reset where there is a spike."""
        self.h = self.v.copy()
        self.v[spike_vector] = self.proc_params["v_reset"][spike_vector]


class FixedReset(_Reset, PyLifModelBitAcc):  # type: ignore[misc]
    """Lava's bit-accurate LIF, resetting to a value in register units."""


class FloatReset(_Reset, PyLifModelFloat):  # type: ignore[misc]
    """Lava's LIF in float64, resetting to a value."""


def fixed(size: int, params: Mapping[str, NDArray[Any]]) -> Body:
    """A population with integer parameters, each a scalar () or one per neuron (N,)."""
    registers = {name: each(params[name], size, np.int32) for name in ("du", "dv", "vth", "bias_exp")}
    if "v_reset" not in params:
        process = LIF(shape=(size,), bias_mant=0, **registers)
        return Body(process, PyLifModelBitAcc, ("u", "v"), ("v", "u"), OWN)
    reset = each(params["v_reset"], size, np.int32)
    process = LIF(shape=(size,), bias_mant=0, v_reset=reset, **registers)
    return Body(process, FixedReset, ("u", "v"), ("v", "h", "u"), RESET)


def floating(size: int, params: Mapping[str, NDArray[Any]]) -> Body:
    """A population with float parameters; a drift is part of its bias."""
    current = "beta_syn" in params
    values = {
        "du": 1.0 - each(params["beta_syn"], size, np.float64) if current else 1.0,
        "dv": 1.0 - each(params["beta"], size, np.float64),
        "vth": each(params["theta"], size, np.float64),
    }
    shows = ("v", "u") if current else ("v",)
    if "v_reset" not in params:
        return Body(LIF(shape=(size,), bias_mant=0.0, **values), PyLifModelFloat, ("u", "v"), shows, OWN)
    process = LIF(shape=(size,), bias_mant=0.0, v_reset=each(params["v_reset"], size, np.float64), **values)
    return Body(process, FloatReset, ("u", "v"), (*shows, "h"), RESET)
