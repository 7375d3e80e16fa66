"""What objects show of themselves in a notebook."""

from __future__ import annotations

import html
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import nir
import pytest
from networks import chain, pixels

import neuro_deploy as nd
from neuro_deploy import shown
from neuro_deploy.comparison import judge


class Balanced(HTMLParser):
    """Every element that is opened is closed, in order; there are no scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag != "script"
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def objects() -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Objects, and words that each must show."""
    graph = chain()
    program = nd.compile(graph, target="loihi2")
    x = pixels(6, 3, 12)
    sim, reference = nd.simulate(program, x, "sim", ("spikes", "v", "h")), nd.simulate(graph, x, "reference")
    return {
        "graph": (graph, ("fc1", "cf2", "<svg")),
        "program": (program, ("cf1", program.digest[:12])),
        "trace": (sim, ("cf1", "lif")),
        "comparison": (nd.compare(sim, sim), ("equal", "cf2")),
        "statistics": (nd.compare(sim, reference), ("statistics", "cf2")),
        "verdict": (judge(sim, reference=reference), ("NOT JUDGED",)),
        "margins": (nd.margins(program, x), ("cf1",)),
        "estimate": (nd.estimate(program, sim), ("estimate", "cf1")),
    }


NAMES = ("graph", "program", "trace", "comparison", "statistics", "verdict", "margins", "estimate")


@pytest.mark.parametrize("name", NAMES)
def test_objects_show_themselves(objects: dict[str, tuple[Any, tuple[str, ...]]], name: str) -> None:
    what, words = objects[name]
    text = shown.html(what) if isinstance(what, nir.NIRGraph) else what._repr_html_()
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    for word in words:
        assert word in html.unescape(text), word


def test_graphs_show_themselves_in_ipython() -> None:
    """In an IPython that runs; elsewhere importing us changes nothing."""
    pytest.importorskip("IPython", reason="IPython is not installed: how graphs show themselves there is NOT tested")
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "import neuro_deploy, nir, numpy as np\n"
        "nodes = {'input': nir.Input(np.array([2])), 'output': nir.Output(np.array([2]))}\n"
        "g = nir.NIRGraph(nodes, [('input', 'output')])\n"
        "print('<svg' in shell.display_formatter.format(g)[0]['text/html'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_what_ipython_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    formatter = SimpleNamespace(for_type_by_name=lambda *args: told.append(args))
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": formatter}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    shown.teach()
    assert told == [(nir.NIRGraph.__module__, nir.NIRGraph.__qualname__, shown.html)]
