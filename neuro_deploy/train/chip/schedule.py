"""When a program's populations are computed: in which order, and which of their steps meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...engine.layout import groups_of
from ...program import ChipProgram


@dataclass(frozen=True)
class Group:
    """Populations in the order of execution; cyclic: they feed each other, so they go step by step together."""

    names: tuple[str, ...]
    cyclic: bool


@dataclass(frozen=True)
class Schedule:
    """The order of a program.

    Where every synapse arrives in or after the first logical step of its target, time is logical: a layer that runs
    some steps later on the chip is computed without them, a pure shift.  Else all chip steps are computed.

    groups: a group follows those that feed it.   lags: synapse -> how many steps later a spike acts in the target.
    begins: population -> the step in which its bias sets in, which is its logical step 0.   more: steps beyond T.
    """

    groups: tuple[Group, ...]
    lags: Mapping[str, int]
    begins: Mapping[str, int]
    more: int


def logical_lags(program: ChipProgram) -> dict[str, int]:
    """Synapse -> how many logical steps later a spike acts in the target; below 0: before it began."""
    latency = {**{e.name: 0 for e in program.encoders}, **{p.name: p.latency for p in program.populations}}
    return {s.name: s.delay + 1 + latency[s.source] - latency[s.target] for s in program.synapses}


def schedule_of(program: ChipProgram) -> Schedule:
    """The order of a program."""
    lags = logical_lags(program)
    if all(lag >= 0 for lag in lags.values()):
        begins, more = dict.fromkeys((p.name for p in program.populations), 0), 0
    else:
        lags = {s.name: s.delay + 1 for s in program.synapses}
        begins, more = {p.name: p.latency for p in program.populations}, program.depth
    at_once = [(s.source, s.target) for s in program.synapses if lags[s.name] == 0]
    groups = tuple(Group(_ordered(names, at_once), cyclic) for names, cyclic in groups_of(program))
    return Schedule(groups, lags, begins, more)


def _ordered(names: list[str], at_once: list[tuple[str, str]]) -> tuple[str, ...]:
    """Sources before the targets that they reach in the same step: on the chip no loop is without a step."""
    done: list[str] = []
    while len(done) < len(names):
        waiting = [n for n in names if n not in done]
        done += [n for n in waiting if not any(s in waiting for s, t in at_once if t == n)][:1]
    return tuple(done)
