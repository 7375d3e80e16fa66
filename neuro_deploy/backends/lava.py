"""A ChipProgram in Lava's fixed-point simulation on the CPU: a judge of `sim` that shares only the program with it.

Chip step r (row r) is Lava's step r + 1.  Synapses are Lava's own Dense, Sparse and Conv (lava_wires.py), LIF is
Lava's own LIF, CF our process, the others between the two (neurons/*/lava.py say how).  Lava has no batch: sample after
sample runs in one runtime, with a clean state between.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from ..errors import BackendError
from ..neurons import spec
from ..program import ChipProgram, Population
from ..trace import Recording, Trace
from .base import Job, check_program
from .lava_plan import Cell, Plan, Source
from .lava_process import Outcome, run_plan
from .lava_wires import integer_wire

REGISTERS = {"v_bits": 24, "u_bits": 24, "decay_bits": 12, "input_shift": 6, "threshold_shift": 6}
"""Lava's, which nothing can change.  Source: lava-nc 0.10.0, lava/proc/lif/models.py, AbstractPyLifModelFixed."""


def plan_of(program: ChipProgram, job: Job) -> Plan:
    """The program and its encoded input as a plan.  Raises: BackendError, FormatError, InputError."""
    check_program(program)
    _check_registers(program)
    inputs, _ = program.encode(job.x)
    ranges = {e.name: (e.low, e.high) for e in program.encoders}
    ranges |= {p.name: spec(p.kind).spike_range(p.params) for p in program.populations}
    return Plan(
        arithmetic="fixed_pt",
        rows=job.steps + program.depth,
        batch=job.batch,
        record=job.record,
        sources=tuple(Source(name, data) for name, data in inputs.items()),
        cells=tuple(_cell(p, job.keeps(p.name)) for p in program.populations),
        wires=tuple(integer_wire(s, *ranges[s.source]) for s in program.synapses),
    )


def _cell(p: Population, kept: bool) -> Cell:
    return Cell(p.name, p.kind, p.size, p.latency, np.broadcast_to(p.params["bias_mant"], (p.size,)), p.params, kept)


def _check_registers(program: ChipProgram) -> None:
    for name, bits in REGISTERS.items():
        if (got := getattr(program.registers, name)) != bits:
            raise BackendError(
                f"'{program.target}' has {name} = {got}, Lava's models {bits}, which cannot be changed; "
                "run the backend 'sim', or compile for a target with Loihi's registers, such as loihi2"
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
        for e in (e for e in source.encoders if job.keeps(e.name)):
            spikes = np.zeros((plan.rows, job.batch, *e.shape), np.int32)
            spikes[: job.steps] = inputs[e.name].reshape(job.steps, job.batch, *e.shape)
            populations[e.name] = Recording(e.shape, 0, np.asarray(e.denominator / e.numerator), {"spikes": spikes})
        for p in (p for p in source.populations if job.keeps(p.name)):
            shape = (plan.rows, job.batch, *p.shape)
            data = {name: array.reshape(shape) for name, array in outcome.data[p.name].items()}
            populations[p.name] = Recording(p.shape, p.latency, p.unit, data)
        return Trace(
            populations, job.steps, source.dt, self.name, self.kind, source.digest, counters, provenance(outcome)
        )


BACKEND = Lava()
