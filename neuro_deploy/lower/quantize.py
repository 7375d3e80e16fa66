"""Weights, thresholds, leaks and biases of one population as integers.

A group of neurons has a scale of its own: single neurons, the channels of a convolution, or the whole population where
the target has one threshold or potentials are compared (design ruling 14).  In each group the largest threshold becomes
the integer m exactly, so that one weight unit is theta/m, and weights are rounded in steps of 2^exponent units.  m is
as large as the weights, the bias and the registers allow; the exponent is as small as the weights' 8 bits allow.  With
8 bits, mixed signs keep even numbers in [-256, 254]: docs/semantics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import Violation
from ..fixed import Ints
from ..graph.compose import ComposedPopulation, ComposedSynapse
from ..neurons import spec
from ..neurons.base import Rounding
from ..program import Population, Synapse
from ..target import Target
from ..wiring import Conv, Wiring

Floats = NDArray[np.float64]
SPARED = 2
"""Bits of a kernel's weights that a judge is worth."""
SAME = 1e-9
"""Tolerance of log2 when an exponent is chosen: 254.0000001 still fits where 254 does."""


@dataclass(frozen=True, eq=False)
class Drive:
    """A synapse into a population with the weights that act on the source's integers.

    gain: source steps per 1.0.   largest_spike: of the source's integers.   bits: of a weight.
    """

    synapse: ComposedSynapse
    gain: float
    largest_spike: int
    bits: int

    @property
    def weight(self) -> Floats:
        """Input to the neuron per integer step of the source, in the wiring's layout."""
        return np.asarray(self.synapse.wiring.weight / self.gain)

    @property
    def mixed(self) -> bool:
        """True if weights of both signs occur."""
        weight = self.synapse.wiring.weight
        return bool((weight > 0).any() and (weight < 0).any())

    def step(self, target: Target) -> int:
        """Distance of neighbouring weights: twice as far in mixed mode, and for each bit that is missing."""
        return 1 << (target.synapse.weight_bits.value - self.bits + self.mixed)

    def largest(self, target: Target) -> int:
        """Largest magnitude that a weight may have on both sides of zero."""
        return (1 << target.synapse.weight_bits.value) - self.step(target)

    def reach(self) -> Floats:
        """The largest |weight| of each target neuron, (N_target,)."""
        return np.asarray(self.synapse.wiring.largest() / self.gain)


