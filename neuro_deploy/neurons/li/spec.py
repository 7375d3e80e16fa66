"""Integrators that never fire, in float, in NIR and as integers.

    u[t] = beta_syn * u[t-1] + x[t]                          only with a synaptic current; else u = x
    h[t] = v[t] = beta * v[t-1] + u[t] (+ drift);   s[t] = 0

Float parameters (float32, scalar or one per neuron): `beta` [0, 1]; optionally `beta_syn` [0, 1] and `drift`, a
constant that moves the potential but not the current.
NIR: `nir.LI`, `nir.I`, `nir.CubaLI`, read as LIF, IF and CubaLIF are (neurons/lif/nodes.py).
Integer parameters: `du`, `dv`, `bias_mant`, `bias_exp`.  Nothing fixes the scale, so the largest weight does; all
neurons have one scale, so that their potentials can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedError
from ...fixed import Ints, Registers
from ...target import Target
from ..base import (
    FloatNeuron,
    Integers,
    Interval,
    Quantized,
    bias_ranges,
    charge_bounds,
    leak_ranges,
    quantize_current,
    quantize_leak,
    register_problems,
    remembers,
)
from ..restored import float_neuron, restored
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


class LISpec:
    """The NeuronSpec of LI."""

    kind = "li"

    def read(self, name: str, node: nir.NIRNode, scheme: Scheme) -> FloatNeuron | None:
        """A `nir.LI`, `I` or `CubaLI`.  Raises: UnsupportedError for metadata that contradicts the node."""
        if type(node) not in (nir.I, nir.LI, nir.CubaLI) or told_kind(node) not in (None, "li"):
            return None
        if type(node) is nir.I:
            return FloatNeuron("li", np.shape(node.r), {"beta": np.asarray(1.0)})
        shape = shape_of(*numbers_of(node).values())
        tau = node.tau if type(node) is nir.LI else node.tau_mem
        params = {"beta": told_value(name, node, "beta", scheme.leak(tau))}
        if type(node) is nir.CubaLI:
            params["beta_syn"] = told_value(name, node, "beta_syn", scheme.leak(node.tau_syn))
        return FloatNeuron("li", shape, params | drift_of(name, node, tau, scheme))

    def gain(self, node: Any, scheme: Scheme) -> NDArray[np.float64] | None:
        """Gain of the input."""
        with np.errstate(invalid="ignore"):
            if type(node) is nir.I:
                return input_gain(np.asarray(node.r, np.float64) * scheme.dt)
            if type(node) is nir.LI:
                return input_gain(node.r * scheme.rate(node.tau))
            return input_gain(node.w_in * scheme.rate(node.tau_syn) * node.r * scheme.rate(node.tau_mem))

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """A node with unit gain.  Raises: UnsupportedError for a beta of 1 beside smaller ones or beside a current."""

        def tau_of(name: str) -> NDArray[np.float64]:
            leak = np.broadcast_to(neuron.params[name], neuron.shape).astype(np.float64)
            if violations := no_time_constant(name, leak):
                raise UnsupportedError("cannot write an integrator to NIR", violations)
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

    def restore(self, given: Integers) -> FloatNeuron:
        """A `du` without memory is no current, unless said."""
        return float_neuron(self.kind, given, restored(given, remembers(given.params, given.registers)))

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
