"""What `inspect FILE.nir` shows, as tables: one section after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import nir
from rich.console import Group, RenderableType
from rich.text import Text

from ..neurons.scheme import RESETS
from .nir_facts import nir_summary
from .text import NONE, number, shape_text, table

MOST_NODES = 6
"""So many names in a list of nodes; a number says how many more there are."""
MOST_VIOLATIONS = 4
Facts = Mapping[str, Any]


def nir_table(
    graph: nir.NIRGraph, dt: float | None = None, *, targets: bool = True, dt_from: str = ""
) -> RenderableType:
    """The graph as tables: nodes, what we make of it, what others would, and where it compiles.

    targets, dt_from: see `nir_summary`.
    """
    facts = nir_summary(graph, dt, targets=targets, dt_from=dt_from)
    return Group(*(part for section in SECTIONS for part in section(facts)))


def _nodes(facts: Facts) -> Iterator[RenderableType]:
    title = "NIR graph, as it is stored" if facts["problem"] else "NIR graph"
    columns = ("node", "operation", "from", "shape", "parameters and their ranges", "numbers#", "connections#")
    yield table(title, columns, _rows(facts))


def _rows(facts: Facts) -> Iterator[tuple[object, ...]]:
    for name, node in facts["nodes"].items():
        sources = (f"{source} (a step later)" if source in node["late"] else source for source in node["inputs"])
        shape = NONE if node["shape"] is None else shape_text(node["shape"])
        counts = (number(node[key]) if node[key] else "" for key in ("parameter_count", "connections"))
        yield name, node["operation"], ", ".join(sources), shape, "\n".join(_parameters(node)), *counts
    totals = facts["totals"]
    neurons = f"{number(totals['neurons'])} neurons" if totals["neurons"] else ""
    cells = ("total", "", "", "", neurons, number(totals["parameter_count"]), number(totals["connections"]))
    yield tuple(Text(cell, "bold") for cell in cells)


def _parameters(node: Facts) -> Iterator[str]:
    """`weight (16, 1, 3, 3) in [-0.5, 0.4]`, a line each; one number for all as `beta = 0.9`."""
    for name, held in node["parameters"].items():
        if held is None:
            yield f"{name} is empty"
            continue
        shape = f" ({', '.join(map(str, held['shape']))})" if held["shape"] else ""
        low, high = f"{held['low']:.4g}", f"{held['high']:.4g}"
        yield f"{name}{shape} = {low}" if low == high else f"{name}{shape} in [{low}, {high}]"
    settings = (f"{key} {_setting(value)}" for key, value in node["settings"].items())
    if text := ", ".join(settings):
        yield text


def _setting(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def _problem(facts: Facts) -> Iterator[RenderableType]:
    if facts["problem"]:
        yield Text.assemble(("cannot be run as it is: ", "bold red"), facts["problem"])


def _meaning(facts: Facts) -> Iterator[RenderableType]:
    """How we read it."""
    if facts["problem"]:
        return
    scheme, readout, known = facts["scheme"], facts["readout"], facts["input_range"]
    rounds = "" if scheme["reset"] == "value" else f", at most {scheme['rounds']} spike(s) a step"
    sign = ">=" if scheme["at_threshold"] else ">"
    whose = f", as a file of {facts['family']}" if facts["family"] else ""
    yield Text(f"dt = {facts['dt']:g} s (from {facts['dt_from']}), {scheme['discretization']}{whose}")
    yield Text(f"nodes of nir that fire: at h {sign} threshold, reset: {RESETS[scheme['reset']]}{rounds}")
    if facts["rounding"]:
        worst = max(facts["rounding"], key=lambda name: float(facts["rounding"][name]))
        count, change = len(facts["rounding"]), facts["rounding"][worst]
        nodes = "one node" if count == 1 else f"{count} nodes"
        yield Text(f"rounded to float32: numbers of {nodes}, by at most {change:.2g} of their size ({worst})")
    if readout:
        yield Text(f"decision: {readout['rule']} of {readout['population']}, lowest index wins a tie")
    if known:
        grid = f" in steps of {known['quantum']:g}" if known["quantum"] else ""
        yield Text(f"input in [{known['low']:g}, {known['high']:g}]{grid}")


def _proof(facts: Facts) -> Iterator[RenderableType]:
    """The export's own proof."""
    proof = facts.get("proof")
    if not proof:
        return
    if not proof["holds"]:
        yield Text("the proof in this file is of another network: it was changed after its export", "bold yellow")
        return
    for which, run in proof["runs"].items():
        compared = f"{number(run['numbers'])} numbers, {number(run['spikes'])} spikes"
        silent = f"; never fired: {run['silent']}" if run.get("silent") else ""
        yield Text(
            f"proven at export on {which} input: {compared}, {run['differences']} differ from the model's{silent}"
        )


