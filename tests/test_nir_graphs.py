"""Drawn NIR graphs: written, read and run by `reference`, they give what a plain scalar interpreter gives."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import nir
import nir_drawn
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from nir_oracle import FIRING, MUTANTS, NEURONS, Interpreter, reached

import neuro_deploy as nd
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.graph import joined_name, read_graph, write_graph
from neuro_deploy.graph.files import KINDS

RECORD = ("spikes", "v", "h", "u")


def without_later_parameters(path: Path) -> None:
    """Take from a file what older versions of nir do not write: shapes, metadata, a v_reset of 0, the version."""

    def visit(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Group):
            later = [k for k in ("input_shape", "input_type", "metadata") if k in entry]
            later += ["v_reset"] if "v_reset" in entry and not np.any(entry["v_reset"][()]) else []
            for key in later:
                del entry[key]

    with h5py.File(path, "r+") as file:
        file.visititems(visit)
        del file["version"]


def differences(want: tuple[Any, Any], got: tuple[Any, Any]) -> list[str]:
    """Where two runs (what neurons show, what outputs give) differ in a name, a shape or a number."""
    one, other = (flattened_rows(run) for run in (want, got))
    if one.keys() != other.keys():
        return sorted(one.keys() ^ other.keys())
    return [name for name, value in one.items() if not np.array_equal(value, other[name])]


def flattened_rows(run: tuple[Any, Any]) -> dict[str, Any]:
    shown, sent = run
    rows = {f"{name}: {key}": value for name, data in shown.items() for key, value in data.items()}
    return rows | {f"{name}: output": value for name, value in sent.items()}


def by_reference(graph: nir.NIRGraph, case: nir_drawn.Case) -> tuple[Any, Any]:
    """What the backend `reference` shows, in the same form."""
    trace = nd.simulate(graph, case.x, "reference", RECORD, dt=case.dt)
    joined, *populations = trace.populations
    assert joined == joined_name(case.x)
    with torch.no_grad():
        sent = nd.import_nir(graph, dt=case.dt)({name: torch.from_numpy(x) for name, x in case.x.items()})
    if not isinstance(sent, dict):
        (output,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Output))
        sent = {output: sent}
    return {name: dict(trace.populations[name].data) for name in populations}, {k: y.numpy() for k, y in sent.items()}


def compare(count: int, path: Path) -> tuple[Counter[str], set[str]]:
    """Draw graphs and compare; what was met, and the mutants of the interpreter that were found out."""
    met, caught = Counter[str](), set[str]()

    @settings(max_examples=count, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
    @given(nir_drawn.cases())
    def check(case: nir_drawn.Case) -> None:
        oracle = Interpreter(case.graph, case.dt)
        want = oracle.run(case.x)
        met["rounded"] += not oracle.exact
        for graph in case.refused[:1]:
            with pytest.raises(UnsupportedError, match="a loop that is entered in"):
                read_graph(graph, case.dt)
            met["a loop with two entries"] += 1
        if case.clash is not None:
            with pytest.raises(UnsupportedError, match="two nodes have this name, once inlined"):
                read_graph(case.clash, case.dt)
            met["two nodes of one name"] += 1
        if not oracle.exact:
            return
        nd.write_nir(case.graph, path)
        if case.old:
            without_later_parameters(path)
        got = by_reference(nd.read_nir(path), case)
        assert not differences(want, got)
        try:
            nd.write_nir(write_graph(read_graph(nd.read_nir(path), case.dt)), path)
            assert not differences(got, by_reference(nd.read_nir(path), case))
        except UnsupportedError as error:
            assert "its loop would be cut elsewhere" in str(error)
        met.update(features(case, oracle))
        for mutant in [name for name in MUTANTS if name not in caught]:
            if differences(Interpreter(case.graph, case.dt, mutant).run(case.x), got):
                caught.add(mutant)

    check()
    return met, caught


def features(case: nir_drawn.Case, oracle: Interpreter) -> set[str]:
    """What a graph has, and what happened in it."""
    found = {"compared", *(key for key, times in oracle.met.items() if times)}
    for node in oracle.nodes.values():
        found |= {type(node).__name__, *_of_window(node)}
        if isinstance(node, (*NEURONS, nir.Delay)):
            given = [np.asarray(value) for key, value in vars(node).items() if key in ("r", "threshold", "delay")]
            ranked = given[0].size > 1 or given[0].ndim < 2
            found.add(f"parameters of rank {given[0].ndim}" if ranked else "a parameter for all, of some rank")
        for value in map(np.asarray, (v for k, v in vars(node).items() if k in NUMBERS)):
            found.add(f"numbers of {value.dtype.name}")
        found |= {"axes from the end"} if isinstance(node, nir.Flatten) and node.start_dim < 0 else set()
        found |= {"a reset to a value"} if np.any(getattr(node, "v_reset", 0)) else set()
    behind = {name: reached(name, oracle.sources) for name in oracle.nodes}
    loops = {frozenset(m for m in behind[n] if n in behind[m]) for n in oracle.nodes if n in behind[n]}
    sent = Counter(source for source, _ in oracle.edges)
    checks = {
        "an old file": case.old,
        "several inputs": len(case.x) > 1,
        "several outputs": len(oracle.outputs) > 1,
        "a graph in a graph": any(isinstance(node, nir.NIRGraph) for node in case.graph.nodes.values()),
        "a graph in a graph in a graph": any(len(borders(name)) > 1 for name in oracle.nodes),
        "a join": any(len(sources) > 1 for sources in oracle.sources.values()),
        "a branch": max(sent.values()) > 1,
        "a neuron to itself": any(a == b and isinstance(oracle.nodes[a], NEURONS) for a, b in oracle.edges),
        "a loop": bool(oracle.late),
        "a loop in a loop": oracle.rounds > 1,
        "a loop behind a Delay": any(name in loop for loop in loops for name in oracle.lagging),
        "a loop in a graph in a graph": any(all(map(borders, loop)) for loop in loops),
        "a loop across a border": any(len({tuple(borders(n)) for n in loop}) > 1 for loop in loops),
        "a loop without a neuron": any(not any(isinstance(oracle.nodes[n], NEURONS) for n in loop) for loop in loops),
        "a Delay of nothing in some": any(
            isinstance(n, nir.Delay) and np.any(n.delay) and not np.all(n.delay) for n in oracle.nodes.values()
        ),
    }
    return found | {name for name, holds in checks.items() if holds}


NUMBERS = ("weight", "bias", "scale", "threshold", "v_threshold", "v_reset", "v_leak")


def borders(name: str) -> list[str]:
    """The graphs around a node, from its name; drawn names may hold 'l.1'."""
    return name.replace("l.1", "").split(".")[:-1]


def _of_window(node: Any) -> set[str]:
    """What is special in a convolution or a pool."""
    if not hasattr(node, "stride"):
        return set()
    kind = type(node).__name__
    found = {f"{kind} with a stride"} if np.max(node.stride) > 1 else set()
    if isinstance(node.padding, str):
        found.add(f"{kind} {node.padding}")
    elif np.any(node.padding):
        found.add(f"{kind} padded")
    if hasattr(node, "weight"):
        found |= {f"{kind} with dilation"} if np.max(node.dilation) > 1 else set()
        found |= {f"{kind} in groups"} if node.groups > 1 else set()
    return found


FIRED = [f"{kind.__name__} {what}" for kind in FIRING for what in ("fires", "is silent", "at its threshold")]
WINDOWS = [
    f"{kind} {what}"
    for kind in ("Conv1d", "Conv2d")
    for what in ("same", "valid", "padded", "with a stride", "with dilation", "in groups")
]
WINDOWS += [f"{kind} {what}" for kind in ("SumPool2d", "AvgPool2d") for what in ("padded", "with a stride")]
LOOPS = ["", " in a loop", " behind a Delay", " in a graph in a graph", " across a border", " without a neuron"]
WANTED = [
    *(kind for kind in KINDS if kind != "NIRGraph"),
    *FIRED,
    *WINDOWS,
    *(f"a loop{which}" for which in (*LOOPS, " with two entries")),
    "a neuron to itself",
    "constants in a loop",
    "a join",
    "a branch",
    "a graph in a graph",
    "a graph in a graph in a graph",
    "several inputs",
    "several outputs",
    "a parameter for all, of some rank",
    *(f"parameters of rank {rank}" for rank in (0, 1, 2, 3)),
    *(f"numbers of {name}" for name in ("float32", "float64", "int16")),
    "axes from the end",
    "two nodes of one name",
    "a reset to a value",
    "a Delay of nothing in some",
    "an old file",
]


def test_reference_equals_a_scalar_interpreter(tmp_path: Path) -> None:
    """Every spike, potential, current and output, bit for bit; each feature occurs, each mistake is found."""
    met, caught = compare(250, tmp_path / "x.nir")
    assert [name for name in WANTED if not met[name]] == []
    assert set(MUTANTS) - caught == set()
    assert met["compared"] > 200


@pytest.mark.long
def test_reference_equals_a_scalar_interpreter_on_very_many_graphs(tmp_path: Path) -> None:
    met, caught = compare(int(os.environ.get("NEURO_DEPLOY_GRAPHS", "3000")), tmp_path / "x.nir")
    assert min(met[name] for name in WANTED) > 0 and set(MUTANTS) - caught == set()
