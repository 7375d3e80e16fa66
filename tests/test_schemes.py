"""How a file's equations become steps: the discretization, the reset and the comparison that a foreign file means."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.graph import read_graph
from neuro_deploy.graph.told import assume
from neuro_deploy.neurons.scheme import RESETS

DT = 0.002
SEED = 6


def foreign(node: nir.NIRNode, size: int) -> nir.NIRGraph:
    """input -> node -> output without any metadata."""
    nodes = {
        "input": nir.Input({"input": np.array([size])}),
        "n": node,
        "output": nir.Output({"output": np.array([size])}),
    }
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)


def lif(size: int, *, reset: float = 0.0, leak: bool = True) -> nir.LIF:
    rng = np.random.default_rng(SEED)
    tau = DT * rng.uniform(1.5, 6, size)
    return nir.LIF(
        tau=tau,
        r=rng.uniform(2, 5, size),
        v_leak=rng.uniform(-0.2, 0.3, size) * leak,
        v_threshold=rng.uniform(0.6, 1.2, size),
        v_reset=np.full(size, reset),
    )


def test_exponential_is_the_exact_solution_for_a_constant_input() -> None:
    """LI, 20 steps: v(t) = (v_leak + r*x) * (1 - exp(-t/tau)), from v(0) = 0."""
    rng = np.random.default_rng(SEED)
    tau, r, leak = DT * rng.uniform(0.5, 9, 5), rng.uniform(0.5, 3, 5), rng.uniform(-0.5, 0.5, 5)
    graph = assume(foreign(nir.LI(tau=tau, r=r, v_leak=leak), 5), dt=DT, discretization="exponential")
    x = np.broadcast_to(np.random.default_rng(SEED).uniform(-1, 1, (1, 4, 5)), (20, 4, 5)).astype(np.float32)
    trace = nd.simulate(graph, x, "reference", ("v",))
    t = DT * np.arange(1, 21)[:, None, None]
    np.testing.assert_allclose(
        trace.populations["n"].data["v"], (leak + r * x) * -np.expm1(-t / tau), rtol=2e-5, atol=1e-6
    )


def test_impulses_decay_exactly() -> None:
    """LI under impulses: an input of tau/(r*dt) at step 0 alone leaves exp(-t/tau) behind."""
    rng = np.random.default_rng(SEED)
    tau, r = DT * rng.uniform(0.5, 9, 5), rng.uniform(0.5, 3, 5)
    graph = foreign(nir.LI(tau=tau, r=r, v_leak=np.zeros(5)), 5)
    x = np.zeros((20, 1, 5), np.float32)
    x[0, 0] = tau / (r * DT)
    told = assume(graph, dt=DT, discretization="exponential, impulses")
    seen = nd.simulate(told, x, "reference", ("v",)).populations["n"].data["v"][:, 0]
    np.testing.assert_allclose(seen, np.exp(-DT * np.arange(20)[:, None] / tau), rtol=2e-5)


def scalar_run(node: nir.LIF, x: np.ndarray[Any, Any], leak: Any, rate: Any, **how: Any) -> tuple[Any, float]:
    """Spikes in float64, and the smallest distance of a potential from a level."""
    v, rows, margin, reset = np.zeros(x.shape[1:]), [], np.inf, how.get("reset")
    taken = node.v_threshold * {"subtract": 1, "subtract-late": 1 / leak, "none": 0}.get(reset, 1)
    for drive in x.astype(np.float64):
        h = leak * v + node.r * rate * drive + node.v_leak * (1 - leak)
        if how.get("rounds"):
            s = sum((h > k * node.v_threshold).astype(int) for k in range(1, how["rounds"] + 1))
            v = h - s * taken
            margin = min(margin, *(float(np.abs(h - k * node.v_threshold).min()) for k in range(1, how["rounds"] + 1)))
        else:
            s = (h > node.v_threshold).astype(int)
            v = np.where(s > 0, node.v_reset, h)
            margin = min(margin, float(np.abs(h - node.v_threshold).min()))
        rows.append(s)
    return np.array(rows), margin


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("reset", [reset for reset in RESETS if reset != "value"])
@pytest.mark.parametrize("rule", ["forward Euler", "exponential", "exponential, impulses"])
def test_a_lif_under_each_rule_and_reset(rule: str, reset: str, rounds: int, tmp_path: Path) -> None:
    node = lif(6)
    graph = assume(foreign(node, 6), dt=DT, discretization=rule, reset=reset, rounds=rounds)
    nd.write_nir(graph, tmp_path / "x.nir")
    leak = 1 - DT / node.tau if rule == "forward Euler" else np.exp(-DT / node.tau)
    rate = 1 - leak if rule == "exponential" else DT / node.tau
    x = np.random.default_rng(SEED).uniform(-0.2, 3, (60, 8, 6)).astype(np.float32)
    expected, margin = scalar_run(node, x, leak, rate, reset=reset, rounds=rounds)
    assert margin > 1e-6 and set(np.unique(expected)) == set(range(rounds + 1))
    trace = nd.simulate(nd.read_nir(tmp_path / "x.nir"), x, "reference", ("spikes",))
    np.testing.assert_array_equal(trace.populations["n"].data["spikes"], expected)
    hard = nd.simulate(assume(foreign(node, 6), dt=DT, discretization=rule), x, "reference", ("spikes",))
    assert (hard.populations["n"].data["spikes"] != expected).any()
    one, _ = scalar_run(node, x, leak, rate)
    np.testing.assert_array_equal(hard.populations["n"].data["spikes"], one)


@pytest.mark.parametrize("reset", ["value", "subtract", "none"])
def test_a_file_may_mean_that_a_neuron_fires_at_its_threshold(reset: str) -> None:
    """h = 0.75 exactly: no spike for `>`, one for `>=`, after which exactly nothing is left of it."""
    node = nir.IF(r=np.full(1, 1 / 0.5, "f4"), v_threshold=np.full(1, 0.75, "f4"), v_reset=np.zeros(1, "f4"))
    x = np.full((4, 1, 1), 0.375, np.float32)
    seen = {}
    for fires in (">", ">="):
        graph = assume(foreign(node, 1), dt=0.5, reset=reset, fires=fires)
        data = nd.simulate(graph, x, "reference", ("spikes", "v")).populations["n"].data
        seen[fires] = data["spikes"].ravel().tolist(), data["v"].ravel().tolist()
    if reset == "none":
        potentials = [0.375, 0.75, 1.125, 1.5]
        assert seen == {">": ([0, 0, 1, 1], potentials), ">=": ([0, 1, 1, 1], potentials)}
        return
    assert seen[">="] == ([0, 1, 0, 1], [0.375, 0.0, 0.375, 0.0])
    assert seen[">"][0] == [0, 0, 1, 0]


def test_subtraction_beside_a_reset_value_is_refused() -> None:
    for reset, meant in (("subtract", "a reset by subtraction"), ("none", "no reset")):
        with pytest.raises(UnsupportedError, match=rf"n: v_reset 0\.25 beside {meant}"):
            read_graph(assume(foreign(lif(3, reset=0.25), 3), dt=DT, reset=reset))


def test_what_the_file_says_wins_over_nothing_and_contradictions_are_refused() -> None:
    graph = assume(networks.chain(), dt=networks.DT, reset="value")
    assert read_graph(graph).scheme.dt == networks.DT
    told = assume(networks.chain(), discretization="forward Euler", reset="value")
    for wrong in ({"dt": 0.5}, {"discretization": "exponential"}, {"reset": "subtract"}):
        with pytest.raises(InputError, match=f"the file says {next(iter(wrong))}"):
            assume(told, **wrong)  # type: ignore[arg-type]
    for wrong in ({"discretization": "euler"}, {"reset": "soft"}, {"fires": "="}, {"rounds": 0}, {"dt": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            assume(foreign(lif(3), 3), **wrong)  # type: ignore[arg-type]


def test_our_own_nodes_are_exact_for_forward_euler_only() -> None:
    graph = networks.chain(discretization="exponential")
    with pytest.raises(UnsupportedError, match="exact for forward Euler only"):
        read_graph(graph)
