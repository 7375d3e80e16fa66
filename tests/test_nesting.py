"""Nested graphs, several Inputs and Outputs, and shapes that a file does not tell."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import nir
import numpy as np
import pytest
import torch

import neuro_deploy as nd
from neuro_deploy.comparison.margins import margins
from neuro_deploy.errors import FormatError, InputError, UnsupportedError
from neuro_deploy.files import read_input
from neuro_deploy.graph import read_graph, write_graph
from neuro_deploy.graph.normalize import normalize
from neuro_deploy.program.data import plain
from neuro_deploy.road import verify_graph

DT = networks.DT
SEED = 4


def given(*shape: int) -> nir.Input:
    return nir.Input({"input": np.array(shape)})


def sent(*shape: int) -> nir.Output:
    return nir.Output({"output": np.array(shape)})


def lif(size: int, seed: int = 3) -> nir.LIF:
    rng = np.random.default_rng(seed)
    tau = DT * rng.uniform(2, 5, size)
    return nir.LIF(
        tau=tau,
        r=rng.uniform(0.8, 1.3, size) * tau / DT,
        v_leak=rng.uniform(-0.2, 0.3, size),
        v_threshold=rng.uniform(0.5, 1.0, size),
        v_reset=rng.uniform(-0.3, 0.2, size),
    )


def nest(nodes: dict[str, Any], edges: list[tuple[str, str]]) -> nir.NIRGraph:
    return nir.NIRGraph(nodes, edges, type_check=False)


def parts() -> dict[str, nir.NIRNode]:
    rng = np.random.default_rng(8)
    fc1, fc2, back = (networks.affine(a, b, rng, scale=2.0) for a, b in ((6, 5), (4, 6), (6, 4)))
    return {"fc1": fc1, "one": lif(6), "fc2": fc2, "two": lif(4, 5), "back": back}


def inlined() -> nir.NIRGraph:
    """input -> fc1 -> one -> fc2 -> two -> output, and two -> back -> one."""
    nodes = {"input": given(5), **parts(), "output": sent(4)}
    chain = ["input", "fc1", "one", "fc2", "two", "output"]
    return networks.graph(nodes, [*itertools.pairwise(chain), ("two", "back"), ("back", "one")])


def nested() -> nir.NIRGraph:
    """The same: `one` in a graph in a graph, the loop's way back in another one."""
    p = parts()
    deepest = nest({"in": given(6), "one": p["one"], "out": sent(6)}, [("in", "one"), ("one", "out")])
    block = nest(
        {"from": given(6), "deep": deepest, "fc2": p["fc2"], "to": sent(4)},
        [("from", "deep"), ("deep", "fc2"), ("fc2", "to")],
    )
    way = nest({"in": given(4), "back": p["back"], "out": sent(6)}, [("in", "back"), ("back", "out")])
    nodes = {"input": given(5), "fc1": p["fc1"], "block": block, "two": p["two"], "way": way, "output": sent(4)}
    chain = ["input", "fc1", "block", "two", "output"]
    return networks.graph(nodes, [*itertools.pairwise(chain), ("two", "way"), ("way", "block")])


def test_a_nested_graph_runs_as_if_it_were_inlined(tmp_path: Path) -> None:
    nd.write_nir(nested(), tmp_path / "nested.nir")
    graph = nd.read_nir(tmp_path / "nested.nir")
    assert {"block.deep.one", "block.fc2", "way.back"} <= {n.name for n in read_graph(graph).nodes}
    x = np.random.default_rng(SEED).uniform(0, 1, (12, 6, 5)).astype(np.float32)
    flat = nd.simulate(inlined(), x, "reference", ("spikes", "v"))
    deep = nd.simulate(graph, x, "reference", ("spikes", "v"))
    names = {"one": "block.deep.one", "two": "two"}
    for name, other in names.items():
        assert flat.populations[name].data["spikes"].any()
        for variable in ("spikes", "v"):
            np.testing.assert_array_equal(flat.populations[name].data[variable], deep.populations[other].data[variable])


