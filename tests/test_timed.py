"""Layers over time: each step as torch computes it, recurrence as a loop, and what export says to the others."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neuro_deploy as nd
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.graph import read_graph
from neuro_deploy.neurons.observing import observe
from neuro_deploy.train.fold import fold


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (nd.nn.Conv1d(3, 4, 3, 2, 1, bias=False), nn.Conv1d(3, 4, 3, 2, 1, bias=False), (3, 9)),
        (nd.nn.Conv2d(2, 5, (3, 2), groups=1), nn.Conv2d(2, 5, (3, 2)), (2, 6, 7)),
        (nd.nn.AvgPool2d(2, 1, 1), nn.AvgPool2d(2, 1, 1), (3, 5, 4)),
        (nd.nn.SumPool2d((2, 3)), nn.AvgPool2d((2, 3), divisor_override=1), (3, 6, 6)),
    ],
)
def test_each_step_is_torchs(ours: nn.Module, theirs: nn.Module, shape: tuple[int, ...]) -> None:
    theirs.load_state_dict(ours.state_dict())
    x = drawn(5, 3, *shape)
    torch.testing.assert_close(ours(x), torch.stack([theirs(step) for step in x]))
    with pytest.raises(InputError, match=r"expected an input of shape \(T, B, C, "):
        ours(x[0])


def test_delay() -> None:
    x = drawn(4, 2, 3)
    assert torch.equal(nd.nn.Delay(1)(x), torch.cat([torch.zeros(1, 2, 3), x[:3]]))
    assert torch.equal(nd.nn.Delay(3)(x)[3], x[0]) and not nd.nn.Delay(9)(x).any()


def recurrent(delay: int, seed: int = 0) -> nn.Sequential:
    """Recurrence whose back connection has a bias, behind a layer that is a sum of two."""
    torch.manual_seed(seed)
    neuron = nd.nn.CirculateFire(torch.linspace(0.6, 0.9, 7), 0.4, 3)
    return nn.Sequential(nn.Linear(5, 7), nd.nn.Recurrent(neuron, nn.Linear(7, 7), delay), nn.Linear(7, 3), nd.nn.LIF())


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_recurrence_is_a_loop(delay: int) -> None:
    """Against the equations, written down once more; a step more or less gives other spikes."""
    net, x = recurrent(delay).double(), drawn(9, 4, 5).double()
    layer, drive = net[1], net[0](x)
    v, sent = torch.zeros(4, 7).double(), [torch.zeros(4, 7).double()] * delay
    for t in range(9):
        h = layer.neuron.beta * v + (drive[t] + layer.back(sent[t]))
        s = sum((h > k * layer.neuron.theta).double() for k in (1, 2, 3))
        v = h - layer.neuron.theta * s
        sent.append(s)
    with torch.no_grad():
        assert torch.equal(layer(drive), torch.stack(sent[delay:]))
        other = recurrent(delay + 1).double()
        assert not torch.equal(layer(drive), other[1](drive))


@pytest.mark.parametrize("delay", [1, 3])
def test_recurrence_goes_to_nir(delay: int) -> None:
    net = recurrent(delay).eval()
    x = drawn(9, 4, 5).numpy()
    graph = nd.export_nir(net, dt=0.002, input_shape=(5,), sample=x)
    assert ("1_back", "1_neuron") in graph.edges
    if delay == 1:
        assert ("1_neuron", "1_back") in graph.edges and "1_delay" not in graph.nodes
    else:
        np.testing.assert_allclose(graph.nodes["1_delay"].delay, np.full(7, 0.006))
        assert {("1_neuron", "1_delay"), ("1_delay", "1_back")} <= set(graph.edges)
    with torch.no_grad(), observe(net) as seen:
        net(torch.from_numpy(x))
    trace = nd.simulate(graph, x, "reference", ("spikes", "v"))
    np.testing.assert_array_equal(trace.populations["1_neuron"].data["v"], seen["1.neuron"].v.numpy())
    assert set(np.unique(seen["1.neuron"].spikes)) == {0, 1, 2, 3}


def test_recurrence_of_images_and_of_sums() -> None:
    """A loop of convolutions, entered by two layers, exports; so does a Delay of its own."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.a, self.b, self.late = nd.nn.Conv2d(2, 3, 3, padding=1), nd.nn.Conv2d(2, 3, 1), nd.nn.Delay(2)
            self.loop = nd.nn.Recurrent(nd.nn.CirculateFire(0.8, 0.3, 2), nd.nn.Conv2d(3, 3, 3, padding=1))
            self.flat, self.fc, self.out = nn.Flatten(2), nn.Linear(60, 4), nd.nn.CirculateFire(0.9, 0.1, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.fc(self.flat(self.loop(self.a(x) + self.b(self.late(x))))))

    x = (torch.randint(0, 5, (6, 3, 2, 4, 5), generator=torch.Generator().manual_seed(0)) / 4).numpy()
    graph = nd.export_nir(Net().eval(), dt=0.001, input_shape=(2, 4, 5), input_low=0.0, input_high=1.0, sample=x)
    assert {type(graph.nodes[n]) for n in ("loop_back", "late")} == {nir.Conv2d, nir.Delay}
    program = nd.compile(graph, max_steps=6)
    sim = nd.simulate(program, x, "sim")
    assert all(sim.populations[p.name].data["spikes"].any() for p in program.populations)


