"""`compile`: the pass that turns a NIR graph into a ChipProgram for a target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
from .bounds import Reach, reach
from .encoder import encoder_for, input_violations, payload_choices
from .quantize import Drive, Lowered, largest_anchor, lower_population

SCALES = ("auto", "proven", "full")
DEFAULT_MAX_STEPS = 1000
"""Where neither the user nor the file says how long a run is."""
LARGEST_LOSS = 2.0
"""How many bits of a neuron's weights a proof may cost before a narrower input is tried."""
SHRINK = 0.995
EXACT_MEMORYLESS = 4096
ROUNDS = 12


@dataclass(frozen=True)
class Options:
    """What the user asked for; see `compile`."""

    scale: str
    input_bits: int | None
    max_steps: int
    exact: bool


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A whole network lowered with one input payload.  loss: bits of weight that the proof cost its worst neuron."""

    encoders: tuple[Encoder, ...]
    lowered: tuple[Lowered, ...]
    reaches: Mapping[str, Reach]
    loss: float

    @property
    def proven(self) -> bool:
        return all(float(r.excess.max(initial=0.0)) <= 1 for r in self.reaches.values())


def compile(
    graph: nir.NIRGraph,
    target: Target | str | os.PathLike[str] = "loihi2",
    *,
    dt: float | None = None,
    input_range: InputRange | None = None,
    calibrate: NDArray[Any] | None = None,
    input_bits: int | None = None,
    scale: str = "auto",
    max_steps: int | None = None,
    exact: bool = False,
) -> ChipProgram:
    """Lower a graph to integers for a target.

    dt: seconds a step, if the file does not say.
    input_range: the input's values; else the range of `calibrate` (T, B, ...), else what the file's metadata says.
    input_bits: width of the input's payload; by default the target's, fewer if the proof needs it.
    scale: "auto" shrinks the scale of each neuron until no register can overflow for any input; if that costs a
        neuron more than 2 bits of its weights, narrower inputs are tried as well.  What cannot be proven so is marked
        "not proven".  "proven": the same, but refuse what cannot be proven.  "full": full precision of the weights,
        proven only if it happens to be.
    max_steps: the bounds hold for so many steps, and backends refuse longer runs; by default what the file says that
        the network was trained for, else 1,000.
    exact: refuse any rounding.
    Raises: InputError, TargetError; UnsupportedError with everything that the target cannot do.
    """
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(SCALES)}, got '{scale}'")
    chip = target if isinstance(target, Target) else load_target(target)
    network = compose(read_graph(graph, dt))
    if max_steps is None:
        max_steps = network.steps or DEFAULT_MAX_STEPS
    if not isinstance(max_steps, int) or max_steps < 1:
        raise InputError(f"max_steps must be a whole number of 1 or more, got {max_steps}")
    _check_thresholds(network)
    known = _known_range(network, input_range, calibrate)
    options = Options(scale, input_bits, max_steps, exact)
    attempt = _best(network, known, chip, options)
    _refuse(network, known, chip, options, attempt)
    return ChipProgram(
        target=chip.name,
        dt=network.dt,
        max_steps=max_steps,
        encoders=attempt.encoders,
        populations=tuple(low.population for low in attempt.lowered),
        synapses=tuple(s for low in attempt.lowered for s in low.synapses),
        readout=network.readout,
        proven=attempt.proven,
        report=_report(attempt, chip, known),
    )


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
    steps = [step for step in (known, 1.0) if step > 0 and bool((x / step == np.rint(x / step)).all())]
    return steps[0] if steps else 0.0


def _check_thresholds(network: Composed) -> None:
    """Raise UnsupportedError unless every threshold is above 0: it sets the neuron's scale."""
    violations = []
    for population in network.populations:
        least = float(spec(population.neuron.kind).anchor(population.neuron).min(initial=np.inf))
        if not least > 0:
            what = f"threshold {least:g} is not above 0"
            violations.append(Violation(population.name, what, "train with a positive threshold"))
    if violations:
        raise UnsupportedError("the network cannot be compiled:", violations)


