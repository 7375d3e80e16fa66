"""`compile`: the pass that turns a NIR graph into a ChipProgram for a target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, Violation
from ..files import NetworkInput, join_inputs
from ..graph import Composed, InputRange, compose, read_graph
from ..graph.told import ToldChip, told_of
from ..neurons import spec
from ..program import ChipProgram
from ..target import Target, load_target
from .attempt import Attempt, Options, best_attempt
from .fit import fit
from .given import given_attempt
from .refuse import reached, refuse

SCALES = ("auto", "proven", "calibrated", "full")
DEFAULT_MAX_STEPS = 1000
"""Where neither the user nor the file says how long a run is."""
FLOAT32 = 1e-6
"""Input is given in float32: so far from a multiple of its quantum it may lie."""


def asked_of(graph: nir.NIRGraph, x: NetworkInput, options: Mapping[str, Any]) -> tuple[dict[str, Any], NDArray[Any]]:
    """`compile`'s arguments for runs on an input, and the input as one array (T, B, ...).

    options: more arguments.  max_steps is the input's T unless they say; the input is the typical one (calibrate) too
    where the scale asks for one, or the network does not say its range.   Raises: InputError.
    """
    given, reading = dict(options), read_graph(graph, options.get("dt"))
    joined = join_inputs(x, dict(reading.inputs))
    if given.get("scale") == "calibrated" or reading.input_range is None:
        given.setdefault("calibrate", joined)
    given.setdefault("max_steps", len(joined))
    return given, joined


def compile(
    graph: nir.NIRGraph,
    target: Target | str | os.PathLike[str] = "loihi2",
    *,
    dt: float | None = None,
    input_range: InputRange | tuple[float, ...] | None = None,
    calibrate: NetworkInput | None = None,
    input_bits: int | None = None,
    weight_bits: int | None = None,
    scale: str = "auto",
    max_steps: int | None = None,
    exact: bool = False,
) -> ChipProgram:
    """Lower a graph to integers for a target.

    dt: seconds a step, if the file does not say.
    input_range: the input's values, as an InputRange, (low, high) or (low, high, quantum); else the range of
        `calibrate`, else what the file's metadata says (for the scale "calibrated", whose input only shows what is
        typical, the metadata comes first).
    calibrate: typical input (T, B, ...), or that of each of several inputs by name; its first max_steps steps count.
    input_bits: width of the input's payload; by default the target's, fewer if the proof needs it.
    weight_bits: width of the weights; by default the target's.
    scale: "auto" shrinks the scale of each neuron until no register can overflow for any input; if that costs a
        neuron more than 2 bits, narrower inputs are tried as well, then "calibrated" if there is calibration input.
        "proven": the same, but refuse what cannot be proven.  "calibrated": the largest scale at which potentials on
        the calibration input reach half of their registers.  "full": full precision of the weights.  What is not
        proven is marked so; `sim` counts wraps and clips.
        A network that was trained in this target's arithmetic tells its scales and its encoder: "auto" takes them, if
        no width and no input_range is asked for, and finds the integers that it was trained with.
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
    if not isinstance(graph, nir.NIRGraph):
        raise InputError(f"compile takes a NIR graph (nd.read_nir makes one of a file), not {type(graph).__name__}")
    if isinstance(input_range, tuple):
        input_range = InputRange(*input_range)
    reading = read_graph(graph, dt)
    network = compose(reading)
    typical = None if calibrate is None else join_inputs(calibrate, dict(reading.inputs))
    if max_steps is None:
        max_steps = network.steps or DEFAULT_MAX_STEPS
    if not _whole(max_steps) or max_steps < 1:
        raise InputError(f"max_steps must be a whole number of 1 or more, got {max_steps}")
    bad = _threshold_violations(network)
    network = _with_thresholds(network) if bad else network
    if typical is not None and (typical.ndim < 2 or typical.shape[2:] != network.inputs[0].shape):
        shape = ", ".join(map(str, network.inputs[0].shape))
        raise InputError(f"the calibration input has shape {typical.shape}, expected (T, B, {shape})")
    if input_bits is not None and not _whole(input_bits):
        raise InputError(f"input_bits must be a whole number, got {input_bits}")
    known = _known_range(network, input_range, None if scale == "calibrated" and network.input_range else typical)
    width = _weight_bits(weight_bits, chip)
    seen = None if typical is None else typical[:max_steps]
    options = Options(scale, input_bits, width, int(max_steps), exact, seen)
    told = _told_scales(graph, chip, scale, input_range, input_bits, weight_bits)
    if told is not None:
        attempt = given_attempt(network, told, chip, replace(options, weight_bits=told.weight_bits))
    else:
        attempt = best_attempt(network, known, chip, options)
    refuse(network, known, chip, options, attempt, bad)
    program = attempt.program(network, chip, options)
    report = _report(program, attempt, chip, known)
    return replace(program, report={**report, "scheme": reading.scheme.told()})


def _told_scales(graph: nir.NIRGraph, chip: Target, scale: str, *asked: Any) -> ToldChip | None:
    """The scales that the graph tells for this target, unless something else was asked for."""
    told = told_of(graph).chip
    ours = told is not None and told.target == chip.name and scale == "auto"
    return told if ours and all(value is None for value in asked) else None


def _weight_bits(given: int | None, chip: Target) -> int:
    most = chip.synapse.weight_bits.value
    if given is None:
        return most
    if not _whole(given) or not 2 <= given <= most:
        raise InputError(f"weight_bits must be in [2, {most}] on {chip.name}, got {given}")
    return int(given)


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


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
        if np.rint(levels).any() and np.allclose(levels, np.rint(levels), rtol=FLOAT32, atol=FLOAT32):
            return step
    return 0.0


def _threshold_violations(network: Composed) -> list[Violation]:
    """A threshold sets the neuron's scale, so it must be above 0."""
    violations = []
    for population in network.populations:
        anchor = spec(population.neuron.kind).anchor(population.neuron)
        least = np.inf if anchor is None else float(anchor.min(initial=np.inf))
        if not least > 0:
            what = f"threshold {least:g} is not above 0"
            violations.append(Violation(population.name, what, "train with a positive threshold"))
    return violations


def _with_thresholds(network: Composed) -> Composed:
    """The network with 1 for thresholds that are not above 0: to find what else is wrong with it."""
    populations = []
    for population in network.populations:
        params = dict(population.neuron.params)
        params |= {k: np.where(params[k] > 0, params[k], np.float32(1)) for k in ("theta", "theta_neg") if k in params}
        populations.append(replace(population, neuron=replace(population.neuron, params=params)))
    return replace(network, populations=tuple(populations))


def _report(program: ChipProgram, attempt: Attempt, chip: Target, known: InputRange) -> dict[str, Any]:
    remarks = []
    if attempt.proven:
        remarks.append("cannot overflow: no register can wrap or clip, for any input")
    else:
        remarks.append("not proven: registers can wrap or clip; sim counts how often")
        remarks += [
            f"{name}: {reached(bound, register, program.max_steps)}, limit {bound.limit[register]}"
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
