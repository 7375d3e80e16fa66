"""The definition of what a ChipProgram does: plain numpy, a whole batch at once.

In chip step r, for every population:

    part(synapse) = wrap( (W @ s_source[r - 1 - delay]) ) * 2^exponent         wrap to int32 before the shift
                    wrap( (W @ s_source[r - 1 - delay]) * 2^exponent )         to 24 bits after it, of a convolution
    a = wrap32( sum of its synapses' parts )
    s, v, ... = the kind's integer step, its bias acting from r = latency on

Wraps and clips are counted, never hidden.  Source of the rules: docs/semantics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RegisterError
from ..fixed import Ints, shift, wrap_bits
from ..neurons import part
from ..program import ChipProgram, Population, Synapse
from .base import Execution, Request, spike_dtype, spike_ranges

EXACT_FLOAT64 = 1 << 53
CONV_BITS = 24
"""Lava's Conv wraps its sum to 24 bits (lava-nc 0.10.0, proc/conv/models.py)."""


def matmul_exact(spikes: NDArray[Any], weight: NDArray[np.int32]) -> Ints:
    """spikes (B, N_source) times weight.T (N_source, N_target), exact, int64 (B, N_target).

    In float64 by BLAS where no partial sum can reach 2^53, else in int64.
    """
    largest = int(np.abs(spikes, dtype=np.int64).max(initial=0)) if spikes.size else 0
    reach = int(np.abs(weight.astype(np.int64)).sum(axis=1).max(initial=0)) * largest
    if reach < EXACT_FLOAT64:
        product = spikes.astype(np.float64) @ weight.T.astype(np.float64)
        return np.asarray(product.astype(np.int64))
    return np.asarray(spikes.astype(np.int64) @ weight.T.astype(np.int64))


def synaptic_sum(synapse: Synapse, spikes: NDArray[Any]) -> tuple[Ints, Ints]:
    """What a synapse adds to its target, int64 (B, N_target), as the chip keeps it and exactly.  spikes: (B, N)."""
    return kept_of(synapse, synapse.wiring.apply(spikes.astype(np.int64), matmul_exact))


def kept_of(synapse: Synapse, product: Ints) -> tuple[Ints, Ints]:
    """The same, from the exact product of weights and spikes."""
    exact = shift(product, synapse.exponent)
    if synapse.kind == "conv":
        return wrap_bits(exact, CONV_BITS), exact
    return shift(wrap_bits(product, 32), synapse.exponent), exact


class Run:
    """The state of one simulation: spikes of all steps so far, states, records, counters."""

    def __init__(self, program: ChipProgram, inputs: Mapping[str, NDArray[Any]], request: Request) -> None:
        self.program, self.request = program, request
        self.rows = request.steps + program.depth
        self.batch = next(iter(inputs.values())).shape[1]
        self.spikes: dict[str, NDArray[Any]] = {}
        self.data: dict[str, dict[str, NDArray[Any]]] = {}
        self.counters: dict[str, dict[str, int]] = {}
        self.states: dict[str, dict[str, Ints]] = {}
        ranges = spike_ranges(program)
        for name, q in inputs.items():
            self.spikes[name] = np.zeros((self.rows, *q.shape[1:]), spike_dtype(*ranges[name]))
            self.spikes[name][: request.steps] = q
        for p in program.populations:
            self.spikes[p.name] = np.zeros((self.rows, self.batch, p.size), spike_dtype(*ranges[p.name]))
            self.states[p.name] = part(p.kind, "integer").start(p.params, self.batch, p.size)
            self.counters[p.name] = {"a_wraps": 0}
        for name, spikes in self.spikes.items():
            self.data[name] = {"spikes": spikes} if request.keeps(name, "spikes") else {}
        self.incoming = {p.name: [s for s in program.synapses if s.target == p.name] for p in program.populations}

    def total(self, population: Population, row: int) -> Ints:
        """The int32 sum of the population's synapses in chip step `row`, as int64 (B, N)."""
        kept, exact = (np.zeros((self.batch, population.size), np.int64) for _ in range(2))
        for synapse in self.incoming[population.name]:
            when = row - 1 - synapse.delay
            if when >= 0:
                one, other = synaptic_sum(synapse, self.spikes[synapse.source][when])
                kept, exact = kept + one, exact + other
        wrapped = wrap_bits(kept, 32)
        self.count(population, row, "a_wraps", wrapped != exact, exact)
        return wrapped

    def count(self, population: Population, row: int, event: str, where: NDArray[np.bool_], value: Ints | None) -> None:
        """Count an event; in strict mode raise RegisterError for the first."""
        met = int(where.sum())
        counters = self.counters[population.name]
        counters[event] = counters.get(event, 0) + met
        if met and self.request.strict:
            sample, neuron = (int(i) for i in np.unravel_index(int(where.argmax()), where.shape))
            got = "" if value is None else f" ({int(value[sample, neuron])} does not fit)"
            raise RegisterError(
                f"{population.name}: {EVENTS[event]} in neuron {neuron}, step {row - population.latency}, "
                f"sample {sample}{got}; compile with --scale proven, or run without --strict to count such events"
            )

    def advance(self, population: Population, row: int) -> None:
        """One chip step of one population."""
        name = population.name
        a = self.total(population, row)
        step = part(population.kind, "integer").step(
            population.params, self.states[name], a, row >= population.latency, self.program.registers
        )
        self.states[name] = step.state
        self.spikes[name][row] = step.spikes
        for event, where in step.events.items():
            self.count(population, row, event, where, None)
        for variable, values in step.values.items():
            if self.request.keeps(name, variable):
                shape = (self.rows, self.batch, population.size)
                self.data[name].setdefault(variable, np.zeros(shape, np.int32))[row] = values


EVENTS = {"a_wraps": "a synaptic sum wraps", "u_wraps": "the current u wraps", "v_clips": "the potential h clips"}


def run(program: ChipProgram, inputs: Mapping[str, NDArray[Any]], request: Request) -> Execution:
    """Execute a program.

    inputs: encoder -> integers (T, B, N).   Raises: RegisterError in strict mode.
    """
    state = Run(program, inputs, request)
    for row in range(state.rows):
        for population in program.populations:
            state.advance(population, row)
        request.progress(row + 1, state.rows)
    return Execution(state.data, state.counters)
