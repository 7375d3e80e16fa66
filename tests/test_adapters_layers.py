"""torch's own layers and chains of them: converted with nothing lost, or refused by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.adapters.chain import About, Family, build
from neuro_deploy.adapters.layers import Fragment, Kept, Scale, layer_node, module_of, per_neuron
from neuro_deploy.adapters.norms import by_steps
from neuro_deploy.errors import InputError, UnsupportedError
from neuro_deploy.graph import read_graph
from neuro_deploy.graph.nodes import read_node
from neuro_deploy.neurons import spec
from neuro_deploy.neurons.base import FloatNeuron
from neuro_deploy.program import Readout


class Spike(nn.Module):
    """Neurons of a framework that this test invents."""

    def __init__(self, beta: float, theta: float, gain: float = 1.0) -> None:
        super().__init__()
        self.beta, self.theta, self.gain = beta, theta, gain
        self.v: torch.Tensor | float = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.beta * self.v + self.gain * x
        spikes = (h > self.theta).float()
        self.v = h * (1 - spikes)
        return spikes

    def to_rest(self) -> None:
        self.v = 0.0


class Odd(nn.Module):
    """Neurons of it that are not kept."""


class Row(nn.Sequential):
    """A container of it, with tensors (B, ...) inside."""


def _spike(module: Spike, shape: tuple[int, ...], dt: float) -> Fragment:
    neuron = FloatNeuron("lif", shape, {"beta": np.asarray(module.beta), "theta": np.asarray(module.theta)})
    gain = np.asarray(module.gain, np.float64) if module.gain != 1 else None
    return Fragment.row(("", spec("lif").write(neuron, dt)), gain=gain)


def _run(module: Spike, x: torch.Tensor, leading: int) -> torch.Tensor:
    return by_steps(module, x, 1)


KINDS = MappingProxyType({"Spike": Kept("exact: lif", _spike), "Odd": Kept("refused: it is odd", None, "use Spike")})
FAMILY = Family(__name__.split(".")[0], KINDS, {"Row": 1}, run=_run, reset=lambda module: module.to_rest())


def converted(model: nn.Module, shape: tuple[int, ...], **options: Any) -> nir.NIRGraph:
    layers, leading = options.pop("layers", None), options.pop("leading", 1)
    return build(model.eval(), FAMILY, About(0.002, shape, **options), layers, leading)


def alone(graph: nir.NIRGraph) -> nn.Module:
    """The graph without its last neurons, in our reference."""
    *_, layer, _neurons, _output = [n.name for n in read_graph(graph).nodes]
    edges = [(a, b) for a, b in graph.edges if b in (layer,)] + [(layer, "output")]
    nodes = {name: graph.nodes[name] for name in ("input", layer, "output")}
    return nd.import_nir(nir.NIRGraph(nodes, edges, type_check=False), dt=0.002)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(7, 5), (7,)),
    "linear without bias": (lambda: nn.Linear(7, 5, bias=False), (7,)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), (4, 11)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2), (4, 9, 8)),
    "conv2d same": (lambda: nn.Conv2d(2, 3, (4, 3), padding="same"), (2, 6, 7)),
    "conv2d valid, no bias": (lambda: nn.Conv2d(2, 3, 3, padding="valid", bias=False), (2, 6, 7)),
    "mean": (lambda: nn.AvgPool2d((2, 3), (2, 1), (1, 1)), (2, 6, 7)),
    "mean without padding": (lambda: nn.AvgPool2d(2, count_include_pad=False), (2, 6, 7)),
    "sum": (lambda: nn.AvgPool2d(3, 2, 1, divisor_override=1), (2, 6, 7)),
    "flatten": (lambda: nn.Flatten(), (2, 3, 4)),
    "flatten a part": (lambda: nn.Flatten(2, 3), (2, 3, 4, 5)),
    "scale": (lambda: Scale(torch.linspace(0.5, 1.7, 6)), (6,)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_node_and_becomes_a_layer_again(name: str) -> None:
    """Layer -> node -> reference, and layer -> node -> operation -> module: the same numbers as torch."""
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    layer = make().eval()
    node = layer_node(layer, shape)
    operation = read_node("x", node, 0.002)
    x = torch.randint(0, 3, (5, 8, *shape)).float()
    with torch.no_grad():
        expected = torch.stack([layer(step) for step in x])
        torch.testing.assert_close(
            alone(converted(nn.Sequential(layer, Spike(0.5, 0.5)), shape))(x), expected, rtol=1e-6, atol=1e-6
        )
        back = module_of(operation).eval()
        torch.testing.assert_close(torch.stack([back(step) for step in x]), expected, rtol=1e-6, atol=1e-6)
    again = layer_node(back, shape)
    assert type(again) is type(node)
    if name != "conv2d same":  # its even kernel gets a tap of zero, and numbers for its padding
        for key, value in vars(node).items():
            if isinstance(value, (np.ndarray, int, float, tuple)):
                np.testing.assert_array_equal(np.asarray(getattr(again, key)), np.asarray(value), err_msg=key)


def test_flatten_counts_the_leading_axes() -> None:
    node = layer_node(nn.Flatten(3, -1), (2, 3, 4), leading=2)
    assert (node.start_dim, node.end_dim) == (1, -1)
    node = layer_node(nn.Flatten(-2, -1), (2, 3, 4))
    assert (node.start_dim, node.end_dim) == (1, -1)
    for start, leading in ((0, 1), (1, 2), (-4, 1)):
        with pytest.raises(UnsupportedError, match="joins"):
            layer_node(nn.Flatten(start), (2, 3, 4), leading)


def test_a_chain_is_nested_named_and_told(tmp_path: Any) -> None:
    torch.manual_seed(1)
    block = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), fire=Spike(0.8, 0.3), drop=nn.Dropout(0.4)))
    model = nn.Sequential(block, Row(nn.Flatten(), nn.Linear(18, 4)), nn.Identity(), Spike(0.7, 0.2))
    graph = converted(model, (1, 5, 5), steps=9, input_low=-1.0, input_high=2.0, input_quantum=0.25)
    nd.write_nir(graph, tmp_path / "chain.nir")
    reading = read_graph(nd.read_nir(tmp_path / "chain.nir"))
    assert [n.name for n in reading.nodes] == ["input", "0_conv", "0_fire", "1_0", "1_1", "3", "output"]
    assert reading.neurons["0_fire"].shape == (2, 3, 3)
    assert (reading.dt, reading.steps, reading.readout) == (0.002, 9, Readout("3", "spike_count"))
    assert reading.input_range is not None
    assert (reading.input_range.low, reading.input_range.high, reading.input_range.quantum) == (-1.0, 2.0, 0.25)


class Loop(nn.Module):
    """A time loop of its own, as most code has it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(4, 3), Spike(0.6, 0.3), nn.Linear(3, 2), Spike(0.5, 0.4)