def test_a_nested_graph_compiles_to_the_same_integers() -> None:
    """Without the loop back, which has two synapses and one step of delay, and so cannot be on a chip."""
    one, other = inlined(), nested()
    one.edges.remove(("back", "one"))
    del one.nodes["back"]
    one.edges.remove(("two", "back"))
    other.edges.remove(("way", "block"))
    other.edges.remove(("two", "way"))
    del other.nodes["way"]
    x = np.random.default_rng(SEED).uniform(0, 1, (12, 6, 5)).astype(np.float32)
    first, second = (nd.simulate(nd.compile(graph, max_steps=12), x, "sim") for graph in (one, other))
    np.testing.assert_array_equal(first.populations["two"].data["spikes"], second.populations["two"].data["spikes"])
    assert first.populations["two"].data["spikes"].any()


def test_a_loop_that_passes_the_border_of_a_nested_graph_in_its_entered_node() -> None:
    """The loop is entered at the nested Input, whichever node stands behind it."""
    late = {n.name: n.late for n in read_graph(nested()).nodes if n.late}
    assert late == {"block.from": ("way.out",)}


def test_ports_that_no_edge_can_name_are_refused() -> None:
    graph = nested()
    graph.nodes["block"].nodes["more"] = given(6)
    graph.nodes["way"].nodes["second"] = sent(6)
    with pytest.raises(UnsupportedError) as caught:
        read_graph(graph)
    assert len(caught.value.violations) == 3
    assert "fc1 -> block: the nested graph block has not one Input" in str(caught.value)
    assert "way -> block: the nested graph way has not one Output" in str(caught.value)


def test_graphs_nested_too_deep_are_refused() -> None:
    inner = nest({"in": given(3), "out": sent(3)}, [("in", "out")])
    for _ in range(40):
        inner = nest({"in": given(3), "g": inner, "out": sent(3)}, [("in", "g"), ("g", "out")])
    nodes = {"input": given(3), "g": inner, "lif": lif(3), "output": sent(3)}
    graph = networks.graph(nodes, list(itertools.pairwise(nodes)))
    with pytest.raises(UnsupportedError, match="nested deeper than 32 graphs"):
        read_graph(graph)


def two_sided() -> nir.NIRGraph:
    """Inputs `image` (2, 3) and `action` (4), Outputs `a` and `b`."""
    rng = np.random.default_rng(11)
    nodes = {
        "image": given(2, 3),
        "flat": nir.Flatten({"input": np.array([2, 3])}, 0, -1),
        "see": networks.affine(5, 6, rng, scale=2.0),
        "action": given(4),
        "do": networks.affine(5, 4, rng, scale=2.0),
        "lif": lif(5),
        "fc": networks.affine(3, 5, rng, scale=3.0),
        "last": lif(3, 9),
        "a": sent(3),
        "b": sent(5),
    }
    ways = [("image", "flat"), ("flat", "see"), ("see", "lif"), ("action", "do"), ("do", "lif"), ("lif", "fc")]
    return networks.graph(nodes, [*ways, ("fc", "last"), ("last", "a"), ("lif", "b")])


