"""Tables of what is supported, made by trying: this script writes them into README.md and docs/frameworks.md.

primitive x (read, write, reference, sim, lava): a small network of each primitive is written to a file, read, written
again, run in float, compiled for loihi2 and run in `sim` and in Lava, which must agree in every number.
framework x neuron: what the adapters say of each class (their tests hold them to it).
`--check` changes nothing, and fails where a table is not current; `--without-lava` leaves that column as it is.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np

import neuro_deploy as nd
from neuro_deploy import adapters
from neuro_deploy.errors import NeuroDeployError
from neuro_deploy.graph import read_graph, write_graph
from neuro_deploy.neurons.scheme import METADATA

ROOT = Path(__file__).resolve().parent.parent
DT, STEPS, SAMPLES = 1e-3, 12, 4
COLUMNS = ("read", "write", "reference", "sim", "lava")
Nodes = Mapping[str, Any]
RNG = np.random.default_rng(3)


def uniform(low: float, high: float, *shape: int) -> Any:
    """Random float32 numbers."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def given(*shape: int) -> nir.Input:
    """An Input."""
    return nir.Input({"input": np.array(shape)})


def sent(*shape: int) -> nir.Output:
    """An Output."""
    return nir.Output({"output": np.array(shape)})


def lif(*shape: int) -> nir.LIF:
    """Neurons that fire, with distinct parameters."""
    tau = DT * uniform(1.5, 5, *shape)
    return nir.LIF(tau, tau / DT, uniform(0, 0.1, *shape), uniform(0.3, 0.6, *shape), np.zeros(shape, np.float32))


def fc(targets: int, sources: int) -> nir.Affine:
    """A dense layer."""
    return nir.Affine(uniform(-0.6, 1, targets, sources), uniform(-0.1, 0.1, targets))


def row(*nodes: Any, shape: tuple[int, ...] = (5,), last: tuple[int, ...] = (4,)) -> nir.NIRGraph:
    """Nodes one behind the other, between an Input and an Output."""
    named = {"input": given(*shape), **{f"n{i}": node for i, node in enumerate(nodes)}, "output": sent(*last)}
    return graph(named, list(itertools.pairwise(named)))


def graph(nodes: Nodes, edges: list[tuple[str, str]]) -> nir.NIRGraph:
    """A graph with what compile needs to know."""
    told = {METADATA: {"dt": DT, "steps": STEPS, "input": {"low": 0.0, "high": 1.0, "quantum": 0.125}}}
    return nir.NIRGraph(dict(nodes), edges, metadata=told, type_check=False)


def cuba(kind: Any) -> nir.NIRNode:
    """A neuron with a synaptic current."""
    tau, slow = DT * uniform(1.5, 4, 4), DT * uniform(2, 5, 4)
    common = {"tau_syn": tau, "tau_mem": slow, "r": slow / DT, "v_leak": uniform(0, 0.1, 4), "w_in": tau / DT}
    more = {"v_threshold": uniform(0.4, 0.8, 4), "v_reset": uniform(-0.2, 0.1, 4)} if kind is nir.CubaLIF else {}
    node: nir.NIRNode = kind(**common, **more)
    return node


def nested() -> nir.NIRGraph:
    """A neuron in a graph in a graph."""
    inner = {"a": given(4), "lif": lif(4), "b": sent(4)}
    block: Any = nir.NIRGraph(inner, list(itertools.pairwise(inner)), type_check=False)
    outer = {"a": given(4), "block": block, "b": sent(4)}
    return row(fc(4, 5), nir.NIRGraph(outer, list(itertools.pairwise(outer)), type_check=False))


def looped() -> nir.NIRGraph:
    """A population that feeds itself, by weights and directly."""
    nodes = {"input": given(5), "fc": fc(4, 5), "lif": lif(4), "back": nir.Linear(uniform(-0.5, 0.3, 4, 4))}
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "lif"), ("lif", "output")]
    return graph({**nodes, "output": sent(4)}, edges)


def two_sided() -> nir.NIRGraph:
    """Two Inputs of different shapes, two Outputs."""
    nodes = {"a": given(2, 2), "flat": nir.Flatten({"input": np.array([2, 2])}, 0, -1), "fa": fc(4, 4), "b": given(3)}
    nodes |= {"fb": fc(4, 3), "lif": lif(4), "fc": fc(3, 4), "end": lif(3), "x": sent(4), "y": sent(3)}
    edges = [("a", "flat"), ("flat", "fa"), ("fa", "lif"), ("b", "fb"), ("fb", "lif"), ("lif", "x"), ("lif", "fc")]
    return graph(nodes, [*edges, ("fc", "end"), ("end", "y")])


def circulate() -> nir.NIRGraph:
    """Our circulate-firing neuron, signed."""
    from neuro_deploy.neurons import FloatNeuron, spec

    params = {"beta": uniform(0.5, 0.9, 4), "theta": uniform(0.2, 0.3, 4), "theta_neg": uniform(0.2, 0.4, 4)}
    whole = {"circulations": np.float32(3), "circulations_neg": np.float32(2)}
    return row(fc(4, 5), spec("cf").write(FloatNeuron("cf", (4,), {**params, **whole}), DT))