def test_a_recurrent_layer_explains_mistakes() -> None:
    fire = nd.nn.CirculateFire()
    for build, message in (
        (lambda: nd.nn.Recurrent(nd.nn.Integrator(), nn.Linear(3, 3)), "must be a spiking population, got Integrator"),
        (lambda: nd.nn.Recurrent(fire, nn.Sequential(nn.Linear(3, 3))), "back must be a Linear, .*got Sequential"),
        (lambda: nd.nn.Recurrent(fire, nn.Linear(3, 4))(drawn(2, 2, 3)), r"back gives \(4,\), not \(3,\)"),
        (lambda: nd.nn.Recurrent(nd.nn.LIF(steps=4), nn.Linear(3, 3))(drawn(2, 2, 3)), "T = 4"),
        (lambda: nd.nn.Delay(True), "whole number"),
    ):
        with pytest.raises(InputError, match=message):
            build()


@pytest.mark.parametrize("kind", ["1d", "2d"])
def test_a_batch_norm_folds_into_a_convolution(kind: str) -> None:
    torch.manual_seed(0)
    conv = nd.nn.Conv1d(3, 4, 3, 2, 1, bias=False) if kind == "1d" else nd.nn.Conv2d(3, 4, 3, padding=1)
    net = nn.Sequential(conv, nd.nn.BatchNorm(4), nd.nn.CirculateFire(0.9, 0.5, 2))
    x = drawn(6, 5, 3, *((9,) if kind == "1d" else (5, 6)))
    nn.init.uniform_(net[1].weight, 0.5, 2.0)
    nn.init.uniform_(net[1].bias, -1.0, 1.0)
    with torch.no_grad():
        net(x)
        before, folded = net.eval()[:2](x), fold(net).model
        torch.testing.assert_close(folded[0](x), before)
        assert not torch.allclose(net[0](x), before, atol=0.1)


class Mine(nd.nn.Conv2d):
    """A layer of a user's own."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Product(nn.Module):
    """Gates by a product."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fire = nn.Linear(4, 4), nn.Linear(4, 4), nd.nn.LIF()

    def forward(self, x: Tensor) -> Tensor:
        return self.fire(self.a(x) * self.b(x).reshape(1).sum())


REFUSED = {
    "Conv2d takes no time axis.*use neuro_deploy.nn.Conv2d": nn.Sequential(nn.Conv2d(1, 2, 3), nd.nn.LIF()),
    "Conv1d takes no time axis.*use neuro_deploy.nn.Conv1d": nn.Sequential(nn.Conv1d(1, 2, 3), nd.nn.LIF()),
    "MaxPool2d has no node in NIR.*use AvgPool2d or SumPool2d": nn.Sequential(nn.MaxPool2d(2), nd.nn.LIF()),
    "LSTM is not supported.*use neuro_deploy.nn.Recurrent": nn.Sequential(nn.LSTM(4, 4)),
    "LayerNorm needs the mean": nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nd.nn.LIF()),
    "MultiheadAttention multiplies.*TokenAttention": nn.Sequential(nn.MultiheadAttention(4, 2)),
    "Mine derives from a layer": nn.Sequential(Mine(1, 2, 3), nd.nn.LIF()),
    "padding_mode 'circular'; NIR pads with zeros": nn.Sequential(
        nd.nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nd.nn.LIF()
    ),
    "'mul' is not a module or an addition.*neuro_deploy.nn.Gate": Product(),
    r"'reshape' is not a module or an addition.*Flatten\(2\)": Product(),
    "'sum' is not a module or an addition.*SumPool2d": Product(),
    "batch norm of 2 channels behind 3 outputs of 0": nn.Sequential(
        nd.nn.Conv2d(1, 3, 1), nd.nn.BatchNorm(2), nd.nn.LIF()
    ),
    "batch norm that does not follow a linear layer or convolution": nn.Sequential(
        nd.nn.Conv2d(1, 3, 1), nd.nn.AvgPool2d(2), nd.nn.BatchNorm(3), nd.nn.LIF()
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_kept_is_refused_by_name(message: str) -> None:
    with pytest.raises(UnsupportedError, match=f"(?s){message}"):
        nd.export_nir(REFUSED[message], dt=0.001, input_shape=(1, 4, 4))


def test_a_loop_keeps_its_place_in_the_reading() -> None:
    reading = read_graph(nd.export_nir(recurrent(1).eval(), dt=0.001, input_shape=(5,)))
    late = {node.name: node.late for node in reading.nodes if node.late}
    assert late == {"1_neuron": ("1_back",)}