def test_several_inputs_and_outputs() -> None:
    graph = two_sided()
    x = {
        "image": np.random.default_rng(SEED).uniform(0, 1, (9, 4, 2, 3)).astype(np.float32),
        "action": np.random.default_rng(SEED).uniform(0, 1, (9, 4, 4)).astype(np.float32),
    }
    assert read_graph(graph).inputs == (("action", (4,)), ("image", (2, 3)))
    model = nd.import_nir(graph)
    with torch.no_grad():
        outputs = model({name: torch.from_numpy(values) for name, values in x.items()})
    trace = nd.simulate(graph, x, "reference")
    assert set(outputs) == {"a", "b"}
    for name, population in (("a", "last"), ("b", "lif")):
        spikes = trace.populations[population].data["spikes"]
        assert spikes.any()
        np.testing.assert_array_equal(outputs[name].numpy(), spikes)

    see, do, rows = graph.nodes["see"], graph.nodes["do"], []
    neuron = graph.nodes["lif"]
    v = np.zeros((4, 5))
    for t in range(9):
        drive = x["image"][t].reshape(4, 6) @ see.weight.T + see.bias + x["action"][t] @ do.weight.T + do.bias
        h = v + DT / neuron.tau * (neuron.v_leak - v + neuron.r * drive)
        rows.append(h > neuron.v_threshold)
        v = np.where(rows[-1], neuron.v_reset, h)
    np.testing.assert_array_equal(trace.populations["lif"].data["spikes"], np.array(rows))

    joined = np.concatenate([x["action"], x["image"].reshape(9, 4, 6)], axis=2)
    program = nd.compile(graph, max_steps=9)
    assert [(e.name, e.shape) for e in program.encoders] == [("action+image", (10,))]
    first, second = nd.simulate(program, x, "sim"), nd.simulate(program, joined, "sim")
    np.testing.assert_array_equal(first.populations["last"].data["spikes"], second.populations["last"].data["spikes"])
    assert first.populations["last"].data["spikes"].any()


def test_inputs_that_are_not_those_of_the_network_are_refused() -> None:
    graph, program = two_sided(), nd.compile(two_sided())
    image, action = np.zeros((2, 1, 2, 3)), np.zeros((2, 1, 4))
    for source, backend in ((graph, "reference"), (program, "sim")):
        with pytest.raises(InputError, match=r"inputs image, acton are not those of the"):
            nd.simulate(source, {"image": image, "acton": action}, backend)
        with pytest.raises(InputError, match="others"):
            nd.simulate(source, {"image": image[:1], "action": action}, backend)
        with pytest.raises(InputError, match=r"input 'image': expected shape \(T, B, 2, 3\), got \(2, 1, 6\)"):
            nd.simulate(source, {"image": image.reshape(2, 1, 6), "action": action}, backend)
        with pytest.raises(InputError, match=r"input 'action': expected shape \(T, B, 4\), got \(2, 1, 2, 3\)"):
            nd.simulate(source, {"action": image, "image": action}, backend)


def test_several_inputs_come_by_name_on_every_road(tmp_path: Path) -> None:
    """An .npz of `input.NAME` arrays: compile, simulate, margins and verify join them by the network's names."""
    rng, graph = np.random.default_rng(SEED), two_sided()
    x = {"image": rng.uniform(0, 1, (9, 4, 2, 3)).astype(np.float32), "action": rng.uniform(0, 1, (9, 4, 4))}
    joined = np.concatenate([x["action"], x["image"].reshape(9, 4, 6)], axis=2)
    np.savez(tmp_path / "x.npz", **{f"input.{name}": values for name, values in x.items()}, label=np.zeros(4, int))
    read, label = read_input(tmp_path / "x.npz")
    assert isinstance(read, dict) and sorted(read) == ["action", "image"] and label is not None
    wrong = {"image": x["image"], "touch": x["action"]}
    calls: list[Any] = [
        lambda given: nd.compile(graph, calibrate=given, max_steps=9).digest,
        lambda given: margins(nd.compile(graph, max_steps=9), given).to_dict(),
        lambda given: verify_graph(graph, "loihi2", given, label, lava_samples=0).verdict.to_dict(),
    ]
    for call in calls:
        assert call(read) == call(joined)
        with pytest.raises(InputError, match=r"inputs image, touch are not those of the network \(action, image\)"):
            call(wrong)
    np.savez(tmp_path / "both.npz", **{"input": joined, "input.image": x["image"]})
    with pytest.raises(InputError, match=r"both\.npz: holds 'input' and 'input\.image'"):
        read_input(tmp_path / "both.npz")


