"""A network of every kind at once goes the whole road: float, sim and Lava, 0 differences."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.cli import main
from neuro_deploy.road import verify_graph

ALL = ("spikes", "v", "h", "u")


def images(batch: int) -> np.ndarray:
    rng = np.random.default_rng(12)
    return (rng.integers(0, 17, (8, batch, 2, 8, 8)) * (rng.random((8, batch, 2, 8, 8)) < 0.7) / 16).astype(np.float32)


def run(*arguments: str) -> int:
    """A command's exit code."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


@pytest.mark.lava
def test_every_kind_at_once(tmp_path: Path) -> None:
    graph, x = networks.everything(), images(6)
    result = verify_graph(graph, "loihi2", x, np.zeros(6, np.int64))
    verdict, sim = result.verdict, result.sim
    assert verdict.passed and verdict.exact is not None and verdict.lava_samples == 6, verdict.sentence
    assert verdict.differing == 0 and verdict.exact.values > 100_000
    kinds = {p.kind for p in result.program.populations}
    assert kinds == {"cf", "lif", "li"}
    assert {s.kind for s in result.program.synapses} == {"dense", "sparse", "conv"}
    values = np.unique(np.concatenate([np.unique(r.data["spikes"]) for r in list(sim.populations.values())[1:]]))
    assert {-1, 0, 1, 2, 3} <= set(values.tolist())
    for p in result.program.populations:
        recording = sim.populations[p.name]
        assert (recording.data["v"] if p.kind == "li" else recording.data["spikes"]).any(), p.name
    assert any(s.source == s.target for s in result.program.synapses), "recurrent"
    assert any(s.delay for s in result.program.synapses), "skips and delays"
    assert set(verdict.witnesses) == {p.name for p in result.program.populations}
    assert sum("Lava's own" in text for text in verdict.witnesses.values()) >= 5
    assert result.program.readout is not None and result.program.readout.rule == "mean_v"


@pytest.mark.lava
def test_every_kind_by_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """verify, by the command line, with its report; the program's file keeps everything."""
    monkeypatch.chdir(tmp_path)
    nd.write_nir(networks.everything(), "net.nir")
    np.savez("x.npz", input=images(2), label=np.array([0, 1]))
    assert run("verify", "net.nir", "--input", "x.npz", "--report", "report.html") == 0
    assert run("compile", "net.nir", "--out", "net.program.h5", "--max-steps", "8") == 0
    assert run("inspect", "net.program.h5") == 0 and run("inspect", "net.nir") == 0
    program = nd.load_program("net.program.h5")
    assert program == nd.compile(nd.read_nir("net.nir"), max_steps=8)
    assert run("simulate", "net.program.h5", "--input", "x.npz", "--only", "out,cuba", "--out", "t.h5") == 0
    assert list(nd.load_trace("t.h5").populations) == ["cuba", "out"]
    assert run("margins", "net.program.h5", "--input", "x.npz") == 0


def test_no_synapse_is_idle() -> None:
    """A change of 2 in the weights of any synapse changes what the network does."""
    program, x = nd.compile(networks.everything()), images(6)
    before = nd.simulate(program, x, "sim", ALL)
    for index, synapse in enumerate(program.synapses):
        weight = np.where(synapse.weight != 0, synapse.weight - 2, 0)
        changed = list(program.synapses)
        changed[index] = type(synapse)(
            synapse.name,
            synapse.source,
            synapse.target,
            synapse.wiring.with_weight(weight),
            synapse.exponent,
            synapse.delay,
        )
        other = type(program)(
            program.target,
            program.dt,
            program.max_steps,
            program.encoders,
            program.populations,
            tuple(changed),
            None,
            False,
        )
        assert not nd.compare(before, nd.simulate(other, x, "sim", ALL)).equal, synapse.name
