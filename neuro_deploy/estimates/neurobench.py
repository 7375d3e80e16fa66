"""The counts that NeuroBench defines, of a program and a run, for the network in logical time.

Source: neurobench 2.3.0, its metrics SynapticOperations, ActivationSparsity, ConnectionSparsity and Footprint; Yik et
al., "The neurobench framework for benchmarking neuromorphic computing algorithms and systems", Nature Communications,
2025.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..neurons import spec
from ..program import ChipProgram, Synapse
from ..target import Target
from ..trace import Trace
from .events import fan_out

REGISTERS = {
    "vth": "threshold_bits",
    "vth_neg": "threshold_bits",
    "dv": "decay_bits",
    "du": "decay_bits",
    "bias_mant": "bias_bits",
    "bias_exp": "bias_exponent_bits",
}
"""A neuron's parameter -> the field of `Registers` with its width; others are as wide as v."""


@dataclass(frozen=True)
class Benchmark:
    """Counts of the network that a program is; synaptic operations are means of one inference.

    effective_acs, effective_macs: operations whose input and weight are not zero.  They are ACs in a step in which all
    inputs of the layer, of the whole batch, are -1, 0 or 1, and MACs else; so graded spikes make MACs.
    dense: operations of all connections in all steps.
    activation_sparsity: share of neuron-steps without a spike, over the populations that can fire.
    connection_sparsity: share of zeros among stored weights.
    footprint_bytes: weights and neuron parameters, each array in the smallest integer type that holds its register.
    What `compile` composed (pools, scales, a `Flatten`) is one layer here.
    """

    effective_acs: float
    effective_macs: float
    dense: float
    activation_sparsity: float
    connection_sparsity: float
    footprint_bytes: int


def benchmark(program: ChipProgram, trace: Trace, target: Target) -> Benchmark:
    """NeuroBench's counts.  trace: a run with the spikes of every population; target: for the width of a weight."""
    operations = np.zeros(3)
    for synapse in program.synapses:
        operations += _operations(program, trace, synapse)
    weights = sum(s.weight.size for s in program.synapses)
    zeros = weights - sum(int(np.count_nonzero(s.weight)) for s in program.synapses)
    silent, neuron_steps = 0, 0
    for p in program.populations:
        if spec(p.kind).spike_range(p.params) != (0, 0):
            spikes = trace.aligned(p.name, "spikes")
            silent, neuron_steps = silent + int((spikes == 0).sum()), neuron_steps + spikes.size
    acs, macs, dense = (float(n) / trace.batch for n in operations)
    sparsity = silent / neuron_steps if neuron_steps else 0.0
    bits = target.synapse.weight_bits.value
    footprint = weights * _bytes(bits) + sum(_parameter_bytes(program))
    return Benchmark(acs, macs, dense, sparsity, zeros / weights if weights else 0.0, footprint)


def _operations(program: ChipProgram, trace: Trace, synapse: Synapse) -> NDArray[np.float64]:
    """(ACs, MACs, dense) of one synapse over the logical steps whose input reaches its target, the batch added up."""
    values, latency = _inputs(program, trace, synapse.source)
    lag = latency + 1 + synapse.delay - program.population(synapse.target).latency
    values = values[max(0, -lag) : len(values) - max(0, lag)]
    counts = np.count_nonzero(values, axis=1) @ fan_out(synapse.wiring)
    binary = np.isin(values, (-1, 0, 1)).all(axis=(1, 2))
    dense = float(synapse.wiring.connections) * trace.steps * trace.batch
    return np.array([counts[binary].sum(), counts[~binary].sum(), dense], np.float64)


def _inputs(program: ChipProgram, trace: Trace, name: str) -> tuple[NDArray[Any], int]:
    """What a source sends in the T logical steps, (T, B, N): spikes, or the input's values; and its latency."""
    recording = trace.populations[name]
    spikes = trace.aligned(name, "spikes") if "spikes" in recording.data else np.zeros((trace.steps, trace.batch, 0))
    values = spikes.reshape(*spikes.shape[:2], -1)
    for e in program.encoders:
        if e.name == name:
            return (values - e.offset) * (e.denominator / e.numerator), 0
    return values, recording.latency


def _parameter_bytes(program: ChipProgram) -> Iterator[int]:
    for p in program.populations:
        for name, value in p.params.items():
            bits = getattr(program.registers, REGISTERS.get(name, "v_bits"))
            yield value.size * _bytes(bits)


def _bytes(bits: int) -> int:
    """Of the smallest integer type: 1, 2, 4 or 8."""
    return next(n for n in (1, 2, 4, 8) if bits <= 8 * n)
