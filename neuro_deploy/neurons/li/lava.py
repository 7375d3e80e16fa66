"""LI in Lava: Lava's own LIF, whose current, leak and clip it keeps, and which never fires.

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

WITNESS = "Lava's own LIF dynamics, never firing"


class _Silent:
    """Mixed into a model of Lava's LIF, before it: no spike, so no reset.  h: the potential, as v."""

    v: NDArray[Any]
    h: NDArray[Any]

    def spiking_activation(self) -> NDArray[np.bool_]:
        """False for all."""
        self.h = self.v.copy()
        return np.zeros(self.v.shape, np.bool_)


class FixedIntegrator(_Silent, PyLifModelBitAcc):  # type: ignore[misc]
    """Lava's bit-accurate LIF without its threshold."""


class FloatIntegrator(_Silent, PyLifModelFloat):  # type: ignore[misc]
    """Lava's LIF in float64 without its threshold."""


def fixed(size: int, params: Mapping[str, NDArray[Any]]) -> Body:
    """A population with integer parameters, each a scalar () or one per neuron (N,)."""
    registers = {name: each(params[name], size, np.int32) for name in ("du", "dv", "bias_exp")}
    process = LIF(shape=(size,), bias_mant=0, **registers)
    return Body(process, FixedIntegrator, ("u", "v"), ("v", "h", "u"), WITNESS)


def floating(size: int, params: Mapping[str, NDArray[Any]]) -> Body:
    """A population with float parameters; a drift is part of its bias."""
    current = "beta_syn" in params
    du = 1.0 - each(params["beta_syn"], size, np.float64) if current else 1.0
    process = LIF(shape=(size,), bias_mant=0.0, du=du, dv=1.0 - each(params["beta"], size, np.float64))
    return Body(process, FloatIntegrator, ("u", "v"), ("v", "h", "u") if current else ("v", "h"), WITNESS)
