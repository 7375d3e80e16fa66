"""LIF with a hard reset, in float, in NIR and as integers.

    h[t] = beta * v[t-1] + x[t];   s[t] = h[t] > theta;   v[t] = 0 where s[t], else h[t]

Float parameters (float32, scalar or one per neuron): `beta` [0, 1], `theta` > 0.
NIR: `nir.LIF` under forward Euler at dt: beta = 1 - dt/tau, input gain r*dt/tau, v_reset 0.
Integer parameters: `du`, `dv`, `vth`, `bias_mant`, `bias_exp`; du = 4095 is a current without memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedError, Violation
from ...fixed import Ints, decay_toward_zero
from ...target import Target
from ..base import (
    BIAS_RANGES,
    LEAK_RANGE,
    METADATA,
    THRESHOLD_RANGE,
    FloatNeuron,
    Interval,
    Quantized,
    bias_of,
    quantize_leak,
    register_problems,
    storable,
)

SHIFT = 6
FLOAT32_ROUNDING = 4 * 2.0**-24
"""tau and r are stored in float32: their quotient carries up to this relative error."""


class LIFSpec:
    """The NeuronSpec of LIF."""

    kind = "lif"

    def read(self, name: str, node: nir.NIRNode, dt: float) -> FloatNeuron | None:
        """A `nir.LIF`.  beta comes from our metadata where the node agrees with it, else it is 1 - dt/tau.

        Raises: UnsupportedError for v_reset != 0, or metadata that contradicts the node.
        """
        if type(node) is not nir.LIF:
            return None
        shape = np.shape(node.v_threshold)
        if np.any(np.asarray(node.v_reset) != 0):
            raise UnsupportedError(
                "cannot read a LIF population exactly",
                [Violation(name, "v_reset is not 0", "shift the potential so that it resets to 0")],
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            beta = (1.0 - dt / np.asarray(node.tau, np.float64)).astype(np.float32)
        stored = node.metadata.get(METADATA, {}) if isinstance(node.metadata, dict) else {}
        if "beta" in stored:
            told = np.broadcast_to(np.asarray(stored["beta"], np.float32), shape)
            if not np.allclose(told, beta, rtol=1e-5, atol=1e-6):
                raise UnsupportedError(
                    "metadata and nodes disagree",
                    [Violation(name, "metadata's beta is not 1 - dt/tau", "give the dt that the file was made with")],
                )
            beta = told
        return FloatNeuron("lif", shape, {"beta": beta, "theta": node.v_threshold})

    def drive(self, node: nir.NIRNode, dt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """gain = r*dt/tau (a gain that is 1 in float32 counts as 1), offset = v_leak*dt/tau."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = dt / np.asarray(node.tau, np.float64)
            gain = np.asarray(node.r * rate, np.float64)
            gain = np.where(np.abs(gain - 1.0) < FLOAT32_ROUNDING, 1.0, gain)
            offset = np.asarray(node.v_leak * rate, np.float64)
        return None if np.all(gain == 1) and np.all(offset == 0) else (gain, offset)

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """A `nir.LIF` with unit gain: tau = dt / (1 - beta), r = tau / dt.  Raises: UnsupportedError for beta = 1."""
        beta = np.broadcast_to(neuron.params["beta"], neuron.shape).astype(np.float64)
        if np.any(beta >= 1):
            raise UnsupportedError(
                "cannot write a LIF population to NIR",
                [Violation("beta", "1 means an infinite time constant", "use a beta below 1")],
            )
        tau = dt / (1.0 - beta)
        theta = np.broadcast_to(neuron.params["theta"], neuron.shape).astype(np.float32)
        return nir.LIF(
            tau=tau.astype(np.float32),
            r=(tau / dt).astype(np.float32),
            v_leak=np.zeros(neuron.shape, np.float32),
            v_threshold=theta,
            v_reset=np.zeros(neuron.shape, np.float32),
            metadata={METADATA: {"kind": "lif", "dt": dt, "beta": storable(neuron.params["beta"])}},
        )

    def anchor(self, neuron: FloatNeuron) -> NDArray[np.float64]:
        """theta, (N,)."""
        return neuron.flat("theta")

    def anchor_limit(self, neuron: FloatNeuron, target: Target) -> int:
        """vth << 6 must stay below the potential's limit, and within its mantissa."""
        registers = ((1 << (target.state.v_bits.value - 1)) - 1) >> target.threshold.shift.value
        return int(min((1 << target.threshold.mantissa_bits.value) - 1, registers))

    def quantize(self, name: str, neuron: FloatNeuron, anchor_q: Ints, target: Target) -> Quantized:
        """vth = anchor_q exactly; beta to 12 bits; no memory in the current."""
        params, roundings, violations = quantize_leak(name, neuron.flat("beta"), target)
        du = np.asarray((1 << target.state.decay_bits.value) - 1)
        return Quantized({**params, "du": du, "vth": anchor_q}, roundings, violations)

    def check(self, params: Mapping[str, Ints]) -> list[str]:
        """The registers of Lava's LIF."""
        return register_problems(params, {"du": LEAK_RANGE, "dv": LEAK_RANGE, "vth": THRESHOLD_RANGE, **BIAS_RANGES})

    def spike_range(self, params: Mapping[str, Ints]) -> tuple[int, int]:
        """0 .. 1."""
        return 0, 1

    def bounds(self, params: Mapping[str, Ints], total: Interval, steps: int) -> dict[str, Interval]:
        """u and h by interval arithmetic: both leaks are monotone, and what does not fire is at most theta."""
        keep_u, keep_v = 4095 - params["du"], 4096 - params["dv"]
        theta, bias = params["vth"] << SHIFT, bias_of(params)
        zero = Interval(np.zeros_like(total.low), np.zeros_like(total.high))
        u, v, worst = zero, zero, zero
        for _ in range(steps):
            before = (u, v)
            now = Interval(
                decay_toward_zero(u.low, keep_u) + (total.low << SHIFT),
                decay_toward_zero(u.high, keep_u) + (total.high << SHIFT),
            )
            u = Interval(np.minimum(u.low, now.low), np.maximum(u.high, now.high))
            h = Interval(
                decay_toward_zero(v.low, keep_v) + u.low + bias, decay_toward_zero(v.high, keep_v) + u.high + bias
            )
            worst = Interval(np.minimum(worst.low, h.low), np.maximum(worst.high, h.high))
            v = Interval(np.minimum(v.low, h.low), np.maximum(v.high, np.minimum(h.high, theta)))
            if all(
                np.array_equal(a, b) for x, y in zip(before, (u, v), strict=True) for a, b in zip(x, y, strict=True)
            ):
                break
        return {"u": u, "h": worst, "v": v}


SPEC = LIFSpec()