def test_a_program_knows_its_inputs(tmp_path: Path) -> None:
    """Their names and shapes are in its file and its digest; a program of one input has no such entry."""
    program = nd.compile(two_sided(), max_steps=9)
    assert program.inputs == {"action": (4,), "image": (2, 3)}
    nd.save_program(program, tmp_path / "p.h5")
    assert nd.load_program(tmp_path / "p.h5").encoders == program.encoders
    renamed = (("action", (4,)), ("picture", (2, 3)))
    assert replace(program, encoders=(replace(program.encoders[0], parts=renamed),)).digest != program.digest
    with pytest.raises(FormatError, match=r"action\+image: its parts {'action': \(4,\)} do not make its shape \(10,\)"):
        replace(program, encoders=(replace(program.encoders[0], parts=renamed[:1]),))
    one = nd.compile(networks.chain())
    assert one.inputs == {"input": (12,)} and "parts" not in plain(one.encoders[0])


def test_names_of_inputs_may_hold_a_plus() -> None:
    """`a+b` beside `c` is not `a` beside `b+c`."""
    nodes = {"a+b": given(3), "c": given(3), "lif": lif(3), "output": sent(3)}
    graph = networks.graph(nodes, [("a+b", "lif"), ("c", "lif"), ("lif", "output")])
    x = np.zeros((2, 1, 3))
    for source, backend in ((graph, "reference"), (nd.compile(graph), "sim")):
        nd.simulate(source, {"a+b": x, "c": x}, backend)
        with pytest.raises(InputError, match=r"inputs a, b\+c are not those of the network \(a\+b, c\)"):
            nd.simulate(source, {"a": x, "b+c": x}, backend)


def scalars() -> nir.NIRGraph:
    """An Input without a shape, a neuron and a Scale with scalar parameters, a convolution without input_shape."""
    rng = np.random.default_rng(5)
    weight = rng.normal(0.1, 0.5, (4, 2, 3, 2)).astype(np.float32)
    tau, one = np.float32(3 * DT), np.float32(0.7)
    nodes = {
        "input": nir.Input({"input": None}),
        "gain": nir.Scale(np.float32(1.5)),
        "first": nir.IF(r=np.full((2, 6, 5), 1 / DT, "f4"), v_threshold=np.full((2, 6, 5), 0.4, "f4")),
        "conv": nir.Conv2d(None, weight, (2, 1), (1, 0), 1, 1, np.zeros(4, "f4")),
        "lif": nir.LIF(tau=tau, r=tau / np.float32(DT), v_leak=np.float32(0), v_threshold=one, v_reset=np.float32(0)),
        "output": nir.Output({"output": None}),
    }
    return networks.graph(nodes, list(itertools.pairwise(nodes)))


def test_shapes_and_scalar_parameters_are_filled_in() -> None:
    reading = read_graph(scalars())
    shapes = {n.name: n.shape for n in reading.nodes}
    assert shapes == dict.fromkeys(("input", "gain", "first"), (2, 6, 5)) | dict.fromkeys(
        ("conv", "lif", "output"), (4, 3, 4)
    )
    trace = nd.simulate(scalars(), np.random.default_rng(SEED).uniform(0, 1, (6, 3, 2, 6, 5)), "reference")
    assert trace.populations["lif"].data["spikes"].shape == (6, 3, 4, 3, 4)
    assert trace.populations["lif"].data["spikes"].any()


def test_a_parameter_by_channel_serves_its_images_and_one_by_column_is_refused() -> None:
    def graph(shape: tuple[int, ...]) -> nir.NIRGraph:
        nodes = {
            "input": given(2, 4, 3),
            "if": nir.IF(np.full(shape, 1 / DT), np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)),
            "output": sent(2, 4, 3),
        }
        return networks.graph(nodes, list(itertools.pairwise(nodes)))

    trace = nd.simulate(graph((2, 1, 1)), np.ones((2, 1, 2, 4, 3)), "reference", ("spikes",))
    np.testing.assert_array_equal(trace.populations["if"].data["spikes"][1, 0].sum(axis=(1, 2)), [12, 0])
    with pytest.raises(UnsupportedError, match=r"if: neurons \(3,\) do not fit an input of shape \(2, 4, 3\)"):
        read_graph(graph((3,)))


