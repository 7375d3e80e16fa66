"""What a ChipProgram must be to be trained and to become a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...errors import UnsupportedError, Violation
from ...neurons import NEURONS
from ...neurons.chip import trainable
from ...program import ChipProgram
from .arithmetic import TITLE
from .names import Origin
from .plan import Plan, plan_of


def checked(program: ChipProgram, origins: Mapping[str, Origin] | None = None) -> Plan:
    """The plan of a program.  origins: see `plan_of`.

    Raises: UnsupportedError with all that keeps it from being trained, or from becoming a file afterwards.
    """
    violations = [*_inputs(program), *_kinds(program)]
    plan = None if violations else plan_of(program, origins)
    if plan is None or plan.problems:
        raise UnsupportedError(TITLE, [*violations, *(plan.problems if plan else ())])
    return plan


def _inputs(program: ChipProgram) -> Iterator[Violation]:
    if len(program.encoders) != 1:
        yield Violation("input", f"has {len(program.encoders)} encoders", "compile a graph, which joins its inputs")
    for e in program.encoders:
        for name in e.inputs if e.parts else ():
            if "+" in name:
                yield Violation(name, "is an Input with a + in its name", "rename it: + joins names of several Inputs")


def _kinds(program: ChipProgram) -> Iterator[Violation]:
    known = [entry.rpartition(".")[2] for entry in NEURONS]
    able = ", ".join(kind for kind in known if trainable(kind))
    for p in program.populations:
        if p.kind not in known or not trainable(p.kind):
            yield Violation(p.name, f"neurons of kind '{p.kind}' have no gradient here", f"use {able}")
