"""From integer parameters back to a population in float: what the kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints, Registers
from .base import FloatNeuron


def restored(
    params: Mapping[str, Ints], unit: NDArray[np.float64], registers: Registers, current: bool
) -> dict[str, NDArray[np.float64]]:
    """The leaks, and what is a threshold or a potential, of integer parameters: float64 () or (N,), by name.

    unit: float64 (N,), the float value of a register step.   current: with beta_syn.
    """
    unity, shift = registers.unity, registers.threshold_shift
    found: dict[str, NDArray[np.float64]] = {"beta": np.asarray(1.0 - params["dv"] / unity)}
    if current:
        found["beta_syn"] = np.asarray(1.0 - (params["du"] + 1) / unity)
    levels = {"vth": "theta", "vth_neg": "theta_neg"}
    found |= {name: (params[key] << shift) * unit for key, name in levels.items() if key in params}
    return found | {name: params[name] * unit for name in ("theta_reset", "v_reset") if name in params}


def float_neuron(kind: str, shape: tuple[int, ...], params: Mapping[str, NDArray[Any]]) -> FloatNeuron:
    """A population from parameters () or (N,)."""
    shaped = {name: value.reshape(shape if value.ndim else ()) for name, value in params.items()}
    return FloatNeuron(kind, shape, {name: value.astype(np.float32) for name, value in shaped.items()})
