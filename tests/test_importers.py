"""What `--as` makes of a file is what that framework's own importer does with it: the same spikes, on drawn files."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.graph.conventions import read_as

torch = pytest.importorskip("torch")
STEPS, BATCH, SIZE = 40, 6, 4
SEEDS = range(3)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The importers warn of what they ignore, and print."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


class Draft:
    """Draws parameters: one number for each neuron, or one for all."""

    def __init__(self, seed: int, *, uniform: bool) -> None:
        self.rng, self.uniform = np.random.default_rng(seed), uniform

    def full(self, low: float, high: float) -> Any:
        count = 1 if self.uniform else SIZE
        return np.broadcast_to(self.rng.uniform(low, high, count), SIZE).astype(np.float32)


def graph(seed: int, *neurons: nir.NIRNode) -> nir.NIRGraph:
    """input -> fc0 -> n0 -> fc1 -> n1 ... -> output."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([SIZE])})}
    for i, node in enumerate(neurons):
        nodes |= {f"fc{i}": networks.affine(SIZE, SIZE, rng, scale=2.0), f"n{i}": node}
    nodes["output"] = nir.Output({"output": np.array([SIZE])})
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)


def spikes(model: Any, x: Any) -> Any:
    """What a framework's model sends, step by step."""
    state, sent = None, []
    with torch.no_grad():
        for row in torch.from_numpy(x):
            out, state = model(row, state)
            sent.append(out.numpy())
    return np.stack(sent)


def check(theirs: Any, told: nir.NIRGraph, x: Any) -> None:
    """The last population's spikes, all equal, and not all alike."""
    ours = nd.simulate(told, x, "reference")
    assert 0.02 < theirs.mean() < 0.98
    np.testing.assert_array_equal(list(ours.populations.values())[-1].data["spikes"], theirs)


def given(seed: int, high: float) -> Any:
    return np.random.default_rng(seed + 100).uniform(0, high, (STEPS, BATCH, SIZE)).astype(np.float32)


def norse_lif(d: Draft) -> nir.NIRNode:
    return nir.LIF(d.full(3e-3, 1e-2), d.full(1, 3), d.full(-0.1, 0.2), d.full(0.3, 0.6), d.full(-0.5, 0.1))


def norse_if(d: Draft) -> nir.NIRNode:
    return nir.IF(d.full(0.5, 2), d.full(1, 2), d.full(-0.5, 0.5))


def norse_cuba(d: Draft) -> nir.NIRNode:
    slow = (d.full(2e-3, 5e-3), d.full(3e-3, 8e-3))
    return nir.CubaLIF(*slow, d.full(0.8, 1.5), d.full(-0.1, 0.15), d.full(0.3, 0.5), d.full(-0.5, 0.5), d.full(1, 1.5))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [norse_lif, norse_if, norse_cuba])
def test_norse(make: Callable[[Draft], nir.NIRNode], seed: int) -> None:
    """r of LIF and IF and v_reset are drawn, and ignored; w_in and r of CubaLIF are read; it starts at v_leak."""
    norse = pytest.importorskip("norse.torch")
    draft, x = Draft(seed, uniform=False), given(seed, 3.0)
    file = graph(seed, make(draft), make(draft))
    check(spikes(norse.from_nir(file, dt=1e-3), x), read_as(file, "norse"), x)


@pytest.mark.parametrize("seed", SEEDS)
def test_norses_integrator(seed: int) -> None:
    """Its importer skips an LI, so its own LIBoxCell stands beside; its exporter writes that as an LI with r = 1."""
    norse = pytest.importorskip("norse.torch")
    draft, x = Draft(seed, uniform=False), given(seed, 1.0)
    node = nir.LI(draft.full(3e-3, 1e-2), draft.full(1, 1), draft.full(0, 0))
    file = graph(seed, node)
    weight, bias = (torch.from_numpy(value) for value in (file.nodes["fc0"].weight, file.nodes["fc0"].bias))
    parameters = norse.LIBoxParameters(tau_mem_inv=1 / torch.from_numpy(node.tau))
    cell, state, shown = norse.LIBoxCell(parameters, dt=1e-3), None, []
    with torch.no_grad():
        for row in torch.from_numpy(x):
            out, state = cell(torch.nn.functional.linear(row, weight, bias), state)
            shown.append(out.numpy())
    ours = nd.simulate(read_as(file, "norse"), x, "reference", ("v",)).populations["n0"].data["v"]
    assert np.abs(ours).max() > 0.1
    np.testing.assert_allclose(ours, np.stack(shown), rtol=1e-4, atol=1e-5)