def test_an_input_whose_shape_nothing_tells_is_refused() -> None:
    nodes = {"input": nir.Input({"input": None}), "gain": nir.Scale(np.float32(2)), "output": nir.Output(None)}
    with pytest.raises(UnsupportedError, match="input: has no shape, and no node behind it tells"):
        read_graph(networks.graph(nodes, list(itertools.pairwise(nodes))))
    with pytest.raises(UnsupportedError, match="graph: has no Input node"):
        read_graph(networks.graph({"lif": lif(3), "output": sent(3)}, [("lif", "output")]))


def test_parameters_that_no_neuron_can_have_are_named() -> None:
    graph = inlined()
    graph.nodes["one"].tau = graph.nodes["one"].tau / 10
    graph.nodes["two"].v_threshold = graph.nodes["two"].v_threshold * np.nan
    with pytest.raises(UnsupportedError, match="two: theta holds 4 values that are NaN"):
        nd.import_nir(graph)
    graph.nodes["two"].v_threshold = -np.ones(4)
    with pytest.raises(UnsupportedError) as caught:
        nd.import_nir(graph)
    assert [v.node for v in caught.value.violations] == ["one", "two"]
    assert "one: LIF: beta must be within [0, 1], got -" in str(caught.value) and "the dt that" in str(caught.value)


def test_an_input_of_the_network_gets_nothing_from_its_nodes() -> None:
    """Nested Inputs may: they pass on what they get."""
    nodes = {"in": given(3), "l": lif(3), "k": lif(3, 5), "output": sent(3)}
    edges = [("in", "l"), ("l", "k"), ("l", "in"), ("k", "in"), ("k", "output")]
    with pytest.raises(UnsupportedError, match=r"in: an Input gets something from 'l', 'k'.*; join behind it"):
        read_graph(networks.graph(nodes, edges))
    inner = nest({"i": given(3), "l": lif(3), "o": sent(3)}, [("i", "l"), ("l", "i"), ("l", "o")])
    fed = {"in": given(3), "g": inner, "output": sent(3)}
    assert read_graph(networks.graph(fed, list(itertools.pairwise(fed)))).neurons.keys() == {"g.l"}


@pytest.mark.parametrize("first", ["a", "a.b"])
def test_two_nodes_of_one_name_once_inlined_are_refused(first: str) -> None:
    """Whichever stands first in the file."""
    inner = nest({"i": given(3), "b": nir.Scale(np.full(3, 5, "f4")), "o": sent(3)}, [("i", "b"), ("b", "o")])
    both = {"a": inner, "a.b": lif(3)}
    nodes = {"in": given(3), first: both[first], **both, "output": sent(3)}
    with pytest.raises(
        UnsupportedError, match=r"^cannot read the graph\n  a.b: two nodes have this name, once inlined"
    ):
        read_graph(networks.graph(nodes, [("in", "a"), ("a", "a.b"), ("a.b", "output")]))


def test_the_joined_input_does_not_take_a_nodes_name() -> None:
    def graph(name: str) -> nir.NIRGraph:
        nodes = {"a": given(3), "b": given(3), name: lif(3), "output": sent(3)}
        return networks.graph(nodes, [("a", name), ("b", name), (name, "output")], input={"low": 0.0, "high": 2.0})

    rng = np.random.default_rng(SEED)
    x = {name: rng.uniform(0, 2, (9, 4, 3)).astype(np.float32) for name in "ab"}
    assert {n.name for n in read_graph(graph("a+b")).nodes} == {"a", "b", "a+b", "a+b.in", "a+b_", "output"}
    for backend in ("reference", "sim"):
        want, got = (
            nd.simulate(g if backend == "reference" else nd.compile(g, max_steps=9), x, backend).populations[name].data
            for name, g in (("n", graph("n")), ("a+b", graph("a+b")))
        )
        assert want["spikes"].any()
        np.testing.assert_array_equal(got["spikes"], want["spikes"])


