"""A ChipProgram in Lava's fixed-point simulation on the CPU: a judge of `sim` that shares only the program with it.

Chip step r (row r) is Lava's step r + 1.  Synapses are Lava's own Dense, LIF is Lava's own LIF, CF is our process
(neurons/cf/lava.py).  Lava has no batch: sample after sample runs in one runtime, with a clean state between.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from ..errors import BackendError
from ..neurons import spec
from ..program import ChipProgram, DenseSynapse, Population
from ..trace import Recording, Trace
from .base import Job, check_program
from .lava_plan import Cell, Plan, Source, Wire, sign_mode
from .lava_process import Outcome, run_plan


def plan_of(program: ChipProgram, job: Job) -> Plan:
    """The program and its encoded input as a plan.  Raises: BackendError, FormatError, InputError."""
    check_program(program)
    inputs, _ = program.encode(job.x)
    ranges = {e.name: (e.low, e.high) for e in program.encoders}
    ranges |= {p.name: spec(p.kind).spike_range(p.params) for p in program.populations}
    for s in program.synapses:
        _check_shift(s, max(map(abs, ranges[s.source])))
    return Plan(
        arithmetic="fixed_pt",
        rows=job.steps + program.depth,
        batch=job.batch,
        record=job.record,
        sources=tuple(Source(name, data) for name, data in inputs.items()),
        cells=tuple(_cell(p) for p in program.populations),
        wires=tuple(_wire(s, graded=ranges[s.source] != (0, 1)) for s in program.synapses),
    )


def _cell(p: Population) -> Cell:
    return Cell(p.name, p.kind, p.size, p.latency, np.broadcast_to(p.params["bias_mant"], (p.size,)), p.params)


def _wire(s: DenseSynapse, graded: bool) -> Wire:
    return Wire(s.name, s.source, s.target, s.weight, s.exponent, s.delay, graded, sign_mode(s.name, s.weight))


def _check_shift(s: DenseSynapse, largest: int) -> None:
    """Refuse the one case in which Lava's DelayDense does not wrap a sum as its Dense does."""
    reach = int(np.abs(s.weight.astype(np.int64)).sum(axis=1).max(initial=0)) * largest
    if s.delay and s.exponent < 0 and reach >= 1 << 31:
        raise BackendError(
            f"{s.name}: sums up to {reach} exceed 32 bits before they are shifted by {s.exponent}, and Lava's delayed "
            "synapse would not wrap them; use fewer input bits"
        )


def provenance(outcome: Outcome) -> dict[str, str]:
    """Lava's version, and whose model judged each population."""
    try:
        found = version("lava-nc")
    except PackageNotFoundError:
        found = "unknown"
    return {"lava-nc": found, **{f"witness {name}": text for name, text in outcome.witnesses.items()}}


class Lava:
    """The backend "lava"."""

    name = "lava"
    consumes: Literal["program"] = "program"
    kind: Literal["integer"] = "integer"

    def run(self, source: ChipProgram, job: Job) -> Trace:
        """Run a program, sample after sample.

        Raises: BackendError (LavaMissingError, LavaTimeoutError), FormatError, InputError.
        """
        plan = plan_of(source, job)
        outcome = run_plan(plan, job.timeout, job.progress)
        inputs, counters = source.encode(job.x)
        populations = {}
        for e in source.encoders:
            spikes = np.zeros((plan.rows, job.batch, *e.shape), np.int32)
            spikes[: job.steps] = inputs[e.name].reshape(job.steps, job.batch, *e.shape)
            populations[e.name] = Recording(e.shape, 0, np.asarray(e.denominator / e.numerator), {"spikes": spikes})
        for p in source.populations:
            shape = (plan.rows, job.batch, *p.shape)
            data = {name: array.reshape(shape) for name, array in outcome.data[p.name].items()}
            populations[p.name] = Recording(p.shape, p.latency, p.unit, data)
        return Trace(
            populations, job.steps, source.dt, self.name, self.kind, source.digest, counters, provenance(outcome)
        )


BACKEND = Lava()
