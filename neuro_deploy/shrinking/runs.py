"""Do the two runs of a case differ, and where first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..backends import load_backend, simulate
from ..comparison import Comparison, compare
from ..errors import InputError
from ..program import ChipProgram
from ..trace import Trace
from .case import Case

Runner = Callable[[ChipProgram, NDArray[Any]], Trace]
"""Runs a program on x (T, B, *shape)."""


@dataclass(frozen=True)
class Judge:
    """Two executors: `a` runs the first program of a case, `b` the second.  names: of backends, "" for others."""

    a: Runner
    b: Runner
    names: tuple[str, str] = ("", "")

    def diverges(self, program: ChipProgram, x: NDArray[Any]) -> bool:
        """True if the executors differ on one program."""
        return self.comparison(Case((program, program), x))[2].first is not None

    def comparison(self, case: Case) -> tuple[Trace, Trace, Comparison]:
        """Both runs, and what compares them in all values.  Raises: what the runners and `compare` raise."""
        a, b = self.a(case.programs[0], case.x), self.b(case.programs[1], case.x)
        return a, b, compare(a, b)


def between_backends(a: str, b: str, *, timeout: float | None = None) -> Judge:
    """Two backends that run programs, such as "sim" and "lava".   timeout: seconds a run of Lava may take.

    Raises: BackendError for an unknown one; InputError for one that runs graphs.
    """
    for name in (a, b):
        if load_backend(name).consumes != "program":
            raise InputError(
                f"backend '{name}' runs float networks, and those differ from integers everywhere; "
                "shrink compares exactly, so give two that run programs, such as sim and lava"
            )

    def runner(name: str) -> Runner:
        return lambda program, x: simulate(program, x, name, ("spikes", "v", "h", "u"), timeout=timeout)

    return Judge(runner(a), runner(b), (a, b))


def between_programs(backend: str = "sim", *, timeout: float | None = None) -> Judge:
    """Two programs in one backend.   timeout, Raises: as `between_backends`."""
    return between_backends(backend, backend, timeout=timeout)