IMAGE = {"shape": (2, 5, 4)}
PROBES: dict[str, Callable[[], nir.NIRGraph]] = {
    "Affine": lambda: row(fc(4, 5), lif(4)),
    "Linear": lambda: row(nir.Linear(uniform(-0.4, 1, 4, 5)), lif(4)),
    "Scale": lambda: row(nir.Scale(uniform(0.5, 1.5, 5)), lif(5), last=(5,)),
    "Conv1d": lambda: row(
        nir.Conv1d(6, uniform(-0.5, 1, 4, 1, 3), 2, 1, 1, 2, uniform(0, 0.1, 4)), lif(4, 3), shape=(2, 6), last=(4, 3)
    ),
    "Conv2d": lambda: row(
        nir.Conv2d((5, 4), uniform(-0.5, 1, 4, 1, 3, 2), (2, 1), (1, 1), (1, 2), 2, uniform(0, 0.1, 4)),
        lif(4, 3, 4),
        **IMAGE,
        last=(4, 3, 4),
    ),
    "SumPool2d": lambda: row(
        nir.SumPool2d(np.array([2, 2]), np.array([2, 1]), np.array([1, 0])), lif(2, 3, 3), **IMAGE, last=(2, 3, 3)
    ),
    "AvgPool2d": lambda: row(
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 1]), np.array([1, 0])), lif(2, 3, 3), **IMAGE, last=(2, 3, 3)
    ),
    "Flatten": lambda: row(nir.Flatten({"input": np.array([2, 5, 4])}, 0, -1), fc(4, 40), lif(4), **IMAGE),
    "Delay": lambda: row(nir.Delay(DT * np.array([0, 1, 2, 3, 1])), fc(4, 5), lif(4)),
    "I": lambda: row(fc(4, 5), lif(4), fc(4, 4), nir.I(np.full(4, 1 / DT, np.float32))),
    "IF": lambda: row(fc(4, 5), nir.IF(np.full(4, 1 / DT, np.float32), uniform(0.5, 1, 4), uniform(-0.2, 0.1, 4))),
    "LI": lambda: row(fc(4, 5), lif(4), fc(4, 4), nir.LI(DT * uniform(2, 5, 4), uniform(2, 5, 4), uniform(0, 0.1, 4))),
    "LIF": lambda: row(fc(4, 5), lif(4)),
    "CubaLI": lambda: row(fc(4, 5), lif(4), fc(4, 4), cuba(nir.CubaLI)),
    "CubaLIF": lambda: row(fc(4, 5), cuba(nir.CubaLIF)),
    "Threshold": lambda: row(fc(4, 5), nir.Threshold(uniform(0.3, 0.6, 4)), fc(4, 4), lif(4)),
    "Input, Output: several": two_sided,
    "NIRGraph: nested": nested,
    "NIRGraph: our circulate-firing neuron": circulate,
    "edges: recurrent, self loops": looped,
    "I, LI, CubaLI before another neuron": lambda: row(
        fc(4, 5), nir.LI(DT * uniform(2, 5, 4), uniform(2, 5, 4), uniform(0, 0.1, 4)), lif(4)
    ),
}


def cells(probe: nir.NIRGraph, lava: bool) -> dict[str, str]:
    """What each column says of a probe."""
    found = dict.fromkeys(COLUMNS, "no")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.nir"
        nd.write_nir(probe, file)
        read = nd.read_nir(file)
    reading = read_graph(read)
    found["read"] = "yes"
    again = read_graph(write_graph(reading))
    found["write"] = "yes" if [n.name for n in again.nodes] == [n.name for n in reading.nodes] else "no"
    x = {name: RNG.integers(0, 9, (STEPS, SAMPLES, *shape)) / 8 for name, shape in reading.inputs}
    trace = nd.simulate(read, x, "reference", ("spikes", "v"))
    if any(r.data["spikes"].any() for name, r in trace.populations.items() if name in reading.neurons):
        found["reference"] = "yes"
    try:
        program = nd.compile(read, target="loihi2")
    except NeuroDeployError as error:
        reason = str(error).splitlines()[-1].strip().partition(": ")[2].partition(";")[0]
        return found | {"sim": f"refused: {reason}", "lava": "as sim"}
    sim = nd.simulate(program, x, "sim", ("spikes", "v", "u"))
    fired = any(r.data["spikes"].any() for name, r in sim.populations.items() if name in reading.neurons)
    found["sim"] = "yes" if fired else "no"
    if lava:
        other = nd.simulate(program, x, "lava", ("spikes", "v", "u"))
        found["lava"] = "yes, equal" if nd.compare(sim, other).equal else "no: it differs"
    return found


def primitive_table(lava: bool, before: Mapping[str, list[str]]) -> str:
    """The first table, in Markdown.  before: the cells of the one that stands, for the column that is not tried."""
    lines = ["| primitive | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, probe in PROBES.items():
        found = cells(probe(), lava)
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
