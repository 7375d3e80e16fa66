"""NIR graphs drawn: the layout's rules over random graphs, and the files."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import networks
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro_deploy as nd
from neuro_deploy.cli import run
from neuro_deploy.errors import FileError, InputError
from neuro_deploy.program import save_program
from neuro_deploy.report.nir_drawing import COLOURS, boxes_of, draw
from neuro_deploy.report.nir_layout import Box, Edge, Picture, Placed, Point, arrange, back_edges, layers


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[Edge]]:
    count = draw(st.integers(1, 40))
    names = [f"n{i}" for i in range(count)]
    chain = list(itertools.pairwise(names)) if draw(st.booleans()) else []
    node = st.sampled_from(names)
    return names, [*chain, *draw(st.lists(st.tuples(node, node), max_size=25))]


def laid_out(names: list[str], edges: list[Edge]) -> Picture:
    return arrange([Box(n, (n, "LIF", "12 x 3")[: 1 + i % 3], "dense") for i, n in enumerate(names)], edges)


def inside(placed: Placed, point: Point, margin: float = 0.01) -> bool:
    x, y = point
    return abs(x - placed.x) < placed.width / 2 - margin and abs(y - placed.y) < placed.height / 2 - margin


@given(graphs())
def test_only_back_edges_close_loops(graph: tuple[list[str], list[Edge]]) -> None:
    names, edges = graph
    edges = list(dict.fromkeys(edges))
    back = back_edges(names, edges)
    place = layers(names, [e for e in edges if e not in back])  # would not end with a loop
    assert all(place[s] < place[t] for s, t in edges if (s, t) not in back)
    assert all((s, t) in back for s, t in edges if s == t)
    assert set(place) == set(names)


def test_a_loop_is_cut_where_it_is_entered() -> None:
    edges = [("in", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("b", "out"), ("b", "b")]
    assert back_edges(["in", "a", "b", "c", "out"], edges) == {("c", "a"), ("b", "b")}
    assert back_edges(["in", "a", "b", "c", "out"], edges[:3]) == set()


@settings(max_examples=40)
@given(graphs())
def test_boxes_lie_apart_and_arrows_beside_them(graph: tuple[list[str], list[Edge]]) -> None:
    names, edges = graph
    picture = laid_out(names, edges)
    assert picture == laid_out(names, edges)
    assert {p.box.name for p in picture.boxes} == set(names)
    assert {(r.source, r.target) for r in picture.routes} == set(edges)
    for placed in picture.boxes:
        assert placed.width / 2 <= placed.x <= picture.width - placed.width / 2
        assert placed.height / 2 <= placed.y <= picture.height - placed.height / 2
    for one, other in itertools.combinations(picture.boxes, 2):
        apart = (
            abs(one.x - other.x) - (one.width + other.width) / 2,
            abs(one.y - other.y) - (one.height + other.height) / 2,
        )
        assert max(apart) > 0.05
    for route in picture.routes:
        assert all(0 < x < picture.width and 0 < y < picture.height for x, y in route.points)
        for (x0, y0), (x1, y1) in itertools.pairwise(route.points):
            if x0 == x1 or y0 == y1:  # waves stay between two columns
                middle = ((x0 + x1) / 2, (y0 + y1) / 2)
                hit = [p.box.name for p in picture.boxes if any(inside(p, q) for q in (middle, (x1, y1)))]
                assert not set(hit) - {route.source, route.target}


@settings(max_examples=40)
@given(graphs())
def test_arrows_go_right_or_are_marked(graph: tuple[list[str], list[Edge]]) -> None:
    picture = laid_out(*graph)
    at = {p.box.name: (p.x, p.y) for p in picture.boxes}
    for route in picture.routes:
        (x0, y0), (x1, y1) = at[route.source], at[route.target]
        assert route.back or x1 > x0 or y1 > y0
        assert not route.back or max(p[1] for p in route.points) <= max(y0, y1)


def test_long_graphs_go_on_in_rows() -> None:
    names = [f"n{i}" for i in range(60)]
    picture = laid_out(names, list(itertools.pairwise(names)))
    assert len({round(p.y, 3) for p in picture.boxes}) == 6 and picture.width < 16
    assert arrange([], []).boxes == ()


def test_boxes_say_name_kind_and_shape() -> None:
    boxes = {b.name: b for b in boxes_of(networks.everything())}
    assert boxes["conv1"] == Box("conv1", ("conv1", "Conv2d 3 x 3", "4 x 8 x 8"), "convolution")
    assert boxes["avg"].lines[1] == "AvgPool2d 2 x 2" and boxes["flat"].lines[-1] == "64"
    assert boxes["cf"].lines == ("cf", "CF, spikes up to 3", "4 x 8 x 8") and boxes["cf"].group == "neurons that fire"
    assert boxes["signed"].lines[1] == "CF, spikes -2 .. 2" and boxes["out"].group == "integrators"
    assert next(iter(boxes)) == "input" and {b.group for b in boxes.values()} <= set(COLOURS)


def test_a_nested_graph_is_one_box_with_its_nodes() -> None:
    inner = networks.chain(sizes=(4, 5, 6, 4), input=None)
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "sub": inner,
        "output": nir.Output({"output": np.array([4])}),
    }
    graph = networks.graph(nodes, [("input", "sub"), ("sub", "output")])
    box = next(b for b in boxes_of(graph) if b.name == "sub")
    assert box.lines == ("sub", "graph of 8 nodes", "  fc1", "  cf1", "  fc2", "  cf2", "...", "4")
    assert box.group == "nested graph"


def test_files_are_whole_readable_and_the_same_each_time(tmp_path: Path) -> None:
    import matplotlib.image

    for name in ("a", "b"):
        draw(networks.everything(), svg=tmp_path / f"{name}.svg", png=tmp_path / f"{name}.png")
    svg, png = (tmp_path / "a.svg").read_bytes(), (tmp_path / "a.png").read_bytes()
    assert svg == (tmp_path / "b.svg").read_bytes() and png == (tmp_path / "b.png").read_bytes()
    text = svg.decode()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert all(f"<!-- {name} -->" in text for name in networks.everything().nodes)
    assert "dc:date" not in text and "stroke-dasharray" in text
    for colour in ("neurons that fire", "dense", "convolution", "pool"):
        assert COLOURS[colour].lower() in text
    image = matplotlib.image.imread(tmp_path / "a.png")
    assert image.shape[0] > 400 and image.shape[1] > 800 and image[..., :3].std() > 0.05
    assert {p.name for p in tmp_path.iterdir()} == {"a.svg", "b.svg", "a.png", "b.png"}


def test_a_file_is_the_same_in_another_process(tmp_path: Path) -> None:
    draw(networks.residual(), svg=tmp_path / "a.svg")
    code = "import networks, sys; from neuro_deploy.report.nir_drawing import draw; "
    code += "draw(networks.residual(), svg=sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b.svg")], check=True, cwd=Path(__file__).parent)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_names_are_no_markup_and_no_formulas(tmp_path: Path) -> None:
    graph = networks.residual()
    for name, strange in (("fc1", "$x^{2$<&>"), ("fc2", "a" * 90), ("fc3", "層")):
        graph.nodes[strange] = graph.nodes.pop(name)
        graph.edges = [tuple(strange if end == name else end for end in edge) for edge in graph.edges]
    draw(graph, svg=tmp_path / "a.svg")
    ElementTree.parse(tmp_path / "a.svg")


def test_what_cannot_be_run_is_drawn_as_stored(tmp_path: Path) -> None:
    graph = networks.chain(dt=None)
    graph.edges.append(("fc1", "nowhere"))
    draw(graph, svg=tmp_path / "a.svg")
    assert "<!-- cf1 -->" in (tmp_path / "a.svg").read_text()
    assert next(b for b in boxes_of(graph) if b.name == "fc1").lines == ("fc1", "Affine", "20")


def test_errors_leave_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="is a directory"):
        draw(networks.residual(), svg=tmp_path)
    (tmp_path / "old.svg").write_text("precious")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'neuro_deploy\[draw\]'"):
        draw(networks.residual(), svg=tmp_path / "old.svg")
    assert (tmp_path / "old.svg").read_text() == "precious"


def test_the_command_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nd.write_nir(networks.residual(), "net.nir")
    assert run(["inspect", "net.nir", "--svg", "net.svg", "--png", "net.png", "--no-targets"]) == 0
    assert Path("net.svg").read_text().startswith("<?xml") and Path("net.png").read_bytes()[:4] == b"\x89PNG"
    assert "NIR graph" in capsys.readouterr().out
    assert run(["inspect", "net.nir", "--svg", "net.nir"]) == 2
    save_program(nd.compile(networks.residual()), "net.program.h5")
    assert run(["inspect", "net.program.h5", "--svg", "p.svg"]) == 2 and not Path("p.svg").exists()
    assert "only a NIR file can be drawn" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(["inspect", "net.nir", "--png", "other.png"]) == 2 and not Path("other.png").exists()
    assert "pip install" in capsys.readouterr().err
    assert run(["inspect", "net.nir", "--no-targets"]) == 0


def test_tables_need_no_matplotlib() -> None:
    code = (
        "import sys, neuro_deploy.report.nir_table, neuro_deploy.report.nir_drawing; "
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
