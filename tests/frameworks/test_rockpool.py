"""Rockpool: its own NIR export, read by its convention, gives its own spikes; and what that export loses.

Rockpool runs in an environment of its own (environments.py); see rockpool_run.py for the networks.
"""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
from environments import ENVIRONMENTS
from exchange import load, load_notes, run_script

import neuro_deploy as nd
from neuro_deploy.graph.conventions import read_as, recognise
from neuro_deploy.trace import Trace

pytestmark = pytest.mark.frameworks
DT = 0.002


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rockpool ran its networks and exported them."""
    path = tmp_path_factory.mktemp("rockpool")
    run_script(ENVIRONMENTS["rockpool"].python, "rockpool_run.py", path)
    return path


def own(folder: Path, name: str) -> nir.NIRGraph:
    """Rockpool's export; its Input and Output have the batch and time axes of the sample."""
    graph = nd.read_nir(folder / f"{name}.own.nir")
    (_, steps, *given), (*_, sent) = (
        graph.nodes["input"].input_type["input"],
        graph.nodes["output"].output_type["output"],
    )
    assert steps == len(load(folder, name)[0])
    graph.nodes["input"] = nir.Input({"input": np.array(given)})
    graph.nodes["output"] = nir.Output({"output": np.array([sent])})
    return graph


def run(graph: nir.NIRGraph, x: np.ndarray, rounds: int = 16) -> Trace:
    return nd.simulate(read_as(graph, "rockpool", rounds=rounds), x, "reference", record=("spikes", "v"))


def differing(trace: Trace, sent: dict[str, np.ndarray]) -> int:
    """Spikes that differ; a synapse's current must be close."""
    count = 0
    for layer, theirs in sent.items():
        ours = trace.populations[layer].data
        if np.any(theirs % 1):
            np.testing.assert_allclose(ours["v"], theirs, rtol=1e-5, atol=1e-5)
        else:
            count += int((ours["spikes"] != theirs).sum())
    return count


@pytest.mark.parametrize(
    ("name", "rounds"), [("lif", 16), ("neuron", 16), ("synapse", 16), ("limited", 2), ("shifts", 16)]
)
def test_its_export_read_by_its_convention_gives_its_spikes(name: str, rounds: int, folder: Path) -> None:
    x, sent = load(folder, name)
    assert len(sent) == 2 and len(x) >= 50 and x.shape[1] >= 8
    for theirs in sent.values():
        assert (theirs > 0).any(axis=(0, 1)).mean() > 0.5 and not (theirs > 0).all()
    assert max(theirs.max() for theirs in sent.values()) > 1, "several spikes a step"
    graph = own(folder, name)
    assert [match.family for match in recognise(graph) if match.fits] == ["rockpool"]
    assert read_as(graph, "rockpool").metadata["neuro_deploy"]["dt"] == pytest.approx(DT, rel=1e-6)
    assert differing(run(graph, x, rounds), sent) == 0
    if rounds == 2:
        assert differing(run(graph, x), sent) > 0, "max_spikes_per_dt is not in the file"


def test_what_its_own_importer_takes_for_dt_is_another_number(folder: Path) -> None:
    """min(tau/(1 + r)) is dt only for dt much smaller than tau."""
    for node in (n for n in own(folder, "lif").nodes.values() if isinstance(n, nir.CubaLIF)):
        assert np.min(node.tau_mem / (1 + node.r)) < 0.99 * DT


@pytest.mark.parametrize("name", ["biased", "recurrent"])
def test_its_export_loses_biases_and_recurrent_weights(name: str, folder: Path) -> None:
    x, sent = load(folder, name)
    graph = own(folder, name)
    assert len(graph.nodes) == 6 and not any(np.any(n.v_leak) for n in graph.nodes.values() if hasattr(n, "v_leak"))
    assert differing(run(graph, x), sent) > 0


def test_what_its_export_cannot_do(folder: Path) -> None:
    notes = load_notes(folder)
    said = {name: entry["own"] for name, entry in notes.items() if entry["own"]}
    assert set(said) == {"trained synapse", "bitshift class"}
    assert "requires grad" in said["trained synapse"], "the tau of a synapse is written with its gradient"
    assert "NoneType" in said["bitshift class"], "subclasses of LIFTorch are not known"
