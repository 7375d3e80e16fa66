"""A ChipProgram as a NIR graph: float weights that are its integers times a power of two, and its scales as metadata.

`compile` takes the scales from there and finds the same integers.  The unit of a weight, which no executor computes
with, becomes the power of two that is nearest to the one that `compile` chose, so that every weight, threshold and bias
is a float32 exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import UnsupportedError, Violation
from ..neurons import spec
from ..neurons.base import FloatNeuron
from ..neurons.scheme import METADATA
from ..program import ChipProgram, Population, Synapse
from ..target import Target
from ..wiring import to_dense
from .chip_checks import has_current, learned, source_gain

INPUT, OUTPUT = "input", "output"
Floats = NDArray[np.float64]


def graph_of_program(program: ChipProgram, target: Target, told: Mapping[str, Any] | None = None) -> nir.NIRGraph:
    """The NIR graph of a program that can be trained (`chip_checks.check`).

    target: the program's.   told: more entries of our metadata.
    Raises: UnsupportedError for what NIR cannot hold.
    """
    program = with_names(program)
    encoder = program.encoders[0]
    nodes: dict[str, nir.NIRNode] = {encoder.name: nir.Input(input_type={"input": np.array(encoder.shape)})}
    edges: list[tuple[str, str]] = []
    source = encoder.name
    if len(encoder.shape) != 1:
        source = _unused("flat", [p.name for p in program.populations] + [s.name for s in program.synapses])
        nodes[source] = nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array(encoder.shape)})
        edges.append((encoder.name, source))
    constants = _constants(program)
    for p in program.populations:
        if p.name in constants:
            continue
        offset = _offset(program, p, constants)
        for s in (s for s in program.synapses if s.target == p.name and s.source not in constants):
            nodes[s.name], offset = _layer(program, s, offset), None
            edges += [(source if s.source == encoder.name else s.source, s.name), (s.name, p.name)]
        if offset is not None and offset.any():
            remedy = "give the population a linear layer"
            raise UnsupportedError("cannot export the program", [Violation(p.name, "a bias without a layer", remedy)])
        nodes[p.name] = spec(p.kind).write(_neuron(program, p), program.dt)
    last = program.readout.population if program.readout else program.populations[-1].name
    nodes[OUTPUT] = nir.Output(output_type={"output": np.array(program.population(last).shape)})
    edges.append((last, OUTPUT))
    entry = {**_told(program, target.synapse.weight_bits.value), **(told or {})}
    return nir.NIRGraph(nodes, edges, metadata={METADATA: entry}, type_check=False)


def with_names(program: ChipProgram) -> ChipProgram:
    """The program with names that NIR and torch can hold, and units that are powers of two."""
    taken = {OUTPUT: ""}
    names: dict[str, str] = {}
    for item in (*[e.name for e in program.encoders], *[p.name for p in program.populations]):
        names[item] = _unused(_plain(item), taken)
        taken[names[item]] = item
    synapses, constants = [], _constants(program)
    for s in program.synapses:
        source, target = names[s.source], names[s.target]
        name = f"{target}{CONSTANT}"
        if s.source not in constants:
            name = _unused(_plain(s.name) if learned(s) else f"{source}-{target}", taken)
            taken[name] = s.name
        synapses.append(replace(s, name=name, source=source, target=target))
    populations = (
        replace(p, name=names[p.name], unit=_power(p.unit, np.ceil if p.name in constants else np.rint))
        for p in program.populations
    )
    readout = program.readout and replace(program.readout, population=names[program.readout.population])
    encoders = tuple(replace(e, name=names[e.name]) for e in program.encoders)
    return replace(
        program, encoders=encoders, populations=tuple(populations), synapses=tuple(synapses), readout=readout
    )


def _power(unit: Floats, rounded: Callable[[Floats], Floats]) -> Floats:
    """The power of two that is near; not below, for a source of constants, whose threshold and bias are known."""
    return np.asarray(2.0 ** rounded(np.log2(np.asarray(unit))))


CONSTANT = ".constant"
"""How `compile` names the synapse that carries the bias of a layer before a synaptic current."""


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "_"


def _unused(name: str, taken: Iterable[str]) -> str:
    known = set(taken)
    while name in known:
        name += "_"
    return name


def _constants(program: ChipProgram) -> set[str]:
    """Populations that nothing drives: they fire in every step, and `compile` makes them anew from biases."""
    driven = {s.target for s in program.synapses}
    return {p.name for p in program.populations if p.name not in driven}


def _weight_unit(program: ChipProgram, p: Population) -> Floats:
    """The float value of one weight unit, (N,)."""
    unit = np.asarray(p.unit * 2.0**program.registers.input_shift)
    return np.asarray(np.broadcast_to(unit, (p.size,)))


def _offset(program: ChipProgram, p: Population, constants: set[str]) -> Floats | None:
    """The bias of the layers before a population, (N,); beside a current, from the source of constants."""
    if not has_current(p, program.registers):
        bias = (p.params["bias_mant"] << p.params["bias_exp"]).astype(np.float64)
        return np.asarray(bias * np.broadcast_to(p.unit, (p.size,)))
    found = np.zeros(p.size)
    for s in program.synapses:
        if s.target == p.name and s.source in constants:
            found += to_dense(s.wiring).weight[:, 0] * 2.0**s.exponent * _weight_unit(program, p)
    return found


def _layer(program: ChipProgram, s: Synapse, offset: Floats | None) -> nir.NIRNode:
    unit = _weight_unit(program, program.population(s.target))[:, None]
    weight = to_dense(s.wiring).weight * 2.0**s.exponent * unit * source_gain(program, s.source)
    if offset is None or not offset.any():
        return nir.Linear(weight=weight.astype(np.float32))
    return nir.Affine(weight=weight.astype(np.float32), bias=offset.astype(np.float32))


def _neuron(program: ChipProgram, p: Population) -> FloatNeuron:
    """The float neuron whose integers are these: what a kind's `quantize` makes of it."""
    registers, params, unit = program.registers, p.params, np.broadcast_to(p.unit, (p.size,))
    unity, found = registers.unity, {"beta": 1.0 - params["dv"] / registers.unity}
    if has_current(p, registers):
        found["beta_syn"] = 1.0 - (params["du"] + 1) / unity
        drift = (params["bias_mant"] << params["bias_exp"]) * unit
        found |= {"drift": drift} if drift.any() else {}
    for key, name in (("vth", "theta"), ("vth_neg", "theta_neg")):
        if key in params:
            found[name] = (params[key] << registers.threshold_shift) * unit
    for key, name in (("rounds", "circulations"), ("rounds_neg", "circulations_neg")):
        if key in params:
            found[name] = np.asarray(params[key].max(), np.float64)
    found |= {key: params[key] * unit for key in ("theta_reset", "v_reset") if key in params}
    return FloatNeuron(p.kind, p.shape, {key: np.asarray(value, np.float32) for key, value in found.items()})


def _told(program: ChipProgram, weight_bits: int) -> dict[str, Any]:
    encoder = program.encoders[0]
    chip = {
        "target": program.target,
        "weight_bits": weight_bits,
        "encoder": {
            **{
                key: int(getattr(encoder, key)) for key in ("numerator", "denominator", "bits", "low", "high", "offset")
            },
            "signed": int(encoder.signed),
        },
        "unit": {p.name: np.array(_weight_unit(program, p)) for p in program.populations},
        "exponent": {s.name: s.exponent for s in program.synapses},
    }
    told: dict[str, Any] = {"schema": 1, "version": __version__, "dt": program.dt, "discretization": "forward Euler"}
    told |= {"steps": program.max_steps, "chip": chip}
    gain = source_gain(program, encoder.name)
    told["input"] = {"low": encoder.low / gain, "high": encoder.high / gain, "quantum": 0.0}
    if program.readout:
        told["readout"] = {k: getattr(program.readout, k) for k in ("population", "rule", "start", "stop")}
    return told