def test_layers_are_named_in_order() -> None:
    model = Loop()
    graph = converted(model, (4,), layers=["fc1", "lif1", "fc2", "lif2"])
    assert ("lif1", "fc2") in graph.edges and graph.nodes["lif2"].v_threshold[0] == np.float32(0.4)
    with pytest.raises(InputError, match="name its submodules in order"):
        converted(model, (4,))
    with pytest.raises(InputError, match="no submodule 'fc3'"):
        converted(model, (4,), layers=["fc1", "fc3"])
    with pytest.raises(UnsupportedError, match=r"fc2: is part of the model.*\n.*lif2: is part"):
        converted(model, (4,), layers=["fc1", "lif1"])
    with pytest.raises(UnsupportedError, match="lif1: is the same neurons as lif1"):
        converted(model, (4,), layers=["fc1", "lif1", "lif1", "fc2", "lif2"])


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", ["linear", "conv1d", "conv2d"])
def test_batch_norm_is_folded(kind: str, affine: bool) -> None:
    torch.manual_seed(4)
    layer, norm, shape = {
        "linear": (nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5, eps=0.02, affine=affine), (6,)),
        "conv1d": (nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5, eps=0.02, affine=affine), (2, 7)),
        "conv2d": (nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5, eps=0.02, affine=affine), (2, 6, 5)),
    }[kind]
    with torch.no_grad():
        norm.running_mean.uniform_(-0.4, 0.4)
        norm.running_var.uniform_(0.4, 1.6)
        for p in norm.parameters():
            p.uniform_(0.5, 1.5)
    model = nn.Sequential(layer, norm).eval()
    x = torch.randn(4, 8, *shape)
    with torch.no_grad():
        expected = torch.stack([model(step) for step in x])
        assert (expected - torch.stack([layer(step) for step in x])).abs().max() > 0.1
        graph = converted(nn.Sequential(model, Spike(0.5, 0.5)), shape)
        torch.testing.assert_close(alone(graph)(x), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UnsupportedError, match="is in training mode"):
        build(nn.Sequential(layer, norm, Spike(0.5, 0.5)).train(), FAMILY, About(0.002, shape))


