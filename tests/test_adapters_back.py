"""Graphs that go back to a framework's modules: every loop is in a module, or refused."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import nir
import numpy as np
import pytest
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.adapters.links import assemble, links
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.graph import read_graph

pytest.importorskip("nirtorch", reason="frameworks are not installed: pip install --no-deps -r tests/frameworks.txt")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("norse.torch")
snn = pytest.importorskip("snntorch")

DT = 0.001


def full(value: float) -> np.ndarray:
    return np.full(8, value, np.float32)


def looped(post: nir.NIRNode | None) -> nir.NIRGraph:
    """fc -> lif -> post -> lif2, and a Linear back into lif: from `post`, or from lif if there is none."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 8, 8)).astype(np.float32)
    current = {"tau_mem": full(0.004), "tau_syn": full(0.002), "r": full(4), "w_in": full(2)}
    nodes = {
        "input": nir.Input(np.array([8])),
        "fc": nir.Linear(weight[0]),
        "lif": nir.CubaLIF(**current, v_leak=full(0), v_threshold=full(0.3), v_reset=full(0)),
        **({} if post is None else {"post": post}),
        "back": nir.Linear(weight[1]),
        "lif2": nir.LIF(tau=full(0.004), r=full(4), v_leak=full(0), v_threshold=full(1), v_reset=full(0)),
        "output": nir.Output(np.array([8])),
    }
    last = "lif" if post is None else "post"
    edges = [("input", "fc"), ("fc", "lif"), (last, "back"), ("back", "lif"), (last, "lif2"), ("lif2", "output")]
    return nir.NIRGraph(nodes, edges + ([] if post is None else [("lif", "post")]), type_check=False)


POSTS = {"Linear": nir.Linear(np.eye(8, dtype=np.float32) * 2), "Scale": nir.Scale(full(0.5))}


@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("to", [nd.to_snntorch, nd.to_norse])
def test_a_loop_that_starts_at_a_linear_node_is_refused(to: object, post: str) -> None:
    with pytest.raises(UnsupportedError, match="back: comes back from post, which is no population"):
        to(looped(POSTS[post]), dt=DT)  # type: ignore[operator]


def test_recurrent_graded_spikes_are_refused() -> None:
    neurons = snn.RLeaky(0.7, threshold=0.4, linear_features=8, init_hidden=True)
    neurons.graded_spikes_factor = torch.linspace(0.5, 1.5, 8)
    model = nn.Sequential(OrderedDict(fc=nn.Linear(6, 8), lif=neurons)).eval()
    graph = nd.from_snntorch(model, dt=DT, input_shape=(6,))
    with pytest.raises(UnsupportedError, match="lif_recurrent: comes back from lif_factor"):
        nd.to_snntorch(graph)


def test_a_loop_that_no_module_holds_is_our_fault() -> None:
    reading = read_graph(looped(None), DT)
    with pytest.raises(AssertionError):
        assemble(links(reading, "title"), lambda rest: (1, [(rest[0].name, nn.Identity())], ()), "title", nn.Module())
