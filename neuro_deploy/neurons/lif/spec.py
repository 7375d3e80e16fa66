"""LIF with a hard reset, in float, in NIR and as integers.

    u[t] = beta_syn * u[t-1] + x[t]                          only with a synaptic current; else u = x
    h[t] = beta * v[t-1] + u[t] (+ drift);   s[t] = h[t] > theta;   v[t] = v_reset where s[t], else h[t]

Float parameters (float32, scalar or one per neuron): `beta` [0, 1], `theta` > 0; optionally `v_reset` (0 if absent),
`beta_syn` [0, 1], and `drift`, a constant that moves the potential but not the current.
NIR: see nodes.py of this folder.
Integer parameters: `du`, `dv`, `vth`, `bias_mant`, `bias_exp`, and `v_reset` where it is not 0; du = 4095 is a current
without memory, dv = 4096 a potential without.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np
from numpy.typing import NDArray

from ...errors import Violation
from ...fixed import Ints, Registers
from ...target import Target
from ..base import (
    FloatNeuron,
    Integers,
    Interval,
    Levels,
    Quantized,
    Rounding,
    bias_ranges,
    charge_bounds,
    leak_ranges,
    quantize_current,
    quantize_leak,
    register_problems,
    remembers,
    threshold_limit,
    threshold_range,
    whole_units,
)
from ..restored import float_neuron, restored
from ..scheme import Scheme
from . import nodes


class LIFSpec:
    """The NeuronSpec of LIF."""

    kind = "lif"

    def read(self, name: str, node: nir.NIRNode, scheme: Scheme) -> FloatNeuron | None:
        """A `nir.LIF`, `IF`, `CubaLIF` or `Threshold` (see nodes.py)."""
        return nodes.read(name, node, scheme)

    def gain(self, node: nir.NIRNode, scheme: Scheme) -> NDArray[np.float64] | None:
        """What the node's r, tau and w_in make of its input (see nodes.py)."""
        return nodes.gain(node, scheme)

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """A node with unit gain (see nodes.py)."""
        return nodes.write(neuron, dt)

    def anchor(self, neuron: FloatNeuron) -> NDArray[np.float64]:
        """theta, (N,)."""
        return neuron.flat("theta")

    def anchor_limit(self, neuron: FloatNeuron, target: Target) -> int:
        """vth << 6 and v_reset must stay below the potential's limit, and vth within its mantissa."""
        most = threshold_limit(target)
        if "v_reset" in neuron.params:
            ratio = float((np.abs(neuron.flat("v_reset")) / neuron.flat("theta")).max())
            most = min(most, int((target.registers.v_limit >> target.state.input_shift.value) / max(1.0, ratio)))
        return most

    def quantize(self, name: str, neuron: FloatNeuron, unit: NDArray[np.float64], target: Target) -> Quantized:
        """theta in units, v_reset in 64ths of a unit, both leaks to 12 bits."""
        leak, current = (
            quantize_leak(name, neuron.flat("beta"), target),
            quantize_current(name, neuron, target, always=True),
        )
        vth, rounding = whole_units(name, "theta", neuron.flat("theta"), unit, target)
        params = {**leak.params, **current.params, "vth": vth}
        roundings = [*leak.roundings, *current.roundings, rounding]
        violations = [*leak.violations, *current.violations]
        if "v_reset" in neuron.params:
            wanted = neuron.flat("v_reset")
            step = unit / (1 << target.state.input_shift.value)
            params["v_reset"] = np.rint(wanted / step).astype(np.int64)
            roundings.append(Rounding.of(name, "v_reset", params["v_reset"] * step, wanted))
            if not target.neuron.reset_to_value.value and params["v_reset"].any():
                what = f"resets to {wanted[wanted != 0][0]:g}, {target.name} only to 0"
                remedy = "shift the potential so that it resets to 0, or choose a target such as loihi2"
                violations.append(Violation(name, what, remedy))
        return Quantized(params, roundings, violations)

    def restore(self, given: Integers) -> FloatNeuron:
        """A `du` without memory is no current, unless said."""
        return float_neuron(self.kind, given, restored(given, remembers(given.params, given.registers)))

    def check(self, params: Mapping[str, Ints], registers: Registers) -> list[str]:
        """The registers of Lava's LIF."""
        reset = (-registers.v_limit, registers.v_limit)
        ranges = {**leak_ranges(registers), **bias_ranges(registers), "vth": threshold_range(registers)}
        return register_problems(params, {**ranges, "v_reset": reset}, optional=("v_reset",))

    def spike_range(self, params: Mapping[str, Ints]) -> tuple[int, int]:
        """0 .. 1."""
        return 0, 1

    def float_spike_range(self, neuron: FloatNeuron) -> tuple[int, int]:
        """The same."""
        return 0, 1

    def levels(self, params: Mapping[str, Ints], registers: Registers) -> Levels:
        """theta = vth << 6, once."""
        theta, none = params["vth"] << registers.threshold_shift, np.asarray(0)
        return Levels(theta, np.asarray(1), theta, none)

    def bounds(
        self, params: Mapping[str, Ints], total: Interval, steps: int, registers: Registers, idle: int = 0
    ) -> dict[str, Interval]:
        """What does not fire is at most theta; what fires is v_reset, and what always fires nothing else."""
        theta, reset = params["vth"] << registers.threshold_shift, params.get("v_reset", np.asarray(0))

        def leave(h: Interval) -> Interval:
            fires = h.high > theta
            high = np.minimum(h.high, theta)
            low = np.where(fires, np.minimum(h.low, reset), h.low)
            high = np.where(fires, np.maximum(high, reset), high)
            always = h.low > theta
            return Interval(np.where(always, reset, low), np.where(always, reset, high))

        return charge_bounds(params, total, steps, idle, registers, leave)


SPEC = LIFSpec()