def test_everything_that_is_not_kept_is_named_at_once() -> None:
    wide = nn.Linear(8, 4).double()
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2, ceil_mode=True, padding=1, count_include_pad=False, divisor_override=3),
        Odd(),
        nn.BatchNorm2d(2),
        nn.GELU(),
        nn.Flatten(0),
        wide,
    )
    with pytest.raises(UnsupportedError) as caught:
        build(model.eval(), FAMILY, About(0.002, (1, 8, 8)))
    text = str(caught.value)
    for part in ("BatchNorm2d does not follow", "padding_mode 'circular'", "MaxPool2d is not supported", "GELU"):
        assert part in text
    for part in ("it is odd", "7.weight: is torch.float64"):
        assert part in text
    with pytest.raises(UnsupportedError) as caught:
        layer_node(model[2], (2, 6, 6))
    assert [v.what.split(",")[0] for v in caught.value.violations] == [
        "ceil_mode=True",
        "count_include_pad=False",
        "divisor_override",
    ]


def test_what_would_run_otherwise_is_refused() -> None:
    def refused(model: nn.Module, match: str, shape: tuple[int, ...] = (4,), **options: Any) -> None:
        with pytest.raises(UnsupportedError, match=match):
            build(model, FAMILY, About(0.002, shape, **options))

    class Louder(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    refused(nn.Sequential(Louder(4, 4), Spike(0.5, 0.5)), "Louder is not supported")
    refused(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), Spike(0.5, 0.5)), "1: drops values in training mode")
    refused(nn.Sequential(nn.Linear(5, 4), Spike(0.5, 0.5)), r"0: weight \(4, 5\) does not fit")
    refused(nn.Sequential(Spike(0.5, 0.5), nn.Linear(4, 4)), "nothing decides")
    broken = nn.Linear(4, 4)
    with torch.no_grad():
        broken.weight[1, 2] = torch.inf
    refused(nn.Sequential(broken, Spike(0.5, 0.5)), "0: its parameters hold values that are NaN or infinite")
    model = nn.Sequential(nn.Linear(4, 4), Spike(0.5, 0.5))
    for wrong in ({"dt": 0.0}, {"input_shape": 4}, {"input_low": 1.0}):
        with pytest.raises(InputError):
            build(model, FAMILY, About(**{"dt": 0.002, "input_shape": (4,), **wrong}))


def test_a_name_is_given_once() -> None:
    """Also to the Scale of a population's gain: the user's module of that name stays."""
    model = nn.Sequential(OrderedDict(fire_gain=nn.Linear(4, 4), fire=Spike(0.5, 0.5, gain=2.0))).eval()
    with pytest.raises(UnsupportedError, match="fire: two nodes would have the name fire_gain"):
        converted(model, (4,))
    named = nn.Sequential(OrderedDict(fc=nn.Linear(4, 4), fire=Spike(0.5, 0.5, gain=2.0))).eval()
    assert list(converted(named, (4,)).nodes) == ["input", "fc", "fire_gain", "fire", "output"]


def test_a_module_of_another_class_is_no_layer() -> None:
    with pytest.raises(UnsupportedError, match="Sequential is not a layer that is kept"):
        layer_node(nn.Sequential(nn.Linear(4, 4)), (4,))


def test_parameters_fit_their_population() -> None:
    assert per_neuron(torch.tensor([[1.0, 2.0]]), (2,), "beta").shape == (2,)
    assert per_neuron(torch.tensor([0.5]), (3,), "beta").shape == ()
    assert per_neuron(np.ones((2, 1, 1)), (2, 3, 4), "beta").shape == (2, 3, 4)
    with pytest.raises(UnsupportedError, match=r"beta of shape \(3,\)"):
        per_neuron(torch.ones(3), (2,), "beta")
