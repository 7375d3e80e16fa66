"""The bit-accurate simulator: the living definition of what a ChipProgram does (plain numpy, a whole batch at once).

In chip step r, for every population:

    a = wrap32( sum over its synapses of (W @ s_source[r - 1 - delay]) * 2^exponent )
    s, v, ... = the kind's integer step, its bias acting from r = latency on

Wraps and clips are counted, never hidden.  Source of the rules: docs/semantics.md.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints, shift, wrap_int32
from ..neurons import part
from ..program import ChipProgram, DenseSynapse, Population
from ..trace import Recording, Trace
from .base import Job, check_program

EXACT_FLOAT64 = 1 << 53


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


class _Run:
    """The state of one simulation: spikes of all steps so far, states, records, counters."""

    def __init__(self, program: ChipProgram, job: Job) -> None:
        check_program(program)
        self.program, self.job = program, job
        self.rows = job.steps + program.depth
        inputs, counters = program.encode(job.x)
        self.counters: dict[str, dict[str, int]] = counters
        self.spikes: dict[str, NDArray[np.int32]] = {}
        for name, q in inputs.items():
            self.spikes[name] = np.zeros((self.rows, *q.shape[1:]), np.int32)
            self.spikes[name][: job.steps] = q
        self.incoming: dict[str, list[DenseSynapse]] = {p.name: [] for p in program.populations}
        for synapse in program.synapses:
            self.incoming[synapse.target].append(synapse)
        self.states: dict[str, dict[str, Ints]] = {}
        self.records: dict[str, dict[str, NDArray[np.int32]]] = {}
        for p in program.populations:
            shape = (self.rows, job.batch, p.size)
            self.spikes[p.name] = np.zeros(shape, np.int32)
            self.states[p.name] = part(p.kind, "integer").start(p.params, job.batch, p.size)
            self.records[p.name] = {}
            self.counters[p.name] = {"a_wraps": 0}

    def total(self, population: Population, row: int) -> Ints:
        """The int32 sum of the population's synapses in chip step `row`, as int64 (B, N)."""
        exact: Ints = np.zeros((self.job.batch, population.size), np.int64)
        for synapse in self.incoming[population.name]:
            when = row - 1 - synapse.delay
            if when >= 0:
                product = wrap_int32(matmul_exact(self.spikes[synapse.source][when], synapse.weight))
                exact = exact + shift(product, synapse.exponent)
        wrapped = wrap_int32(exact)
        self.counters[population.name]["a_wraps"] += int((wrapped != exact).sum())
        return wrapped

    def advance(self, population: Population, row: int) -> None:
        """One chip step of one population."""
        name = population.name
        model = part(population.kind, "integer")
        a = self.total(population, row)
        step = model.step(population.params, self.states[name], a, row >= population.latency)
        self.states[name] = step.state
        self.spikes[name][row] = step.spikes
        for event, count in step.events.items():
            self.counters[name][event] = self.counters[name].get(event, 0) + count
        for variable, values in step.values.items():
            if variable in self.job.record:
                shape = (self.rows, self.job.batch, population.size)
                self.records[name].setdefault(variable, np.zeros(shape, np.int32))[row] = values

    def trace(self) -> Trace:
        """Everything recorded."""
        populations = {}
        for e in self.program.encoders:
            spikes = self.spikes[e.name].reshape(self.rows, self.job.batch, *e.shape)
            unit = np.asarray(e.denominator / e.numerator)
            populations[e.name] = Recording(e.shape, 0, unit, {"spikes": spikes})
        for p in self.program.populations:
            data = {"spikes": self.spikes[p.name]} if "spikes" in self.job.record else {}
            data |= self.records[p.name]
            shaped = {k: v.reshape(self.rows, self.job.batch, *p.shape) for k, v in data.items()}
            populations[p.name] = Recording(p.shape, p.latency, p.unit, shaped)
        return Trace(populations, self.job.steps, self.program.dt, "sim", "integer", self.program.digest, self.counters)


class Sim:
    """The backend "sim"."""

    name = "sim"
    consumes: Literal["program"] = "program"
    kind: Literal["integer"] = "integer"

    def run(self, source: ChipProgram, job: Job) -> Trace:
        """Run a program on a batch.  Raises: FormatError, InputError."""
        run = _Run(source, job)
        for row in range(run.rows):
            for population in source.populations:
                run.advance(population, row)
            job.progress(row + 1, run.rows)
        return run.trace()


BACKEND = Sim()
