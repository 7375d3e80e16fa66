"""LIF in Lava: Lava's own process and models, untouched.  See neurons/__init__.py for the interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.proc.lif.models import PyLifModelBitAcc, PyLifModelFloat
from lava.proc.lif.process import LIF
from numpy.typing import NDArray

WITNESS = "Lava's own LIF"
STATES = ("u", "v")
BIAS = "bias_mant"
SHOWS = {"fixed_pt": ("v", "u"), "floating_pt": ("v",)}


def fixed(size: int, params: Mapping[str, NDArray[Any]]) -> tuple[Any, type]:
    """Process and model for a population's integer parameters, each a scalar () or one per neuron (N,)."""
    process = LIF(
        shape=(size,),
        du=_each(params["du"], size, np.int32),
        dv=_each(params["dv"], size, np.int32),
        vth=_each(params["vth"], size, np.int32),
        bias_mant=0,
        bias_exp=_each(params["bias_exp"], size, np.int32),
    )
    return process, PyLifModelBitAcc


def floating(size: int, params: Mapping[str, NDArray[Any]]) -> tuple[Any, type]:
    """Process and model for a population's float parameters `beta`, `theta`; the current has no memory."""
    process = LIF(
        shape=(size,),
        du=1.0,
        dv=1.0 - _each(params["beta"], size, np.float64),
        vth=_each(params["theta"], size, np.float64),
        bias_mant=0.0,
        bias_exp=0,
    )
    return process, PyLifModelFloat


def _each(values: NDArray[Any], size: int, dtype: type) -> NDArray[Any]:
    return np.broadcast_to(np.asarray(values, dtype), (size,)).copy()
