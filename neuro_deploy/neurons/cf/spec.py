"""CF in float, in NIR and as integers.

    h[t] = beta * v[t-1] + x[t] (+ drift)
    s[t] = #{k in 1..K : h[t] > k * theta} - #{k in 1..K_neg : h[t] < -k * theta_neg}
    v[t] = h[t] - theta_reset * s[t]    (s >= 0),    h[t] - theta_neg * s[t]    (s < 0)

Source: our reading of arXiv 2605.27412 (an abstract without equations); the limit of reset by subtraction without
refractory time in Moser and Lunglmayr, arXiv 2402.07954.

Float parameters (float32; scalar or one per neuron unless said): `beta` [0, 1], `theta` > 0, `theta_neg` > 0,
`circulations` K >= 1 and `circulations_neg` >= 0 (scalar whole numbers; 0: positive polarity).  Optionally:
`beta_syn` [0, 1], the leak of a synaptic current, u[t] = beta_syn * u[t-1] + a[t], which is then x;
`theta_reset` >= 0, what one round takes away (theta if absent), with positive polarity only: 0 is no reset, v = h;
    theta/beta is one that acts after the leak, h[t] = beta * h[t-1] + x[t] - theta * s[t-1]; with K = 1,
    theta = nextafter(t, 0) and theta_reset = t a neuron fires at h >= t;
`drift`, a constant that moves the potential but not the current.
Integer parameters: `dv`, `vth`, `vth_neg`, `rounds`, `rounds_neg`, `bias_mant`, `bias_exp`; `du` with a current;
`theta_reset` in units of the potential (64ths of a weight unit).
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
    threshold_limit,
    threshold_range,
    whole_units,
)
from ..lif import nodes as lif
from ..restored import float_neuron, restored
from ..scheme import Scheme
from . import nodes

MAX_ROUNDS = 255


class CFSpec:
    """The NeuronSpec of CF."""

    kind = "cf"

    def read(self, name: str, node: nir.NIRNode, scheme: Scheme) -> FloatNeuron | None:
        """A nested graph with our metadata, checked against it; or a node whose reset NIR cannot say (nodes.py)."""
        return nodes.read(name, node, scheme)

    def gain(self, node: nir.NIRNode, scheme: Scheme) -> NDArray[np.float64] | None:
        """The nested graph has unit gain; another node what a LIF has."""
        return None if isinstance(node, nir.NIRGraph) else lif.gain(node, scheme)

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """A nested graph of standard nodes (see nodes.py)."""
        return nodes.write(neuron, dt)

    def anchor(self, neuron: FloatNeuron) -> NDArray[np.float64]:
        """theta, (N,)."""
        return neuron.flat("theta")

    def anchor_limit(self, neuron: FloatNeuron, target: Target) -> int:
        """K * (vth << 6), and K * theta_reset, rounded, must stay below the potential's limit."""
        up, down = int(neuron.params["circulations"]), int(neuron.params["circulations_neg"])
        ratio = float((neuron.flat("theta_neg") / neuron.flat("theta")).max()) if down else 0.0
        registers = target.registers.v_limit >> target.state.input_shift.value
        rounds = max(up, int(np.ceil(down * ratio)), 1)
        most = min(threshold_limit(target) / max(1.0, ratio), registers // rounds)
        if "theta_reset" in neuron.params:
            ratio = float((neuron.flat("theta_reset") / neuron.flat("theta")).max())
            room = (target.registers.v_limit / up - 1) / (1 << target.state.input_shift.value)
            most = min(most, room / ratio) if ratio else most
        return int(most)

    def quantize(self, name: str, neuron: FloatNeuron, unit: NDArray[np.float64], target: Target) -> Quantized:
        """theta and theta_neg in units, theta_reset in 64ths of one (0 stays 0, no other is); both leaks to 12 bits."""
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
        params = {**params, **current.params, "vth": vth, "vth_neg": vth_neg, **whole}
        if "theta_reset" in neuron.params:
            wanted, step = neuron.flat("theta_reset"), unit / (1 << target.state.input_shift.value)
            params["theta_reset"] = np.maximum(wanted > 0, np.rint(wanted / step)).astype(np.int64)
            roundings.append(Rounding.of(name, "theta_reset", params["theta_reset"] * step, wanted))
        return Quantized(params, roundings, violations)

    def restore(self, given: Integers) -> FloatNeuron:
        """`du` is there only with a current."""
        found = restored(given, "du" in given.params)
        most = {"circulations": "rounds", "circulations_neg": "rounds_neg"}
        found |= {name: np.asarray(given.params[key].max(), np.float64) for name, key in most.items()}
        return float_neuron(self.kind, given, found)

    def _limits(self, name: str, up: int, down: int, target: Target) -> list[Violation]:
        found = []
        graded = target.spike.payload_bits.value > 0
        if not target.neuron.soft_reset.value:
            found.append(
                Violation(
                    name,
                    f"a circulate-firing neuron resets by subtraction or not at all, {target.name} to zero",
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
        """Registers as in Lava's LIF; rounds * (vth << 6) and rounds * theta_reset below 2^23."""
        ranges = {
            **leak_ranges(registers),
            "vth": threshold_range(registers),
            "vth_neg": threshold_range(registers),
            "rounds": (1, MAX_ROUNDS),
            "rounds_neg": (0, MAX_ROUNDS),
            **bias_ranges(registers),
            "theta_reset": (0, registers.v_limit),
        }
        problems = register_problems(params, ranges, optional=("du", "theta_reset"))
        if not problems:
            for vth, most in (("vth", "rounds"), ("vth_neg", "rounds_neg")):
                top = int((params[most] * (params[vth] << registers.threshold_shift)).max())
                if top > registers.v_limit:
                    shifted = f"{most} * ({vth} << {registers.threshold_shift})"
                    problems.append(f"{shifted} = {top} is not below 2^{registers.v_bits - 1}")
        if not problems and "theta_reset" in params:
            top = int((params["rounds"] * params["theta_reset"]).max())
            if top > registers.v_limit:
                problems.append(f"rounds * theta_reset = {top} is not below 2^{registers.v_bits - 1}")
            if params["rounds_neg"].any():
                problems.append("theta_reset needs rounds_neg = 0")
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
        """Firing leaves at most max(theta, h - K * theta); with theta_reset see `_left`."""
        theta, rounds, theta_neg, rounds_neg = self.levels(params, registers)
        if "theta_reset" in params:
            taken = params["theta_reset"]
            return charge_bounds(params, total, steps, idle, registers, lambda h: _left(h, theta, rounds, taken))

        def leave(h: Interval) -> Interval:
            high = np.minimum(h.high, np.maximum(theta, h.high - rounds * theta))
            low = np.where(
                rounds_neg > 0, np.maximum(h.low, np.minimum(-theta_neg, h.low + rounds_neg * theta_neg)), h.low
            )
            return Interval(low, high)

        return charge_bounds(params, total, steps, idle, registers, leave)


def _left(h: Interval, theta: Ints, rounds: Ints, taken: Ints) -> Interval:
    """The values of h - taken * s that belong to an interval of h, s = #{k in 1..rounds : h > k * theta}.

    h - taken * s grows with h but for a step where each s begins: k * theta + 1 is the least h with s = k,
    (k + 1) * theta the largest.  What is left there is linear in k, so the first and the last of these steps decide.
    """
    least, most = (np.clip((end - 1) // theta, 0, rounds) for end in (h.low, h.high))
    low, high = h.low - taken * least, h.high - taken * most
    first, last = least * (theta - taken) + theta, (most - 1) * (theta - taken) + theta
    steps = most > least
    high = np.where(steps, np.maximum(high, np.maximum(first, last)), high)
    low = np.where(steps, np.minimum(low, np.minimum(first, last) + 1 - taken), low)
    return Interval(low, high)


SPEC = CFSpec()
