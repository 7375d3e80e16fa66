"""Sinabs: `reference` gives its own spikes from our adapter's graph; and what Sinabs' own NIR export keeps and loses.

Sinabs runs in an environment of its own (environments.py); see sinabs_models.py for the networks.
"""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
from environments import BASE, ENVIRONMENTS, ROOT
from exchange import load, load_notes, run_script

import neuro_deploy as nd
from neuro_deploy.graph.conventions import read_as, recognise
from neuro_deploy.trace import Trace

pytestmark = pytest.mark.frameworks

ONE_ROUND = ("lif_single", "lif_hard")
NETWORKS = (
    *("lif_multi", "lif_own", "lif_raw", "lif_max", "lif_current", "lif_alphas", "iaf", "iaf_own", "exp_leak"),
    *("recurrent", "conv_squeezed", "ties", *ONE_ROUND),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sinabs ran its networks, and our adapter converted them."""
    path = tmp_path_factory.mktemp("sinabs")
    python = ENVIRONMENTS["sinabs"].python
    run_script(python, "sinabs_run.py", path)
    run_script(python, "sinabs_adapt.py", path, first=(ROOT, BASE))
    return path


def differing(trace: Trace, sent: dict[str, np.ndarray]) -> dict[str, int]:
    """Spikes that differ, by layer; an integrator's potentials must be close."""
    found = {}
    for layer, theirs in sent.items():
        ours = trace.populations[layer].data
        if np.any(theirs % 1):
            np.testing.assert_allclose(ours["v"], theirs, rtol=1e-5, atol=1e-6)
        else:
            found[layer] = int((ours["spikes"] != theirs).sum())
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_reference_gives_the_spikes_of_sinabs(name: str, folder: Path) -> None:
    x, sent = load(folder, name)
    assert len(sent) == 2 and len(x) >= 50 and x.shape[1] >= 8
    for theirs in sent.values():
        assert (theirs > 0).any(axis=(0, 1)).mean() > 0.5, "most neurons fire"
        assert not (theirs > 0).all() and (name in (*ONE_ROUND, "exp_leak") or max(map(np.max, sent.values())) > 1)
    trace = nd.simulate(nd.read_nir(folder / f"{name}.ours.nir"), x, "reference", record=("spikes", "v"))
    assert not any(differing(trace, sent).values())


def test_potentials_meet_multiples_of_the_threshold(folder: Path) -> None:
    """So `ties` would show a strict comparison."""
    x, _ = load(folder, "ties")
    trace = nd.simulate(nd.read_nir(folder / "ties.ours.nir"), x, "reference", record=("h",))
    met = {
        layer: [int((trace.populations[layer].data["h"] == k * theta).sum()) for k in (1, 2, 3, 4)]
        for layer, theta in (("1", 0.75), ("3", 0.5))
    }
    assert min(met["1"]) > 5 and sum(met["3"]) > 5


def test_everything_that_is_refused_is_named_at_once(folder: Path) -> None:
    notes = load_notes(folder)
    said = {name: [f"{node}: {what}" for node, what in notes[name]["refused"]] for name in ("alif", "several")}
    assert [s.split(" (")[0] for s in said["alif"]] == [
        "1: ALIF is not kept exactly",
        "3: ALIFRecurrent is not kept exactly",
    ]
    assert [s.split()[0] for s in said["several"]] == [
        "1.spike_fn:",
        "1.min_v_mem:",
        "3.reset_fn:",
        "3.rec_connect:",
    ]
    assert [node for node, _ in notes["unlimited"]["refused"]] == ["1.spike_fn", "3.spike_fn"]


def test_the_registry_knows_every_neuron(folder: Path) -> None:
    told = load_notes(folder)["registry"]
    assert told["classes"] == told["known"]


def own(folder: Path, name: str, rounds: int) -> nir.NIRGraph:
    """Sinabs' own export, read by its convention; its Input and Output have the time axis of the sample."""
    graph = nd.read_nir(folder / f"{name}.own.nir")
    (steps, *given), (_, *sent) = graph.nodes["input"].input_type["input"], graph.nodes["output"].output_type["output"]
    assert steps == len(load(folder, name)[0])
    graph.nodes["input"] = nir.Input({"input": np.array(given)})
    graph.nodes["output"] = nir.Output({"output": np.array(sent)})
    assert "sinabs" in [match.family for match in recognise(graph) if match.fits]
    return read_as(graph, "sinabs", rounds=rounds)


@pytest.mark.parametrize(("name", "rounds"), [("lif_own", 16), ("lif_multi", 16), ("iaf_own", 8), ("exp_leak", 1)])
def test_its_export_is_right_under_one_reading(name: str, rounds: int, folder: Path) -> None:
    """dt = 1, tau in steps, leak exp(-1/tau), gain r * (1 - exp(-1/tau)), reset by subtraction, at the threshold."""
    x, sent = load(folder, name)
    trace = nd.simulate(own(folder, name, rounds), x, "reference", record=("spikes", "v"))
    assert not any(differing(trace, sent).values())


def test_its_export_says_the_same_with_and_without_normalized_input(folder: Path) -> None:
    """r = 1 in both files, though one network multiplies its input by 1 - alpha and the other does not."""
    x, sent = load(folder, "lif_raw")
    graph = own(folder, "lif_raw", 16)
    for node in (n for n in graph.nodes.values() if isinstance(n, nir.LIF)):
        assert np.all(node.r == 1) and np.all(node.v_leak == 0)
    assert any(differing(nd.simulate(graph, x, "reference"), sent).values())
    for node in (n for n in graph.nodes.values() if isinstance(n, nir.LIF)):
        node.r = 1 / -np.expm1(-1 / np.asarray(node.tau, np.float64))
    assert not any(differing(nd.simulate(graph, x, "reference"), sent).values()), "and nothing else is wrong"


@pytest.mark.parametrize(("name", "rounds"), [("lif_single", 1), ("lif_hard", 1), ("lif_current", 12), ("iaf", 8)])
def test_its_export_loses_other_resets_and_currents(name: str, rounds: int, folder: Path) -> None:
    """The file has no trace of spike_fn, reset_fn, subtract_value or tau_syn: LIF and IF nodes as ever."""
    x, sent = load(folder, name)
    graph = own(folder, name, rounds)
    assert {type(n) for n in graph.nodes.values()} <= {nir.Input, nir.Affine, nir.LIF, nir.IF, nir.Output}
    assert any(differing(nd.simulate(graph, x, "reference"), sent).values())


def test_what_its_export_cannot_do(folder: Path) -> None:
    notes = load_notes(folder)
    said = {name: notes[name]["own"] for name in NETWORKS}
    assert {name for name, why in said.items() if why} == {
        *("lif_max", "lif_alphas", "ties", "recurrent", "conv_squeezed")
    }
    for name, words in {
        "lif_max": "same shape",  # a scalar tau_mem beside one threshold per neuron
        "lif_alphas": "no attribute 'tau_mem'",
        "ties": "no attribute 'tau_mem'",
        "recurrent": "not supported",
        "conv_squeezed": "must be specified",  # nir.Conv2d without an input shape cannot be written
    }.items():
        assert words in said[name], name
