"""Weights, thresholds, leaks and biases of one population as integers.

Every neuron has a unit of its own (one scale per population and output channel, design ruling 14): its threshold
becomes the integer m, exactly, and its weights are rounded in steps of theta/m.  m is as large as the weights, the
bias and the registers allow.  With 8 bits, mixed signs keep even numbers in [-256, 254]: docs/semantics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import Violation
from ..fixed import Ints
from ..graph.compose import ComposedPopulation, ComposedSynapse
from ..neurons import spec
from ..neurons.base import Rounding
from ..program import DenseSynapse, Population
from ..target import Target

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drive:
    """A synapse into a population with the weights that act on the source's integers.  gain: source steps per 1.0."""

    synapse: ComposedSynapse
    gain: float

    @property
    def weight(self) -> Floats:
        """float64 (N_target, N_source): input to the neuron per integer step of the source."""
        return self.synapse.weight / self.gain

    @property
    def mixed(self) -> bool:
        """True if weights of both signs occur."""
        return bool((self.synapse.weight > 0).any() and (self.synapse.weight < 0).any())

    def step(self) -> int:
        """Distance of neighbouring weights: 2 in mixed mode, else 1."""
        return 2 if self.mixed else 1

    def largest(self, target: Target) -> int:
        """Largest magnitude that a weight may have on both sides of zero."""
        top = (1 << target.synapse.weight_bits.value) - 1
        return top - 1 if self.mixed else top


@dataclass(frozen=True, eq=False)
class Lowered:
    """A population as integers, its synapses, what rounding cost, and what cannot be done."""

    population: Population
    synapses: list[DenseSynapse]
    roundings: list[Rounding]
    violations: list[Violation]


def _exponents(anchor: Floats, drives: list[Drive], target: Target) -> list[int]:
    """Per synapse the smallest exponent >= 0 with which a threshold of at least 1 fits below its weights."""
    result = []
    for drive in drives:
        ratio = np.abs(drive.weight).max(axis=1, initial=0.0) / anchor / drive.largest(target)
        worst = float(ratio.max(initial=0.0))
        result.append(max(0, int(np.ceil(np.log2(worst)))) if worst > 1 else 0)
    return result


def largest_anchor(given: ComposedPopulation, drives: list[Drive], target: Target) -> Ints:
    """The largest integer threshold m per neuron (N,) at which weights and bias fit their formats."""
    kind = spec(given.neuron.kind)
    anchor = kind.anchor(given.neuron)
    most = np.full(anchor.shape, float(kind.anchor_limit(given.neuron, target)))
    with np.errstate(divide="ignore"):
        for drive, exponent in zip(drives, _exponents(anchor, drives, target), strict=True):
            reach = np.abs(drive.weight).max(axis=1, initial=0.0)
            most = np.minimum(most, np.floor(anchor * drive.largest(target) * 2.0**exponent / reach))
        most = np.minimum(most, np.floor(anchor * _bias_limit(target) / np.abs(given.bias)))
    m: Ints = np.maximum(1, most).astype(np.int64)
    if target.threshold.granularity.value == "per_population":
        m[:] = m.min()
    return m


def _bias_limit(target: Target) -> float:
    """Largest bias in weight units: the mantissa at its largest exponent, over the input shift."""
    mantissa = (1 << (target.bias.mantissa_bits.value - 1)) - 1
    return float(mantissa << ((1 << target.bias.exponent_bits.value) - 1)) / (1 << target.state.input_shift.value)


def lower_population(given: ComposedPopulation, drives: list[Drive], m: Ints, target: Target) -> Lowered:
    """Everything of one population, with thresholds m (N,)."""
    kind = spec(given.neuron.kind)
    anchor = kind.anchor(given.neuron)
    quantized = kind.quantize(given.name, given.neuron, m, target)
    unit = anchor / m / (1 << target.state.input_shift.value)
    violations = list(quantized.violations)
    violations += _threshold_violations(given.name, anchor, m, target)
    bias, exponent, bias_rounding, bias_violations = _bias(given, unit, target)
    violations += bias_violations
    roundings = [*quantized.roundings, bias_rounding]
    synapses = []
    for drive, weight_exponent in zip(drives, _exponents(anchor, drives, target), strict=True):
        weight, rounding, found = _weights(drive, anchor / m * 2.0**weight_exponent, target)
        source = drive.synapse
        violations += found + _synapse_violations(source, weight_exponent, target)
        roundings.append(rounding)
        synapses.append(DenseSynapse(source.name, source.source, source.target, weight, weight_exponent, source.delay))
    params = {**quantized.params, "bias_mant": bias, "bias_exp": exponent}
    remedy = "bring thresholds, weights and biases of a neuron nearer to each other"
    violations += [Violation(given.name, problem, remedy) for problem in kind.check(params)]
    population = Population(given.name, given.neuron.kind, given.neuron.shape, params, given.latency, unit)
    return Lowered(population, synapses, roundings, violations)


def _weights(drive: Drive, size: Floats, target: Target) -> tuple[NDArray[np.int32], Rounding, list[Violation]]:
    """Weights in steps of `size` (N_target,), as effective integers."""
    name, step = drive.synapse.name, drive.step()
    wanted = drive.weight / size[:, None]
    q = (step * np.rint(wanted / step)).astype(np.int64)
    rounding = Rounding.of(name, "weight", q * size[:, None] * drive.gain, drive.synapse.weight)
    largest = int(np.abs(q).max(initial=0))
    violations = []
    if largest > drive.largest(target):
        violations.append(
            Violation(
                name,
                f"weight {largest} exceeds {drive.largest(target)}, the largest that {target.name} has with "
                f"{target.synapse.weight_bits.value} bits",
                "train with smaller weights or a larger threshold",
            )
        )
        q = np.clip(q, -drive.largest(target), drive.largest(target))
    return q.astype(np.int32), rounding, violations


def _bias(given: ComposedPopulation, unit: Floats, target: Target) -> tuple[Ints, Ints, Rounding, list[Violation]]:
    """Mantissa and the smallest exponent per neuron that holds the bias."""
    wanted = given.bias / unit
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
                "train with a smaller bias or a larger threshold",
            )
        )
        mantissa = np.clip(mantissa, -top, top)
    rounding = Rounding.of(given.name, "bias", (mantissa << exponent) * unit, given.bias)
    return mantissa, exponent, rounding, violations


def _threshold_violations(name: str, anchor: Floats, m: Ints, target: Target) -> list[Violation]:
    if target.threshold.granularity.value == "per_population" and np.ptp(anchor) > 0:
        return [
            Violation(
                name,
                f"thresholds from {anchor.min():g} to {anchor.max():g}, but {target.name} has one per population",
                "train with one threshold, or choose a target with a threshold per neuron",
            )
        ]
    return []


def _synapse_violations(synapse: ComposedSynapse, exponent: int, target: Target) -> list[Violation]:
    found = []
    if exponent > target.synapse.exponent_max.value:
        what = f"weights need exponent {exponent}, {target.name} has at most {target.synapse.exponent_max.value}"
        found.append(Violation(synapse.name, what, "train with smaller weights or a larger threshold"))
    if synapse.delay > target.synapse.max_delay.value:
        what = f"needs a delay of {synapse.delay} steps, {target.name} has at most {target.synapse.max_delay.value}"
        found.append(Violation(synapse.name, what, "shorten the longer branch"))
    return found
