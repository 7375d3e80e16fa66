"""From integer parameters back to a population in float: what the kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import FloatNeuron, Integers


def restored(given: Integers, current: bool) -> dict[str, NDArray[np.float64]]:
    """The leaks, and what is a threshold or a potential, of integer parameters: float64 () or (N,), by name.

    current: True if the integers tell of one.
    """
    params, unity, shift = given.params, given.registers.unity, given.registers.threshold_shift
    found: dict[str, NDArray[np.float64]] = {"beta": np.asarray(1.0 - params["dv"] / unity)}
    if current or given.current:
        found["beta_syn"] = np.asarray(1.0 - (params["du"] + 1) / unity)
    levels = {"vth": "theta", "vth_neg": "theta_neg"}
    found |= {name: (params[key] << shift) * given.unit for key, name in levels.items() if key in params}
    return found | {name: params[name] * given.unit for name in ("theta_reset", "v_reset") if name in params}


def float_neuron(kind: str, given: Integers, params: Mapping[str, NDArray[Any]]) -> FloatNeuron:
    """A population from parameters () or (N,)."""
    shaped = {name: value.reshape(given.shape if value.ndim else ()) for name, value in params.items()}
    return FloatNeuron(kind, given.shape, {name: value.astype(np.float32) for name, value in shaped.items()})
