"""torch -> NIR -> torch: the same spikes, every parameter kept."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import networks
import nir
import numpy as np
import pytest
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.graph import compose, read_graph
from neuro_deploy.neurons.observing import observe
from neuro_deploy.program import Readout
from neuro_deploy.proof import export_nir
from neuro_deploy.train.fold import fold


def model(seed: int = 0) -> nn.Module:
    """Unequal widths, two betas in a layer, signed and hard neurons, batch norm with statistics of its own."""
    torch.manual_seed(seed)
    beta = torch.where(torch.arange(15) % 2 == 0, 0.85, 0.7)
    net = nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(12, 15),
            bn1=nd.nn.BatchNorm(15),
            cf1=nd.nn.CirculateFire(
                beta, torch.linspace(0.6, 1.3, 15), 3, theta_reset=torch.linspace(1.1, 0.5, 15), drift=0.0625
            ),
            drop=nn.Dropout(0.3),
            fc2=nn.Linear(15, 11, bias=False),
            cf2=nd.nn.CirculateFire(0.8, 0.9, 2, polarity="signed", theta_neg=1.1, circulations_neg=1),
            fc3=nn.Linear(11, 9),
            lif3=nd.nn.LIF(0.75, 0.8, reset="hard", drift=torch.linspace(-0.1, 0.2, 9)),
            fc4=nn.Linear(9, 5),
            lif4=nd.nn.LIF(0.65, 0.7, reset="soft"),
        )
    )
    with torch.no_grad():
        net.bn1.running_mean.uniform_(-0.2, 0.3)
        net.bn1.running_var.uniform_(0.4, 1.6)
        net.bn1.weight.uniform_(1.5, 3.0)
        net.bn1.bias.uniform_(0.1, 0.6)
        for layer in (net.fc2, net.fc3, net.fc4):
            layer.weight.mul_(3.0)
    return net.eval()


class Skip(nn.Module):
    """A model of a user's own: a branch and a join by +."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.a = nn.Linear(12, 8)
        self.fire_a = nd.nn.CirculateFire(0.9, 0.5, 3)
        self.b = nn.Linear(8, 8)
        self.fire_b = nd.nn.CirculateFire(0.8, 0.5, 2)
        self.out = nn.Sequential(nn.Linear(8, 4), nd.nn.CirculateFire(0.7, 0.4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.fire_a(self.a(x))
        return self.out(first + self.fire_b(self.b(first)))


def spikes(net: nn.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad(), observe(net) as seen:
        net(torch.from_numpy(x))
    return {name: s.spikes.numpy() for name, s in seen.items()}


def test_same_spikes_and_potentials_after_the_file(tmp_path: Path) -> None:
    net, x = model(), networks.pixels(10, 40, 12)
    folded = fold(net)
    graph = export_nir(net, dt=0.003, input_shape=(12,), steps=10, input_low=0.0, input_high=1.0, input_quantum=1 / 16)
    nd.write_nir(graph, tmp_path / "m.nir")
    trace = nd.simulate(nd.read_nir(tmp_path / "m.nir"), x, "reference", ("spikes", "v", "h"))
    with torch.no_grad(), observe(folded.model) as seen:
        out = folded.model(torch.from_numpy(x)).numpy()
    assert list(seen) == ["cf1", "cf2", "lif3", "lif4"]
    for name, states in seen.items():
        for variable in ("spikes", "v", "h"):
            mine = trace.populations[name].data[variable]
            np.testing.assert_array_equal(mine, getattr(states, variable).numpy(), err_msg=f"{name}.{variable}")
        assert states.spikes.any(), name
    assert set(np.unique(seen["cf1"].spikes)) == {0, 1, 2, 3}
    assert set(np.unique(seen["cf2"].spikes)) == {-1, 0, 1, 2}
    again = nd.import_nir(tmp_path / "m.nir")
    with torch.no_grad():
        np.testing.assert_array_equal(again(torch.from_numpy(x)).numpy(), out)
    assert nir.read(tmp_path / "m.nir").nodes.keys() >= {"fc1", "cf1", "cf2", "lif3", "lif4"}


def test_every_parameter_is_kept() -> None:
    net = model()
    reading = read_graph(export_nir(net, dt=0.003, input_shape=(12,)))
    cf1, cf2 = reading.neurons["cf1"], reading.neurons["cf2"]
    np.testing.assert_array_equal(cf1.params["beta"], net.cf1.beta.numpy())
    np.testing.assert_array_equal(cf1.params["theta"], net.cf1.theta.numpy())
    np.testing.assert_array_equal(cf1.params["theta_reset"], net.cf1.theta_reset.numpy())
    np.testing.assert_array_equal(cf1.params["drift"], net.cf1.drift.numpy())
    np.testing.assert_array_equal(reading.neurons["lif3"].params["drift"], net.lif3.drift.numpy())
    assert [int(cf1.params[k]) for k in ("circulations", "circulations_neg")] == [3, 0]
    assert [int(cf2.params[k]) for k in ("circulations", "circulations_neg")] == [2, 1]
    np.testing.assert_array_equal(cf2.flat("theta_neg").astype(np.float32), np.full(11, 1.1, np.float32))
    assert reading.neurons["lif3"].kind == "lif" and reading.neurons["lif4"].kind == "cf"
    assert reading.dt == 0.003
    assert reading.readout is not None and reading.readout.population == "lif4"


def test_folding_is_the_same_function() -> None:
    """In float64 folding changes the drive by rounding only; a batch norm elsewhere is refused."""
    net = model()
    x = torch.rand(4, 6, 12)
    with torch.no_grad():
        before = net.bn1(net.fc1(x))
        after = fold(net).model.fc1(x)
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-6)
    assert not torch.equal(before, net.fc1(x))
    alone = nn.Sequential(nd.nn.CirculateFire(), nd.nn.BatchNorm(4))
    with pytest.raises(UnsupportedError, match="right behind a Linear"):
        fold(alone)
    shared = nn.Sequential(OrderedDict(fc=nn.Linear(4, 4), bn=nd.nn.BatchNorm(4)))
    assert [layer.name for layer in fold(shared).layers] == ["fc"]


def test_a_model_of_ones_own_goes_the_whole_road() -> None:
    net, x = Skip().eval(), networks.pixels(9, 30, 12, seed=2)
    graph = export_nir(net, dt=0.001, input_shape=(12,), input_low=0.0, input_high=1.0, input_quantum=1 / 16)
    trace = nd.simulate(graph, x, "reference")
    mine = spikes(net, x)
    for name, key in (("fire_a", "fire_a"), ("fire_b", "fire_b"), ("out.1", "out_1")):
        np.testing.assert_array_equal(mine[name], trace.populations[key].data["spikes"])
        assert mine[name].any()
    program = nd.compile(graph)
    assert {p.name: p.latency for p in program.populations} == {"fire_a": 1, "fire_b": 2, "out_1": 3}
    chip = nd.simulate(program, x)
    rates = [(trace.aligned(n, "spikes") == chip.aligned(n, "spikes")).mean() for n in ("fire_a", "fire_b", "out_1")]
    assert min(rates) > 0.9, rates


class Sums(nn.Module):
    """Three branches of different sizes of numbers: a float sum that depends on its order."""

    def __init__(self, order: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.z, self.y, self.a = nn.Linear(12, 9), nn.Linear(12, 9), nn.Linear(12, 9)
        self.n = nd.nn.CirculateFire(0.8, 0.3, 3)
        self.order = order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z, y, a = self.z(x), self.y(x), self.a(x)
        if self.order == "left":
            return self.n(z + y + a)
        if self.order == "right":
            return self.n(z + (y + a))
        return self.n((z + y) + (a + z))


@pytest.mark.parametrize("order", ["left", "right"])
def test_sums_keep_their_order(tmp_path: Path, order: str) -> None:
    net, x = Sums(order).eval(), networks.pixels(8, 50, 12)
    nd.write_nir(export_nir(net, dt=0.001, input_shape=(12,)), tmp_path / "s.nir")
    with torch.no_grad(), observe(net) as seen:
        net(torch.from_numpy(x))
    trace = nd.simulate(nd.read_nir(tmp_path / "s.nir"), x, "reference", ("spikes", "v"))
    np.testing.assert_array_equal(trace.populations["n"].data["v"], seen["n"].v.numpy())


def test_parallel_layers_between_two_populations_add_up() -> None:
    graph = export_nir(Sums("left").eval(), dt=0.001, input_shape=(12,))
    net = Sums("left")
    (synapse,) = compose(read_graph(graph)).synapses
    weight = sum(layer.weight.detach().double().numpy() for layer in (net.z, net.y, net.a))
    np.testing.assert_allclose(synapse.weight, weight, rtol=1e-12)


def test_what_would_change_the_network_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.n = nn.Linear(4, 4), nd.nn.CirculateFire()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.n(self.fc(self.fc(x)))

    class Scaled(Twice):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.n(torch.add(self.fc(x), x, alpha=3))

    class Louder(nd.nn.CirculateFire):
        def fire(self, h: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            s, v = super().fire(h, alpha)
            return 2 * s, v

    def refused(net: nn.Module, match: str, size: int = 4) -> None:
        with pytest.raises(UnsupportedError, match=match):
            export_nir(net, dt=0.001, input_shape=(size,))

    refused(Twice(), "fc: is called twice")
    refused(Scaled(), "add")
    refused(Sums("tree"), "adds two sums", 12)
    refused(nn.Sequential(nn.Linear(4, 4), Louder()), "Louder derives from a neuron")
    refused(nn.Sequential(nn.Linear(4, 4), nd.nn.BatchNorm(4, track_running_stats=False)), "no running statistics")
    refused(nn.Sequential(nn.Linear(4, 4).double(), nd.nn.CirculateFire()), "float64, and the file holds float32")
    broken = nn.Linear(4, 4)
    with torch.no_grad():
        broken.weight[1, 2] = torch.nan
    refused(nn.Sequential(broken, nd.nn.CirculateFire()), "0: weight holds 1 values that are NaN")
    for wrong in ({"dt": "0.001"}, {"input_shape": 4}, {"metadata": {"dt": 5.0}}):
        with pytest.raises(InputError):
            export_nir(nn.Sequential(nn.Linear(4, 4)), **{"dt": 0.001, "input_shape": (4,), **wrong})


def test_an_output_that_is_a_sum_needs_a_readout() -> None:
    """The decision of a sum is not that of one population: no silent choice."""

    class Sum(Skip):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = self.fire_a(self.a(x))
            return first + self.fire_b(self.b(first))

    with pytest.raises(UnsupportedError, match="sum of fire_a, fire_b"):
        export_nir(Sum(), dt=0.001, input_shape=(12,))
    graph = export_nir(Sum(), dt=0.001, input_shape=(12,), readout=Readout("fire_b"))
    reading = read_graph(graph)
    assert set(reading.outputs) == {"fire_a", "fire_b"} and reading.readout == Readout("fire_b")


def test_reference_runs_in_a_fresh_process(tmp_path: Path) -> None:
    """A process that never saw the model gives the same trace from the file alone."""
    net, x = model(3), networks.pixels(8, 25, 12, seed=4)
    nd.write_nir(export_nir(net, dt=0.003, input_shape=(12,)), tmp_path / "m.nir")
    np.savez(tmp_path / "x.npz", input=x)
    command = ["simulate", "m.nir", "--input", "x.npz", "--backend", "reference", "--out", "t.trace.h5"]
    run = "import sys; from neuro_deploy.cli import main; main(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", run, *command], cwd=tmp_path, check=True, capture_output=True)
    trace = nd.load_trace(tmp_path / "t.trace.h5")
    mine = spikes(fold(net).model, x)
    for name, values in mine.items():
        np.testing.assert_array_equal(trace.populations[name].data["spikes"], values)
        assert values.any()


def test_what_cannot_be_exported_is_named() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.act = nn.GELU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.act(self.fc(x)), x], dim=-1) * 2

    with pytest.raises(UnsupportedError) as caught:
        export_nir(Sum(), dt=0.001, input_shape=(4,))
    assert "cat" in str(caught.value) and "mul" in str(caught.value)
    with pytest.raises(UnsupportedError, match="GELU"):
        export_nir(nn.Sequential(nn.Linear(4, 4), nn.GELU()), dt=0.001, input_shape=(4,))
    with pytest.raises(UnsupportedError, match="RNN is not supported"):
        export_nir(nn.Sequential(nn.RNN(4, 4)), dt=0.001, input_shape=(4,))
    with pytest.raises(UnsupportedError, match=r"use neuro_deploy\.nn\.BatchNorm"):
        export_nir(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), dt=0.001, input_shape=(4,))
    with pytest.raises(InputError, match="both input_low and input_high"):
        export_nir(model(), dt=0.001, input_shape=(12,), input_low=-1.0)
    with pytest.raises(InputError, match="does not accept"):
        export_nir(model(), dt=0.001, input_shape=(13,))
    with pytest.raises(InputError, match="dt"):
        export_nir(model(), dt=0.0, input_shape=(12,))
    mixed = nd.nn.CirculateFire(torch.tensor([0.9, 1.0, 0.8, 1.0]))
    with pytest.raises(UnsupportedError, match="mixes 1"):
        export_nir(mixed, dt=0.001, input_shape=(4,))


