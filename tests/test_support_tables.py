"""The tables of README.md and docs/frameworks.md are what docs/tables.py makes of the code as it is."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.graph import read_graph

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "docs" / "tables.py"


def check(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--check", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


def test_the_tables_are_current() -> None:
    """All columns but Lava's, which takes a process for each primitive (the long run tries that too)."""
    done = check("--without-lava")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.lava
def test_lavas_column_is_current() -> None:
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_primitive_has_a_row() -> None:
    kinds = {n for n in vars(nir) if isinstance(getattr(nir, n), type) and issubclass(getattr(nir, n), nir.NIRNode)}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("<!-- primitives:")[2].partition("<!-- end of primitives")[0]
    first = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert all(kind in first for kind in kinds - {"NIRNode"}), kinds


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    yield importlib.import_module("tables")
    for name in ("tables", "probes"):
        sys.modules.pop(name, None)


def test_a_written_graph_that_lost_a_number_is_seen(tables: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = tables.PROBES["LIF"]
    assert tables.cells(probe, False)["write"] == "yes"

    def lossy(reading: Any) -> nir.NIRGraph:
        made = write_graph(reading)
        made.nodes["n1"].v_threshold = np.nextafter(made.nodes["n1"].v_threshold, np.float32(9))
        return made

    write_graph = tables.write_graph
    monkeypatch.setattr(tables, "write_graph", lossy)
    assert tables.cells(probe, False)["write"] == "no"


def test_a_primitive_that_does_nothing_is_seen(tables: Any) -> None:
    """A population that is silent while another fires; an integrator at 0; a connection whose weights are 0."""
    probes = importlib.import_module("probes")

    def still(probe: Any, node: str, **changed: float) -> Any:
        def make() -> nir.NIRGraph:
            graph = probe.make()
            for name, value in changed.items():
                held = getattr(graph.nodes[node], name)
                setattr(graph.nodes[node], name, np.full_like(held, value))
            return graph

        return probes.Probe(make, probe.at, probe.through)

    threshold, back = tables.PROBES["Threshold"], tables.PROBES["edges: recurrent, self loops"]
    assert tables.cells(threshold, False)["reference"] == tables.cells(back, False)["reference"] == "fires"
    silent = tables.cells(still(threshold, "n1", threshold=99.0), False)
    assert silent["reference"] == silent["sim"] == "no"
    assert tables.cells(still(back, "back", weight=0.0), False)["reference"] == "no"
    nothing = still(probes.Probe(tables.PROBES["LI"].make, ("n3",)), "n2", weight=0.0, bias=0.0)
    graph = nothing.make()
    graph.nodes["n3"].v_leak[:] = 0
    reading = read_graph(graph)
    x = {"input": np.ones((3, 2, 5), np.float32)}
    assert tables.does(nd.simulate(graph, x, "reference", tables.RECORD), reading, ("n3",)) == "no"