def with_inner(told: Any, *, outer: Any = None) -> nir.NIRGraph:
    inner = nest({"i": given(3), "l": lif(3), "o": sent(3)}, [("i", "l"), ("l", "o")])
    inner.metadata = {"neuro_deploy": told}
    nodes = {"in": given(3), "g": inner, "output": sent(3)}
    return networks.graph(nodes, list(itertools.pairwise(nodes)), **(outer or {}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("dt", DT / 2), ("discretization", "exponential"), ("reset", "subtract"), ("fires", ">="), ("rounds", 3)],
)
def test_a_nested_graph_of_another_scheme_is_refused(key: str, value: Any) -> None:
    """An export of ours within a bigger graph would be read by the bigger one's scheme."""
    with pytest.raises(UnsupportedError, match=rf"g: its metadata says {key} = {value!r}, the graph around it "):
        read_graph(with_inner({key: value}))
    outer = {} if key == "dt" else {"reset": "subtract", "rounds": 3, key: value}
    if key != "dt":
        entry = {k: v for k, v in outer.items() if k in ("reset", key)}
        graph = with_inner(entry, outer=outer)
        for node in (graph.nodes["g"].nodes["l"],):
            node.v_reset = np.zeros(3, "f4")
        again = write_graph(read_graph(graph))
        assert read_graph(again).scheme.told()["fires"] == ">"  # the nested graph's entry is written anew as well


def test_metadata_of_a_nested_graph_is_checked() -> None:
    with pytest.raises(InputError, match=r"g: its neuro_deploy metadata is not valid:\n  dt: "):
        read_graph(with_inner({"dt": -1.0}))


@pytest.mark.parametrize("name", ["a.c", "a.b.c"])
def test_a_name_that_starts_like_a_nested_graph_is_written_where_it_stood(name: str) -> None:
    deep = nest({"i": given(3), "l": lif(3, 5), "o": sent(3)}, [("i", "l"), ("l", "o")])
    inner = nest({"i": given(3), "b": deep, "o": sent(3)}, [("i", "b"), ("b", "o")])
    nodes = {"in": given(3), name: lif(3), "a": inner, "output": sent(3)}
    graph = networks.graph(nodes, list(itertools.pairwise(nodes)))
    again = write_graph(read_graph(graph))
    assert set(again.nodes) == {"in", name, f"{name}.in", "a", "output"} and set(again.nodes["a"].nodes) == set("ibo")
    x = np.random.default_rng(SEED).uniform(0, 2, (9, 4, 3))
    one, other = (nd.simulate(g, x, "reference").populations for g in (graph, again))
    assert list(one) == list(other)
    for population, recording in one.items():
        assert recording.data["spikes"].any()
        np.testing.assert_array_equal(recording.data["spikes"], other[population].data["spikes"])


def declared() -> nir.NIRGraph:
    """Whose nodes all declare their input's shape, rightly."""
    inner = nest({"i": given(2, 4, 2), "s": nir.Scale(np.float32(2)), "o": sent(2, 4, 2)}, [("i", "s"), ("s", "o")])
    nodes = {
        "in": given(1, 6, 4),
        "conv": nir.Conv2d((6, 4), np.ones((2, 1, 3, 3), "f4"), 1, 0, 1, 1, np.zeros(2, "f4")),
        "g": inner,
        "flat": nir.Flatten({"input": np.array([2, 4, 2])}, 0, 1),
        "line": nir.Conv1d(2, np.ones((3, 8, 1), "f4"), 1, 0, 1, 1, np.zeros(3, "f4")),
        "lif": nir.Threshold(np.float32(2)),
        "output": sent(3, 2),
    }
    return networks.graph(nodes, list(itertools.pairwise(nodes)))


