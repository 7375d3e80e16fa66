"""LIF as NIR nodes, and back, under a Scheme (neurons/scheme.py), which makes leak and gain of a time constant.

    nir.LIF         beta = leak(tau)         input gain r*rate(tau); drift v_leak*(1 - leak(tau))
    nir.IF          beta = 1                 input gain r*dt
    nir.Threshold   beta = 0                 no memory: s = x > threshold
    nir.CubaLIF     beta = leak(tau_mem)     beta_syn = leak(tau_syn); input gain w_in*rate(tau_syn) * r*rate(tau_mem)
                                             (the current in potential units); drift v_leak*(1 - leak(tau_mem))

In a step the current takes its input first, then the potential takes the current, as in Lava and snnTorch.
A beta in our metadata counts if the node agrees with it, since it was stored exactly.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedError
from ..base import FloatNeuron
from ..scheme import (
    METADATA,
    Scheme,
    drift_of,
    input_gain,
    no_time_constant,
    numbers_of,
    shape_of,
    storable,
    told_kind,
    told_value,
)

FIRING = (nir.LIF, nir.IF, nir.CubaLIF)
"""Nodes that fire and reset."""


def read(name: str, node: nir.NIRNode, scheme: Scheme) -> FloatNeuron | None:
    """The population of a node, or None for another kind of node; those that do not reset to a value are another kind.

    Raises: UnsupportedError for metadata that contradicts the node.
    """
    if type(node) is nir.Threshold:
        theta = node.threshold if told_kind(node) else scheme.level(name, node.threshold)
        return FloatNeuron("lif", np.shape(theta), {"beta": np.asarray(0.0), "theta": theta})
    kind = told_kind(node)
    if type(node) not in FIRING or kind not in (None, "lif") or (kind is None and scheme.reset != "value"):
        return None
    reset = np.asarray(0.0 if node.v_reset is None else node.v_reset)
    params = parameters(name, node, scheme) | ({"v_reset": reset} if np.any(reset != 0) else {})
    return FloatNeuron("lif", shape_of(*params.values(), *numbers_of(node).values()), params)


def parameters(name: str, node: Any, scheme: Scheme) -> dict[str, NDArray[Any]]:
    """beta, theta, and where they are beta_syn and drift, of a node of FIRING.  Raises: as `read`."""
    theta = node.v_threshold if told_kind(node) else scheme.level(name, node.v_threshold)
    if type(node) is nir.IF:
        return {"beta": np.asarray(1.0), "theta": theta}
    tau = node.tau_mem if type(node) is nir.CubaLIF else node.tau
    params = {"beta": told_value(name, node, "beta", scheme.leak(tau)), "theta": theta}
    if type(node) is nir.CubaLIF:
        params["beta_syn"] = told_value(name, node, "beta_syn", scheme.leak(node.tau_syn))
    return params | drift_of(name, node, tau, scheme)


def gain(node: Any, scheme: Scheme) -> NDArray[np.float64] | None:
    """The gain on the input; None for 1."""
    with np.errstate(invalid="ignore"):
        if isinstance(node, nir.Threshold):
            return None
        if isinstance(node, nir.IF):
            return input_gain(np.asarray(node.r, np.float64) * scheme.dt)
        if isinstance(node, nir.CubaLIF):
            return input_gain(node.w_in * scheme.rate(node.tau_syn) * node.r * scheme.rate(node.tau_mem))
        return input_gain(node.r * scheme.rate(node.tau))


def write(neuron: FloatNeuron, dt: float) -> nir.NIRNode:
    """A node with unit gain.  Raises: UnsupportedError for a beta of 1 beside smaller ones or beside a current."""

    def full(name: str) -> NDArray[np.float64]:
        return np.broadcast_to(neuron.params[name], neuron.shape).astype(np.float64)

    def stored(values: NDArray[np.float64]) -> NDArray[np.float32]:
        return values.astype(np.float32)

    beta = full("beta")
    reset = stored(full("v_reset")) if "v_reset" in neuron.params else np.zeros(neuron.shape, np.float32)
    kept = [key for key in ("beta", "beta_syn", "drift") if key in neuron.params]
    metadata = {METADATA: {"kind": "lif", "dt": dt, **{key: storable(neuron.params[key]) for key in kept}}}
    if set(neuron.params) == {"beta", "theta"} and not beta.any():
        return nir.Threshold(threshold=stored(full("theta")), metadata={METADATA: {"kind": "lif", "dt": dt}})
    common = {"v_threshold": stored(full("theta")), "v_reset": reset, "metadata": metadata}
    drift = full("drift") if "drift" in neuron.params else np.zeros(neuron.shape)
    if np.all(beta == 1) and "beta_syn" not in neuron.params and not drift.any():
        return nir.IF(r=np.full(neuron.shape, 1.0 / dt, np.float32), **common)
    leaks = [key for key in ("beta", "beta_syn") if key in neuron.params]
    if violations := [v for key in leaks for v in no_time_constant(key, full(key))]:
        raise UnsupportedError("cannot write a LIF population to NIR", violations)
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
