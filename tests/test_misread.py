"""What other readers misunderstand: each rule fires and is silent where it should; tools that are installed agree."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import nir
import numpy as np
import pytest

from neuro_deploy.errors import NeuroDeployError
from neuro_deploy.graph import read_graph
from neuro_deploy.graph.misread import Misreading, misreadings
from neuro_deploy.graph.readers import JELLY, KNOWN, NORSE, ROCKPOOL, SINABS, SNNTORCH, STOCK, rule_names
from neuro_deploy.neurons import FloatNeuron, spec

DT = 1e-4
N = 3


def full(value: float, shape: tuple[int, ...] = (N,)) -> np.ndarray:
    return np.full(shape, value, np.float32)


def lif(**other: Any) -> nir.LIF:
    """What snnTorch and SpikingJelly read as it is meant, at their dt."""
    given = {"tau": full(1e-3), "r": full(10.0), "v_leak": full(0), "v_threshold": full(0.5), "v_reset": full(0)}
    return nir.LIF(**{**given, **other})


def cuba(**other: Any) -> nir.CubaLIF:
    given = {"tau_syn": full(2e-3), "tau_mem": full(1e-3), "r": full(10.0), "w_in": full(20.0)}
    return nir.CubaLIF(**{**given, "v_leak": full(0), "v_threshold": full(0.5), "v_reset": full(0), **other})


def affine() -> nir.Affine:
    return nir.Affine(weight=np.eye(N, dtype=np.float32), bias=full(0.25))


def conv(weight: tuple[int, ...], **other: Any) -> nir.Conv2d:
    given = {"input_shape": (6, 6), "stride": 1, "padding": 0, "dilation": 1, "groups": 1, **other}
    return nir.Conv2d(weight=full(0.1, weight), bias=full(0, weight[:1]), **given)


def chain(
    *nodes: nir.NIRNode, inputs: tuple[int, ...] = (N,), outputs: tuple[int, ...] = (N,), **told: Any
) -> nir.NIRGraph:
    """input -> the nodes n0, n1, ... -> output."""
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    whole = {
        "input": nir.Input({"input": np.array(inputs)}),
        **named,
        "output": nir.Output({"output": np.array(outputs)}),
    }
    return networks.graph(whole, list(itertools.pairwise(whole)), **{"dt": DT, "input": None, "steps": None, **told})


def image(*nodes: nir.NIRNode, outputs: tuple[int, ...], channels: int = 2) -> nir.NIRGraph:
    """The nodes between an image of 6 x 6 and a threshold that knows its shape."""
    return chain(*nodes, nir.Threshold(full(0.5, outputs)), inputs=(channels, 6, 6), outputs=outputs)


def looped(*, back: bool = True) -> nir.NIRGraph:
    graph = chain(affine(), lif())
    graph.nodes["w"] = affine()
    graph.edges.append(("n1", "w"))
    graph.edges.append(("w", "n1") if back else ("w", "output"))
    return graph


def bordered(kind: type) -> nir.NIRGraph:
    graph = chain(affine(), lif())
    graph.nodes["more"] = kind(**{f"{kind.__name__.lower()}_type": {kind.__name__.lower(): np.array([N])}})
    graph.edges.append(("more", "n1") if kind is nir.Input else ("n0", "more"))
    return graph


def our_cf() -> nir.NIRGraph:
    return spec("cf").write(networks.cf(N, np.random.default_rng(0)), DT)


def told_cf() -> nir.NIRGraph:
    """A node of nir that resets by subtraction, as our metadata says."""
    return chain(lif(), reset="subtract", rounds=1)


def found(graph: nir.NIRGraph) -> list[Misreading]:
    try:
        reading = read_graph(graph)
    except NeuroDeployError:
        reading = None
    return list(misreadings(graph, reading))


PLAIN = chain(lif())
CASES: list[tuple[str, str, Callable[[], nir.NIRGraph], tuple[str, ...], Callable[[], nir.NIRGraph]]] = [
    # rule, node, a graph with the finding, who, a graph without
    ("time_step", "", lambda: chain(lif()), (NORSE, SINABS), lambda: chain(nir.Threshold(full(0.5)))),
    ("time_step", "", lambda: chain(lif(), dt=1e-3), (SNNTORCH, JELLY, SINABS), lambda: chain(affine())),
    ("time_step", "", lambda: chain(lif(), dt=None), (SNNTORCH, JELLY, NORSE, SINABS), lambda: chain(affine())),
    ("discretization", "", lambda: chain(lif()), (SINABS, ROCKPOOL), lambda: chain(nir.IF(full(1e4), full(0.5)))),
    (
        "discretization",
        "",
        lambda: chain(lif(), discretization="exponential"),
        (SNNTORCH, NORSE, JELLY),
        lambda: chain(affine()),
    ),
    ("soft_reset", "n0", lambda: chain(our_cf()), (SNNTORCH, NORSE, JELLY, SINABS), lambda: chain(lif())),
    ("soft_reset", "n0", told_cf, (SNNTORCH, NORSE, JELLY), lambda: chain(lif(), reset="value")),
    (
        "soft_reset",
        "n0",
        lambda: chain(lif(), reset="none"),
        (SNNTORCH, NORSE, JELLY, SINABS, ROCKPOOL),
        lambda: chain(nir.Threshold(full(0.5))),
    ),
    ("hard_reset", "n0", lambda: chain(lif()), (SINABS, ROCKPOOL), told_cf),
    ("reset_value", "n0", lambda: chain(lif(v_reset=full(-0.25))), (SNNTORCH, NORSE), lambda: chain(lif())),
    ("leak_voltage", "n0", lambda: chain(lif(v_leak=full(0.2))), (SNNTORCH, SINABS), lambda: chain(lif())),
    ("leak_voltage", "n0", lambda: chain(lif(v_leak=full(0.2))), (JELLY,), lambda: chain(cuba())),
    ("leak_voltage", "n0", lambda: chain(cuba(v_leak=full(0.2))), (NORSE,), lambda: chain(cuba())),
    ("start", "n0", lambda: chain(lif(v_leak=full(0.2))), (NORSE,), lambda: chain(lif(v_reset=full(0.2)))),
    ("start", "n0", lambda: chain(lif(v_reset=full(0.2))), (JELLY,), lambda: chain(lif(v_leak=full(0.2)))),
    ("resistance", "n0", lambda: chain(lif()), (NORSE, SINABS), lambda: chain(lif(r=full(1)))),
    (
        "resistance",
        "n0",
        lambda: chain(nir.IF(full(1), full(0.5))),
        (NORSE, SINABS),
        lambda: chain(nir.IF(full(1 / DT), full(0.5))),
    ),
    ("resistance", "n0", lambda: chain(lif(r=full(2))), (JELLY,), lambda: chain(lif(r=full(1)))),
    ("resistance", "n0", lambda: chain(nir.IF(full(3), full(0.5))), (JELLY,), lambda: chain(lif(r=full(1)))),
    ("resistance", "n0", lambda: chain(cuba(r=full(7))), (SNNTORCH, JELLY), lambda: chain(cuba())),
    ("resistance", "n0", lambda: chain(nir.LI(full(1e-3), full(2), full(0))), (SINABS,), lambda: chain(cuba())),
    ("primitives", "n1", lambda: chain(affine(), nir.Scale(full(2))), (SNNTORCH, JELLY), lambda: chain(affine())),
    ("primitives", "n1", lambda: chain(affine(), nir.Delay(full(DT))), (NORSE, SINABS), lambda: chain(affine())),
    ("primitives", "n0", lambda: chain(cuba()), (SINABS,), lambda: chain(nir.IF(full(1e4), full(0.5)), lif())),
    ("integrators", "n0", lambda: chain(nir.IF(full(1e4), full(0.5))), (SNNTORCH,), lambda: chain(cuba(), lif())),
    ("integrators", "n0", lambda: chain(nir.IF(full(1), full(0.5))), (SNNTORCH,), lambda: chain(cuba(), lif())),
    (
        "per_neuron",
        "n0",
        lambda: chain(lif(v_threshold=np.array([1, 2, 3], "f4"))),
        (SNNTORCH,),
        lambda: chain(lif()),
    ),
    (
        "per_neuron",
        "n0",
        lambda: chain(lif(tau=np.array([1e-3, 2e-3, 3e-3], "f4"))),
        (JELLY,),
        lambda: chain(lif()),
    ),
    ("at_threshold", "n0", lambda: chain(lif()), (JELLY, SINABS, ROCKPOOL), lambda: chain(our_cf())),
    ("at_threshold", "n0", lambda: chain(lif(), fires=">="), (SNNTORCH, NORSE), lambda: chain(affine())),
    ("scalars", "n0", lambda: chain(nir.Delay(np.array(DT))), (STOCK,), lambda: chain(nir.Delay(full(DT)))),
    (
        "grouped_convolution",
        "n0",
        lambda: image(conv((4, 1, 3, 3), groups=4), outputs=(4, 4, 4), channels=4),
        (STOCK, SNNTORCH, NORSE, JELLY),
        lambda: image(conv((4, 2, 3, 3)), outputs=(4, 4, 4)),
    ),
    (
        "grouped_convolution",
        "n0",
        lambda: image(conv((4, 1, 3, 3), groups=4, input_shape=None), outputs=(4, 4, 4), channels=4),
        (SNNTORCH, NORSE, JELLY),
        lambda: image(conv((4, 2, 3, 3), input_shape=None), outputs=(4, 4, 4)),
    ),
    (
        "kernel_shape",
        "n0",
        lambda: image(conv((4, 2, 3, 2)), outputs=(4, 4, 5)),
        (STOCK,),
        lambda: image(conv((4, 2, 3, 3)), outputs=(4, 4, 4)),
    ),
    (
        "kernel_shape",
        "n0",
        lambda: image(conv((4, 2, 3, 2), input_shape=None), outputs=(4, 4, 5)),
        (STOCK,),
        lambda: image(conv((4, 2, 2, 1), stride=6), outputs=(4, 1, 1)),  # the height's shape is the width's by chance
    ),
    ("type_check", "", lambda: chain(lif(), outputs=(N + 1,)), (STOCK,), lambda: chain(lif())),
    ("loops", "n1", looped, (SNNTORCH, NORSE, JELLY), lambda: looped(back=False)),
    (
        "loops",
        "n1.n1",
        lambda: chain(affine(), looped()),
        (SNNTORCH, NORSE, JELLY),
        lambda: chain(affine(), chain(lif())),
    ),
    ("borders", "more", lambda: bordered(nir.Input), (SNNTORCH, NORSE, JELLY), lambda: chain(lif())),
    ("borders", "more", lambda: bordered(nir.Output), (SNNTORCH, NORSE, JELLY), lambda: chain(lif())),
    (
        "pool_padding",
        "n0",
        lambda: image(nir.SumPool2d(*(np.array([n, n]) for n in (2, 2, 1))), outputs=(2, 4, 4)),
        (SNNTORCH, NORSE, JELLY, SINABS),
        lambda: image(nir.SumPool2d(*(np.array([n, n]) for n in (2, 2, 0))), outputs=(2, 3, 3)),
    ),
    (
        "our_metadata",
        "",
        lambda: chain(lif(), input={"low": -0.5, "high": 1.5, "quantum": 0.25}),
        ("everybody else",),
        lambda: chain(lif(), input={"low": 0.0, "high": 1.0, "quantum": 1.0}),
    ),
    (
        "our_metadata",
        "n0",
        lambda: chain(lif(), readout={"population": "n0", "rule": "last_v"}),
        ("everybody else",),
        lambda: chain(lif()),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])
def test_a_rule_fires_and_is_silent(case: Any) -> None:
    rule, node, graph, who, silent = case
    seen = [(m.node, m.who) for m in found(graph()) if m.rule == rule]
    assert (node, who) in seen, seen
    assert not [m for m in found(silent()) if m.rule == rule and (m.node == node or not node) and set(m.who) & set(who)]


def test_every_rule_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(rule_names())
    assert len(set(rule_names())) == len(rule_names())


def test_nested_nodes_are_seen_and_the_graph_is_not_changed() -> None:
    inner = chain(lif(v_reset=full(-0.25)))
    graph = chain(affine(), inner)
    before = (list(graph.nodes), list(graph.edges), list(inner.edges), dict(graph.input_type))
    assert "n1.n0" in {m.node for m in found(graph) if m.rule == "reset_value"}
    assert (list(graph.nodes), list(graph.edges), list(inner.edges), dict(graph.input_type)) == before


def test_our_cf_is_one_finding_not_many() -> None:
    cf = found(chain(affine(), our_cf()))
    assert [m.rule for m in cf if m.node.startswith("n1")] == ["soft_reset"]


def test_an_li_of_ours_is_known_to_be_skipped() -> None:
    node = spec("li").write(FloatNeuron("li", (N,), {"beta": np.float32(0.9)}), DT)
    lost = [m for m in found(chain(affine(), node)) if m.rule == "primitives"]
    assert [m.who for m in lost] == [(SNNTORCH, JELLY), (NORSE,)]


STOCK_CASES = [case for case in CASES if STOCK in case[3]]


@pytest.mark.parametrize("case", STOCK_CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(STOCK_CASES)])
def test_stock_nir_fails_where_we_say_so(case: Any, tmp_path: Path) -> None:
    """Its type check fails on the graph with the finding, on the one without it does not; our reader takes both."""
    _, _, graph, _, silent = case
    with pytest.raises(ValueError, match="type"):
        nir.NIRGraph(dict(graph().nodes), list(graph().edges), type_check=True)
    nir.NIRGraph(dict(silent().nodes), list(silent().edges), type_check=True)
    assert not [m for m in found(silent()) if STOCK in m.who]


def test_stock_nir_read_fails_on_the_file(tmp_path: Path) -> None:
    graph = image(conv((4, 1, 3, 3), groups=4), outputs=(4, 4, 4), channels=4)
    nir.write(tmp_path / "g.nir", graph)
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "g.nir")


def importer(reader: str) -> Callable[[nir.NIRGraph], Any]:
    """The reader's own import of a graph; skips where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("nirtorch")
        module = {
            SNNTORCH: "snntorch.import_nir",
            NORSE: "norse.torch",
            JELLY: "spikingjelly.activation_based.nir_exchange",
        }[reader]
        tool = pytest.importorskip(module)
    return tool.from_nir if reader == NORSE else tool.import_from_nir