def _families(facts: Facts) -> Iterator[RenderableType]:
    """Whose conventions the file's numbers fit, why, and what the network does in each reading."""
    if not facts["families"]:
        return
    rows = []
    for found in facts["families"]:
        signs = "\n".join(f"{'+' if sign['holds'] else '-'} {sign['text']}" for sign in found["signs"])
        answer = Text("yes", "bold green") if found["fits"] else Text("no", "red")
        for i, reading in enumerate(found["readings"]):
            first = (found["family"], answer, signs) if i == 0 else ("", "", "")
            rows.append((*first, reading["reset"], *_does(reading)))
    yield Text()
    columns = ("--as", "fits", "signs", "--reset", "dt", "leak", "gain", "fires at", "spikes on random input")
    yield table("Whose file it may be, and what it does in each reading", columns, rows)
    yield from (Text(f"{f['title']}: {f['note']}", "yellow") for f in facts["families"] if f["fits"] and f["note"])


def _does(reading: Facts) -> tuple[str, ...]:
    if "problem" in reading:
        return "", "", "", "", reading["problem"]
    spikes = reading["spikes"]
    told = "too large to try" if spikes is None else ", ".join(f"{name} {n:,}" for name, n in spikes.items())
    leak, gain = (_interval(reading[key]) for key in ("leak", "gain"))
    return f"{reading['dt']:g}", leak, gain, f"h {reading['fires']} theta", told


def _interval(span: list[float]) -> str:
    low, high = span
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"


def _hints(facts: Facts) -> Iterator[RenderableType]:
    yield from (Text(f"hint: {hint}", "yellow") for hint in facts["hints"])


def _misreadings(facts: Facts) -> Iterator[RenderableType]:
    """Findings, those that differ in the node only in one line; about the whole file first."""
    lines: dict[tuple[str, str], list[str]] = {}
    for found in sorted(facts["misreadings"], key=lambda m: m["node"] != ""):
        lines.setdefault((found["what"], ", ".join(found["who"])), []).append(found["node"])
    if lines:
        rows = ((_some(nodes), what, who) for (what, who), nodes in lines.items())
        yield Text()
        yield table("What other readers of this file would misunderstand", ("node", "what", "who"), rows)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NODES} more" if len(names) > MOST_NODES else ""
    return ", ".join(names[:MOST_NODES]) + more or "the file"


def _targets(facts: Facts) -> Iterator[RenderableType]:
    if not facts["targets"]:
        return
    rows = []
    for found in facts["targets"]:
        answer = Text("yes", "bold green") if found["compiles"] else Text("no", "bold red")
        left = len(found["violations"]) - MOST_VIOLATIONS
        more = [f"and {left} more; 'compile' lists them, with remedies"] if left > 0 else []
        found_here = [f"{v['node']}: {v['what']}" for v in found["violations"][:MOST_VIOLATIONS]]
        why = found["how"] or "\n".join([*found_here, *more])
        rows.append((found["target"], answer, found["input"], why))
    yield Text()
    yield table("Where it compiles", ("target", "", "for", "how, or why not"), rows)


SECTIONS = (_nodes, _problem, _meaning, _proof, _families, _hints, _misreadings, _targets)
"""What is shown, in this order.  A further section is one more function here that reads one more entry of the facts."""
