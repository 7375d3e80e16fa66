"""What every neuron kind provides, and the pieces that kinds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import Violation
from ..fixed import Ints, Registers, decay_toward_zero
from ..target import Target
from ..trace import frozen
from .scheme import Scheme


@dataclass(frozen=True, eq=False)
class FloatNeuron:
    """A population in float: its kind, shape and parameters (float32, scalar () or of the population's shape)."""

    kind: str
    shape: tuple[int, ...]
    params: Mapping[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        params = {k: frozen(np.asarray(v, np.float32)) for k, v in self.params.items()}
        object.__setattr__(self, "params", MappingProxyType(params))

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def keeps(self) -> bool:
        """True if firing takes nothing from the potential: a `theta_reset` of 0 in all neurons."""
        return "theta_reset" in self.params and not self.params["theta_reset"].any()

    def flat(self, name: str) -> NDArray[np.float64]:
        """Parameter `name`, one per neuron: float64 (N,)."""
        return np.broadcast_to(self.params[name], self.shape).reshape(-1).astype(np.float64)


class Rounding(NamedTuple):
    """What quantizing one parameter cost: max and RMS of |integer value - float value|, in float units."""

    node: str
    parameter: str
    max_error: float
    rms_error: float

    @staticmethod
    def of(node: str, parameter: str, kept: NDArray[Any], wanted: NDArray[Any]) -> Rounding:
        """Compare what was kept with what was wanted."""
        error = np.abs(np.asarray(kept, np.float64) - np.asarray(wanted, np.float64))
        return Rounding(node, parameter, float(error.max(initial=0.0)), float(np.sqrt(np.mean(error**2))))


class Quantized(NamedTuple):
    """A population's integer parameters, what rounding them cost, and what the target cannot do."""

    params: dict[str, Ints]
    roundings: list[Rounding]
    violations: list[Violation]


class Interval(NamedTuple):
    """Smallest and largest value per neuron, int64 (N,)."""

    low: Ints
    high: Ints

    @property
    def magnitude(self) -> Ints:
        """max(|low|, |high|)."""
        largest: Ints = np.maximum(np.abs(self.low), np.abs(self.high))
        return largest


class Step(NamedTuple):
    """One integer step: spikes (B, N), what can be recorded by name, the new state, and where events happened."""

    spikes: Ints
    values: dict[str, Ints]
    state: dict[str, Ints]
    events: dict[str, NDArray[np.bool_]]


def visible(**values: Ints | None) -> dict[str, Ints]:
    """The entries that are not None."""
    return {name: value for name, value in values.items() if value is not None}


class Levels(NamedTuple):
    """The thresholds of a population in register units, () or (N,): k * theta, k = 1..rounds, and mirrored."""

    theta: Ints
    rounds: Ints
    theta_neg: Ints
    rounds_neg: Ints


class Integers(NamedTuple):
    """A population's integer parameters and what they are measured in.

    shape: of the population.   unit: float64 (N,), the float value of a register step.
    current: True if its input charges a synaptic current even if the integers do not tell.
    """

    params: Mapping[str, Ints]
    shape: tuple[int, ...]
    unit: NDArray[np.float64]
    registers: Registers
    current: bool


class NeuronSpec(Protocol):
    """One neuron kind, as data and pure functions."""

    kind: str

    def read(self, name: str, node: nir.NIRNode, scheme: Scheme) -> FloatNeuron | None:
        """The population that a NIR node stands for under a scheme, or None if the node is not of this kind.

        Raises: UnsupportedError if it is, but cannot be kept exactly, or contradicts its own metadata.
        """

    def gain(self, node: nir.NIRNode, scheme: Scheme) -> NDArray[np.float64] | None:
        """What the node multiplies its input by before the neuron's x; None for 1."""

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """The NIR node(s) of a population, with unit gain under forward Euler.  Raises: UnsupportedError."""

    def anchor(self, neuron: FloatNeuron) -> NDArray[np.float64] | None:
        """The parameter that sets a neuron's scale (its threshold): float64 (N,), > 0; None: the scale is free."""

    def anchor_limit(self, neuron: FloatNeuron, target: Target) -> int:
        """The largest integer that the anchor may become, in weight units."""

    def quantize(self, name: str, neuron: FloatNeuron, unit: NDArray[np.float64], target: Target) -> Quantized:
        """Integer parameters (without the bias).  unit: float64 (N,), the float value of one weight unit."""

    def restore(self, given: Integers) -> FloatNeuron:
        """The population whose integers these are, without its drift: what `quantize` makes them of."""

    def check(self, params: Mapping[str, Ints], registers: Registers) -> list[str]:
        """Problems with integer parameters (a wrong or missing name, a value outside its register); [] if fine."""

    def spike_range(self, params: Mapping[str, Ints]) -> tuple[int, int]:
        """Smallest and largest value that a spike can have."""

    def float_spike_range(self, neuron: FloatNeuron) -> tuple[int, int]:
        """The same, of a population in float."""

    def levels(self, params: Mapping[str, Ints], registers: Registers) -> Levels | None:
        """The thresholds, or None for a kind that never fires."""

    def bounds(
        self, params: Mapping[str, Ints], total: Interval, steps: int, registers: Registers, idle: int = 0
    ) -> dict[str, Interval]:
        """Register name -> its interval before wrap or clip, for any input sums within `total`.

        steps: how many steps the input lasts; idle: steps after them, without input.
        """


def bias_of(params: Mapping[str, Ints]) -> Ints:
    """The bias in potential units: bias_mant << bias_exp."""
    return np.asarray(params["bias_mant"] << params["bias_exp"])


def remembers(params: Mapping[str, Ints], registers: Registers) -> bool:
    """True for a synaptic current with a memory."""
    return "du" in params and bool((params["du"] != registers.unity - 1).any())


def whole_units(
    name: str, parameter: str, values: NDArray[np.float64], unit: NDArray[np.float64], target: Target
) -> tuple[Ints, Rounding]:
    """A threshold's mantissa, at least 1: int64 (N,), and what rounding it cost.  unit: of a weight, (N,)."""
    size = unit * 2.0 ** (target.threshold.shift.value - target.state.input_shift.value)
    q: Ints = np.maximum(1, np.rint(values / size)).astype(np.int64)
    kept = np.where(np.isclose(q * size, values, rtol=1e-12, atol=0), values, q * size)
    return q, Rounding.of(name, parameter, kept, values)


def threshold_limit(target: Target) -> int:
    """The largest threshold that mantissa and potential hold, in weight units."""
    shift = target.state.input_shift.value
    mantissa = ((1 << target.threshold.mantissa_bits.value) - 1) << target.threshold.shift.value
    return int(min(mantissa, (1 << (target.state.v_bits.value - 1)) - 1) >> shift)


def quantize_leak(name: str, beta: NDArray[np.float64], target: Target) -> Quantized:
    """`dv` = round(unity * (1 - beta)) with unity = 2^decay_bits; (N,) int64.

    beta = 0 becomes dv = unity where the target has neurons without memory; else dv = unity - 1, which is exact while
    |v| < unity (`compile` proves that or refuses).
    """
    unity = 1 << target.state.decay_bits.value
    dv = np.minimum(np.rint(unity * (1.0 - beta)).astype(np.int64), unity - 1)
    if target.neuron.memoryless.value:
        dv = np.where(beta == 0, unity, dv)
    kept = np.where(beta == 0, 0.0, 1.0 - dv / unity)
    violations = _leak_violations(name, "beta", beta)
    return Quantized({"dv": dv}, [Rounding.of(name, "beta", kept, beta)], violations)


def quantize_current(name: str, neuron: FloatNeuron, target: Target, always: bool) -> Quantized:
    """`du` = round(unity * (1 - beta_syn)) - 1, or unity - 1 (no memory) without a current.

    always: give `du` also to a neuron without a current.
    """
    unity = 1 << target.state.decay_bits.value
    if "beta_syn" not in neuron.params:
        return Quantized({"du": np.asarray(unity - 1)} if always else {}, [], [])
    beta = neuron.flat("beta_syn")
    du = np.clip(np.rint(unity * (1.0 - beta)).astype(np.int64) - 1, 0, unity - 1)
    rounding = Rounding.of(name, "beta_syn", 1.0 - (du + 1) / unity, beta)
    return Quantized({"du": du}, [rounding], _leak_violations(name, "beta_syn", beta))


def _leak_violations(name: str, parameter: str, beta: NDArray[np.float64]) -> list[Violation]:
    bad = (beta < 0) | (beta > 1)
    if not bad.any():
        return []
    what = f"{parameter} {beta[bad][0]:.6g} is outside [0, 1]"
    return [Violation(name, what, "retrain with a leak that decays, or give the dt that the network was made for")]


def charge_bounds(
    params: Mapping[str, Ints],
    total: Interval,
    steps: int,
    idle: int,
    registers: Registers,
    leave: Callable[[Interval], Interval],
) -> dict[str, Interval]:
    """u (where there is a current), h and v by interval arithmetic: leaks are monotone, so bounds move as values do.

    total: the int32 sums of a step, with 0 among them, for `steps` steps; `idle` steps without input follow.
    leave: what is left of h after firing.
    """
    bits, bias = registers.decay_bits, bias_of(params)
    keep_v = registers.unity - params["dv"]
    zero = Interval(np.zeros_like(total.low), np.zeros_like(total.high))
    u, v, worst, settled = zero, zero, zero, False
    for step in range(steps + idle):
        if settled and step < steps:
            continue
        before = (*u, *v)
        drive = Interval(total.low << registers.input_shift, total.high << registers.input_shift)
        drive = drive if step < steps else zero
        if "du" in params:
            keep_u = registers.unity - 1 - params["du"]
            low, high = decay_toward_zero(u.low, keep_u, bits), decay_toward_zero(u.high, keep_u, bits)
            u = hull(u, Interval(low + drive.low, high + drive.high))
        else:
            u = drive
        low, high = decay_toward_zero(v.low, keep_v, bits), decay_toward_zero(v.high, keep_v, bits)
        h = Interval(low + u.low + bias, high + u.high + bias)
        worst, v = hull(worst, h), hull(v, leave(h))
        settled = all(np.array_equal(a, b) for a, b in zip(before, (*u, *v), strict=True))
    return {**({"u": u} if "du" in params else {}), "h": worst, "v": v}


def hull(one: Interval, other: Interval) -> Interval:
    """The smallest interval that holds both."""
    return Interval(np.minimum(one.low, other.low), np.maximum(one.high, other.high))


def register_problems(
    params: Mapping[str, Ints], ranges: Mapping[str, tuple[int, int]], optional: tuple[str, ...] = ()
) -> list[str]:
    """Names that are missing or unknown, and values outside [low, high]."""
    problems = [f"parameter '{name}' is missing" for name in ranges if name not in params and name not in optional]
    problems += [f"unknown parameter '{name}'" for name in params if name not in ranges]
    for name, (low, high) in ranges.items():
        if name in params and params[name].size and not (low <= params[name].min() and params[name].max() <= high):
            problems.append(f"{name} in [{params[name].min()}, {params[name].max()}] exceeds [{low}, {high}]")
    return problems


def bias_ranges(registers: Registers) -> dict[str, tuple[int, int]]:
    """Bias mantissa: 13 bits signed; exponent: 3 bits.  Source: lava-nc 0.10.0, PyLifModelBitAcc."""
    half = 1 << (registers.bias_bits - 1)
    return {"bias_mant": (-half, half - 1), "bias_exp": (0, (1 << registers.bias_exponent_bits) - 1)}


def threshold_range(registers: Registers) -> tuple[int, int]:
    """vth: 17 bits unsigned, above zero.  Source: as above."""
    return 1, (1 << registers.threshold_bits) - 1


def leak_ranges(registers: Registers) -> dict[str, tuple[int, int]]:
    """du: 12 bits unsigned; dv: the same, and 4096 (no memory).  Source: as above."""
    return {"du": (0, registers.unity - 1), "dv": (0, registers.unity)}
