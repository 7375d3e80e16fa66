"""inspect FILE.nir: facts, tables, targets."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import networks
import nir
import numpy as np
import pytest
from rich.console import Console

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.graph import compose, read_graph
from neuro_deploy.report import nir_targets
from neuro_deploy.report.nir_facts import nir_summary
from neuro_deploy.report.nir_table import nir_table
from neuro_deploy.target import target_names
from neuro_deploy.wiring import to_sparse


def text_of(shown: Any) -> str:
    console = Console(width=240, file=io.StringIO())
    console.print(shown)
    return console.file.getvalue()


def lif_chain(tau: float, **told: Any) -> nir.NIRGraph:
    def full(value: float) -> np.ndarray:
        return np.full(4, value, np.float32)

    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "fc": networks.affine(4, 3, np.random.default_rng(1)),
        "lif": nir.LIF(tau=full(tau), r=full(1), v_leak=full(0), v_threshold=full(0.5), v_reset=full(0)),
        "output": nir.Output({"output": np.array([4])}),
    }
    return networks.graph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")], **told)


def test_every_node_has_its_shape_range_and_counts() -> None:
    graph = networks.everything()
    facts = nir_summary(graph, targets=False)
    nodes = facts["nodes"]
    assert set(nodes) == {n.name for n in read_graph(graph).nodes} and not facts["problem"]
    conv = graph.nodes["conv2"]
    weight = nodes["conv2"]["parameters"]["weight"]
    assert weight == {"shape": [4, 1, 3, 3], "low": conv.weight.min(), "high": conv.weight.max()}
    assert nodes["conv2"]["settings"] == {"padding": [1, 1], "groups": 4} and nodes["conv2"]["shape"] == [4, 4, 4]
    assert nodes["conv2"]["parameter_count"] == 36 + 4
    assert nodes["cuba"]["late"] == ["back"] and nodes["cuba"]["operation"] == "LIF"
    assert facts["dt"] == networks.DT and facts["dt_from"] == "the file's metadata"
    assert facts["readout"]["rule"] == "mean_v" and facts["input_range"]["quantum"] == 1 / 16
    json.dumps(facts)


def test_connections_are_counted_by_geometry() -> None:
    """Against single connections, counted one by one from each synapse of the composed network."""
    graph = networks.everything()
    graph.nodes["conv1"].weight[:] = np.abs(graph.nodes["conv1"].weight) + 0.1  # no weight is 0
    nodes = nir_summary(graph, targets=False)["nodes"]
    (first,) = (s for s in compose(read_graph(graph)).synapses if s.target == "cf")
    single = to_sparse(first.wiring).weight
    assert nodes["conv1"]["connections"] == len(single) < 64 * 4 * 2 * 9
    assert nodes["fc4"]["connections"] == 12 * 64 and nodes["flat"]["connections"] == 0
    assert nodes["avg"]["connections"] == 4 * 4 * 4 * 2 * 2
    totals = nir_summary(graph, targets=False)["totals"]
    assert totals["connections"] == sum(n["connections"] for n in nodes.values())
    assert totals["neurons"] == sum(n.size for n in read_graph(graph).neurons.values())


def test_the_table_tells_shape_and_range_apart() -> None:
    shown = text_of(nir_table(networks.everything(), targets=False))
    weight = networks.everything().nodes["conv2"].weight
    assert f"weight (4, 1, 3, 3) in [{weight.min():.4g}, {weight.max():.4g}]" in shown
    assert "theta (4, 4, 4) = 0.9" in shown and "back (a step later)" in shown
    assert "padding 1 x 1, groups 4" in shown and "683 neurons" in shown
    assert "resets by subtraction" in shown and "cf, signed, current" in shown
    assert "Where it compiles" not in shown


def test_a_graph_that_cannot_be_run_is_shown_as_stored() -> None:
    graph = networks.chain(dt=None)
    facts = nir_summary(graph)
    assert "give --dt SECONDS" in facts["problem"] and facts["targets"] == []
    assert facts["nodes"]["lif"]["operation"] == "LIF" and "tau" in facts["nodes"]["lif"]["parameters"]
    assert facts["nodes"]["fc1"]["parameters"]["weight"]["shape"] == [20, 12]
    assert facts["nodes"]["fc1"]["inputs"] == ["input"] and facts["nodes"]["fc1"]["shape"] == [20]
    assert {m["rule"] for m in facts["misreadings"]} >= {"time_step", "soft_reset"}
    shown = text_of(nir_table(graph))
    assert "as it is stored" in shown and "cannot be run as it is" in shown and "weight (20, 12) in [" in shown


@pytest.mark.parametrize("weight", [(3,), (4, 3), (4, 3, 2), (4, 3, 2, 1, 1)])
def test_broken_arrays_are_shown_as_stored(weight: tuple[int, ...]) -> None:
    graph = networks.everything()
    graph.nodes["conv2"].weight = np.ones(weight, np.float32)
    for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        setattr(graph.nodes["lif"], name, np.zeros(0, np.float32))
    facts = nir_summary(graph)
    assert facts["problem"] and facts["nodes"]["conv2"]["parameters"]["weight"]["shape"] == list(weight)
    assert facts["nodes"]["lif"]["parameters"]["tau"] is None
    assert "tau is empty" in text_of(nir_table(graph))


def test_targets_are_tried() -> None:
    facts = nir_summary(networks.chain())
    found = {t["target"]: t for t in facts["targets"]}
    assert set(found) == set(target_names())
    assert (
        found["loihi2"]["compiles"]
        and found["loihi2"]["violations"] == []
        and "cannot overflow" in found["loihi2"]["how"]
    )
    assert found["loihi2"]["input"] == "input in [0, 1]"
    with pytest.raises(UnsupportedError) as refused:
        nd.compile(networks.chain(), "loihi1")
    assert not found["loihi1"]["compiles"]
    assert [v["what"] for v in found["loihi1"]["violations"]] == [v.what for v in refused.value.violations]
    shown = text_of(nir_table(networks.chain()))
    assert "yes" in shown and "no" in shown and "4 more" in shown


def test_an_unknown_input_range_is_assumed_and_said() -> None:
    found = {t["target"]: t for t in nir_summary(lif_chain(5e-3, dt=1e-3, input=None))["targets"]}
    assert found["loihi2"]["compiles"] and found["loihi2"]["input"] == "input in [-1, 1], assumed"
    assert found["loihi1"]["input"] == "input of spikes, assumed" and found["loihi1"]["compiles"]


def test_inspect_does_not_fail_because_a_target_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(nir_targets, "compile", broken)
    found = nir_summary(networks.chain())["targets"]
    assert len(found) == len(target_names()) and not any(t["compiles"] for t in found)
    assert "internal error (RuntimeError: no luck)" in found[0]["violations"][0]["what"]


@pytest.mark.parametrize(
    ("tau", "dt", "hint"),
    [
        (5e-3, 1.0, "below dt = 1 s"),
        (5e-3, 1e-3, ""),
        (1e-3, 1e-3, ""),
        (20.0, 1e-3, "in ms, or in steps"),
        (20.0, 1.0, ""),
        (0.5, 1e-7, "5e+06 steps"),
    ],
)
def test_hints_where_dt_and_tau_do_not_belong_together(tau: float, dt: float, hint: str) -> None:
    hints = nir_summary(lif_chain(tau, dt=None), dt, targets=False)["hints"]
    assert len(hints) == bool(hint)
    assert not hint or (hint in hints[0] and hints[0].startswith("lif: tau"))


def test_hints_see_nested_graphs() -> None:
    whole = lif_chain(5e-3, dt=None)
    whole.nodes["block"] = lif_chain(5e-3, dt=None)
    hints = nir_summary(whole, 1.0, targets=False)["hints"]
    assert [hint.partition(":")[0] for hint in hints] == ["lif", "block.lif"]


def test_hints_without_a_dt() -> None:
    assert nir_summary(lif_chain(20.0, dt=None))["hints"] and not nir_summary(lif_chain(5e-3, dt=None))["hints"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nd.write_nir(networks.chain(), "net.nir")
    assert run(["inspect", "net.nir", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(nir_summary(networks.chain()))) and len(told["targets"]) == len(target_names())
    assert run(["inspect", "net.nir", "--no-targets"]) == 0
    shown = capsys.readouterr().out
    assert "misunderstand" in shown and "Where it compiles" not in shown
    nd.write_nir(networks.chain(dt=None), "nodt.nir")
    assert run(["inspect", "nodt.nir"]) == 0 and "as it is stored" in capsys.readouterr().out
    assert run(["inspect", "nodt.nir", "--dt", "0.002"]) == 0 and "(from --dt)" in capsys.readouterr().out


def test_what_float32_rounds_is_one_line() -> None:
    graph = lif_chain(5e-3, dt=1e-3)
    assert "rounded to float32" not in text_of(nir_table(graph, targets=False))
    graph.nodes["lif"].v_threshold = np.full(4, 1 / 3)
    facts = nir_summary(graph, targets=False)
    assert facts["rounding"] == read_graph(graph).rounding and json.dumps(facts)
    line = "rounded to float32: numbers of one node, by at most 3e-08 of their size (lif)"
    assert line in text_of(nir_table(graph, targets=False))
