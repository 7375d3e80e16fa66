"""What a backend is, and what executors of a ChipProgram share: the data, never the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from ..engine.base import quiet
from ..errors import FormatError
from ..neurons import spec
from ..program import ChipProgram
from ..trace import Trace

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """What to run.

    x: (T, B, *shape).   record: variables; only: of these populations, None: of all.   dt, timeout: seconds or None.
    strict: stop at the first wrap or clip of a register ("sim" alone can).
    """

    x: NDArray[Any]
    record: tuple[str, ...]
    dt: float | None = None
    timeout: float | None = None
    progress: Progress = quiet
    only: tuple[str, ...] | None = None
    strict: bool = False

    def keeps(self, population: str) -> bool:
        """True if the population belongs into the trace."""
        return self.only is None or population in self.only

    @property
    def steps(self) -> int:
        """T."""
        return int(self.x.shape[0])

    @property
    def batch(self) -> int:
        """B."""
        return int(self.x.shape[1])


class Backend(Protocol):
    """Runs a program or a graph.  consumes: which of the two.  kind: what its numbers are."""

    name: str
    consumes: Literal["graph", "program"]
    kind: Literal["integer", "float"]

    def run(self, source: Any, job: Job) -> Trace:
        """Run `source` on `job.x`.  Raises: BackendError, InputError, UnsupportedError."""


def check_program(program: ChipProgram) -> None:
    """Raise FormatError unless every population is of a known kind with integers within its registers."""
    problems = []
    for population in program.populations:
        try:
            found = spec(population.kind).check(population.params, program.registers)
        except KeyError:
            found = [f"unknown neuron kind '{population.kind}'"]
        problems += [f"{population.name}: {text}" for text in found]
    if problems:
        raise FormatError("not a valid ChipProgram:\n  " + "\n  ".join(problems))


__all__ = ["Backend", "Job", "Progress", "check_program", "quiet"]
