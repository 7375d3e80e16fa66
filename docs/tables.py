"""Tables of what is supported, made by trying: this script writes them into README.md and docs/frameworks.md.

primitive x (read, write, reference, sim, lava), by a small network of each primitive.  read: from a file.  write: the
graph that `write_graph` makes of what was read, through a file, is read as the same operations, number by number.
reference: run in float, the primitive's population fires (an integrator's potential moves), and where the primitive is
no population, the network behind it does something else once zeros come through it.  sim: compiled for loihi2, that
population fires, or moves, there.  lava: every number is equal to sim's.
framework x neuron: what the adapters say of each class (their tests hold them to it).
`--check` changes nothing, and fails where a table is not current; `--without-lava` leaves that column as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
from probes import PROBES, RNG, SAMPLES, STEPS, Edge, Probe

import neuro_deploy as nd
from neuro_deploy import adapters
from neuro_deploy.errors import NeuroDeployError
from neuro_deploy.graph import Reading, read_graph, write_graph

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("read", "write", "reference", "sim", "lava")
RECORD = ("spikes", "v")


def through_a_file(graph: nir.NIRGraph) -> nir.NIRGraph:
    """The graph, written and read."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.nir"
        nd.write_nir(graph, file)
        return nd.read_nir(file)


def operations(reading: Reading) -> dict[str, dict[str, Any]]:
    """Every node with all its numbers; parameters of a population in its whole shape."""
    found = {}
    for node in reading.nodes:
        held: dict[str, Any] = dict(vars(node.operation))
        for name, value in held.pop("params", {}).items():
            held[f"params {name}"] = np.broadcast_to(value, node.shape)
        edges = {"inputs": node.inputs, "late": node.late, "shape": node.shape}
        found[node.name] = {"type": type(node.operation).__name__, **edges, **held}
    return found


def same(one: Reading, other: Reading) -> bool:
    """True if two readings have the same operations, number by number."""
    a, b = operations(one), operations(other)
    return list(a) == list(b) and all(
        a[name].keys() == b[name].keys() and all(np.array_equal(a[name][key], b[name][key]) for key in a[name])
        for name in a
    )


def muted(graph: nir.NIRGraph, edge: Edge, shape: tuple[int, ...]) -> nir.NIRGraph:
    """The graph with zeros coming through an edge.  shape: of what comes through it."""
    edges = [tuple(map(str, e)) for e in graph.edges if tuple(map(str, e)) != edge]
    nodes = {**graph.nodes, "mute": nir.Scale(np.zeros(shape, np.float32))}
    edges += [(edge[0], "mute"), ("mute", edge[1])]
    return nir.NIRGraph(nodes, edges, metadata=dict(graph.metadata), type_check=False)


def shown(trace: nd.Trace, reading: Reading, name: str) -> Any:
    """Spikes of a population, or the potential of one that never fires."""
    return trace.populations[name].data["v" if reading.neurons[name].kind == "li" else "spikes"]


def does(trace: nd.Trace, reading: Reading, at: tuple[str, ...]) -> str:
    """What populations do: "fires", "moves" (the last of them never fires), or "no" for one that does nothing."""
    if not all(shown(trace, reading, name).any() for name in at):
        return "no"
    return "moves" if reading.neurons[at[-1]].kind == "li" else "fires"


def is_seen(read: nir.NIRGraph, reading: Reading, x: Any, trace: nd.Trace, edge: Edge) -> bool:
    """True if a population does something else once zeros come through the edge."""
    (shape,) = (node.shape for node in reading.nodes if node.name == edge[0])
    without = nd.simulate(muted(read, edge, shape), x, "reference", RECORD)
    return any((shown(trace, reading, n) != shown(without, reading, n)).any() for n in reading.neurons)