@pytest.mark.parametrize(
    ("node", "wrong", "told", "real"),
    [
        ("conv", {"input_shape": (9, 9)}, (1, 9, 9), (1, 6, 4)),
        ("flat", {"input_type": {"input": np.array([16, 1])}}, (16, 1), (2, 4, 2)),
        ("line", {"input_shape": 3}, (8, 3), (8, 2)),
        ("output", {"input_type": {"input": np.array([6])}}, (6,), (3, 2)),
        ("g.i", {"input_type": {"input": np.array([2, 2, 4])}}, (2, 2, 4), (2, 4, 2)),
        ("g.o", {"input_type": {"input": np.array([1])}}, (1,), (2, 4, 2)),
    ],
)
def test_a_shape_that_a_file_declares_wrongly_is_refused(
    node: str, wrong: dict[str, Any], told: Any, real: Any
) -> None:
    graph = declared()
    assert {n.name: n.shape for n in read_graph(graph).nodes}["output"] == (3, 2)
    where = graph.nodes["g"].nodes[node[2:]] if node.startswith("g.") else graph.nodes[node]
    for key, value in wrong.items():
        setattr(where, key, value)
    with pytest.raises(UnsupportedError) as caught:
        read_graph(graph)
    (violation,) = caught.value.violations
    assert violation.node == node and violation.what == f"declares an input of shape {told}, but gets {real}"
    assert violation.remedy


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1, 1)])
def test_a_parameter_of_one_element_is_a_number(shape: tuple[int, ...]) -> None:
    """Whatever its rank, read, run, written and compiled."""

    def graph(shape: tuple[int, ...]) -> nir.NIRGraph:
        def number(value: float) -> Any:
            return np.full(shape, value, np.float32)

        tau = 2 * DT
        nodes = {
            "in": given(5),
            "scale": nir.Scale(number(1.5)),
            "gate": nir.Threshold(number(0.5)),
            "wait": nir.Delay(number(2 * DT)),
            "lif": nir.LIF(number(tau), number(1.5), number(0.125), number(0.5), number(-0.25)),
            "cuba": nir.CubaLIF(*map(number, (tau, tau, 3, 0.125, 0.5, -0.25, 2))),
            "output": sent(5),
        }
        return networks.graph(nodes, list(itertools.pairwise(nodes)))

    x = np.random.default_rng(SEED).uniform(0, 1, (12, 4, 5)).astype(np.float32)
    want, got = (nd.simulate(graph(s), x, "reference").populations for s in ((), shape))
    again = nd.simulate(write_graph(read_graph(graph(shape))), x, "reference").populations
    for name, recording in want.items():
        assert recording.data["spikes"].any()
        for key, values in recording.data.items():
            assert values.shape == (12, 4, 5)
            np.testing.assert_array_equal(got[name].data[key], values)
            np.testing.assert_array_equal(again[name].data[key], values)
    assert nd.compile(graph(shape)) == nd.compile(graph(()))
    whole = normalize(graph(shape))[0]
    assert np.shape(whole.nodes["cuba"].w_in) == np.shape(whole.nodes["wait"].delay) == (5,)


def test_a_number_in_a_loop_tells_no_shape() -> None:
    """`gate` gets what the Delay sends, before that is read: its shape comes from the Input, by the convolution."""
    conv = nir.Conv2d((4, 3), np.ones((2, 2, 3, 3), "f4"), 1, "same", 1, 1, np.zeros(2, "f4"))
    nodes = {
        "input": given(2, 4, 3),
        "gate": nir.Threshold(np.float32(0.5)),
        "conv": conv,
        "back": nir.Delay(np.full(1, DT, "f4")),
        "output": sent(2, 4, 3),
    }
    ways = [("input", "conv"), ("gate", "conv"), ("conv", "back"), ("back", "gate"), ("gate", "output")]
    reading = read_graph(networks.graph(nodes, ways))
    assert [n.name for n in reading.nodes][:2] == ["input", "gate"]
    assert {n.shape for n in reading.nodes} == {(2, 4, 3)}