@dataclass(frozen=True, eq=False)
class Scale:
    """What sets the scale of a population's neurons.

    base: float64 (N,), the value that becomes the integer m; one value a group.   group: int64 (N,), from 0 on.
    """

    base: Floats
    group: Ints

    def least(self, values: Ints) -> Ints:
        """For each neuron the smallest value of its group."""
        result = np.full(int(self.group.max(initial=0)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(result, self.group, values)
        return np.asarray(result[self.group])

    def unit(self, m: Ints) -> Floats:
        """The float value of one weight unit, (N,)."""
        return np.asarray(self.base / m)


@dataclass(frozen=True, eq=False)
class Lowered:
    """A population as integers, its synapses, what rounding cost, and what cannot be done."""

    population: Population
    synapses: list[Synapse]
    roundings: list[Rounding]
    violations: list[Violation]


def scale_of(given: ComposedPopulation, drives: Sequence[Drive], target: Target, compared: bool) -> Scale:
    """The groups and their bases.  compared: the potentials of its neurons are compared with each other."""
    anchor, size = spec(given.neuron.kind).anchor(given.neuron), given.neuron.size
    convs = [d.synapse.wiring for d in drives if isinstance(d.synapse.wiring, Conv)]
    if anchor is None or compared or target.threshold.granularity.value == "per_population":
        group = np.zeros(size, np.int64)
    else:
        group = _groups(size, [np.repeat(np.arange(c.target_shape[0]), size // c.target_shape[0]) for c in convs])
    if anchor is None:
        largest = max([float(d.reach().max(initial=0.0)) for d in drives], default=0.0)
        anchor = np.full(size, largest or float(np.abs(given.bias).max(initial=0.0)) or 1.0)
    base = np.zeros(int(group.max(initial=0)) + 1)
    np.maximum.at(base, group, anchor)
    return Scale(base[group], group)


def _groups(size: int, channels: Sequence[Ints]) -> Ints:
    """Neurons that must share a scale, int64 (N,), from 0 on: those of a channel, of each convolution.

    channels: of each convolution the channel of every neuron, (N,).
    """
    group, before = np.arange(size), np.full(size, -1)
    while not np.array_equal(group, before):
        before = group
        for channel in channels:
            least = np.full(int(channel.max(initial=0)) + 1, size)
            np.minimum.at(least, channel, group)
            group = least[channel]
    return np.asarray(np.unique(group, return_inverse=True)[1].reshape(-1))


def exponents(scale: Scale, m: Ints, drives: Sequence[Drive], target: Target) -> list[int]:
    """Per synapse the smallest exponent with which its weights fit.

    Below 0, where finer weights than a unit fit, only on targets with graded spikes: elsewhere `compile` stays in the
    subset in which all public models of Loihi agree (docs/semantics.md).  A convolution goes below 0 only for more than
    SPARED bits, since Lava's own Conv, its best judge, knows no exponent.
    """
    least = target.synapse.exponent_min.value if target.spike.payload_bits.value else 0
    result = []
    for drive in drives:
        need = float((drive.reach() / scale.unit(m)).max(initial=0.0)) / drive.largest(target)
        exponent = max(least, int(np.ceil(np.log2(need) - SAME))) if need > 0 else 0
        spared = isinstance(drive.synapse.wiring, Conv) and -SPARED <= exponent < 0
        result.append(0 if spared else exponent)
    return result


def largest_scale(given: ComposedPopulation, scale: Scale, drives: Sequence[Drive], target: Target) -> Ints:
    """The largest integer m per neuron (N,) at which weights and bias fit their formats."""
    most = np.full(scale.base.shape, float(spec(given.neuron.kind).anchor_limit(given.neuron, target)))
    ones = np.ones(scale.base.shape, np.int64)
    with np.errstate(divide="ignore"):
        for drive, exponent in zip(drives, exponents(scale, ones, drives, target), strict=True):
            room = drive.largest(target) * 2.0 ** max(0, exponent)
            most = np.minimum(most, np.floor(scale.base * room / drive.reach() * (1 + SAME)))
        most = np.minimum(most, np.floor(scale.base * _bias_limit(target) / np.abs(given.bias)))
    return scale.least(np.maximum(1, most).astype(np.int64))


def _bias_limit(target: Target) -> float:
    """Largest bias in weight units: the mantissa at its largest exponent, over the input shift."""
    mantissa = (1 << (target.bias.mantissa_bits.value - 1)) - 1
    return float(mantissa << ((1 << target.bias.exponent_bits.value) - 1)) / (1 << target.state.input_shift.value)


def lower_population(
    given: ComposedPopulation,
    scale: Scale,
    drives: Sequence[Drive],
    m: Ints,
    target: Target,
    chosen: Sequence[int] | None = None,
) -> Lowered:
    """Everything of one population, at the scale m (N,).  chosen: the synapses' exponents; None: the smallest."""
    kind = spec(given.neuron.kind)
    unit = scale.unit(m)
    step = unit / (1 << target.state.input_shift.value)
    quantized = kind.quantize(given.name, given.neuron, unit, target)
    bias, exponent, bias_rounding, violations = _bias(given, step, target)
    violations = [*quantized.violations, *_threshold_violations(given, target), *violations]
    roundings = [*quantized.roundings, bias_rounding]
    synapses = []
    smallest = exponents(scale, m, drives, target) if chosen is None else chosen
    for drive, weight_exponent in zip(drives, smallest, strict=True):
        wiring, rounding, found = _weights(drive, unit * 2.0**weight_exponent, target)
        source = drive.synapse
        violations += found + _synapse_violations(source, weight_exponent, target)
        roundings.append(rounding)
        synapses.append(Synapse(source.name, source.source, source.target, wiring, weight_exponent, source.delay))
    params = {**quantized.params, "bias_mant": bias, "bias_exp": exponent}
    remedy = "bring thresholds, weights and biases of a neuron nearer to each other"
    violations += [Violation(given.name, problem, remedy) for problem in kind.check(params, target.registers)]
    population = Population(given.name, given.neuron.kind, given.neuron.shape, params, given.latency, step)
    violations += _payload_violations(population, target)
    return Lowered(population, synapses, roundings, violations)


def _weights(drive: Drive, size: Floats, target: Target) -> tuple[Wiring, Rounding, list[Violation]]:
    """Weights in steps of `size` (N_target,), as effective integers."""
    wiring, name, step = drive.synapse.wiring, drive.synapse.name, drive.step(target)
    each = wiring.spread(size)
    q = (step * np.rint(drive.weight / each / step)).astype(np.int64)
    kept = q * each * drive.gain
    kept = np.where(kept.astype(np.float32) == wiring.weight, wiring.weight, kept)  # what a file of float32 says of it
    rounding = Rounding.of(name, "weight", kept, wiring.weight)
    largest, most = int(np.abs(q).max(initial=0)), drive.largest(target)
    violations = []
    if largest > most:
        violations.append(
            Violation(
                name,
                f"weight {largest} exceeds {most}, the largest that {target.name} has with {drive.bits} bits",
                "train with smaller weights or a larger threshold",
            )
        )
        q = np.clip(q, -most, most)
    return wiring.with_weight(q.astype(np.int32)), rounding, violations


def _bias(given: ComposedPopulation, step: Floats, target: Target) -> tuple[Ints, Ints, Rounding, list[Violation]]:
    """Mantissa and the smallest exponent per neuron that holds the bias.  step: of the potential, (N,)."""
    wanted = given.bias / step
    top = (1 << (target.bias.mantissa_bits.value - 1)) - 1
    widest = (1 << target.bias.exponent_bits.value) - 1
    exponent = np.zeros(wanted.shape, np.int64)
    for e in range(widest):
        exponent = np.where(np.abs(np.rint(wanted / 2.0**e)) > top, e + 1, exponent)
    mantissa = np.rint(wanted / 2.0**exponent).astype(np.int64)
    violations = []
    if np.abs(mantissa).max(initial=0) > top:
        worst = int(np.abs(mantissa).argmax())
        violations.append(
            Violation(
                given.name,
                f"bias {given.bias[worst]:g} of neuron {worst} is {mantissa[worst]} << {widest}, beyond the mantissa's "
                f"{top} on {target.name}",
                "train with a smaller bias, or larger weights and thresholds",
            )
        )
        mantissa = np.clip(mantissa, -top, top)
    rounding = Rounding.of(given.name, "bias", (mantissa << exponent) * step, given.bias)
    return mantissa, exponent, rounding, violations


def _threshold_violations(given: ComposedPopulation, target: Target) -> list[Violation]:
    anchor = spec(given.neuron.kind).anchor(given.neuron)
    if anchor is not None and target.threshold.granularity.value == "per_population" and np.ptp(anchor) > 0:
        return [
            Violation(
                given.name,
                f"thresholds from {anchor.min():g} to {anchor.max():g}, but {target.name} has one per population",
                "train with one threshold, or choose a target with a threshold per neuron",
            )
        ]
    return []


def _payload_violations(population: Population, target: Target) -> list[Violation]:
    """Spikes that the target's payload cannot carry."""
    bits = target.spike.payload_bits.value
    low, high = spec(population.kind).spike_range(population.params)
    limit = (1 << bits) - 1 if low >= 0 else (1 << max(0, bits - 1)) - 1
    if bits == 0 or max(high, -low) <= limit:
        return []
    what = f"spikes of up to {max(high, -low)} exceed {limit}, the payload of {bits} bits on {target.name}"
    return [Violation(population.name, what, "train with fewer circulations")]


def _synapse_violations(synapse: ComposedSynapse, exponent: int, target: Target) -> list[Violation]:
    found = []
    if exponent > target.synapse.exponent_max.value:
        what = f"weights need exponent {exponent}, {target.name} has at most {target.synapse.exponent_max.value}"
        found.append(Violation(synapse.name, what, "train with smaller weights or a larger threshold"))
    if synapse.delay > target.synapse.max_delay.value:
        what = f"needs a delay of {synapse.delay} steps, {target.name} has at most {target.synapse.max_delay.value}"
        found.append(Violation(synapse.name, what, "shorten the delay, or the longer of two branches that meet"))
    return found
