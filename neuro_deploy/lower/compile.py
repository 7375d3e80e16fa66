"""`compile`: the pass that turns a NIR graph into a ChipProgram for a target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UnsupportedError, Violation
from ..fixed import Ints
from ..graph import Composed, InputRange, compose, read_graph
from ..graph.compose import ComposedPopulation
from ..neurons import spec
from ..program import ChipProgram, Encoder
from ..target import Target, load_target
from .bounds import Reach, Window, reach
from .calibrate import observed
from .encoder import encoder_for, input_violations, payload_choices
from .fit import fit, fit_violations
from .quantize import Drive, Lowered, Scale, largest_scale, lower_population, scale_of

SCALES = ("auto", "proven", "calibrated", "full")
DEFAULT_MAX_STEPS = 1000
"""Where neither the user nor the file says how long a run is."""
LARGEST_LOSS = 2.0
"""How many bits of a neuron's weights a proof may cost before a narrower input is tried."""
SHRINK = 0.995
ROUNDS = 12
FLOAT32 = 1e-6
"""Input is given in float32: so far from a multiple of its quantum it may lie."""
HEADROOM = 2.0
"""How much larger than on the calibration input a potential may become before its register is full."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; see `compile`."""

    scale: str
    input_bits: int | None
    weight_bits: int
    max_steps: int
    exact: bool
    calibrate: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class _Layer:
    """A population at one scale.  full: the largest m that its formats allow; m: the one taken, (N,)."""

    drives: tuple[Drive, ...]
    scale: Scale
    full: Ints
    m: Ints
    lowered: Lowered
    reach: Reach

    @property
    def loss(self) -> float:
        """Bits of precision that its worst neuron lost for the proof: of its weights, and of its sums.

        A sum shifted right by n bits loses them below the rounding of weights once n exceeds the spike's own bits.
        """
        worst = 0.0
        for drive, synapse in zip(self.drives, self.lowered.synapses, strict=True):
            weights = np.log2(self.full / self.m).max(initial=0.0) + min(0, synapse.exponent)
            sums = -synapse.exponent - np.log2(max(1, drive.largest_spike))
            worst = max(worst, float(weights), float(sums))
        return worst if self.drives else float(np.log2(self.full / self.m).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A whole network lowered with one input payload.  how: "proven", "calibrated" or "full"."""

    encoders: tuple[Encoder, ...]
    layers: tuple[_Layer, ...]
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


def compile(
    graph: nir.NIRGraph,
    target: Target | str | os.PathLike[str] = "loihi2",
    *,
    dt: float | None = None,
    input_range: InputRange | None = None,
    calibrate: NDArray[Any] | None = None,
    input_bits: int | None = None,
    weight_bits: int | None = None,
    scale: str = "auto",
    max_steps: int | None = None,
    exact: bool = False,
) -> ChipProgram:
    """Lower a graph to integers for a target.

    dt: seconds a step, if the file does not say.
    input_range: the input's values; else the range of `calibrate`, else what the file's metadata says.
    calibrate: typical input (T, B, ...): for the range, and for the scale "calibrated".
    input_bits: width of the input's payload; by default the target's, fewer if the proof needs it.
    weight_bits: width of the weights; by default the target's.
    scale: "auto" shrinks the scale of each neuron until no register can overflow for any input; if that costs a
        neuron more than 2 bits, narrower inputs are tried as well, then "calibrated" if there is calibration input.
        "proven": the same, but refuse what cannot be proven.  "calibrated": the largest scale at which potentials on
        the calibration input reach half of their registers.  "full": full precision of the weights.  What is not
        proven is marked so; `sim` counts wraps and clips.
    max_steps: the bounds hold for so many steps, and backends refuse longer runs; by default what the file says that
        the network was trained for, else 1,000.
    exact: refuse any rounding.
    Raises: InputError, TargetError; UnsupportedError with everything that the target cannot do.
    """
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(SCALES)}, got '{scale}'")
    if scale == "calibrated" and calibrate is None:
        raise InputError("scale 'calibrated' needs calibration input; give --calibrate INPUT.npz (or calibrate=...)")
    chip = target if isinstance(target, Target) else load_target(target)
    network = compose(read_graph(graph, dt))
    if max_steps is None:
        max_steps = network.steps or DEFAULT_MAX_STEPS
    if not isinstance(max_steps, int) or max_steps < 1:
        raise InputError(f"max_steps must be a whole number of 1 or more, got {max_steps}")
    if calibrate is not None and len(calibrate) > max_steps:
        raise InputError(f"the calibration input has {len(calibrate)} steps; give --max-steps {len(calibrate)}")
    _check_thresholds(network)
    known = _known_range(network, input_range, calibrate)
    width = _weight_bits(weight_bits, chip)
    options = Options(scale, input_bits, width, max_steps, exact, calibrate)
    attempt = _best(network, known, chip, options)
    _refuse(network, known, chip, options, attempt)
    program = _program(network, chip, options, attempt)
    return replace(program, report=_report(program, attempt, chip, known))


def _program(network: Composed, chip: Target, options: Options, attempt: _Attempt) -> ChipProgram:
    return ChipProgram(
        target=chip.name,
        dt=network.dt,
        max_steps=options.max_steps,
        encoders=attempt.encoders,
        populations=tuple(low.population for low in attempt.lowered),
        synapses=tuple(s for low in attempt.lowered for s in low.synapses),
        readout=network.readout,
        proven=attempt.proven,
        registers=chip.registers,
    )


def _weight_bits(given: int | None, chip: Target) -> int:
    most = chip.synapse.weight_bits.value
    if given is None:
        return most
    if not isinstance(given, int) or not 2 <= given <= most:
        raise InputError(f"weight_bits must be in [2, {most}] on {chip.name}, got {given}")
    return given


def _known_range(network: Composed, given: InputRange | None, calibrate: NDArray[Any] | None) -> InputRange:
    known = given or network.input_range
    if given is None and calibrate is not None:
        grid = _grid(calibrate, known.quantum if known else 0.0)
        known = InputRange(min(0.0, float(calibrate.min())), max(0.0, float(calibrate.max())), grid)
    if known is None:
        raise InputError(
            "the file does not say which values its input takes; give --calibrate INPUT.npz (or input_range=...)"
        )
    return known


def _grid(x: NDArray[Any], known: float) -> float:
    """The known grid if x lies on it, else 1 for whole numbers (spikes, counts, pixels), else 0: unknown."""
    for step in (known, 1.0):
        levels = x.astype(np.float64) / step if step > 0 else np.asarray(0.5)
        if np.allclose(levels, np.rint(levels), rtol=FLOAT32, atol=FLOAT32):
            return step
    return 0.0


def _check_thresholds(network: Composed) -> None:
    """Raise UnsupportedError unless every threshold is above 0: it sets the neuron's scale."""
    violations = []
    for population in network.populations:
        anchor = spec(population.neuron.kind).anchor(population.neuron)
        least = np.inf if anchor is None else float(anchor.min(initial=np.inf))
        if not least > 0:
            what = f"threshold {least:g} is not above 0"
            violations.append(Violation(population.name, what, "train with a positive threshold"))
    if violations:
        raise UnsupportedError("the network cannot be compiled:", violations)


def _best(network: Composed, known: InputRange, chip: Target, options: Options) -> _Attempt:
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


def _attempt(network: Composed, known: InputRange, bits: int, chip: Target, options: Options, prove: bool) -> _Attempt:
    """Lower a network with an input payload of so many bits."""
    encoders = tuple(encoder_for(i, known, bits) for i in network.inputs)
    gains = {e.name: e.numerator / e.denominator for e in encoders}
    spikes = _spike_ranges(network, encoders)
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
        window = _window(network, population, options.max_steps)
        layers.append(_fit(population, drives, scale, full, spikes, window, chip, prove))
    return _Attempt(encoders, tuple(layers), "proven" if prove else "full")


def _spike_ranges(network: Composed, encoders: tuple[Encoder, ...]) -> dict[str, tuple[int, int]]:
    """Smallest and largest spike of each source."""
    ranges = {e.name: (e.low, e.high) for e in encoders}
    return ranges | {p.name: spec(p.neuron.kind).float_spike_range(p.neuron) for p in network.populations}


def _window(network: Composed, population: ComposedPopulation, max_steps: int) -> Window:
    """A population that inputs alone drive gets input for max_steps steps; others until the run has drained."""
    rows = max_steps + network.depth - population.latency
    inputs = [i.name for i in network.inputs]
    if all(s.source in inputs for s in network.synapses if s.target == population.name):
        longest = max((s.delay for s in network.synapses if s.target == population.name), default=0)
        steps = min(rows, max_steps + longest)
        return Window(steps, rows - steps)
    return Window(rows, 0)


def _fit(
    population: ComposedPopulation,
    drives: tuple[Drive, ...],
    scale: Scale,
    full: Ints,
    spikes: Mapping[str, tuple[int, int]],
    window: Window,
    chip: Target,
    prove: bool,
) -> _Layer:
    """Lower a population; to prove it, shrink the scale of each neuron that could leave its registers."""
    m = full
    for _ in range(ROUNDS):
        low = lower_population(population, scale, drives, m, chip)
        bound = reach(low.population, low.synapses, spikes, window, chip)
        excess = bound.excess
        if not prove or excess.max(initial=0.0) <= 1 or bool((m == 1).all()):
            break
        smaller = np.maximum(1, np.floor(m * SHRINK / excess)).astype(np.int64)
        m = scale.least(np.where(excess > 1, np.minimum(m, smaller), m))
    return _Layer(drives, scale, full, m, low, bound)


def _calibrated(network: Composed, proven: _Attempt, chip: Target, options: Options) -> _Attempt:
    """The largest scale at which potentials on the calibration input fill no more than 1/HEADROOM of their registers.

    The proven program cannot clip, so it shows how far its potentials really go.
    """
    assert options.calibrate is not None
    most = observed(_program(network, chip, options, proven), options.calibrate)
    spikes = _spike_ranges(network, proven.encoders)
    layers = []
    for population, layer in zip(network.populations, proven.layers, strict=True):
        room = chip.registers.v_limit / (HEADROOM * np.maximum(1, most[population.name]))
        m = layer.scale.least(np.clip(np.floor(layer.m * np.maximum(1.0, room)).astype(np.int64), 1, layer.full))
        low = lower_population(population, layer.scale, layer.drives, m, chip)
        window = _window(network, population, options.max_steps)
        bound = reach(low.population, low.synapses, spikes, window, chip)
        layers.append(replace(layer, m=m, lowered=low, reach=bound))
    return _Attempt(proven.encoders, tuple(layers), "calibrated")


def _refuse(network: Composed, known: InputRange, chip: Target, options: Options, attempt: _Attempt) -> None:
    """Raise UnsupportedError with all violations, if there are any."""
    violations = [v for i in network.inputs for v in input_violations(i, known, chip)]
    violations += [v for low in attempt.lowered for v in low.violations]
    violations += fit_violations(_program(network, chip, options, attempt), chip) if not violations else []
    if not chip.neuron.memoryless.value:
        for population in network.populations:
            violations += _memoryless(population, attempt.reaches[population.name], chip.registers.unity)
    must = options.scale == "proven" or chip.spike.payload_bits.value == 0
    if must and not attempt.proven:
        violations += [v for low in attempt.lowered for v in _overflows(low.population.name, attempt.reaches, options)]
    if options.exact:
        violations += [
            Violation(r.node, f"{r.parameter} is rounded by up to {r.max_error:.3g}", "leave --exact out to accept it")
            for low in attempt.lowered
            for r in low.roundings
            if r.max_error > 0
        ]
    if violations:
        raise UnsupportedError(f"the network does not fit {chip.name}:", violations)


def _overflows(name: str, reaches: Mapping[str, Reach], options: Options) -> list[Violation]:
    bound = reaches[name]
    return [
        Violation(
            name,
            f"{_reached(bound, register, options.max_steps)}, limit {bound.limit[register]}",
            "fewer inputs or steps (--max-steps), or --scale auto where the target has graded spikes",
        )
        for register in bound.magnitude
        if int(bound.magnitude[register].max(initial=0)) > bound.limit[register]
    ]


def _reached(bound: Reach, register: str, steps: int) -> str:
    """How large a register can become, where, and by which input."""
    values = bound.magnitude[register]
    worst = int(values.argmax()) if values.size else 0
    first, second = ("largest", "smallest") if bound.high[register][worst] else ("smallest", "largest")
    return (
        f"register {register} can reach {int(values.max(initial=0))} within {steps} steps, in neuron {worst}, when "
        f"sources with a positive weight send their {first} value and those with a negative weight their {second}"
    )


def _memoryless(population: ComposedPopulation, bound: Reach, unity: int) -> list[Violation]:
    """beta = 0 is the 12-bit leak 4095/4096, exact while |v| < 4096 (design ruling 6)."""
    if "beta" not in population.neuron.params or "v" not in bound.magnitude:
        return []
    most = int(np.where(population.neuron.flat("beta") == 0, bound.magnitude["v"], 0).max(initial=0))
    if most < unity:
        return []
    return [
        Violation(
            population.name,
            f"beta = 0 leaves v >> 12 behind, and |v| can reach {most} (limit {unity - 1})",
            "train with a beta of at least 1/4096, or choose a target with memoryless neurons such as loihi2",
        )
    ]


def _report(program: ChipProgram, attempt: _Attempt, chip: Target, known: InputRange) -> dict[str, Any]:
    remarks = []
    if attempt.proven:
        remarks.append("cannot overflow: no register can wrap or clip, for any input")
    else:
        remarks.append("not proven: registers can wrap or clip; sim counts how often")
        remarks += [
            f"{name}: {_reached(bound, register, program.max_steps)}, limit {bound.limit[register]}"
            for name, bound in attempt.reaches.items()
            for register in bound.magnitude
            if int(bound.magnitude[register].max(initial=0)) > bound.limit[register]
        ]
    return {
        "target": chip.title,
        "scale": attempt.how,
        "input_range": [known.low, known.high, known.quantum],
        "proof_loss_bits": attempt.loss,
        "roundings": [list(r) for low in attempt.lowered for r in low.roundings],
        "bounds": {
            name: {
                register: {"largest": int(values.max(initial=0)), "limit": bound.limit[register]}
                for register, values in bound.magnitude.items()
            }
            for name, bound in attempt.reaches.items()
        },
        "fit": fit(program, chip).to_dict(),
        "remarks": remarks,
    }
