"""The first difference of two runs and its cause, and the counts by step, as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..comparison import Cause, Comparison, Divergence
from ..comparison.cause import Account
from .text import NONE, number, table

Value = float | int | None
STEPS = 8
"""So many steps with differences are listed for a variable."""


def divergence_tables(first: Divergence, a: str, b: str) -> Iterator[RenderableType]:
    """Where two runs part, both values, what was recorded around it; and the cause, where it is known."""
    neuron = first.neuron[0] if len(first.neuron) == 1 else first.neuron
    title = f"First difference: {first.population}, neuron {neuron}, step {first.step}, sample {first.sample}"
    rows = [(first.variable + "[t]", first.a, first.b), *first.context]
    if first.cause:
        rows += account_rows(first.cause)
    yield Text(title, "bold")
    shown = [
        (Text(label, "bold" if i == 0 else ""), number(x), number(y), number(_gap(x, y)))
        for i, (label, x, y) in enumerate(rows)
    ]
    yield table("", ("", f"{a}#", f"{b}#", "difference#"), shown)
    yield from (Text(text) for text in told(first.cause, a, b)) if first.cause else ()
    if first.cause and first.cause.inputs:
        yield _inputs(first.cause, a, b)


def account_rows(cause: Cause) -> Iterator[tuple[str, Value, Value]]:
    """(label, value in a, value in b): what the programs make of the runs' own records."""
    a, b = cause.a, cause.b
    yield "h[t] that the inputs give", a.expected, b.expected
    names = dict.fromkeys((level_name(a), level_name(b)))
    yield f"nearest firing level ({' | '.join(names)})", a.level, b.level
    yield "h[t] above it", a.distance, b.distance
    yield "input sum", a.total, b.total
    for name, x, y in cause.sums if len(cause.sums) > 1 else ():
        yield f"  of it {name}", x, y


def level_name(account: Account) -> str:
    """ "theta", "2 theta", "-theta_neg", ..., or a dash."""
    if account.k == 0:
        return NONE
    times = "" if abs(account.k) == 1 else f"{abs(account.k)} "
    return f"{times}theta" if account.k > 0 else f"-{times}theta_neg"


def told(cause: Cause, a: str, b: str) -> Iterator[str]:
    """What is remarkable of it, in words."""
    for name, account in ((a, cause.a), (b, cause.b)):
        if account.clipped:
            yield f"{name}: the potential meets its register's limit there"
        if account.expected is not None and account.h != account.expected:
            given = f"its own inputs, state and program give {account.expected:,}"
            yield f"{name}: its h is {number(account.h)}, but {given}"


def _inputs(cause: Cause, a: str, b: str) -> Table:
    more = f" (and {cause.more} more)" if cause.more else ""
    columns = [
        "synapse",
        "source",
        "neuron",
        *(f"{what} {run}#" for what in ("weight", "spike", "adds") for run in (a, b)),
        "difference#",
    ]
    rows = [
        (
            i.synapse,
            i.source,
            ", ".join(map(str, i.neuron)),
            *(number(n) for n in (i.weight_a, i.weight_b, i.spike_a, i.spike_b, i.a, i.b)),
            number(i.b - i.a),
        )
        for i in cause.inputs
    ]
    return table(f"Connections that add something else{more}", columns, rows)


def steps_table(comparison: Comparison) -> Table:
    """How many values differ, by population and step."""
    rows = []
    for e in comparison.exact:
        if e.differing:
            listed = ", ".join(f"{step}: {number(count)}" for step, count in e.by_step[:STEPS])
            rest = e.by_step[STEPS:]
            total = sum(count for _, count in rest)
            more = f"; {len(rest)} more up to step {rest[-1][0]}: {number(total)}" if rest else ""
            rows.append((e.population, e.variable, listed + more))
    return table("Differing values by step", ("population", "variable", "step: how many"), rows)


def distance_table(comparison: Comparison) -> Table:
    """Spike count differences and, if measured, distances of spike trains."""
    columns = (
        "population",
        "count difference, largest#",
        "mean#",
        "van Rossum#",
        "Victor-Purpura#",
        "trains that differ#",
    )
    rows = []
    for s in comparison.statistics:
        if s.count_error is None:
            continue
        d = s.distances
        cells = (NONE, NONE, NONE)
        if d:
            cells = number(d.van_rossum), number(d.victor_purpura), f"{number(d.differing)} of {number(d.trains)}"
            cells = (*cells[:2], cells[2] + (f" ({d.measured} measured)" if d.measured < d.differing else ""))
        rows.append((s.population, number(s.count_error[0]), number(s.count_error[1]), *cells))
    found = next((s.distances for s in comparison.statistics if s.distances), None)
    how = f"; time constant {found.time_constant:g} s, shifting costs {found.cost_factor:g} /s" if found else ""
    return table(f"Spike trains, per neuron and sample{how}", columns, rows)


def _gap(a: Value, b: Value) -> Value:
    return None if a is None or b is None else b - a
