"""The search for a scale: a whole network lowered at one input payload, and the best of several such attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints
from ..graph import Composed, InputRange
from ..graph.compose import ComposedPopulation
from ..neurons import spec
from ..program import ChipProgram, Encoder
from ..target import Target
from .bounds import Reach, Window, reach
from .calibrate import observed
from .encoder import encoder_for, payload_choices
from .quantize import Drive, Lowered, Scale, exponents, largest_scale, lower_population, scale_of

LARGEST_LOSS = 2.0
"""How many bits of a neuron's precision a proof may cost before a narrower input is tried."""
SHRINK = 0.995
ROUNDS = 12
HEADROOM = 2.0
"""How much larger than on the calibration input a potential may become before its register is full."""


GIVEN = "given"
"""How an attempt came to its scales: the file told them."""


class Edge(Protocol):
    """A synapse, composed or in a program."""

    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def delay(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Options:
    """What the user asked for; see `compile`."""

    scale: str
    input_bits: int | None
    weight_bits: int
    max_steps: int
    exact: bool
    calibrate: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class Layer:
    """A population at one scale.

    full: the largest m that its formats allow, (N,); full_exponents: of its synapses there.   m: the one taken.
    """

    drives: tuple[Drive, ...]
    scale: Scale
    full: Ints
    full_exponents: tuple[int, ...]
    m: Ints
    lowered: Lowered
    reach: Reach

    @property
    def loss(self) -> float:
        """Bits of precision that its worst neuron lost for the proof: of its weights, and of its sums.

        A sum shifted right by n bits loses them below the rounding of weights once n exceeds the spike's own bits.
        """
        shrunk = float(np.log2(self.full / self.m).max(initial=0.0))
        worst = 0.0 if self.drives else shrunk
        for drive, synapse, before in zip(self.drives, self.lowered.synapses, self.full_exponents, strict=True):
            sums = -synapse.exponent - np.log2(max(1, drive.largest_spike))
            worst = max(worst, shrunk + synapse.exponent - before, float(sums))
        return worst


@dataclass(frozen=True, eq=False)
class Attempt:
    """A whole network lowered with one input payload.  how: "proven", "calibrated", "full" or GIVEN."""

    encoders: tuple[Encoder, ...]
    layers: tuple[Layer, ...]
    how: str

    @property
    def lowered(self) -> tuple[Lowered, ...]:
        return tuple(layer.lowered for layer in self.layers)

    @property
    def reaches(self) -> Mapping[str, Reach]:
        return {layer.lowered.population.name: layer.reach for layer in self.layers}

    @property
    def loss(self) -> float:
        return max((layer.loss for layer in self.layers), default=0.0)

    @property
    def proven(self) -> bool:
        return all(float(layer.reach.excess.max(initial=0.0)) <= 1 for layer in self.layers)

    def program(self, network: Composed, chip: Target, options: Options) -> ChipProgram:
        """The attempt as a program, without a report."""
        return ChipProgram(
            target=chip.name,
            dt=network.dt,
            max_steps=options.max_steps,
            encoders=self.encoders,
            populations=tuple(low.population for low in self.lowered),
            synapses=tuple(s for low in self.lowered for s in low.synapses),
            readout=network.readout,
            proven=self.proven,
            registers=chip.registers,
        )


def best_attempt(network: Composed, known: InputRange, chip: Target, options: Options) -> Attempt:
    """The attempt with the widest input whose proof costs no more than LARGEST_LOSS; else calibrated, if there is
    input for it; else the cheapest proof."""
    choices = payload_choices(known, chip, options.input_bits)
    if options.scale == "full":
        return _attempt(network, known, choices[0], chip, options, prove=False)
    if options.scale == "calibrated":
        return _calibrated(network, _attempt(network, known, choices[0], chip, options, prove=True), chip, options)
    attempts = []
    for bits in choices:
        attempts.append(_attempt(network, known, bits, chip, options, prove=True))
        if attempts[-1].proven and attempts[-1].loss <= LARGEST_LOSS:
            return attempts[-1]
    if options.scale == "auto" and options.calibrate is not None and chip.spike.payload_bits.value:
        return _calibrated(network, attempts[0], chip, options)
    return min(attempts, key=lambda a: (not a.proven, a.loss))


def _attempt(network: Composed, known: InputRange, bits: int, chip: Target, options: Options, prove: bool) -> Attempt:
    """Lower a network with an input payload of so many bits."""
    encoders = tuple(encoder_for(i, known, bits) for i in network.inputs)
    gains = {e.name: e.gain for e in encoders}
    spikes = spike_ranges(network, encoders)
    compared = network.readout.population if network.readout and network.readout.rule != "spike_count" else ""
    layers = []
    for population in network.populations:
        drives = tuple(
            Drive(s, gains.get(s.source, 1.0), max(map(abs, spikes[s.source])), options.weight_bits)
            for s in network.synapses
            if s.target == population.name
        )
        scale = scale_of(population, drives, chip, compared == population.name)
        full = largest_scale(population, scale, drives, chip)
        steps = window(network, population, options.max_steps)
        layers.append(_fit(population, drives, scale, full, spikes, steps, chip, prove))
    return Attempt(encoders, tuple(layers), "proven" if prove else "full")


def spike_ranges(network: Composed, encoders: tuple[Encoder, ...]) -> dict[str, tuple[int, int]]:
    """Smallest and largest spike of each source."""
    ranges = {e.name: (e.low, e.high) for e in encoders}
    return ranges | {p.name: spec(p.neuron.kind).float_spike_range(p.neuron) for p in network.populations}


def window_of(
    name: str, latency: int, synapses: Sequence[Edge], inputs: Collection[str], depth: int, max_steps: int
) -> Window:
    """A population that inputs alone drive gets input for max_steps steps; others until the run has drained."""
    rows, incoming = max_steps + depth - latency, [s for s in synapses if s.target == name]
    if all(s.source in inputs for s in incoming):
        steps = min(rows, max_steps + max((s.delay for s in incoming), default=0))
        return Window(steps, rows - steps)
    return Window(rows, 0)


def window(network: Composed, population: ComposedPopulation, max_steps: int) -> Window:
    """The same, for a population of a composed network."""
    inputs = [i.name for i in network.inputs]
    return window_of(population.name, population.latency, network.synapses, inputs, network.depth, max_steps)


def _fit(
    population: ComposedPopulation,
    drives: tuple[Drive, ...],
    scale: Scale,
    full: Ints,
    spikes: Mapping[str, tuple[int, int]],
    window: Window,
    chip: Target,
    prove: bool,
) -> Layer:
    """Lower a population; to prove it, shrink the scale of each neuron that could leave its registers."""
    m = full
    for _ in range(ROUNDS):
        low = lower_population(population, scale, drives, m, chip)
        bound = reach(low.population, low.synapses, spikes, window, chip)
        excess = bound.excess
        if not prove or excess.max(initial=0.0) <= 1 or bool((m == 1).all()):
            break
        smaller = np.maximum(1, np.floor(m * SHRINK / np.maximum(1.0, excess))).astype(np.int64)
        m = scale.least(np.where(excess > 1, np.minimum(m, smaller), m))
    return Layer(drives, scale, full, tuple(exponents(scale, full, drives, chip)), m, low, bound)


def _calibrated(network: Composed, proven: Attempt, chip: Target, options: Options) -> Attempt:
    """The largest scale at which potentials on the calibration input fill no more than 1/HEADROOM of their registers.

    The program that was shrunk for the proof hardly clips, so it shows how far its potentials really go.
    """
    assert options.calibrate is not None
    most = observed(proven.program(network, chip, options), options.calibrate)
    spikes = spike_ranges(network, proven.encoders)
    layers = []
    for population, layer in zip(network.populations, proven.layers, strict=True):
        room = chip.registers.v_limit / (HEADROOM * np.maximum(1, most[population.name]))
        m = layer.scale.least(np.clip(np.floor(layer.m * np.maximum(1.0, room)).astype(np.int64), 1, layer.full))
        low = lower_population(population, layer.scale, layer.drives, m, chip)
        bound = reach(low.population, low.synapses, spikes, window(network, population, options.max_steps), chip)
        layers.append(replace(layer, m=m, lowered=low, reach=bound))
    return Attempt(proven.encoders, tuple(layers), "calibrated")
