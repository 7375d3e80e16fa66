"""The simulator's definition, in numpy: what "sim" must equal, slower."""

from __future__ import annotations

from typing import Literal

from ..engine import simulate_plainly
from ..program import ChipProgram
from ..trace import Trace
from .base import Job, check_program
from .sim import refuse_clipped, request_of, trace_of


class SimPlain:
    """The backend "sim-plain"."""

    name = "sim-plain"
    consumes: Literal["program"] = "program"
    kind: Literal["integer"] = "integer"

    def run(self, source: ChipProgram, job: Job) -> Trace:
        """Run a program on a batch.  Raises: FormatError, InputError; RegisterError in strict mode."""
        check_program(source)
        done, counters = simulate_plainly(source, job.x, request_of(job))
        refuse_clipped(job, counters)
        return trace_of(source, job, done, counters, self.name)


BACKEND = SimPlain()
