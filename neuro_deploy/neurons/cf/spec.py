"""CF in float, in NIR and as integers.

    h[t] = beta * v[t-1] + x[t]
    s[t] = #{k in 1..K : h[t] > k * theta} - #{k in 1..K_neg : h[t] < -k * theta_neg}
    v[t] = h[t] - theta * s[t]    (s >= 0),    h[t] - theta_neg * s[t]    (s < 0)

Source: our reading of arXiv 2605.27412 (an abstract without equations); the limit of reset by subtraction without
refractory time in Moser and Lunglmayr, arXiv 2402.07954.

Float parameters (float32; scalar or one per neuron unless said): `beta` [0, 1], `theta` > 0, `theta_neg` > 0,
`circulations` K >= 1 and `circulations_neg` >= 0 (scalar whole numbers; 0: positive polarity); optionally `beta_syn`
[0, 1], the leak of a synaptic current, u[t] = beta_syn * u[t-1] + a[t], which is then x.
Integer parameters: `dv`, `vth`, `vth_neg`, `rounds`, `rounds_neg`, `bias_mant`, `bias_exp`; `du` with a current.
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
    Interval,
    Levels,
    Quantized,
    bias_ranges,
    charge_bounds,
    leak_ranges,
    quantize_current,
    quantize_leak,
    register_problems,
    threshold_limit,
    threshold_range,
    whole_units,
)
from . import nodes

MAX_ROUNDS = 255


class CFSpec:
    """The NeuronSpec of CF."""

    kind = "cf"

    def read(self, name: str, node: nir.NIRNode, dt: float) -> FloatNeuron | None:
        """A nested graph with our metadata, checked node by node against it (see nodes.py)."""
        return nodes.read(name, node, dt)

    def drive(self, node: nir.NIRNode, dt: float) -> None:
        """None: the nested graph has unit gain."""

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """A nested graph of standard nodes (see nodes.py)."""
        return nodes.write(neuron, dt)

    def anchor(self, neuron: FloatNeuron) -> NDArray[np.float64]:
        """theta, (N,)."""
        return neuron.flat("theta")

    def anchor_limit(self, neuron: FloatNeuron, target: Target) -> int:
        """K * (vth << 6) must stay below the potential's limit."""
        up, down = int(neuron.params["circulations"]), int(neuron.params["circulations_neg"])
        ratio = float((neuron.flat("theta_neg") / neuron.flat("theta")).max()) if down else 0.0
        registers = target.registers.v_limit >> target.state.input_shift.value
        rounds = max(up, int(np.ceil(down * ratio)), 1)
        return int(min(threshold_limit(target) / max(1.0, ratio), registers // rounds))

    def quantize(self, name: str, neuron: FloatNeuron, unit: NDArray[np.float64], target: Target) -> Quantized:
        """theta and theta_neg in units; both leaks to 12 bits."""
        params, roundings, violations = quantize_leak(name, neuron.flat("beta"), target)
        current = quantize_current(name, neuron, target, always=False)
        roundings, violations = roundings + current.roundings, violations + current.violations
        vth, rounding = whole_units(name, "theta", neuron.flat("theta"), unit, target)
        roundings, vth_neg = [*roundings, rounding], vth
        up, down = int(neuron.params["circulations"]), int(neuron.params["circulations_neg"])
        if down:
            vth_neg, rounding = whole_units(name, "theta_neg", neuron.flat("theta_neg"), unit, target)
            roundings.append(rounding)
        violations += self._limits(name, up, down, target)
        whole = {"rounds": np.asarray(up), "rounds_neg": np.asarray(down)}
        return Quantized({**params, **current.params, "vth": vth, "vth_neg": vth_neg, **whole}, roundings, violations)

    def _limits(self, name: str, up: int, down: int, target: Target) -> list[Violation]:
        found = []
        graded = target.spike.payload_bits.value > 0
        if not target.neuron.soft_reset.value:
            found.append(
                Violation(
                    name,
                    f"a circulate-firing neuron resets by subtraction, {target.name} only to zero",
                    "train LIF neurons with reset='hard', or choose a target such as loihi2",
                )
            )
        most = target.neuron.max_circulations.value
        if max(up, down) > most:
            found.append(
                Violation(
                    name,
                    f"{max(up, down)} circulations exceed {most} spike(s) a step on {target.name}",
                    f"train with circulations of at most {most}"
                    + ("" if graded else ", or choose a target with graded spikes such as loihi2"),
                )
            )
        elif not graded and down:
            what = f"signed spikes need a payload; {target.name} has 0 bits"
            found.append(Violation(name, what, "train with polarity='positive', or choose a target such as loihi2"))
        return found

    def check(self, params: Mapping[str, Ints], registers: Registers) -> list[str]:
        """Registers as in Lava's LIF; rounds * (vth << 6) below 2^23."""
        ranges = {
            **leak_ranges(registers),
            "vth": threshold_range(registers),
            "vth_neg": threshold_range(registers),
            "rounds": (1, MAX_ROUNDS),
            "rounds_neg": (0, MAX_ROUNDS),
            **bias_ranges(registers),
        }
        problems = register_problems(params, ranges, optional=("du",))
        if not problems:
            for vth, most in (("vth", "rounds"), ("vth_neg", "rounds_neg")):
                top = int((params[most] * (params[vth] << registers.threshold_shift)).max())
                if top > registers.v_limit:
                    shifted = f"{most} * ({vth} << {registers.threshold_shift})"
                    problems.append(f"{shifted} = {top} is not below 2^{registers.v_bits - 1}")
        return problems

    def spike_range(self, params: Mapping[str, Ints]) -> tuple[int, int]:
        """-K_neg .. K."""
        return -int(params["rounds_neg"].max()), int(params["rounds"].max())

    def float_spike_range(self, neuron: FloatNeuron) -> tuple[int, int]:
        """The same."""
        return -int(neuron.params["circulations_neg"]), int(neuron.params["circulations"])

    def levels(self, params: Mapping[str, Ints], registers: Registers) -> Levels:
        """theta = vth << 6, K; theta_neg, K_neg."""
        shift = registers.threshold_shift
        return Levels(params["vth"] << shift, params["rounds"], params["vth_neg"] << shift, params["rounds_neg"])

    def bounds(
        self, params: Mapping[str, Ints], total: Interval, steps: int, registers: Registers, idle: int = 0
    ) -> dict[str, Interval]:
        """Firing leaves at most max(theta, h - K * theta)."""
        theta, rounds, theta_neg, rounds_neg = self.levels(params, registers)

        def leave(h: Interval) -> Interval:
            high = np.minimum(h.high, np.maximum(theta, h.high - rounds * theta))
            low = np.where(
                rounds_neg > 0, np.maximum(h.low, np.minimum(-theta_neg, h.low + rounds_neg * theta_neg)), h.low
            )
            return Interval(low, high)

        return charge_bounds(params, total, steps, idle, registers, leave)


SPEC = CFSpec()