def _best(network: Composed, known: InputRange, chip: Target, options: Options) -> _Attempt:
    """The attempt with the widest input whose proof costs no more than LARGEST_LOSS; else the cheapest proof."""
    choices = payload_choices(known, chip, options.input_bits)
    if options.scale == "full":
        return _attempt(network, known, choices[0], chip, options, prove=False)
    attempts = []
    for bits in choices:
        attempts.append(_attempt(network, known, bits, chip, options, prove=True))
        if attempts[-1].proven and attempts[-1].loss <= LARGEST_LOSS:
            return attempts[-1]
    return min(attempts, key=lambda a: (not a.proven, a.loss))


def _attempt(network: Composed, known: InputRange, bits: int, chip: Target, options: Options, prove: bool) -> _Attempt:
    encoders = tuple(encoder_for(i, known, bits) for i in network.inputs)
    gains = {e.name: e.numerator / e.denominator for e in encoders}
    spikes = {e.name: (e.low, e.high) for e in encoders}
    steps = options.max_steps + network.depth
    lowered, reaches, loss = [], {}, 0.0
    for population in network.populations:
        incoming = [s for s in network.synapses if s.target == population.name]
        drives = [Drive(s, gains.get(s.source, 1.0)) for s in incoming]
        m = largest_anchor(population, drives, chip)
        low, bound, fewer = _fit(population, drives, m, spikes, steps, chip, prove)
        lowered.append(low)
        reaches[population.name] = bound
        loss = max(loss, float(np.log2(m / fewer).max(initial=0.0)))
        spikes[population.name] = spec(population.neuron.kind).spike_range(low.population.params)
    return _Attempt(encoders, tuple(lowered), reaches, loss)


def _fit(
    population: ComposedPopulation,
    drives: list[Drive],
    m: Ints,
    spikes: Mapping[str, tuple[int, int]],
    steps: int,
    chip: Target,
    prove: bool,
) -> tuple[Lowered, Reach, Ints]:
    """Lower a population; to prove it, shrink the scale of each neuron that could leave its registers."""
    for _ in range(ROUNDS):
        low = lower_population(population, drives, m, chip)
        bound = reach(low.population, low.synapses, spikes, steps, chip)
        excess = bound.excess
        if not prove or excess.max(initial=0.0) <= 1 or bool((m == 1).all()):
            break
        smaller = np.maximum(1, np.floor(m * SHRINK / excess)).astype(np.int64)
        m = np.where(excess > 1, np.minimum(m, smaller), m)
        if chip.threshold.granularity.value == "per_population":
            m = np.full_like(m, m.min())
    return low, bound, m


def _refuse(network: Composed, known: InputRange, chip: Target, options: Options, attempt: _Attempt) -> None:
    """Raise UnsupportedError with all violations, if there are any."""
    violations = [v for i in network.inputs for v in input_violations(i, known, chip)]
    violations += [v for low in attempt.lowered for v in low.violations]
    for population in network.populations:
        violations += _memoryless(population, attempt.reaches[population.name])
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
            f"register {register} can reach {int(bound.magnitude[register].max())} within {options.max_steps} steps, "
            f"limit {bound.limit[register]}",
            "fewer inputs or steps (--max-steps), or --scale auto where the target has graded spikes",
        )
        for register in bound.magnitude
        if int(bound.magnitude[register].max(initial=0)) > bound.limit[register]
    ]


def _memoryless(population: ComposedPopulation, bound: Reach) -> list[Violation]:
    """beta = 0 is the 12-bit leak 4095/4096, exact while |v| < 4096 (design ruling 6)."""
    if "beta" not in population.neuron.params or "v" not in bound.magnitude:
        return []
    most = int(np.where(population.neuron.flat("beta") == 0, bound.magnitude["v"], 0).max(initial=0))
    if most < EXACT_MEMORYLESS:
        return []
    return [
        Violation(
            population.name,
            f"beta = 0 leaves v >> 12 behind, and |v| can reach {most} (limit {EXACT_MEMORYLESS - 1})",
            "train with a beta of at least 1/4096",
        )
    ]


def _report(attempt: _Attempt, chip: Target, known: InputRange) -> dict[str, Any]:
    remarks = []
    if attempt.proven:
        remarks.append("no register can wrap or clip, for any input")
    else:
        remarks.append("not proven: registers can wrap or clip; sim counts how often")
    return {
        "target": chip.title,
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
        "remarks": remarks,
    }
