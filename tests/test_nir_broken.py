"""Foreign and broken NIR files: one clear error that names the node and the remedy; old files are read."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import nir_drawn
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.errors import FormatError, NeuroDeployError, UnsupportedError
from neuro_deploy.graph import read_graph
from neuro_deploy.graph.files import DEEPEST, KINDS, parameters

DT = 2.0**-6
TEXT = h5py.string_dtype()


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def parts() -> dict[str, nir.NIRNode]:
    """A chain with a parameter of each sort."""
    weight = np.arange(18, dtype=np.float32).reshape(2, 1, 3, 3) / 16
    return {
        "input": nir.Input({"input": np.array([1, 4, 4])}),
        "conv": nir.Conv2d((4, 4), weight, (1, 1), (1, 1), (1, 1), 1, f32(0.5, -0.25)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        "fc": nir.Affine(np.arange(24, dtype=np.float32).reshape(3, 8) / 32, f32(0.25, 0, -0.5)),
        "lif": nir.LIF(f32(0.25, 0.5, 1), f32(16, 32, 48), f32(0.5, 0, 1), f32(1, 0.75, 0.5), f32(0, 0.25, -0.5)),
        "wait": nir.Delay(f32(1, 2, 0) * DT),
        "output": nir.Output({"output": np.array([3])}),
    }


def whole(path: Path) -> None:
    nodes = parts()
    nd.write_nir(nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False), path)


def put(group: Any, key: str, value: Any, **how: Any) -> None:
    """Replace a dataset."""
    if key in group:
        del group[key]
    group.create_dataset(key, data=value, **how)


def nest(group: Any, depth: int) -> None:
    for _ in range(depth):
        put(group, "type", "NIRGraph", dtype=TEXT)
        put(group, "edges", np.zeros((0, 2), np.float32))
        group = group.create_group("nodes").create_group("in")
    put(group, "type", "Input", dtype=TEXT)
    put(group, "shape", np.array([1]))


def renest(f: Any, depth: int) -> None:
    del f["node/nodes/lif"]
    nest(f["node/nodes"].create_group("lif"), depth)


def edge(f: Any, *pairs: tuple[str, str], without: tuple[tuple[str, str], ...] = ()) -> None:
    held = [(a.decode(), b.decode()) for a, b in f["node/edges"][()]]
    put(f["node"], "edges", [p for p in held if p not in without] + list(pairs), dtype=TEXT)


def in_itself(f: Any) -> None:
    renest(f, 1)
    del f["node/nodes/lif/nodes"]
    f["node/nodes/lif/nodes"] = f["node/nodes"]


def two_entries(f: Any) -> None:
    """lif <-> back, entered at both."""
    f["node/nodes"].copy("lif", "back")
    edge(f, ("lif", "back"), ("back", "lif"), ("fc", "back"))


def renamed(f: Any, node: str, key: str, to: str) -> None:
    f[f"node/nodes/{node}"].move(key, to)


Break = Callable[[Any], Any]
FILES: dict[str, tuple[Break, str, str]] = {
    "unknown type": (lambda f: put(f["node/nodes/lif"], "type", "LIFF", dtype=TEXT), "lif: unknown", "mean LIF?"),
    "type that nobody knows": (lambda f: put(f["node/nodes/fc"], "type", "Q", dtype=TEXT), "fc: unknown", "as one of"),
    "type of a number": (lambda f: put(f["node/nodes/fc"], "type", 3), "fc: it has no type", "write it as"),
    "no type": (lambda f: f["node/nodes/fc"].__delitem__("type"), "fc: it has no type", "write it as one of"),
    "missing parameter": (lambda f: f["node/nodes/lif"].__delitem__("tau"), "lif: LIF has no 'tau'", "add it"),
    "missing threshold": (lambda f: f["node/nodes/lif"].__delitem__("v_threshold"), "lif: LIF has no", "export"),
    "unknown parameter": (lambda f: put(f["node/nodes/fc"], "gain", 2.0), "fc: Affine has no parameter 'gain'", "meta"),
    "misspelt parameter": (lambda f: renamed(f, "fc", "weight", "weights"), "fc: Affine has no", "mean 'weight'?"),
    "text for numbers": (lambda f: put(f["node/nodes/lif"], "r", "big", dtype=TEXT), "lif: r holds the text", "float"),
    "a list of texts": (lambda f: put(f["node/nodes/lif"], "r", ["a"] * 3, dtype=TEXT), "lif: r holds dtype", "float"),
    "complex": (lambda f: put(f["node/nodes/lif"], "r", np.ones(3, complex)), "lif: r holds dtype complex", "float"),
    "compound": (lambda f: put(f["node/nodes/fc"], "bias", np.zeros(3, "f4,f4")), "fc: bias holds dtype", "float"),
    "an empty dataset": (
        lambda f: put(f["node/nodes/fc"], "bias", h5py.Empty("f4")),
        "fc: bias holds nothing",
        "float",
    ),
    "a group for numbers": (
        lambda f: (f["node/nodes/fc"].__delitem__("bias"), f["node/nodes/fc"].create_group("bias")),
        "fc: bias is a group",
        "export",
    ),
    "half a stride": (lambda f: put(f["node/nodes/pool"], "stride", [1.5, 1]), "pool: stride is [1.5, 1.0]", "mend"),
    "a stride of 0": (lambda f: put(f["node/nodes/conv"], "stride", [0, 1]), "conv: stride is [0, 1]", "mend"),
    "no groups": (lambda f: put(f["node/nodes/conv"], "groups", 0), "conv: groups is 0", "mend"),
    "beyond float32": (
        lambda f: put(f["node/nodes/fc"], "bias", [1, 2, 1e39]),
        "fc: bias holds numbers beyond",
        "mend",
    ),
    "groups of each": (lambda f: put(f["node/nodes/conv"], "groups", [1, 2]), "conv: groups is [1, 2], not 1", "mend"),
    "three strides": (
        lambda f: put(f["node/nodes/pool"], "stride", [1, 1, 1]),
        "pool: stride is [1, 1, 1], not",
        "mend",
    ),
    "a huge shape": (lambda f: put(f["node/nodes/input"], "shape", [2**40]), "input: shape is [1099511627776]", "mend"),
    "a negative shape": (lambda f: put(f["node/nodes/input"], "shape", [1, -4, 4]), "input: shape is", "mend"),
    "another padding": (
        lambda f: put(f["node/nodes/conv"], "padding", "most", dtype=TEXT),
        "conv: padding holds the text 'most'",
        "export",
    ),
    "shapes of a neuron": (
        lambda f: put(f["node/nodes/lif"], "r", f32(1, 2)),
        "lif: its parameters have different shapes (r (2,), tau (3,)",
        "one value per neuron",
    ),
    "a flat weight": (lambda f: put(f["node/nodes/fc"], "weight", f32(1, 2)), "fc: Affine cannot be made", "mend"),
    "no edges": (lambda f: f["node"].__delitem__("edges"), "the graph: NIRGraph has no 'edges'", "add it"),
    "no nodes": (lambda f: f["node"].__delitem__("nodes"), "the graph: NIRGraph has no 'nodes'", "add it"),
    "edges of three": (
        lambda f: put(f["node"], "edges", [["input", "fc", "lif"]], dtype=TEXT),
        "the graph: its edges are an array of shape (1, 3), not pairs",
        "(source, target)",
    ),
    "a list of edges": (lambda f: put(f["node"], "edges", ["input"], dtype=TEXT), "shape (1,), not pairs", "(source"),
    "edges of numbers": (lambda f: put(f["node"], "edges", [[0, 1]]), "its edges are of dtype int64", "name the nodes"),
    "edges not UTF-8": (lambda f: put(f["node"], "edges", np.array([[b"\xff", b"fc"]])), "not UTF-8", "mend the names"),
    "a value among nodes": (lambda f: put(f["node/nodes"], "more", 1.0), "more: is not a node", "remove it"),
    "nested too deep": (lambda f: renest(f, DEEPEST + 3), f"nested more than {DEEPEST} deep", "flatten"),
    "nested absurdly deep": (lambda f: renest(f, 1500), f"nested more than {DEEPEST} deep", "flatten"),
    "a soft link": (
        lambda f: f["node/nodes"].__setitem__("twin", h5py.SoftLink("/node/nodes/lif")),
        "twin: is a link to elsewhere",
        "store the content",
    ),
    "a link to another file": (
        lambda f: f["node/nodes"].__setitem__("twin", h5py.ExternalLink("other.nir", "/node")),
        "twin: is a link to elsewhere",
        "store the content",
    ),
    "a node within itself": (in_itself, "is the same object as", "store the content"),
    "metadata of a number": (lambda f: put(f["node"], "metadata", 3), "the graph: metadata is not a group", "remove"),
    "a newer version": (lambda f: put(f, "version", "2.0.1", dtype=TEXT), "version: the file is of nir 2.0.1", "1.x"),
}
GRAPHS: dict[str, tuple[Break, str, str]] = {
    "NaN weight": (
        lambda f: f["node/nodes/fc/weight"].__setitem__((0, 1), np.nan),
        "fc: weight holds 1 values",
        "mend",
    ),
    "NaN threshold": (lambda f: f["node/nodes/lif/v_threshold"].__setitem__(1, np.nan), "lif: theta holds 1", "mend"),
    "NaN tau": (lambda f: f["node/nodes/lif/tau"].__setitem__(0, np.nan), "lif: tau or r", "mend"),
    "tau of 0": (lambda f: f["node/nodes/lif/tau"].__setitem__(0, 0), "lif: tau or r", "mend"),
    "NaN delay": (lambda f: f["node/nodes/wait/delay"].__setitem__(0, np.nan), "wait: a delay of nan s", "dt"),
    "half a step": (lambda f: f["node/nodes/wait/delay"].__setitem__(0, DT / 2), "wait: a delay of", "give the dt"),
    "a missing node": (lambda f: edge(f, ("fc", "gone")), "fc -> gone: an edge to a node that does not exist", "mend"),
    "an edge twice": (lambda f: edge(f, ("fc", "lif")), "fc -> lif: the edge stands twice", "scale it instead"),
    "a missing edge": (lambda f: edge(f, without=(("fc", "lif"),)), "lif: has no input", "connect it, or remove it"),
    "a number that float32 makes 0": (
        lambda f: put(f["node/nodes/lif"], "v_threshold", np.array([1, 1e-50, 1])),
        "lif: v_threshold holds np.float64(1e-50), which is 0 in float32",
        "scale it",
    ),
    "a whole number that float32 makes another": (
        lambda f: put(f["node/nodes/fc"], "bias", np.array([1, 2**24 + 1, 3])),
        "fc: bias holds np.int64(16777217), which is 16777216 in float32",
        "as float64",
    ),
    "metadata that is none of ours": (
        lambda f: put(f["node/nodes/lif"].require_group("metadata"), "neuro_deploy", "kind", dtype=TEXT),
        "lif: its metadata 'neuro_deploy' is 'kind', not a group of entries",
        "another name",
    ),
    "a shape that is not there": (
        lambda f: put(f["node/nodes/output"], "shape", np.array([4])),
        "output: declares an input of shape (4,), but gets (3,)",
        "mend the declared shape",
    ),
    "an edge into the Input": (
        lambda f: edge(f, ("wait", "input")),
        "input: an Input gets something from 'wait'",
        "join behind it",
    ),
    "types that do not fit": (
        lambda f: edge(f, ("pool", "fc"), without=(("flat", "fc"),)),
        "fc: weight (3, 8) does not fit an input of shape (2, 2, 2)",
        "flatten it",
    ),
    "types that do not join": (lambda f: edge(f, ("flat", "lif")), "lif: its inputs have different shapes", "mend"),
    "a loop without a delay": (two_entries, "a loop that is entered in 2 places (back, lif)", "put a nir.Delay"),
}


@pytest.mark.parametrize("case", [*FILES, *GRAPHS])
def test_each_problem_has_one_clear_error(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command line: exit code 2, the node, the remedy, one line for one problem."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    whole(tmp_path / "x.nir")
    np.savez("x.npz", input=np.ones((2, 1, 1, 4, 4), np.float32))
    command = ["simulate", "x.nir", "--dt", str(DT), "--backend", "reference", "--input", "x.npz", "--out", "o.h5"]
    assert run(command) == 0  # it is the change that is refused
    change, what, remedy = {**FILES, **GRAPHS}[case]
    with h5py.File("x.nir", "r+") as file:
        change(file)
    capsys.readouterr()
    assert run(command) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and "internal error" not in error
    assert len(error.strip().splitlines()) == 2
    told = " ".join(error.split())
    assert what in told and remedy in told[told.index(what) :], told
    if case in FILES:
        with pytest.raises(FormatError, match=r"x\.nir"):
            nd.read_nir("x.nir")


DAMAGE: tuple[Callable[[Any], Any], ...] = (
    lambda value: np.zeros_like(value),
    lambda value: -value,
    lambda value: np.full(np.shape(value), np.nan),
    lambda value: np.full(np.shape(value), np.inf),
    lambda value: np.full(np.shape(value), 1e300),
    lambda value: np.repeat(np.atleast_1d(value), 2, axis=0),
    lambda value: np.atleast_1d(value)[:1],
    lambda value: np.atleast_1d(value)[None],
    lambda value: np.zeros((0, 3)),
    lambda value: np.arange(6.0).reshape(2, 3),
    lambda value: "text",
    lambda value: 2**62,
    lambda value: -1,
    lambda value: 0.5,
    lambda value: True,
)


def test_whatever_stands_in_a_parameter_there_is_no_other_error(tmp_path: Path) -> None:
    """Drawn graphs with a wrong value in one place: they run, or are refused."""
    path, met = tmp_path / "x.nir", Counter[str]()

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(nir_drawn.cases(), st.data())
    def check(case: nir_drawn.Case, data: st.DataObject) -> None:
        nd.write_nir(case.graph, path)
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visititems(lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None)
            name = data.draw(st.sampled_from(names))
            value, damage = file[name][()], data.draw(st.sampled_from(DAMAGE))
            if np.asarray(value).dtype.kind in "fiu":
                put(file, name, damage(value))
            else:
                put(file, name, data.draw(st.sampled_from(["text", 1.0, [["input", "x"]]])))
        try:
            graph = nd.read_nir(path)
            inputs = {name: np.ones((2, 1, *shape), np.float32) for name, shape in read_graph(graph, case.dt).inputs}
            nd.simulate(graph, inputs, "reference", dt=case.dt)
            met["runs"] += 1
        except NeuroDeployError as error:
            met[type(error).__name__] += 1

    check()
    assert min(met["runs"], met["FormatError"], met["UnsupportedError"]) > 0


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    whole(tmp_path / "x.nir")
    with h5py.File(tmp_path / "x.nir", "r+") as file:
        for case in ("unknown type", "missing parameter", "half a stride", "a newer version", "a value among nodes"):
            FILES[case][0](file)
    with pytest.raises(FormatError) as caught:
        nd.read_nir(tmp_path / "x.nir")
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "version",
        "lif",
        "more",
        "pool",
    ]


def test_a_file_of_one_node_and_one_of_nir_0_0(tmp_path: Path) -> None:
    nd.write_nir(parts()["lif"], tmp_path / "one.nir")
    with pytest.raises(FormatError, match=r"holds a single LIF node.*between an Input and an Output"):
        nd.read_nir(tmp_path / "one.nir")
    with h5py.File(tmp_path / "old.nir", "w") as file:
        first = file.create_group("nodes").create_group("0")
        first["type"], first["weights"], first["bias"] = "Linear", np.ones((2, 2)), np.ones(2)
        file["edges"] = [(0, 1)]
    with pytest.raises(FormatError, match=r"nir 0\.0\.x.*write it with nir 0\.1 or later"):
        nd.read_nir(tmp_path / "old.nir")


def old_file(path: Path, version: str | None, graph: nir.NIRGraph) -> None:
    """As nir 0.1.0 (None), 0.2.0 or 1.0.4 writes it; compared by hand with what their wheels write."""
    later = {"v_reset", "metadata"} | ({"input_shape"} if version != "1.0.4" else set())
    later |= {"w_in", "input_type"} if version is None else set()
    with h5py.File(path, "w") as file:
        if version is not None:
            file["version"] = version
        file["node/type"] = "NIRGraph"
        file["node"].create_dataset("edges", data=graph.edges)
        for name, node in graph.nodes.items():
            for key, value in node.to_dict().items():
                if key not in later:
                    file[f"node/nodes/{name}/{key}"] = value


@pytest.mark.parametrize("version", [None, "0.2.0", "1.0.4"])
def test_files_of_older_versions_are_read(version: str | None, tmp_path: Path) -> None:
    """0.1 has no version, w_in or shape of Flatten; none before 1.0 input_shape, none before 1.0.6 v_reset."""
    nodes = parts()
    nodes["lif"].v_reset[:] = 0
    cuba = nir.CubaLIF(f32(1, 0.5, 0.25), f32(0.5, 1, 2), f32(256, 512, 999), f32(0, 1, 2), f32(1, 0.5, 0.25))
    cuba.w_in = f32(1, 1, 1) if version is None else f32(3, 2, 1)
    nodes = {**{k: n for k, n in nodes.items() if k != "output"}, "cuba": cuba, "output": nodes["output"]}
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)
    old_file(tmp_path / "old.nir", version, graph)
    back = nd.read_nir(tmp_path / "old.nir")
    assert sorted(back.nodes) == sorted(nodes) and back.edges == graph.edges
    for name, node in nodes.items():
        assert type(back.nodes[name]) is type(node)
        for key, value in vars(node).items():
            if key in parameters(type(node)) and key not in ("input_shape", "input_type"):
                np.testing.assert_array_equal(getattr(back.nodes[name], key), value, err_msg=f"{name}.{key}")
    assert (back.nodes["conv"].input_shape is None) == (version != "1.0.4")
    assert (back.nodes["flat"].input_type["input"] is None) == (version is None)
    x = np.random.default_rng(0).integers(0, 9, (9, 4, 1, 4, 4)) / np.float32(4)
    want, got = (nd.simulate(g, x, "reference", ("spikes", "v"), dt=DT) for g in (graph, back))
    for name, recording in want.populations.items():
        assert recording.data["spikes"].any(), name
        for key, values in recording.data.items():
            np.testing.assert_array_equal(got.populations[name].data[key], values)


def test_scalars_stand_for_all_neurons(tmp_path: Path) -> None:
    """One number beside arrays; stock nir refuses it."""
    whole(tmp_path / "x.nir")
    with h5py.File(tmp_path / "x.nir", "r+") as file:
        put(file["node/nodes/lif"], "r", np.float32(24))
        put(file["node/nodes/lif"], "v_reset", np.float32(0.25))
    lif = nd.read_nir(tmp_path / "x.nir").nodes["lif"]
    np.testing.assert_array_equal(lif.r, f32(24, 24, 24))
    np.testing.assert_array_equal(lif.v_reset, f32(0.25, 0.25, 0.25))
    assert lif.r.dtype == np.float32


def named(kind: Any) -> nir.NIRNode:
    """A node of this kind in which no two numbers are the same."""
    image, count = {"input_shape": np.array([5, 6]), "kernel_size": np.array([2, 3])}, itertools.count(1)
    if kind is nir.NIRGraph:
        inside = {"a": nir.Input({"input": np.array([7])}), "b": nir.Output({"output": np.array([7])})}
        return nir.NIRGraph(inside, [("a", "b")], type_check=False)
    if kind in (nir.Input, nir.Output):
        return kind({kind.__name__.lower(): np.array([3, 2])})
    ranks = {nir.Affine: 2, nir.Linear: 2, nir.Conv1d: 3, nir.Conv2d: 4}
    values: dict[str, Any] = {}
    for key in parameters(kind):
        if key == "input_type":
            values[key] = {"input": np.array([2, 3, 4])}
        elif key in ("stride", "padding", "dilation"):
            values[key] = 2 if kind is nir.Conv1d else np.array([next(count), next(count)])
        elif key in ("groups", "start_dim", "end_dim"):
            values[key] = 1
        elif key in image:
            values[key] = 9 if kind is nir.Conv1d else image[key]
        else:
            shape = (2,) * ranks.get(kind, 1) if key == "weight" else (2,)
            values[key] = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 10 * next(count)
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS)
def test_every_primitive_keeps_every_field_and_its_metadata(kind: str, tmp_path: Path) -> None:
    """Numbers, text, arrays and groups of metadata; in a graph within a graph, where stock nir checks types."""
    told = {"text": "äö", "number": 3, "array": f32(1, 2), "deep": {"more": {"x": 0.5}, "flag": np.bool_(True)}}
    node = named(KINDS[kind])
    node.metadata = told
    inner = nir.NIRGraph({"n": node}, [], type_check=False)
    graph = nir.NIRGraph({"inner": inner}, [], metadata={"of": "all"}, type_check=False)
    nd.write_nir(graph, tmp_path / "x.nir")
    read = nd.read_nir(tmp_path / "x.nir")
    back = read.nodes["inner"].nodes["n"]
    assert type(back) is KINDS[kind] and read.metadata == {"of": "all"}
    assert list(read.nodes["inner"].nodes) == ["n"]  # stock nir would add an input and an output
    assert plain(back.to_dict()) == plain(node.to_dict())
    assert back.metadata["text"] == "äö" and back.metadata["deep"]["more"]["x"] == 0.5


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return (value.dtype.str, value.tolist()) if isinstance(value, np.ndarray) else value


def test_what_a_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A name with '/' would become a group; a shape that is not set would make a file that stock nir cannot read."""
    nodes = parts()
    nodes["a/b"] = nodes.pop("fc")
    nodes["conv"].input_shape = None
    with pytest.raises(UnsupportedError) as caught:
        nd.write_nir(nir.NIRGraph(nodes, [], type_check=False), tmp_path / "x.nir")
    assert [v.node for v in caught.value.violations] == ["conv", "a/b"]
    assert all(v.remedy for v in caught.value.violations) and not (tmp_path / "x.nir").exists()
    assert "neuro_deploy normalize" in caught.value.violations[0].remedy


def test_scalars_and_a_flatten_without_a_shape_are_written(tmp_path: Path) -> None:
    half = np.asarray(0.5, np.float32)
    lif = nir.LIF(tau=half, r=half, v_leak=half, v_threshold=half)
    flat = nir.Flatten(None, 0, -1)
    nd.write_nir(nir.NIRGraph({"lif": lif, "flat": flat}, [], type_check=False), tmp_path / "x.nir")
    for graph in (nd.read_nir(tmp_path / "x.nir"), nir.read(tmp_path / "x.nir", type_check=False)):
        assert graph.nodes["lif"].tau == 0.5 and np.shape(graph.nodes["lif"].tau) == ()
        assert graph.nodes["lif"].v_threshold.dtype == np.float32
        assert graph.nodes["flat"].input_type == {"input": None}
