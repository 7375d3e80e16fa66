"""LIF as NIR nodes, and back, under forward Euler at dt.

    nir.LIF         beta = 1 - dt/tau        input gain r*dt/tau, offset v_leak*dt/tau (or our drift)
    nir.IF          beta = 1                 input gain r*dt
    nir.Threshold   beta = 0                 no memory: s = x > threshold
    nir.CubaLIF     beta = 1 - dt/tau_mem    beta_syn = 1 - dt/tau_syn; input gain w_in*dt/tau_syn * r*dt/tau_mem (the
                                             current in potential units); drift v_leak*dt/tau_mem

In a step the current takes its input first, then the potential takes the current, as in Lava, snnTorch and Norse's
forward Euler cells.  A beta in our metadata counts if the node agrees with it, since it was stored exactly.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedError, Violation
from ..base import (
    METADATA,
    FloatNeuron,
    drift_of,
    input_drive,
    leak_per_step,
    storable,
    tells_drift,
    told_kind,
    told_value,
)


def read(name: str, node: nir.NIRNode, dt: float) -> FloatNeuron | None:
    """The population of a node, or None for another kind of node.

    Raises: UnsupportedError for metadata that contradicts the node.
    """
    reader = _READERS.get(type(node))
    return None if reader is None or told_kind(node) not in (None, "lif") else reader(name, node, dt)


def _lif(name: str, node: Any, dt: float) -> FloatNeuron:
    beta = told_value(name, node, "beta", leak_per_step(node.tau, dt))
    params = {"beta": beta, "theta": node.v_threshold, **_reset(node)}
    params |= drift_of(name, node, dt) if tells_drift(node) else {}
    return FloatNeuron("lif", np.shape(node.v_threshold), params)


def _if(name: str, node: Any, dt: float) -> FloatNeuron:
    params = {"beta": np.asarray(1.0), "theta": node.v_threshold, **_reset(node)}
    return FloatNeuron("lif", np.shape(node.v_threshold), params)


def _threshold(name: str, node: Any, dt: float) -> FloatNeuron:
    return FloatNeuron("lif", np.shape(node.threshold), {"beta": np.asarray(0.0), "theta": node.threshold})


def _cuba(name: str, node: Any, dt: float) -> FloatNeuron:
    params = {
        "beta": told_value(name, node, "beta", leak_per_step(node.tau_mem, dt)),
        "beta_syn": told_value(name, node, "beta_syn", leak_per_step(node.tau_syn, dt)),
        "theta": node.v_threshold,
        **_reset(node),
        **drift_of(name, node, dt),
    }
    return FloatNeuron("lif", np.shape(node.v_threshold), params)


def _reset(node: Any) -> dict[str, NDArray[Any]]:
    value = np.asarray(0.0 if node.v_reset is None else node.v_reset)
    return {"v_reset": value} if np.any(value != 0) else {}


_READERS = {nir.LIF: _lif, nir.IF: _if, nir.Threshold: _threshold, nir.CubaLIF: _cuba}


def drive(node: Any, dt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(gain, offset) on the input; None for (1, 0)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(node, nir.Threshold):
            return None
        if isinstance(node, nir.IF):
            return input_drive(np.asarray(node.r, np.float64) * dt, np.asarray(0.0))
        if isinstance(node, nir.CubaLIF):
            current = node.w_in * (dt / np.asarray(node.tau_syn, np.float64))
            return input_drive(current * node.r * (dt / np.asarray(node.tau_mem, np.float64)), np.asarray(0.0))
        rate = dt / np.asarray(node.tau, np.float64)
        return input_drive(node.r * rate, np.asarray(0.0) if tells_drift(node) else node.v_leak * rate)


def write(neuron: FloatNeuron, dt: float) -> nir.NIRNode:
    """A node with unit gain.  Raises: UnsupportedError for a beta of 1 beside smaller ones, current or drift."""

    def full(name: str) -> NDArray[np.float64]:
        return np.broadcast_to(neuron.params[name], neuron.shape).astype(np.float64)

    def stored(values: NDArray[np.float64]) -> NDArray[np.float32]:
        return values.astype(np.float32)

    beta = full("beta")
    reset = stored(full("v_reset")) if "v_reset" in neuron.params else np.zeros(neuron.shape, np.float32)
    kept = [key for key in ("beta", "beta_syn", "drift") if key in neuron.params]
    metadata = {METADATA: {"kind": "lif", "dt": dt, **{key: storable(neuron.params[key]) for key in kept}}}
    common = {"v_threshold": stored(full("theta")), "v_reset": reset, "metadata": metadata}
    drift = full("drift") if "drift" in neuron.params else np.zeros(neuron.shape)
    if np.all(beta == 1) and "beta_syn" not in neuron.params and not drift.any():
        return nir.IF(r=np.full(neuron.shape, 1.0 / dt, np.float32), **common)
    if np.any(beta >= 1) or ("beta_syn" in neuron.params and np.any(full("beta_syn") >= 1)):
        raise UnsupportedError(
            "cannot write a LIF population to NIR",
            [Violation("beta", "1 means an infinite time constant", "use a leak below 1, or 1 in all neurons")],
        )
    tau = dt / (1.0 - beta)
    if "beta_syn" not in neuron.params:
        return nir.LIF(tau=stored(tau), r=stored(tau / dt), v_leak=stored(drift * tau / dt), **common)
    tau_syn = dt / (1.0 - full("beta_syn"))
    return nir.CubaLIF(
        tau_syn=stored(tau_syn),
        tau_mem=stored(tau),
        r=stored(tau / dt),
        v_leak=stored(drift * tau / dt),
        w_in=stored(tau_syn / dt),
        **common,
    )