def snntorch_lif(d: Draft) -> nir.NIRNode:
    """Its importer takes a gain into the threshold, if it is one for all."""
    tau = d.full(3e-4, 1e-3)
    return nir.LIF(tau, tau / 1e-4 * d.full(0.5, 2), d.full(0, 0), d.full(0.5, 1), d.full(-0.5, 0.5))


def snntorch_cuba(d: Draft) -> nir.NIRNode:
    fast, slow = d.full(2e-4, 5e-4), d.full(3e-4, 8e-4)
    still = (d.full(0, 0), d.full(1, 2), d.full(-0.5, 0.5))
    return nir.CubaLIF(fast, slow, slow / np.float32(1e-4), *still, fast / np.float32(1e-4) * d.full(0.8, 1.5))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [snntorch_lif, snntorch_cuba])
def test_snntorch(make: Callable[[Draft], nir.NIRNode], seed: int) -> None:
    """v_reset is drawn, and ignored."""
    tool = pytest.importorskip("snntorch.import_nir")
    draft, x = Draft(seed, uniform=True), given(seed, 2.0)
    file = graph(seed, make(draft), make(draft))
    check(spikes(tool.import_from_nir(file), x), read_as(file, "snntorch", reset="value"), x)


def test_snntorch_loses_the_state_of_an_if() -> None:
    """So `--as snntorch` refuses one: its importer gives spikes and potential as if they were one output."""
    tool = pytest.importorskip("snntorch.import_nir")
    node = nir.IF(*(np.full(SIZE, value, np.float32) for value in (1.0, 1.2, 0.0)))
    with torch.no_grad():
        out, _ = tool.import_from_nir(graph(0, node))(torch.ones(2, SIZE), None)
    assert isinstance(out, tuple)
    with pytest.raises(UnsupportedError, match=r"n0: snnTorch writes no IF, and reads one as a leaky neuron"):
        read_as(graph(0, node), "snntorch", reset="value")


def jelly_lif(d: Draft) -> nir.NIRNode:
    tau, rest = d.full(3e-4, 1e-3), d.full(-0.4, 0.2)
    return nir.LIF(tau, tau / np.float32(1e-4), rest, d.full(0.5, 1), rest)


def jelly_lif_decayed(d: Draft) -> nir.NIRNode:
    rest = d.full(-0.2, 0.1)
    return nir.LIF(d.full(2e-4, 4e-4), d.full(1, 1), rest, d.full(0.2, 0.4), rest)


def jelly_if(d: Draft) -> nir.NIRNode:
    return nir.IF(d.full(1e4, 1e4), d.full(1, 2), d.full(-0.5, 0.5))


def jelly_cuba(d: Draft) -> nir.NIRNode:
    fast, slow = d.full(2e-4, 5e-4), d.full(3e-4, 8e-4)
    still = (d.full(0, 0), d.full(1, 2), d.full(-0.5, 0.5))
    return nir.CubaLIF(fast, slow, slow / np.float32(1e-4), *still, fast / np.float32(1e-4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", [jelly_lif, jelly_lif_decayed, jelly_if, jelly_cuba])
def test_spikingjelly(make: Callable[[Draft], nir.NIRNode], seed: int) -> None:
    """It starts at v_reset, and fires at the threshold."""
    tool = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    draft, x = Draft(seed, uniform=True), given(seed, 2.0)
    file = graph(seed, make(draft), make(draft))
    check(spikes(tool.import_from_nir(file, dt=1e-4), x), read_as(file, "spikingjelly", dt=1e-4), x)
