"""The margins of a run as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from ..comparison.margins import Firing, Margins, Neurons, PopulationMargins
from .text import NONE, facts, number, percent, table

BARS = " ▁▂▃▄▅▆▇█"
WARN = "yellow"


def margins_table(margins: Margins) -> RenderableType:
    """Decisions at risk, distances, idle neurons, registers; a table each."""
    unit = margins.unit
    head = facts([("size", f"{number(margins.steps)} steps, {number(margins.samples)} samples")])
    able = [(p, p.firing) for p in margins.populations if p.firing]
    risk = table(
        f"Spikes at risk: h within 1 weight unit ({unit} LSB) of a firing level",
        (
            "name",
            "decisions#",
            "at risk#",
            "share#",
            "fired, at risk#",
            "of the fired#",
            "within 1 LSB#",
            "exact ties#",
        ),
        (_risk(p, firing) for p, firing in able),
    )
    far = table(
        "Distance of h to the nearest firing level, in LSB",
        ("name", "smallest#", "how many at 0, 1, 2..3, 4..7, ...", "largest below#"),
        (_distances(p, firing) for p, firing in able),
    )
    idle = table(
        "Neurons",
        ("name", "neurons#", "never fire", "always fire", "spikes#", "all rounds used#", "a round was missing#"),
        (_idle(p, firing) for p, firing in able),
    )
    registers = table("Registers", ("name", "register", "largest#", "limit#", "bits used#"), _registers(margins))
    parts = [risk, far, idle] if able else [Text("No population fires.", WARN)]
    return Group(head, Text(), *parts, registers)


def _risk(p: PopulationMargins, f: Firing) -> tuple[object, ...]:
    unit = f.within_unit
    shares = (percent(unit.decisions / f.decisions), percent(unit.fired / f.fired) if f.fired else NONE)
    numbers = (number(n) for n in (f.within_lsb.decisions, f.ties))
    return p.name, number(f.decisions), number(unit.decisions), shares[0], number(unit.fired), shares[1], *numbers


def _distances(p: PopulationMargins, f: Firing) -> tuple[object, ...]:
    most = max(f.histogram)
    bars = "".join(BARS[-(-(len(BARS) - 1) * n // most)] for n in f.histogram)
    return p.name, number(f.smallest), bars, number(1 << (len(f.histogram) - 1))


def _idle(p: PopulationMargins, f: Firing) -> tuple[object, ...]:
    named = (_named(p, neurons) for neurons in (f.dead, f.always))
    return p.name, number(p.neurons), *named, number(f.spikes), number(f.saturated), number(f.clipped)


def _named(p: PopulationMargins, found: Neurons) -> Text:
    """How many, and which: "2 (7, 9)"."""
    if not found.count:
        return Text("0")
    names = ", ".join(map(str, found.first)) + (", ..." if found.count > len(found.first) else "")
    return Text(f"{number(found.count)} ({names})", WARN)


def _registers(margins: Margins) -> Iterator[tuple[object, ...]]:
    for p in margins.populations:
        for name, use in p.registers.items():
            full = Text(number(use.largest), WARN if use.largest >= use.limit else "")
            yield p.name, name, full, number(use.limit), f"{use.bits} of {use.of_bits}"
