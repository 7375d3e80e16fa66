"""A conversion runs the model beside its graph: planted faults are found and named, float ties are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import nir
import numpy as np
import pytest
import torch
from test_adapters_layers import FAMILY, KINDS, Spike
from torch import nn

import neuro_deploy as nd
from neuro_deploy.adapters.chain import About, build
from neuro_deploy.adapters.layers import Fragment, Kept, Scale
from neuro_deploy.errors import BackendError, InputError
from neuro_deploy.graph import read_graph
from neuro_deploy.graph.digest import digest_of
from neuro_deploy.graph.told import metadata_of
from neuro_deploy.neurons import spec
from neuro_deploy.neurons.base import FloatNeuron


def network(cls: type[Spike] = Spike, n: int = 50) -> nn.Sequential:
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, n), cls(0.7, 0.4), nn.Linear(n, 5), Spike(0.6, 0.3))
    with torch.no_grad():
        model[0].weight.mul_(2)
        model[2].weight.mul_(3)
    return model.eval()


def converted(model: nn.Module, convert: Callable[..., Fragment] | None = None, **about: Any) -> nir.NIRGraph:
    kinds = KINDS if convert is None else MappingProxyType({**KINDS, "Spike": Kept("exact: lif", convert)})
    family = replace(FAMILY, neurons=MappingProxyType({**kinds, "Tied": kinds["Spike"], "Deaf": kinds["Spike"]}))
    return build(model, family, About(0.002, (6,), **about))


def with_params(**params: float) -> Callable[..., Fragment]:
    """A converter that writes one of the parameters wrongly."""

    def convert(module: Spike, shape: tuple[int, ...], dt: float) -> Fragment:
        values = {"beta": module.beta, "theta": module.theta, **params}
        neuron = FloatNeuron("lif", shape, {k: np.asarray(v, np.float32) for k, v in values.items()})
        return Fragment.row(("", spec("lif").write(neuron, dt)))

    return convert


def test_what_was_run_is_in_the_file_and_bound_to_it(tmp_path: Any) -> None:
    graph = converted(network(), steps=40, input_low=-0.5, input_high=1.0)
    nd.write_nir(graph, tmp_path / "x.nir")
    told = metadata_of(nd.read_nir(tmp_path / "x.nir"))["proof"]
    run = told["random"]
    assert (run["steps"], run["samples"], run["differences"]) == (16, 4, 0)
    assert run["numbers"] == 16 * 4 * 55 and run["spikes"] > 300 and "silent" not in run
    assert told["digest"] == digest_of(read_graph(graph)) and told["versions"]["torch"]


@pytest.mark.parametrize("fault", [{"beta": 0.69}, {"theta": 0.41}, {"v_reset": -0.05}, {"drift": 0.01}])
def test_a_wrong_parameter_is_found(fault: dict[str, float]) -> None:
    with pytest.raises(
        BackendError, match=r"1 does not spike as the model \(step \d+, sample \d, neuron \(\d+,\), h = "
    ):
        converted(network(), with_params(**fault))


class Deaf(Spike):
    """Its third step goes unheard: what no converter could know."""

    __module__ = Spike.__module__

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(x * (self.calls != 3))


def test_a_module_that_does_something_else_is_found() -> None:
    model = network(Deaf)
    with pytest.raises(BackendError, match=r"not converted: 1 does not spike as the model \(step 2, "):
        converted(model)


class Tied(Spike):
    """Fires at its threshold too."""

    __module__ = Spike.__module__

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.beta * self.v + x
        spikes = (h >= self.theta).float()
        self.v = h * (1 - spikes)
        return spikes


def tied(exact: int, n: int) -> nn.Sequential:
    """n neurons without leak on a grid of 1/8, of which so many can meet the threshold 1/2 exactly."""
    model = network(Tied, n)
    model[1].beta, model[1].theta = 0.0, 0.5
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(n, 6) + torch.eye(n, 6).roll(6, 0))
        model[0].bias.fill_(0.01)
        model[0].bias[:exact] = 0
    return model


GRID = {"input_low": 0.0, "input_high": 1.0, "input_quantum": 0.125}


def test_ties_are_counted_and_many_are_refused() -> None:
    """A neuron is counted once, and what comes behind it does not matter: it is judged by the model's own spikes."""
    run = metadata_of(converted(tied(1, 50), **GRID))["proof"]["random"]
    assert 1 <= run["differences"] <= 4
    with pytest.raises(BackendError, match=r"spikes differ from the model's, too many for rounding"):
        converted(tied(6, 50), **GRID)


def test_the_model_is_left_at_rest_and_in_its_mode() -> None:
    model = network()
    model.train()
    model[1].eval()
    model[1].v, before = torch.ones(4, 50), {k: v.clone() for k, v in model.state_dict().items()}
    converted(model)
    assert [m.training for m in model] == [True, False, True, True] and model[1].v == 0.0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_silence_is_told_and_a_model_that_does_not_run_is_named() -> None:
    model = network()
    model[1].theta = 1e6
    with torch.no_grad():
        model[2].bias.fill_(-1)
    assert metadata_of(converted(model))["proof"]["random"]["silent"] == "1, 3"
    broken = nn.Sequential(Scale(torch.ones(6)), Spike(0.5, 0.5))
    broken[1].beta = "0.5"
    with pytest.raises(InputError, match="1: the model itself does not run"):
        converted(broken, with_params(beta=0.5, theta=0.5))