REFUSED = [
    (SNNTORCH, lambda: chain(lif(v_leak=full(0.2)))),
    (JELLY, lambda: chain(lif(v_leak=full(0.2)))),
    (JELLY, lambda: chain(lif(r=full(2)))),
    (JELLY, lambda: chain(nir.IF(full(3), full(0.5)))),
    (SNNTORCH, lambda: chain(nir.IF(full(1e4), full(0.5)))),
    (SNNTORCH, lambda: chain(cuba(r=full(7)))),
    (JELLY, lambda: chain(cuba(r=full(7)))),
    (SNNTORCH, lambda: chain(lif(v_threshold=np.array([1, 2, 3], "f4")))),
    (JELLY, lambda: chain(lif(v_threshold=np.array([1, 2, 3], "f4")))),
    *((reader, lambda: chain(our_cf())) for reader in (SNNTORCH, JELLY, NORSE)),
    *((reader, lambda: chain(affine(), nir.Scale(full(2)))) for reader in (SNNTORCH, JELLY)),
    *((reader, lambda: chain(affine(), nir.Delay(full(DT)))) for reader in (SNNTORCH, JELLY)),
    *(
        (reader, lambda: image(conv((4, 1, 3, 3), groups=4), outputs=(4, 4, 4), channels=4))
        for reader in (SNNTORCH, JELLY, NORSE)
    ),
    *((reader, lambda: bordered(nir.Input)) for reader in (SNNTORCH, JELLY)),
]


