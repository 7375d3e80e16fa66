"""Integrators that never fire, in float, in NIR and as integers.

    u[t] = beta_syn * u[t-1] + x[t]                          only with a synaptic current; else u = x
    h[t] = v[t] = beta * v[t-1] + u[t] (+ drift);   s[t] = 0

Float parameters (float32, scalar or one per neuron): `beta` [0, 1]; optionally `beta_syn` [0, 1], and `drift`, a
constant that moves the potential but not the current.
NIR, under forward Euler at dt: `nir.LI` (beta = 1 - dt/tau, input gain r*dt/tau, offset v_leak*dt/tau, which our
metadata may call a drift), `nir.I` (beta = 1, gain r*dt), `nir.CubaLI` (as CubaLIF in neurons/lif/nodes.py).
Integer parameters: `du`, `dv`, `bias_mant`, `bias_exp`.  Nothing fixes the scale, so the largest weight does; all
neurons have one scale, so that their potentials can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedError, Violation
from ...fixed import Ints, Registers
from ...target import Target
from ..base import (
    METADATA,
    FloatNeuron,
    Interval,
    Quantized,
    bias_ranges,
    charge_bounds,
    drift_of,
    input_drive,
    leak_per_step,
    leak_ranges,
    quantize_current,
    quantize_leak,
    register_problems,
    storable,
    tells_drift,
    told_kind,
    told_value,
)


class LISpec:
    """The NeuronSpec of LI."""

    kind = "li"

    def read(self, name: str, node: nir.NIRNode, dt: float) -> FloatNeuron | None:
        """A `nir.LI`, `I` or `CubaLI`.  Raises: UnsupportedError for metadata that contradicts the node."""
        if told_kind(node) not in (None, "li"):
            return None
        if type(node) is nir.I:
            return FloatNeuron("li", np.shape(node.r), {"beta": np.asarray(1.0)})
        if type(node) is nir.LI:
            params = {"beta": self._leak(name, node, "beta", node.tau, dt)}
            params |= drift_of(name, node, dt) if tells_drift(node) else {}
            return FloatNeuron("li", np.shape(node.tau), params)
        if type(node) is not nir.CubaLI:
            return None
        beta = self._leak(name, node, "beta", node.tau_mem, dt)
        params = {"beta": beta, "beta_syn": self._leak(name, node, "beta_syn", node.tau_syn, dt)}
        return FloatNeuron("li", np.shape(node.tau_mem), params | drift_of(name, node, dt))

    def _leak(self, name: str, node: nir.NIRNode, key: str, tau: Any, dt: float) -> NDArray[np.float32]:
        return told_value(name, node, key, leak_per_step(tau, dt))

    def drive(self, node: Any, dt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Gain and offset of the input."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if type(node) is nir.I:
                return input_drive(np.asarray(node.r, np.float64) * dt, np.asarray(0.0))
            if type(node) is nir.LI:
                rate = dt / np.asarray(node.tau, np.float64)
                return input_drive(node.r * rate, np.asarray(0.0) if tells_drift(node) else node.v_leak * rate)
            current = node.w_in * (dt / np.asarray(node.tau_syn, np.float64))
            return input_drive(current * node.r * (dt / np.asarray(node.tau_mem, np.float64)), np.asarray(0.0))

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """A node with unit gain.  Raises: UnsupportedError for a beta of 1 beside smaller ones, current or drift."""

        def tau_of(name: str) -> NDArray[np.float64]:
            leak = np.broadcast_to(neuron.params[name], neuron.shape).astype(np.float64)
            if np.any(leak >= 1):
                what = "1 means an infinite time constant"
                raise UnsupportedError(
                    "cannot write an integrator to NIR",
                    [Violation(name, what, "use a leak below 1, or 1 in all neurons")],
                )
            return dt / (1.0 - leak)

        kept = [key for key in ("beta", "beta_syn", "drift") if key in neuron.params]
        told = {METADATA: {"kind": "li", "dt": dt, **{key: storable(neuron.params[key]) for key in kept}}}
        drift = np.broadcast_to(neuron.params.get("drift", np.float32(0)), neuron.shape)
        if np.all(neuron.params["beta"] == 1) and "beta_syn" not in neuron.params and not drift.any():
            return nir.I(r=np.full(neuron.shape, 1.0 / dt, np.float32), metadata=told)
        tau, r = tau_of("beta").astype(np.float32), (tau_of("beta") / dt).astype(np.float32)
        v_leak = (drift * tau_of("beta") / dt).astype(np.float32)
        if "beta_syn" not in neuron.params:
            return nir.LI(tau=tau, r=r, v_leak=v_leak, metadata=told)
        return nir.CubaLI(
            tau_syn=tau_of("beta_syn").astype(np.float32),
            tau_mem=tau,
            r=r,
            v_leak=v_leak,
            w_in=(tau_of("beta_syn") / dt).astype(np.float32),
            metadata=told,
        )

    def anchor(self, neuron: FloatNeuron) -> None:
        """None: nothing fixes the scale."""

    def anchor_limit(self, neuron: FloatNeuron, target: Target) -> int:
        """Weights set the scale, so their width."""
        return (1 << target.synapse.weight_bits.value) - 1

    def quantize(self, name: str, neuron: FloatNeuron, unit: NDArray[np.float64], target: Target) -> Quantized:
        """Both leaks to 12 bits."""
        leak = quantize_leak(name, neuron.flat("beta"), target)
        current = quantize_current(name, neuron, target, always=True)
        return Quantized(
            {**leak.params, **current.params}, leak.roundings + current.roundings, leak.violations + current.violations
        )

    def check(self, params: Mapping[str, Ints], registers: Registers) -> list[str]:
        """The registers of Lava's LIF."""
        return register_problems(params, {**leak_ranges(registers), **bias_ranges(registers)})

    def spike_range(self, params: Mapping[str, Ints]) -> tuple[int, int]:
        """0: it never fires."""
        return 0, 0

    def float_spike_range(self, neuron: FloatNeuron) -> tuple[int, int]:
        """The same."""
        return 0, 0

    def levels(self, params: Mapping[str, Ints], registers: Registers) -> None:
        """None: it never fires."""

    def bounds(
        self, params: Mapping[str, Ints], total: Interval, steps: int, registers: Registers, idle: int = 0
    ) -> dict[str, Interval]:
        """Everything stays."""
        return charge_bounds(params, total, steps, idle, registers, lambda h: h)


SPEC = LISpec()