def cells(probe: Probe, lava: bool) -> dict[str, str]:
    """What each column says of a probe."""
    found = dict.fromkeys(COLUMNS, "no")
    read = through_a_file(probe.make())
    reading = read_graph(read)
    found["read"] = "yes"
    found["write"] = "yes" if same(reading, read_graph(through_a_file(write_graph(reading)))) else "no"
    x = {name: RNG.integers(0, 9, (STEPS, SAMPLES, *shape)) / 8 for name, shape in reading.inputs}
    trace = nd.simulate(read, x, "reference", RECORD)
    if all(is_seen(read, reading, x, trace, edge) for edge in probe.through):
        found["reference"] = does(trace, reading, probe.at)
    try:
        program = nd.compile(read, target="loihi2")
    except NeuroDeployError as error:
        reason = str(error).splitlines()[-1].strip().partition(": ")[2].partition(";")[0]
        return found | {"sim": f"refused: {reason}", "lava": "as sim"}
    sim = nd.simulate(program, x, "sim", (*RECORD, "u"))
    found["sim"] = does(sim, reading, probe.at)
    if lava:
        other = nd.simulate(program, x, "lava", (*RECORD, "u"))
        found["lava"] = "equal" if nd.compare(sim, other).equal else "no: it differs"
    return found


def primitive_table(lava: bool, before: Mapping[str, list[str]]) -> str:
    """The first table, in Markdown.  before: the cells of the one that stands, for the column that is not tried."""
    lines = ["| primitive | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, probe in PROBES.items():
        found = cells(probe, lava)
        if not lava and found["lava"] == "no":
            found["lava"] = before.get(name, [""] * 6)[5]
        lines.append(f"| {name} | " + " | ".join(found[c] for c in COLUMNS) + " |")
    return "\n".join(lines)


def neurons_that_are_kept() -> str:
    """Framework x neuron, those that are kept."""
    lines = ["| framework | neuron | becomes |", "|---|---|---|"]
    for framework in adapters.FRAMEWORKS:
        by_text: dict[str, list[str]] = {}
        for name, kept in adapters.neurons(framework).items():
            if kept.how.startswith("exact"):
                by_text.setdefault(kept.how.removeprefix("exact: "), []).append(f"`{name}`")
        lines += [f"| {framework} | {', '.join(names)} | {text} |" for text, names in by_text.items()]
    return "\n".join(lines)


def neurons_that_are_refused() -> str:
    """Framework x neuron, those that are refused."""
    lines = ["| framework | neuron | why not | instead |", "|---|---|---|---|"]
    for framework in adapters.FRAMEWORKS:
        by_text: dict[tuple[str, str], list[str]] = {}
        for name, kept in adapters.neurons(framework).items():
            if kept.how.startswith("refused"):
                by_text.setdefault((kept.how.removeprefix("refused: "), kept.remedy), []).append(f"`{name}`")
        lines += [
            f"| {framework} | {', '.join(names)} | {why} | {remedy} |" for (why, remedy), names in by_text.items()
        ]
    return "\n".join(lines)


def placed(text: str, name: str, table: str) -> str:
    """The text with the table between its two marks.  Raises: SystemExit without the marks."""
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"no marks of the table '{name}'")
    return pattern.sub(lambda m: m.group(1) + table + m.group(2), text)


def rows(text: str) -> dict[str, list[str]]:
    """First cell -> cells, of all tables in a text."""
    found = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {cells[0]: cells for cells in found}


def main() -> int:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a table is not current")
    parser.add_argument("--without-lava", action="store_true", help="do not try Lava; its column stays")
    options = parser.parse_args()
    readme, page = ROOT / "README.md", ROOT / "docs" / "frameworks.md"
    before = {file: file.read_text(encoding="utf-8") for file in (readme, page)}
    after = dict(before)
    after[readme] = placed(after[readme], "primitives", primitive_table(not options.without_lava, rows(before[readme])))
    after[readme] = placed(after[readme], "neurons", neurons_that_are_kept())
    after[page] = placed(after[page], "kept", neurons_that_are_kept())
    after[page] = placed(after[page], "refused", neurons_that_are_refused())
    stale = [str(file.relative_to(ROOT)) for file in before if before[file] != after[file]]
    if options.check and stale:
        print(f"not current: {', '.join(stale)}; run python docs/tables.py", file=sys.stderr)
        return 1
    for file in before:
        if not options.check:
            file.write_text(after[file], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
