"""What design section 5 promises: each kind of addition touches one place, and the whole road runs through it.

A copy of the package gets a neuron kind, a backend, a dataset and a target as files plus their names in the tuples;
a script then takes a network of them from training to Lava in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import networks
import nir
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.graph import compose, nodes, read_graph

ROOT = Path(__file__).resolve().parent.parent
ADDITIONS = Path(__file__).resolve().parent / "additions"

SCRIPT = """
import numpy as np, torch
from torch import nn
import neuro_deploy as nd
from neuro_deploy.neurons import part
from neuro_deploy.train.datasets import load_dataset
from neuro_deploy.proof import export_nir

data = load_dataset("bars")
x, label = data.test_input(5)
torch.manual_seed(0)
relay = part("relay", "torch").MODULE
net = nn.Sequential(nn.Linear(6, 9), relay(0.2), nn.Linear(9, 4), nd.nn.CirculateFire(0.75, 0.2, 3)).eval()
graph = export_nir(net, dt=0.001, input_shape=data.shape, input_low=data.input_low, input_high=data.input_high,
                   input_quantum=data.input_quantum)
nd.write_nir(graph, "net.nir")
graph = nd.read_nir("net.nir")
program = nd.compile(graph, target="tiny")
assert program.target == "tiny" and program.populations[0].kind == "relay"
nd.save_program(program, "net.program.h5")
program = nd.load_program("net.program.h5")
reference = nd.simulate(graph, x, "reference")
sim, lava = nd.simulate(program, x, "sim"), nd.simulate(program, x, "lava", samples=4)
assert reference.populations["1"].data["spikes"].any() and sim.populations["1"].data["spikes"].any()
result = nd.compare(sim, lava)
assert result.equal, result.summary()
assert not nd.simulate(program, x, "silence").populations["3"].data["spikes"].any()
chip = nd.to_chip(graph, net, "tiny")
nd.nn.rate_cross_entropy(chip(torch.from_numpy(x)), torch.from_numpy(label)).backward()
torch.optim.SGD(chip.parameters(), lr=1.0).step()
assert chip.weights["0"].grad.any() and chip.program() != program
assert nd.compile(nd.export_nir(chip, sample=x), target="tiny", exact=True) == chip.program()
"""


@pytest.mark.lava
def test_a_neuron_kind_a_backend_a_dataset_and_a_target(tmp_path: Path) -> None:
    package = tmp_path / "neuro_deploy"
    shutil.copytree(ROOT / "neuro_deploy", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", tmp_path / "models")
    shutil.copytree(ROOT / "hardware", tmp_path / "hardware")
    shutil.copytree(ADDITIONS / "relay", package / "neurons" / "relay")
    shutil.copy(ADDITIONS / "silence.py", package / "backends" / "silence.py")
    shutil.copy(ADDITIONS / "bars.py", package / "train" / "datasets" / "bars.py")
    tiny = (ROOT / "hardware" / "loihi2.toml").read_text().replace('name = "loihi2"', 'name = "tiny"')
    (tmp_path / "hardware" / "tiny.toml").write_text(tiny)
    for path, old, new in (
        (package / "neurons" / "__init__.py", '("cf", "lif", "li")', '("cf", "lif", "li", "relay")'),
        (package / "backends" / "__init__.py", '"lava-float")', '"lava-float", "silence")'),
        (package / "train" / "datasets" / "__init__.py", '("digits", "mnist1d")', '("digits", "bars")'),
    ):
        text = path.read_text()
        assert text.count(old) == 1, path
        path.write_text(text.replace(old, new))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    script = "import neuro_deploy, os; assert neuro_deploy.__file__.startswith(os.environ['PYTHONPATH'])\n"
    done = subprocess.run(
        [sys.executable, "-c", script + textwrap.dedent(SCRIPT)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@dataclass(eq=False)
class Half(nir.ir.node.NIRNode):
    """A made-up primitive: y = x / 2."""

    def __post_init__(self) -> None:
        self.input_type = self.output_type = {"input": None}
        self.metadata = {}


def test_a_nir_primitive(monkeypatch: pytest.MonkeyPatch) -> None:
    """One registered function, and reading, `reference` and `compile` know it."""
    monkeypatch.setattr(nodes, "_READERS", dict(nodes._READERS))
    graph = networks.chain()
    graph.nodes["half"] = Half()
    graph.edges = [e for e in graph.edges if e != ("fc2", "cf2")] + [("fc2", "half"), ("half", "cf2")]
    with pytest.raises(nd.NeuroDeployError, match="Half is not supported"):
        read_graph(graph)
    nodes.reads(Half)(lambda node, dt: nodes.Diagonal(np.asarray(0.5)))
    plain = compose(read_graph(networks.chain())).synapses[1]
    halved = compose(read_graph(graph)).synapses[1]
    np.testing.assert_array_equal(halved.weight, plain.weight / 2)
    x = networks.pixels(6, 4, 12)
    assert nd.simulate(graph, x, "reference").populations["cf2"].data["spikes"].any()
    assert nd.simulate(nd.compile(graph), x, "sim").populations["cf2"].data["spikes"].any()


def test_an_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function and its name in ARCHITECTURES, and a recipe can name it."""
    from torch import nn

    from neuro_deploy.train import load_recipe, nets
    from neuro_deploy.train.datasets import data_of

    def single(steps: int, alpha: float) -> nn.Module:
        return nn.Sequential(nn.Linear(64, 10), nd.nn.CirculateFire(steps=steps, alpha=alpha))

    recipe = load_recipe("digits_mlp", ["network.factory=single", "network.args={alpha = 2.5}"])
    with pytest.raises(nd.NeuroDeployError, match="unknown architecture 'single'"):
        nets.build(recipe, data_of(recipe))
    monkeypatch.setattr(nets, "ARCHITECTURES", {**nets.ARCHITECTURES, "single": single})
    assert nets.build(recipe, data_of(recipe))[1].alpha.shape == (recipe.network.steps,)
