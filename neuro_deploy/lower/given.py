"""Scales that a file tells, of a network trained in the chip's arithmetic: taken as they are, and checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import UnsupportedError, Violation
from ..fixed import Format
from ..graph import Composed
from ..graph.compose import ComposedPopulation
from ..graph.told import ToldChip
from ..program import Encoder
from ..target import Target
from ..wiring import Conv, by_channel
from .attempt import GIVEN, Attempt, Layer, Options, spike_ranges, window
from .bounds import reach
from .quantize import Drive, Scale, lower_population

TITLE = "the chip's scales in the file's metadata cannot be used:"
REMEDY = "export the network again, or choose scales anew (--scale proven)"


def given_attempt(network: Composed, told: ToldChip, chip: Target, options: Options) -> Attempt:
    """The network lowered at the scales that the file tells; nothing is rounded.

    Raises: UnsupportedError if they are not those of this network and target, or a value is no multiple of its unit.
    """
    _refuse([*_names(network, told), *_legal(network, told, chip)])
    encoders = tuple(Encoder(i.name, i.shape, **told.encoder.model_dump(), parts=i.parts) for i in network.inputs)
    _refuse(_encodable(encoders[0], chip))
    layers = [_layer(network, p, told, chip, options, encoders) for p in network.populations]
    _refuse(
        [
            Violation(
                r.node, f"{r.parameter} is no multiple of the unit that is told: off by {r.max_error:.3g}", REMEDY
            )
            for layer in layers
            for r in layer.lowered.roundings
            if r.max_error > 0
        ]
    )
    return Attempt(encoders, tuple(layers), GIVEN)


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise UnsupportedError(TITLE, violations)


def _names(network: Composed, told: ToldChip) -> Iterator[Violation]:
    """Populations, synapses and neurons that one side lacks."""
    sizes = {p.name: p.neuron.size for p in network.populations}
    for name in dict.fromkeys([*sizes, *told.unit]):
        if len(told.unit.get(name, [])) != sizes.get(name, 0):
            what = f"tells units of {len(told.unit.get(name, []))} neurons, the file has {sizes.get(name, 0)}"
            yield Violation(name, what, REMEDY)
    synapses = [s.name for s in network.synapses]
    for name in dict.fromkeys([*synapses, *told.exponent]):
        if (name in synapses) != (name in told.exponent):
            yield Violation(name, "its exponent is missing, or there is no such synapse", REMEDY)
    if len(network.inputs) != 1:
        yield Violation("input", f"tells one encoder, the file has {len(network.inputs)} inputs", REMEDY)


def _legal(network: Composed, told: ToldChip, chip: Target) -> Iterator[Violation]:
    """Formats that the target does not have, and units where neurons must share one."""
    if told.weight_bits > chip.synapse.weight_bits.value:
        yield Violation(
            "weights", f"have {told.weight_bits} bits, {chip.name} has {chip.synapse.weight_bits.value}", REMEDY
        )
    least, most = chip.synapse.exponent_min.value, chip.synapse.exponent_max.value
    for name, exponent in told.exponent.items():
        if not least <= exponent <= most:
            yield Violation(name, f"has exponent {exponent}, {chip.name} has {least} to {most}", REMEDY)
    compared = network.readout.population if network.readout and network.readout.rule != "spike_count" else ""
    shared = chip.threshold.granularity.value == "per_population"
    for name, unit in told.unit.items():
        if (shared or name == compared) and len(set(unit)) > 1:
            yield Violation(name, "has units of several sizes, and its neurons must share one", REMEDY)
    for s in network.synapses:
        unit = told.unit.get(s.target, [])
        if isinstance(s.wiring, Conv) and len(unit) == s.wiring.target_size and not by_channel(unit, s.wiring.channels):
            yield Violation(s.name, "has units of several sizes in a channel, whose kernel is shared", REMEDY)


def _encodable(encoder: Encoder, chip: Target) -> list[Violation]:
    bits = chip.input.payload_bits.value
    problems = [] if encoder.sound else [f"clips to [{encoder.low}, {encoder.high}], beyond its {encoder.format}"]
    if encoder.bits > max(bits, 1) or (bits == 0 and encoder.format != Format(1, False)):
        problems.append(f"has {encoder.format}, {chip.name} takes {bits} bits")
    return [Violation(encoder.name, problem, REMEDY) for problem in problems]


def _layer(
    network: Composed,
    population: ComposedPopulation,
    told: ToldChip,
    chip: Target,
    options: Options,
    encoders: tuple[Encoder, ...],
) -> Layer:
    spikes = spike_ranges(network, encoders)
    gains = {e.name: e.gain for e in encoders}
    drives = tuple(
        Drive(s, gains.get(s.source, 1.0), max(map(abs, spikes[s.source])), options.weight_bits)
        for s in network.synapses
        if s.target == population.name
    )
    scale = Scale(np.asarray(told.unit[population.name]), np.arange(population.neuron.size))
    m = np.ones(population.neuron.size, np.int64)
    exponents = [told.exponent[d.synapse.name] for d in drives]
    low = lower_population(population, scale, drives, m, chip, exponents)
    bound = reach(low.population, low.synapses, spikes, window(network, population, options.max_steps), chip)
    return Layer(drives, scale, m, tuple(exponents), m, low, bound)
