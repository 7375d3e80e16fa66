"""What each number format costs, as tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..explanation import Effect, Explanation, FormatCost, Proposal
from .text import NONE, number, percent, table


def explanation_table(found: Explanation) -> RenderableType:
    """The sentence; each format alone and switched back; by layer; what was tried."""
    style = "bold green" if not found.chip.differing else "bold"
    parts: list[RenderableType] = [Text(found.sentence, style), Text()]
    parts.append(_formats(found))
    if any(f.layers for f in found.formats):
        parts += [Text("Spikes that differ where a format is on in one layer alone", "bold"), _layers(found)]
    if found.proposals:
        parts.append(_proposals(found))
    if found.unlike_reference:
        text = (
            f"the float run in float64 and the float32 reference differ in {found.unlike_reference:,} spikes themselves"
        )
        parts.append(Text(f"note: {text}", "yellow"))
    return Group(*parts)


def decided(effect: Effect | None, samples: int) -> str:
    """Accuracy, or the share of decisions that agree with float, or a dash."""
    if effect is None or effect.agreeing is None:
        return NONE
    return (
        percent(effect.correct / samples)
        if effect.correct is not None
        else f"{percent(effect.agreeing / samples)} agree"
    )


def _formats(found: Explanation) -> Table:
    columns = ("format", "on alone: spikes#", "accuracy#", "all but this one: spikes#", "accuracy#", "what it does")

    def row(f: FormatCost) -> tuple[object, ...]:
        worst = Text(number(f.alone.differing), "bold red" if f.alone.differing else "green")
        back = number(f.without.differing)
        return f.name, worst, decided(f.alone, found.samples), back, decided(f.without, found.samples), f.meaning

    all_on = (
        "all on",
        number(found.chip.differing),
        decided(found.chip, found.samples),
        "0",
        decided(found.exact, found.samples),
    )
    rows = [row(f) for f in found.formats] + [(*all_on, "the chip, as sim computes it; none on: the float network")]
    return table(f"Spikes that differ from float, of {number(found.decisions)}", columns, rows)


def layer_counts(found: Explanation) -> tuple[list[str], dict[str, list[int | None]]]:
    """The formats that cost something in a layer, and layer -> the spikes that differ by each; None: not tried."""
    costly = [f for f in found.formats if f.layers]
    places = dict.fromkeys(at for f in costly for at in f.layers)
    counts = {at: [f.layers[at].differing if at in f.layers else None for f in costly] for at in places}
    return [f.name for f in costly], counts


def _layers(found: Explanation) -> Table:
    costly, places = layer_counts(found)
    rows = [(at, *(NONE if n is None else number(n) for n in counts)) for at, counts in places.items()]
    return table("", ("layer", *(f"{name}#" for name in costly)), rows)


def _proposals(found: Explanation) -> Table:
    def row(i: int, p: Proposal) -> Iterator[object]:
        yield Text("->" if i == found.chosen else "", "bold")
        yield p.what
        yield number(p.effect.differing) if p.effect else NONE
        yield percent(p.removes) if p.removes is not None else NONE
        yield decided(p.effect, found.samples)
        yield "" if p.possible else "no"
        yield p.why or p.command

    columns = ("", "change", "spikes#", "removed#", "accuracy#", "possible here", "how")
    rows = [tuple(row(i, p)) for i, p in enumerate(found.proposals)]
    return table("What would help, the cheapest first", columns, rows)