@pytest.mark.parametrize(("reader", "graph"), REFUSED)
def test_other_readers_refuse_what_we_say(reader: str, graph: Callable[[], nir.NIRGraph]) -> None:
    assert [m for m in found(graph()) if reader in m.who and m.rule not in ("time_step", "type_check")]
    read = importer(reader)
    with warnings.catch_warnings(), pytest.raises(Exception):  # noqa: B017
        warnings.simplefilter("ignore")
        read(graph())


@pytest.mark.parametrize("reader", [SNNTORCH, JELLY])
def test_other_readers_take_what_no_rule_is_about(reader: str) -> None:
    assert not [m for m in found(chain(affine(), lif())) if reader in m.who and m.rule != "at_threshold"]
    read = importer(reader)
    assert len(spikes(read, chain(affine(), lif()))) == 12


def spikes(read: Callable[[nir.NIRGraph], Any], graph: nir.NIRGraph, drive: float = 0.3) -> list[float]:
    """What the first neuron of a reader's network sends in 12 steps of constant input."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, state, sent = read(graph), None, []
        shape = tuple(int(n) for n in graph.nodes["input"].input_type["input"])
        for _ in range(12):
            out, state = model(torch.full((1, *shape), drive), state)
            sent.append(float(out.reshape(-1)[0]))
    return sent


def test_norse_ignores_r_and_v_reset_and_skips_what_it_does_not_know() -> None:
    read = importer(NORSE)
    slow = {"tau": full(5e-3), "v_threshold": full(0.4)}
    told = spikes(read, chain(lif(**slow)), 0.9)
    assert 0 < sum(told) < 12
    assert spikes(read, chain(lif(**slow, v_reset=full(-2))), 0.9) == told
    changed = {**slow, "r": full(3)}
    assert spikes(read, chain(lif(**changed)), 0.9) == told
    assert spikes(read, chain(affine(), nir.Scale(full(9.0)))) == spikes(read, chain(affine()))


def test_snntorch_reads_an_integrator_as_leaky() -> None:
    """An IF whose r is 1; with another r it is refused (above)."""
    read = importer(SNNTORCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = read(chain(nir.IF(full(1), full(0.5))))
    assert float(model.n0.beta) == pytest.approx(0.9)


def test_snntorch_ignores_v_reset() -> None:
    read = importer(SNNTORCH)
    told = spikes(read, chain(lif()))
    assert 0 < sum(told) < 12 and spikes(read, chain(lif(v_reset=full(-2)))) == told


@pytest.mark.parametrize("reader", [SNNTORCH, JELLY, NORSE])
def test_the_padding_of_a_sum_pool_is_dropped(reader: str) -> None:
    torch = pytest.importorskip("torch")
    read = importer(reader)
    graph = chain(nir.SumPool2d(*(np.array([n, n]) for n in (2, 2, 1))), inputs=(2, 6, 6), outputs=(2, 4, 4))
    assert read_graph(graph).nodes[1].shape == (2, 4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tuple(read(graph)(torch.ones(1, 2, 6, 6), None)[0].shape) == (1, 2, 3, 3)


def test_known_nodes_are_those_of_nir() -> None:
    for known in KNOWN.values():
        assert len(set(known)) == len(known) and all(issubclass(kind, nir.NIRNode) for kind in known)
