"""The bit-accurate simulator: integers, a whole batch at once (engine/plain.py says what it computes).

Small runs take the definition, large ones the compiled loops (engine/fast.py): the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine import Counters, Execution, Request, simulate
from ..errors import RegisterError
from ..program import ChipProgram
from ..trace import Recording, Trace
from .base import Job, check_program


def refuse_clipped(job: Job, counters: Counters) -> None:
    """In strict mode raise RegisterError for input beyond the range that the program was compiled for."""
    for name, met in counters.items():
        if job.strict and met["clipped"]:
            raise RegisterError(
                f"{name}: {met['clipped']:,} input values lie beyond the range of its encoder; compile with "
                "--calibrate for input like this, or run without --strict to clip and count them"
            )


def trace_of(program: ChipProgram, job: Job, done: Execution, counters: Counters, name: str) -> Trace:
    """What an engine gave, as a trace.  counters: of the encoders.   name: of the backend."""
    populations = {}
    rows = job.steps + program.depth
    for e in program.encoders:
        spikes = {name: array.reshape(rows, job.batch, *e.shape) for name, array in done.data[e.name].items()}
        if job.keeps(e.name):
            populations[e.name] = Recording(e.shape, 0, np.asarray(e.denominator / e.numerator), spikes)
    for p in program.populations:
        shaped = {name: array.reshape(rows, job.batch, *p.shape) for name, array in done.data[p.name].items()}
        if job.keeps(p.name):
            populations[p.name] = Recording(p.shape, p.latency, p.unit, shaped)
    counters = counters | done.counters
    return Trace(populations, job.steps, program.dt, name, "integer", program.digest, counters)


Engine = Callable[[ChipProgram, NDArray[Any], Request], tuple[Execution, Counters]]


class Sim:
    """The backends "sim" and "sim-plain": a name and the engine that runs."""

    consumes: Literal["program"] = "program"
    kind: Literal["integer"] = "integer"

    def __init__(self, name: str, engine: Engine) -> None:
        self.name, self.engine = name, engine

    def run(self, source: ChipProgram, job: Job) -> Trace:
        """Run a program on a batch.  Raises: FormatError, InputError; RegisterError in strict mode."""
        check_program(source)
        request = Request(job.steps, job.record, job.only, job.strict, job.progress)
        done, counters = self.engine(source, job.x, request)
        refuse_clipped(job, counters)
        return trace_of(source, job, done, counters, self.name)


BACKEND = Sim("sim", simulate)
