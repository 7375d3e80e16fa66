"""The whole road on real digits, small: train, export, compile, float, sim, Lava, compare, report."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy import proof
from neuro_deploy.cli import run
from neuro_deploy.demo import demo
from neuro_deploy.errors import BackendError, FileError
from neuro_deploy.files import read_input
from neuro_deploy.resources import resource_dir
from neuro_deploy.road import export_run, train_run
from neuro_deploy.trace import Trace

FACTORY = '''
"""A network of a user's own: unequal widths, two betas in a layer, a hard-reset LIF, no batch norm at the end."""
from collections import OrderedDict

import torch
from torch import nn

import neuro_deploy as nd


def make(*, steps: int, first: int) -> nn.Module:
    beta = torch.where(torch.arange(first) % 2 == 0, 0.95, 0.6)
    return nn.Sequential(OrderedDict(
        fc1=nn.Linear(64, first), bn1=nd.nn.BatchNorm(first), cf1=nd.nn.CirculateFire(beta, 1.0, 3, steps=steps),
        fc2=nn.Linear(first, 23), bn2=nd.nn.BatchNorm(23), lif2=nd.nn.LIF(0.7, 0.5, reset="hard", steps=steps),
        fc3=nn.Linear(23, 10), cf3=nd.nn.CirculateFire(0.85, 0.5, 4, steps=steps),
    ))
'''


def small(tmp_path: Path, **changes: str) -> Path:
    """The digits recipe with a few epochs."""
    text = (resource_dir("models") / "digits_mlp" / "recipe.toml").read_text()
    for old, new in {"epochs = 60": "epochs = 5", **changes}.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def lively(trace: Trace, graded: list[str]) -> None:
    """No vacuous equality: every population fires, and graded ones with 1, 2 and 3 spikes."""
    for name, recording in trace.populations.items():
        assert recording.data["spikes"].any(), name
    for name in graded:
        assert {1, 2, 3} <= set(np.unique(trace.populations[name].data["spikes"])), name


@pytest.mark.lava
def test_demo(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = demo(out, recipe="digits_mlp", lava_samples=60)
    verdict = result.verified.verdict
    assert verdict.passed and verdict.lava_samples == 60 and verdict.differing == 0
    assert verdict.exact is not None and verdict.exact.values > 60 * 8 * 202 * 3
    assert {v.variable for v in verdict.exact.exact} == {"spikes", "v", "h"}
    lively(result.verified.sim, ["cf1", "cf2", "cf3"])
    program = result.verified.program
    assert [p.latency for p in program.populations] == [1, 2, 3]
    assert all((p.params["bias_mant"] > 0).any() for p in program.populations[1:]), "deeper layers have biases"
    assert verdict.accuracy["float"] >= 0.975
    assert abs(verdict.accuracy["float"] - verdict.accuracy["sim"]) <= 0.01
    assert result.trained.accuracy == verdict.accuracy["float"]
    assert all(path.exists() for path in result.files.values())
    assert nd.load_program(result.files["chip program"]) == program
    assert "Passed" in result.files["report"].read_text(encoding="utf-8")


def test_demo_replaces_only_its_own_files(tmp_path: Path) -> None:
    recipe, out = str(small(tmp_path)), tmp_path / "demo"
    first = demo(out, recipe=recipe, lava_samples=0)
    again = demo(out, recipe=recipe, lava_samples=0)
    assert again.verified.program == first.verified.program, "a seed gives the same weights again"
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(FileError, match=r"thesis\.txt"):
        demo(out, recipe=recipe, lava_samples=0)
    assert (out / "thesis.txt").read_text() == "precious" and (out / "digits.nir").exists()
    with pytest.raises(FileError, match="not empty"):
        demo(tmp_path, recipe=recipe)


@pytest.mark.parametrize("first", [True, False], ids=["proof", "file"])
def test_an_export_that_is_not_proven_is_not_written(
    first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what is proven nor the file itself, which is read back before it takes the place of an older one."""
    train_run(str(small(tmp_path)), tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "net.nir")
    before = (tmp_path / "net.nir").read_bytes()
    write, calls = proof.write_nir, []

    def wrong(graph: nir.NIRGraph, path: Path) -> None:
        calls.append(path)
        graph = copy.deepcopy(graph)
        if first or len(calls) > 1:
            graph.nodes["fc2"].weight[3, 4] += np.float32(0.5 if first else 2**-20)
        write(graph, path)

    monkeypatch.setattr(proof, "write_nir", wrong)
    what = "cf2 does not give the model's" if first else "'fc2' read back is not what was proven"
    with pytest.raises(BackendError, match=f"not written.*{what}"):
        export_run(tmp_path / "run", tmp_path / "net.nir")
    assert (tmp_path / "net.nir").read_bytes() == before and len(calls) == 1 + (not first)


@pytest.mark.lava
def test_another_network_by_single_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unequal widths, two betas in a layer, a LIF, T = 5, a factory by import path, each by its command."""
    (tmp_path / "my_networks.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = small(tmp_path, **{"steps = 8": "steps = 5"}).read_text()
    head, _, rest = text.partition("[network.args]")
    tail = rest[rest.index("[training]") :]
    factory = head.replace("neuro_deploy.train.nets:mlp", "my_networks:make") + "[network.args]\nfirst = 37\n\n"
    Path("recipe.toml").write_text(factory + tail)

    def neuro_deploy(*arguments: str) -> None:
        assert run(arguments) == 0, capsys.readouterr().err

    neuro_deploy("train", "recipe.toml", "--out", "run")
    neuro_deploy("export", "run", "--nir", "net.nir")
    neuro_deploy("compile", "net.nir", "--target", "loihi2", "--out", "net.program.h5")
    for backend, source in (("sim", "net.program.h5"), ("lava", "net.program.h5"), ("lava-float", "net.nir")):
        trace = ["--out", f"{backend}.trace.h5", "--samples", "50", "--input", "run/test.npz", "--backend", backend]
        neuro_deploy("simulate", source, *trace)
    neuro_deploy("compare", "sim.trace.h5", "lava.trace.h5", "--report", "report.html")
    neuro_deploy("verify", "net.nir", "--input", "run/test.npz", "--lava-samples", "5", "--report", "verify.html")
    code = "import sys; from neuro_deploy.cli import main; main(sys.argv[1:])"
    fresh = ["simulate", "net.nir", "--input", "run/test.npz", "--backend", "reference", "--out", "float.trace.h5"]
    subprocess.run([sys.executable, "-c", code, *fresh], check=True, capture_output=True)

    sim, reference = nd.load_trace("sim.trace.h5"), nd.load_trace("float.trace.h5")
    lively(sim, ["cf1", "cf3"])
    assert sim.steps == 5 and list(sim.populations) == ["input", "cf1", "lif2", "cf3"]
    assert set(sim.populations["lif2"].data) == {"spikes", "v", "u"}
    program = nd.load_program("net.program.h5")
    assert len(np.unique(program.population("cf1").params["dv"])) == 2
    x, label = read_input("run/test.npz")
    assert label is not None and program.readout is not None
    whole = nd.simulate(program, x)
    float_accuracy = (program.readout.decide(reference) == label).mean()
    assert float_accuracy > 0.85
    assert abs(float_accuracy - (program.readout.decide(whole) == label).mean()) <= 0.01
    lava_float = nd.load_trace("lava-float.trace.h5")
    for name in ("cf1", "lif2", "cf3"):
        same = lava_float.aligned(name, "spikes") == reference.aligned(name, "spikes")[:, :50]
        assert same.mean() > 0.999, name
