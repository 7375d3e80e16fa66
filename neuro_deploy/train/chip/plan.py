"""A ChipProgram as nodes of a NIR graph: which node each synapse is, where delays and constants stand, all names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import Violation
from ...neurons import spec
from ...neurons.base import FloatNeuron, Integers, bias_of
from ...program import ChipProgram, Population, Synapse
from ...wiring import Conv, by_channel
from .forms import LINEAR, Shape, form_of
from .names import Names, Origin, constant_name, constants_of, origins_of, part_ending, path_name
from .schedule import logical_lags

Floats = NDArray[np.float64]
UNWRITABLE = "use a pool that tiles its image before a padded convolution, and one gain or delay for a whole channel"


@dataclass(frozen=True)
class Piece:
    """A node that carries a synapse, or what of it comes from one Input of several.

    source: the Input or population that it reads, of the shape `given`.   start: the first element in the program's
    source.   form: see forms.py.
    """

    node: str
    source: str
    given: Shape
    start: int
    form: str


@dataclass(frozen=True, eq=False)
class Layer:
    """A synapse as nodes.

    lag: logical steps from a spike to its target.   behind: its Delay stands behind the node.
    offset: what the node adds to the target in every step, float64 (N,); None: nothing.
    """

    synapse: Synapse
    pieces: tuple[Piece, ...]
    lag: int
    behind: bool = False
    offset: Floats | None = None

    def holds(self, offset: Floats) -> bool:
        """True if its first node can add this to the target."""
        form, wiring = self.pieces[0].form if self.pieces else "", self.synapse.wiring
        return form == LINEAR or (isinstance(wiring, Conv) and bool(form) and by_channel(offset, wiring.channels))


@dataclass(frozen=True, eq=False)
class Plan:
    """A program with new names and its units powers of two, and what its graph is.

    sources, names: of encoders and populations, and of synapses, old -> new.   layers: of each population, in the
    program's order.   neurons: the populations in float, their drift included.   roomy: those (new names) that can have
    any bias, of the same value in a channel where it is so now.   problems: what no graph can hold.
    """

    program: ChipProgram
    sources: Mapping[str, str]
    names: Mapping[str, str]
    layers: Mapping[str, tuple[Layer, ...]]
    neurons: Mapping[str, FloatNeuron]
    roomy: frozenset[str]
    problems: tuple[Violation, ...]


def channels_of(p: Population, incoming: Iterable[Synapse]) -> int:
    """How many channels a population has: those of a convolution that leads there, else of its first axis."""
    convolutions = (s.wiring.channels for s in incoming if isinstance(s.wiring, Conv))
    return next(convolutions, p.shape[0] if len(p.shape) > 1 else p.size)


def source_gain(program: ChipProgram, name: str) -> float:
    """Integer steps per 1.0 of a source: of the encoder, or 1 for spikes."""
    return next((e.gain for e in program.encoders if e.name == name), 1.0)


def weight_unit(program: ChipProgram, p: Population) -> Floats:
    """The float value of one weight unit, (N,)."""
    unit = np.asarray(p.unit * 2.0**program.registers.input_shift)
    return np.asarray(np.broadcast_to(unit, (p.size,)))


def neuron_of(program: ChipProgram, p: Population) -> FloatNeuron:
    """The float neuron whose integers these are, without its drift.  A constant that comes at once is of a current."""
    lags, constants = logical_lags(program), constants_of(program)
    current = any(s.target == p.name and s.source in constants and lags[s.name] == 0 for s in program.synapses)
    unit = np.broadcast_to(p.unit, (p.size,))
    return spec(p.kind).restore(Integers(p.params, p.shape, unit, program.registers, current))


def float_bias(p: Population) -> Floats:
    """The bias in float, (N,)."""
    return np.asarray(np.broadcast_to(bias_of(p.params).astype(np.float64) * p.unit, (p.size,)))


def without_idle(program: ChipProgram) -> ChipProgram:
    """Without constants that are 0, which `compile` would not make: their synapses, then their sources."""
    constants = constants_of(program)
    kept = tuple(s for s in program.synapses if s.source not in constants or s.wiring.weight.any())
    if len(kept) == len(program.synapses):
        return program
    sources = {s.source for s in kept}
    populations = tuple(p for p in program.populations if p.name not in constants or p.name in sources)
    return replace(program, populations=populations, synapses=kept)


def plan_of(program: ChipProgram, origins: Mapping[str, Origin] | None = None) -> Plan:
    """The plan of a program `without_idle` constants.

    origins: of its synapses, as far as their names do not tell them.
    """
    program = without_idle(program)
    found, names = origins_of(origins, program), Names(program)
    bases = {s.name: names.base(s, found[s.name]) for s in program.synapses if s.source not in names.constants}
    names.unused("output")
    sources = names.sources()
    populations = tuple(_renamed(p, sources[p.name], p.name in names.constants) for p in program.populations)
    encoders = tuple(replace(e, name=sources[e.name]) for e in program.encoders)
    readout = program.readout and replace(program.readout, population=sources[program.readout.population])
    synapses = tuple(replace(s, source=sources[s.source], target=sources[s.target]) for s in program.synapses)
    program = replace(program, encoders=encoders, populations=populations, synapses=synapses, readout=readout)
    draft = _Draft(program, frozenset(sources[name] for name in names.constants), bases, found)
    for p in program.populations:
        if p.name not in draft.constants:
            draft.population(p)
    renamed = tuple(replace(s, name=draft.names[s.name]) for s in program.synapses)
    done = replace(program, synapses=renamed)
    roomy = frozenset(draft.roomy)
    return Plan(done, sources, draft.names, draft.layers, draft.neurons, roomy, tuple(draft.problems))


def _renamed(p: Population, name: str, constant: bool) -> Population:
    """With a unit that is a power of two; not below, for a source of constants, whose threshold and bias are known."""
    rounded: Callable[[Floats], Floats] = np.ceil if constant else np.rint
    return replace(p, name=name, unit=np.asarray(2.0 ** rounded(np.log2(np.asarray(p.unit)))))


class _Draft:
    """A plan in the making.  names: of synapses, old -> new.   roomy: populations that can have any bias."""

    def __init__(
        self,
        program: ChipProgram,
        constants: frozenset[str],
        bases: Mapping[str, str],
        origins: Mapping[str, Origin],
    ) -> None:
        self.program, self.constants, self.bases, self.origins = program, constants, bases, origins
        self.lags = logical_lags(program)
        self.layers: dict[str, tuple[Layer, ...]] = {}
        self.neurons: dict[str, FloatNeuron] = {}
        self.problems: list[Violation] = []
        self.names: dict[str, str] = {}
        self.roomy: list[str] = []

    def population(self, p: Population) -> None:
        """Its layers, its neurons, the names of what leads there."""
        incoming = [s for s in self.program.synapses if s.target == p.name]
        layers = [self._layer(s, p) for s in incoming if s.source not in self.constants]
        neuron = neuron_of(self.program, p)
        current = "beta_syn" in neuron.params
        constants = self._constants([s for s in incoming if s.source in self.constants], p)
        drift, bias = np.zeros(p.size), float_bias(p)
        if current:
            drift = bias
        else:
            constants[0] = constants.get(0, 0.0) + bias
        for lag, offset in sorted(constants.items(), reverse=True):
            index = _place_of(layers, lag, offset)
            drifts = lag == 0 and not current and can_drift(p)
            if lag == 0 and not current and (drifts or index is not None):
                self.roomy.append(p.name)
            if not offset.any():
                continue
            if index is not None:
                layers[index] = replace(layers[index], offset=offset, behind=lag > 0)
            elif drifts:
                drift = offset
            else:
                what = "has a constant that none of its layers can hold"
                remedy = "give the population a linear layer or a convolution of its own, or a leak below 1"
                self.problems.append(Violation(p.name, what, remedy))
        if drift.any():
            params = {**neuron.params, "drift": drift.astype(np.float32).reshape(p.shape)}
            neuron = replace(neuron, params=params)
        self.neurons[p.name] = neuron
        for layer in layers:
            base, parts = self.bases[layer.synapse.name], self.origins[layer.synapse.name].parts
            self.names[layer.synapse.name] = path_name(base, parts, layer.lag, layer.behind)
        self.layers[p.name] = tuple(
            replace(layer, synapse=replace(layer.synapse, name=self.names[layer.synapse.name])) for layer in layers
        )

    def _constants(self, incoming: list[Synapse], p: Population) -> dict[int, Floats]:
        """Lag -> what sources of constants add, float64 (N,); names their synapses."""
        found: dict[int, Floats] = {}
        for s in incoming:
            lag, unit = self.lags[s.name], weight_unit(self.program, p)
            self.names[s.name] = constant_name(p.name, s.source, lag, len(incoming) > 1)
            added = s.wiring.apply(np.ones((1, s.wiring.source_size)))[0] * 2.0**s.exponent * unit
            found[lag] = found.get(lag, 0.0) + added
        return found

    def _layer(self, s: Synapse, p: Population) -> Layer:
        lag = self.lags[s.name]
        if lag < 0:
            what = f"arrives {-lag} steps before its target's first logical step"
            self.problems.append(Violation(s.name, what, "compile a graph"))
        pieces = []
        for index, (source, given, start) in enumerate(self._sources(s)):
            form = form_of(s.wiring, given, start, p.shape)
            if form is None:
                what = f"leads from {given} to {p.shape} by a matrix, which no NIR node can be"
                self.problems.append(Violation(s.name, what, UNWRITABLE))
                continue
            node = self.bases[s.name] + part_ending(index)
            pieces.append(Piece(node, source, given, start, form))
        return Layer(s, tuple(pieces), lag)

    def _sources(self, s: Synapse) -> Iterator[tuple[str, Shape, int]]:
        """The node, the shape and the first element of what a synapse reads."""
        encoder = next((e for e in self.program.encoders if e.name == s.source), None)
        if encoder is None:
            yield s.source, self.program.population(s.source).shape, 0
            return
        start = 0
        for name, shape in encoder.inputs.items():
            if not encoder.parts or name in self.origins[s.name].parts:
                yield name, shape, start
            start += math.prod(shape)


def _place_of(layers: list[Layer], lag: int, offset: Floats) -> int | None:
    """The layer that an offset goes to: one without a Delay, or before whose Delay, or with just that Delay behind."""
    free = [i for i, layer in enumerate(layers) if layer.offset is None and layer.holds(offset)]
    if lag:
        return next((i for i in free if layers[i].lag == lag), None)
    return min(free, key=lambda i: (layers[i].lag > 0, i), default=None)


def can_drift(p: Population) -> bool:
    """True if a neuron's node can hold a constant: a leak below 1 in all neurons."""
    return "dv" in p.params and bool((p.params["dv"] > 0).all())