def test_an_integrator_is_exported() -> None:
    torch.manual_seed(6)
    net = nn.Sequential(nn.Linear(6, 4), nd.nn.CirculateFire(1.0, 0.7, 3)).eval()
    x = networks.pixels(6, 10, 6)
    graph = export_nir(net, dt=0.004, input_shape=(6,))
    assert isinstance(graph.nodes["1"].nodes["membrane"], nir.I)
    np.testing.assert_array_equal(
        spikes(net, x)["1"], nd.simulate(graph, x, "reference").populations["1"].data["spikes"]
    )


def test_a_flattened_input_reaches_the_file(tmp_path: Path) -> None:
    """The node of a Flatten knows its input's shape: without it stock nir cannot write the file."""
    net = nn.Sequential(nn.Flatten(2), nn.Linear(12, 4), nd.nn.LIF(0.75, 0.2)).eval()
    nd.write_nir(nd.export_nir(net, dt=0.001, input_shape=(3, 4)), tmp_path / "flat.nir")
    x = torch.rand(5, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(nd.import_nir(tmp_path / "flat.nir")(x), net(x))


def test_a_model_of_another_framework_is_sent_to_its_adapter() -> None:
    snntorch = pytest.importorskip("snntorch", reason="the frameworks are not installed (tests/frameworks.txt)")

    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(4, 3), snntorch.Leaky(beta=0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            spikes, _ = self.lif(self.fc(x))
            return spikes if spikes.sum() > 0 else x

    with pytest.raises(UnsupportedError, match=r"it holds neurons of snntorch: use nd\.from_snntorch; or build it of"):
        export_nir(Theirs(), dt=0.001, input_shape=(4,))
