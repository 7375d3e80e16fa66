"""Reading -> NIR: what was read is written again, number by number; torch -> NIR -> torch -> NIR."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import networks
import nir
import numpy as np
import pytest
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy import proof
from neuro_deploy.cli import run
from neuro_deploy.errors import BackendError, InputError, UnsupportedError
from neuro_deploy.graph import read_graph, write_graph
from neuro_deploy.graph.nodes import arrays_of
from neuro_deploy.graph.told import assume
from neuro_deploy.neurons import FloatNeuron, spec
from neuro_deploy.neurons.observing import observe
from neuro_deploy.program import Readout

DT = networks.DT


def numbers(lo: float, hi: float, *shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(lo, hi, shape).astype(np.float32)


def given(*shape: int, **metadata: Any) -> nir.Input:
    return nir.Input({"input": np.array(shape)}, metadata=metadata)


def sent(*shape: int, **metadata: Any) -> nir.Output:
    return nir.Output({"output": np.array(shape)}, metadata=metadata)


def neuron(kind: str, *shape: int, **params: Any) -> nir.NIRNode:
    return spec(kind).write(FloatNeuron(kind, shape, params), DT)


def everything() -> nir.NIRGraph:
    """Every primitive, each parameter a distinct, non-default number, nested twice, looped, two Inputs, two Outputs."""
    deep = {
        "in": given(6, origin="deep in"),
        "cuba": neuron(
            "lif",
            6,
            beta=numbers(0.5, 0.9, 6),
            beta_syn=numbers(0.3, 0.7, 6, seed=1),
            theta=numbers(0.4, 0.9, 6, seed=2),
            v_reset=numbers(-0.3, 0.2, 6, seed=3),
            drift=numbers(0.01, 0.1, 6, seed=4),
        ),
        "out": sent(6),
    }
    deep_graph = nir.NIRGraph(deep, list(itertools.pairwise(deep)), metadata={"note": "deep"}, type_check=False)
    block = {
        "from": given(6),
        "wait": nir.Delay(DT * np.array([0, 1, 2, 0, 3, 1])),
        "a.deep": deep_graph,
        "self": nir.Linear(numbers(-0.4, 0.5, 6, 6, seed=5)),
        "to": sent(6),
    }
    ways = [("from", "wait"), ("wait", "a.deep"), ("a.deep", "self"), ("self", "a.deep"), ("a.deep", "to")]
    nodes: dict[str, nir.NIRNode] = {
        "image": given(2, 7, 6, camera="left"),
        "conv": nir.Conv2d(
            (7, 6), numbers(-0.5, 0.7, 4, 1, 3, 2, seed=6), (2, 1), (1, 2), (1, 3), 2, numbers(-1, 1, 4)
        ),
        "hard": neuron("lif", 4, 4, 7, beta=numbers(0.5, 0.9, 4, 4, 7), theta=numbers(0.3, 0.6, 4, 4, 7, seed=7)),
        "average": nir.AvgPool2d(np.array([2, 3]), np.array([1, 2]), np.array([1, 0])),
        "gate": neuron("lif", 4, 5, 3, beta=np.float32(0), theta=numbers(0.1, 0.4, 4, 5, 3, seed=8)),
        "sum": nir.SumPool2d(np.array([2, 1]), np.array([3, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, 2, 3])}, 1, -1),
        "line": nir.Conv1d(6, numbers(-0.6, 0.7, 2, 4, 3, seed=9), 2, 1, 1, 1, numbers(-0.3, 0.4, 2, seed=10)),
        "all": nir.Flatten({"input": np.array([2, 3])}, 0, 1),
        "sound": given(4),
        "fc": nir.Affine(numbers(-1, 1.5, 6, 4, seed=11), numbers(-0.2, 0.3, 6, seed=12)),
        "gain": nir.Scale(numbers(0.5, 2, 6, seed=13)),
        "block": nir.NIRGraph(block, ways, metadata={"note": "block", "depth": 1}, type_check=False),
        "cf": neuron(
            "cf",
            6,
            beta=numbers(0.5, 0.9, 6, seed=14),
            theta=numbers(0.2, 0.5, 6, seed=15),
            theta_neg=numbers(0.3, 0.6, 6, seed=16),
            circulations=np.float32(3),
            circulations_neg=np.float32(2),
            beta_syn=numbers(0.2, 0.5, 6, seed=17),
        ),
        "if": neuron("lif", 6, beta=np.float32(1), theta=numbers(0.5, 1, 6, seed=18), v_reset=numbers(0.1, 0.2, 6)),
        "count": neuron("li", 6, beta=np.float32(1)),
        "slow": neuron("li", 6, beta=numbers(0.4, 0.8, 6, seed=19), beta_syn=numbers(0.2, 0.3, 6, seed=20)),
        "leaky": neuron("li", 6, beta=numbers(0.4, 0.8, 6, seed=21), drift=numbers(-0.2, 0.2, 6, seed=22)),
        "one": sent(6),
        "two": sent(6),
    }
    edges = list(itertools.pairwise(["image", "conv", "hard", "average", "gate", "sum", "flat", "line", "all", "gain"]))
    edges += [("sound", "fc"), ("fc", "gain"), ("gain", "block"), ("block", "cf"), ("gain", "cf"), ("cf", "if")]
    edges += [("if", "count"), ("if", "slow"), ("cf", "leaky"), ("count", "one"), ("slow", "one"), ("leaky", "two")]
    return networks.graph(nodes, edges, recipe="mine", steps=9)


def fields(node: nir.NIRNode) -> dict[str, Any]:
    """All fields of a node, those of nested ones too, and metadata."""
    found: dict[str, Any] = {}
    for key, value in vars(node).items():
        if key == "nodes":
            found |= {f"{name}/{k}": v for name, inner in value.items() for k, v in fields(inner).items()}
        elif key in ("input_type", "output_type"):
            found |= {f"{key}/{k}": np.asarray(v) for k, v in (value or {}).items()}
        elif key == "edges":
            found[key] = sorted(value)
        else:
            found |= flatten(key, value)
    return {"type": type(node).__name__, **found}


def flatten(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in flatten(f"{key}/{name}", inner).items()}
    return {key: value}


def assert_same(one: nir.NIRGraph, other: nir.NIRGraph) -> None:
    first, second = fields(one), fields(other)
    assert set(first) == set(second)
    for key, value in first.items():
        np.testing.assert_array_equal(np.asarray(second[key]), np.asarray(value), err_msg=key)


def test_every_field_of_every_primitive_survives_read_and_write(tmp_path: Path) -> None:
    graph = everything()
    kinds = {n for n in vars(nir) if isinstance(getattr(nir, n), type) and issubclass(getattr(nir, n), nir.NIRNode)}
    present = {key for key, value in fields(graph).items() if key.endswith("type")}
    assert {fields(graph)[k] for k in present if isinstance(fields(graph)[k], str)} >= kinds - {"NIRNode"}
    assert_same(graph, write_graph(read_graph(graph)))
    nd.write_nir(graph, tmp_path / "x.nir")
    again = write_graph(read_graph(nd.read_nir(tmp_path / "x.nir")))
    nd.write_nir(again, tmp_path / "y.nir")
    assert_same(nd.read_nir(tmp_path / "x.nir"), nd.read_nir(tmp_path / "y.nir"))


def test_what_was_written_again_gives_the_same_spikes() -> None:
    graph = everything()
    x = {"image": numbers(0, 1, 9, 5, 2, 7, 6), "sound": numbers(-1, 1, 9, 5, 4)}
    one, other = (nd.simulate(g, x, "reference", ("spikes", "v", "u")) for g in (graph, write_graph(read_graph(graph))))
    assert list(one.populations) == list(other.populations)
    for name, recording in one.populations.items():
        assert recording.data["spikes"].any() or name in ("count", "slow", "leaky")
        for variable, values in recording.data.items():
            np.testing.assert_array_equal(values, other.populations[name].data[variable])


@pytest.mark.parametrize("rule", ["forward Euler", "exponential", "exponential, impulses"])
@pytest.mark.parametrize("reset", ["value", "subtract", "subtract-late", "none"])
def test_a_foreign_file_is_written_in_our_own_nodes(rule: str, reset: str, tmp_path: Path) -> None:
    """Whatever scheme it was read by, the result says forward Euler, and gives the same spikes and potentials."""
    tau = DT * numbers(1.5, 6, 5, seed=1)
    node = nir.LIF(tau, numbers(2, 4, 5), numbers(-0.1, 0.2, 5), numbers(0.5, 0.9, 5, seed=2), np.zeros(5, np.float32))
    nodes = {"input": given(5), "n": node, "li": nir.LI(tau, tau / DT, numbers(0, 0.1, 5)), "output": sent(5)}
    plain = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)
    before = assume(plain, dt=DT, discretization=rule, reset=reset, rounds=1 if reset == "value" else 2)
    after = write_graph(read_graph(before))
    assert read_graph(after).scheme.discretization == "forward Euler"
    nd.write_nir(after, tmp_path / "x.nir")
    x = numbers(-0.2, 2.5, 30, 6, 5, seed=3)
    one, other = (nd.simulate(g, x, "reference", ("spikes", "v")) for g in (before, nd.read_nir(tmp_path / "x.nir")))
    for name in ("n", "li"):
        for variable in ("spikes", "v"):
            values = one.populations[name].data[variable]
            assert values.any() or (name, variable) == ("li", "spikes")
            np.testing.assert_array_equal(values, other.populations[name].data[variable])
    assert_same(after, write_graph(read_graph(after)))


class Network(nn.Module):
    """Every neuron of nd.nn with non-default values, branches joined by +."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fc1, self.fc2, self.fc3, self.fc4 = (
            nn.Linear(6, 8),
            nn.Linear(8, 7),
            nn.Linear(8, 7, bias=False),
            nn.Linear(7, 5),
        )
        with torch.no_grad():
            for layer in (self.fc1, self.fc2, self.fc3, self.fc4):
                layer.weight.mul_(2.5)
        self.cf = nd.nn.CirculateFire(numbers(0.6, 0.9, 8), numbers(0.2, 0.4, 8), 3, theta_reset=0.45, drift=0.07)
        self.signed = nd.nn.CirculateFire(
            0.7, 0.3, 2, polarity="signed", theta_neg=numbers(0.3, 0.6, 7), circulations_neg=3, beta_syn=0.4
        )
        self.lif = nd.nn.LIF(
            numbers(0.5, 0.8, 7), 0.35, reset="hard", beta_syn=0.6, v_reset=numbers(-0.2, 0.1, 7), drift=-0.03
        )
        self.soft = nd.nn.LIF(0.85, numbers(0.3, 0.5, 5), reset="soft", beta_syn=0.2)
        self.end = nd.nn.Integrator(numbers(0.7, 0.95, 5), beta_syn=0.15, drift=numbers(-0.2, 0.2, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.cf(self.fc1(x))
        joined = self.signed(self.fc2(first)) + self.lif(self.fc3(first))
        return self.end(self.soft(self.fc4(joined)))  # type: ignore[no-any-return]


def test_torch_to_nir_to_torch_to_nir(tmp_path: Path) -> None:
    model = Network().eval()
    told: dict[str, Any] = {"steps": 11, "input_low": -0.5, "input_high": 1.5, "input_quantum": 1 / 32}
    first = nd.export_nir(model, dt=0.003, input_shape=(6,), **told)
    nd.write_nir(first, tmp_path / "first.nir")
    again = nd.import_nir(tmp_path / "first.nir")
    second = nd.export_nir(again)
    nd.write_nir(second, tmp_path / "second.nir")
    assert_same(nd.read_nir(tmp_path / "first.nir"), nd.read_nir(tmp_path / "second.nir"))
    x = torch.from_numpy(numbers(-0.5, 1.5, 11, 7, 6, seed=5))
    seen: list[dict[str, Any]] = []
    for module in (model, again, nd.import_nir(tmp_path / "second.nir")):
        with torch.no_grad(), observe(module) as states:
            module(x)
        names = {key: name for name, key in getattr(module, "keys", {}).items()}
        seen.append({names.get(key, key): values for key, values in states.items()})
    assert [len(states) for states in seen] == [5, 5, 5]
    values = set()
    for states in ([s[name] for s in seen] for name in seen[0]):
        for variable in ("spikes", "v", "h"):
            for other in states[1:]:
                np.testing.assert_array_equal(getattr(states[0], variable), getattr(other, variable))
        values |= set(np.unique(states[0].spikes).tolist())
    assert values == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}


def test_operations_are_the_same_arrays() -> None:
    one, other = read_graph(everything()), read_graph(write_graph(read_graph(everything())))
    assert [n.name for n in one.nodes] == [n.name for n in other.nodes]
    for a, b in zip(one.nodes, other.nodes, strict=True):
        assert (a.inputs, a.late, a.shape, type(a.operation)) == (b.inputs, b.late, b.shape, type(b.operation))
        for key, array in arrays_of(a.operation).items():
            np.testing.assert_array_equal(array, arrays_of(b.operation)[key])


def test_the_file_says_how_it_was_proven(tmp_path: Path) -> None:
    graph = nd.export_nir(Network().eval(), dt=0.003, input_shape=(6,), sample=numbers(-1, 1, 11, 3, 6))
    nd.write_nir(graph, tmp_path / "x.nir")
    told = nd.read_nir(tmp_path / "x.nir").metadata["neuro_deploy"]
    for which, samples in (("random", 8), ("sample", 3)):
        entry = told["proof"][which]
        assert entry["samples"] == samples and entry["differences"] == 0
        assert entry["numbers"] == 2 * entry["steps"] * samples * (8 + 7 + 7 + 5 + 5) and entry["spikes"] > 50
    assert {"neuro_deploy", "torch", "nir", "python"} <= set(told["proof"]["versions"])
    lost = told["lost_by_others"]
    assert "cf" in (lost.decode() if isinstance(lost, bytes) else lost)


def test_strict_refuses_what_others_would_compute_otherwise() -> None:
    with pytest.raises(UnsupportedError, match=r"strict forbids(.|\n)*signed"):
        nd.export_nir(Network().eval(), dt=0.003, input_shape=(6,), strict=True)
    plain = nn.Sequential(nn.Linear(4, 5), nd.nn.LIF(0.8, 0.4, reset="hard")).eval()
    with pytest.raises(UnsupportedError, match=r"1: r = 5 is ignored: .*Norse"):
        nd.export_nir(plain, dt=1e-4, input_shape=(4,), strict=True)
    graph = nd.export_nir(plain, dt=1e-4, input_shape=(4,), strict=True, readers=["snntorch"])
    lost = graph.metadata["neuro_deploy"]["lost_by_others"]
    assert "Norse" not in lost
    with pytest.raises(UnsupportedError, match=r"no dt.*(snnTorch)"):
        nd.export_nir(plain, dt=1e-3, input_shape=(4,), strict=True, readers=["snntorch"])
    with pytest.raises(InputError, match=r"unknown reader brian; known are nir\.read, snnTorch"):
        nd.export_nir(plain, dt=1e-3, input_shape=(4,), readers=["brian"])


def test_a_proof_is_one_of_what_it_was_made_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes a number afterwards has no proof any more; another form of the same network keeps it."""
    graph = nd.export_nir(Network().eval(), dt=0.003, input_shape=(6,))
    nd.write_nir(graph, tmp_path / "x.nir")
    nd.write_nir(write_graph(read_graph(graph)), tmp_path / "same.nir")
    graph.nodes["fc2"].weight[3, 4] += np.float32(2**-20)
    nd.write_nir(graph, tmp_path / "changed.nir")
    said = {}
    for name in ("x", "same", "changed"):
        assert run(["inspect", str(tmp_path / f"{name}.nir"), "--no-targets"]) == 0
        said[name] = " ".join(capsys.readouterr().out.split())
    assert "0 differ from the model's" in said["x"] and "0 differ from the model's" in said["same"]
    assert "proof in this file is of another network" in said["changed"]


def test_a_population_that_never_fires_is_no_proof_of_its_spikes() -> None:
    still = nn.Sequential(
        nn.Linear(4, 5), nd.nn.LIF(0.8, 1e4, reset="hard"), nn.Linear(5, 2), nd.nn.Integrator(0.5)
    ).eval()
    graph = nd.export_nir(still, dt=1e-4, input_shape=(4,))
    assert graph.metadata["neuro_deploy"]["proof"]["random"]["silent"] == "1"


def test_a_proof_that_fails_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    read = proof.read_nir

    def wrong(path: Any) -> nir.NIRGraph:
        graph = read(path)
        graph.nodes["fc4"].bias[2] += np.float32(0.25)
        return graph

    monkeypatch.setattr(proof, "read_nir", wrong)
    with pytest.raises(BackendError, match=r"soft does not give the model's (spikes|v) \(step \d+, sample \d"):
        nd.export_nir(Network().eval(), dt=0.003, input_shape=(6,))


def test_arguments_of_export_are_explained() -> None:
    model = nd.import_nir(everything())
    with pytest.raises(InputError, match="says all of that itself"):
        nd.export_nir(model, dt=0.1)
    for told in ({"steps": 5}, {"input_low": 0.0}, {"metadata": {"a": 1}}, {"readout": Readout("cf")}):
        with pytest.raises(InputError, match="leave those arguments out"):
            nd.export_nir(model, **told)  # type: ignore[arg-type]
    for key in ("reset", "fires", "rounds", "family", "proof"):
        with pytest.raises(InputError, match=f"metadata must not hold {key}"):
            nd.export_nir(Network().eval(), dt=0.1, input_shape=(6,), metadata={key: "subtract"})
    with pytest.raises(InputError, match="say dt"):
        nd.export_nir(Network())


def gained() -> nir.LIF:
    """A neuron whose gain becomes a node of its own."""
    return nir.LIF(DT * numbers(2, 4, 3), numbers(2, 3, 3), np.zeros(3), numbers(0.5, 0.9, 3), np.zeros(3))


def test_a_loop_entered_through_a_delay_is_cut_there_written_or_not() -> None:
    nodes = {"input": given(3), "wait": nir.Delay(np.full(3, DT)), "n": gained(), "z": nir.Linear(numbers(-1, 1, 3, 3))}
    edges = [("input", "wait"), ("wait", "n"), ("n", "z"), ("z", "n"), ("n", "output")]
    graph = networks.graph({**nodes, "output": sent(3)}, edges)
    again = write_graph(read_graph(graph))
    for one in (graph, again):
        assert {n.name: n.late for n in read_graph(one).nodes if n.late} == {"n.in": ("z",)}
    x = numbers(0, 1, 20, 4, 3)
    seen = [nd.simulate(one, x, "reference", ("spikes", "v")).populations["n"].data for one in (graph, again)]
    assert seen[0]["spikes"].any()
    for variable in ("spikes", "v"):
        np.testing.assert_array_equal(seen[0][variable], seen[1][variable])


def test_a_loop_entered_through_two_delays_is_refused() -> None:
    nodes = {"input": given(3), "d": nir.Delay(np.full(3, DT)), "e": nir.Delay(np.full(3, 2 * DT)), "n": gained()}
    nodes |= {"z": nir.Linear(numbers(-1, 1, 3, 3)), "output": sent(3)}
    edges = [("input", "d"), ("input", "e"), ("d", "n"), ("e", "z"), ("n", "z"), ("z", "n"), ("n", "output")]
    with pytest.raises(UnsupportedError, match=r"entered in 2 places \(n, z\)"):
        read_graph(networks.graph(nodes, edges))


def test_a_loop_that_would_be_cut_elsewhere_is_not_written() -> None:
    """Without any input it is cut at its first node; its gain, a node of its own, would be behind."""
    nodes = {"input": given(3), "a": gained(), "n": gained(), "z": nir.Affine(numbers(-1, 1, 3, 3), numbers(0, 1, 3))}
    edges = [("input", "a"), ("n", "z"), ("z", "n"), ("n", "output"), ("a", "output")]
    reading = read_graph(networks.graph({**nodes, "output": sent(3)}, edges))
    assert {n.name: n.late for n in reading.nodes if n.late} == {"n.in": ("z",)}
    with pytest.raises(UnsupportedError, match=r"n\.in: its loop would be cut elsewhere; say which connection"):
        write_graph(reading)
