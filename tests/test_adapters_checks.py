"""What a model computes beside its modules' parameters: hooks, pruning, parametrizations, what nobody named."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_adapters_layers import FAMILY, Spike, converted
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import neuro_deploy as nd
from neuro_deploy.adapters.chain import About, build
from neuro_deploy.errors import UnsupportedError


def old_weight_norm(layer: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weight_norm(layer)


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "hook": (lambda m: m.register_forward_hook(lambda _, __, out: out * 2), "has a hook around its forward"),
    "hook before": (lambda m: m.register_forward_pre_hook(lambda _, x: (x[0] * 2,)), "has a hook.*remove it"),
    "forward": (lambda m: setattr(m, "forward", lambda x: x * 2), "has a forward that is not that of"),
    "pruned": (lambda m: prune.l1_unstructured(m, "weight", 0.5), "has a hook.*prune.remove"),
    "weight_norm": (old_weight_norm, "has a hook.*remove_weight_norm"),
    "spectral_norm": (spectral_norm, "has a hook.*remove_spectral_norm"),
    "parametrized": (parametrizations.weight_norm, "computes its weight anew.*remove_parametrizations"),
}
REMOVED = {
    "pruned": lambda m: prune.remove(m, "weight"),
    "weight_norm": lambda m: torch.nn.utils.remove_weight_norm(m),
    "spectral_norm": lambda m: torch.nn.utils.remove_spectral_norm(m),
    "parametrized": lambda m: torch.nn.utils.parametrize.remove_parametrizations(m, "weight"),
}


def chain(kind: str) -> nn.Sequential:
    torch.manual_seed(2)
    if kind == "conv":
        layers = [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 4), Spike(0.5, 0.5)]
    else:
        layers = [nn.Linear(6, 4), nn.BatchNorm1d(4), Spike(0.5, 0.5)]
    return nn.Sequential(OrderedDict((f"m{i}", m) for i, m in enumerate(layers))).eval()


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_no_parameter_says_is_refused(change: str, kind: str) -> None:
    model, shape = chain(kind), {"linear": (6,), "conv": (2, 6, 6)}[kind]
    alter, match = CHANGES[change]
    alter(model.m0)
    with pytest.raises(UnsupportedError, match=f"m0: {match}"):
        converted(model, shape)
    if change in REMOVED:
        with torch.no_grad():
            REMOVED[change](model.m0)
        converted(model, shape)


@pytest.mark.parametrize("change", ["hook", "hook before", "forward"])
def test_neurons_norms_and_containers_are_looked_at_too(change: str) -> None:
    for name in ("m1", "m2", ""):
        model = chain("linear")
        CHANGES[change][0](model.get_submodule(name))
        with pytest.raises(UnsupportedError, match=f"{name}.*has a"):
            converted(model, (6,))


@pytest.mark.parametrize("change", CHANGES)
def test_our_own_export_looks_too(change: str) -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(6, 8), norm=nd.nn.BatchNorm(8), fire=nd.nn.LIF(0.8, 0.3))).eval()
    CHANGES[change][0](model.fc)
    with pytest.raises(UnsupportedError, match=f"fc: {CHANGES[change][1]}"):
        nd.export_nir(model, dt=0.001, input_shape=(6,), steps=5, input_low=-1.0, input_high=1.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_batch_norm_hides_no_dtype(dtype: torch.dtype) -> None:
    with pytest.raises(UnsupportedError, match=r"m0\.weight: is torch\.float.*\n.*m0\.bias.*\n.*m1\.weight"):
        converted(chain("linear").to(dtype), (6,))
    model = chain("linear")
    model.m1.to(dtype)
    with pytest.raises(UnsupportedError, match=r"m1\.running_var: is torch\.float"):
        converted(model, (6,))


class Net(nn.Module):
    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        self.fc, self.fire = nn.Linear(6, 4), Spike(0.5, 0.5)
        for name, module in modules.items():
            self.add_module(name, module)


LEFT_OUT: dict[str, Callable[[], nn.Module]] = {
    "norm": lambda: nn.BatchNorm1d(4),
    "act": nn.ReLU,
    "pool": lambda: nn.MaxPool2d(2),
    "layer": lambda: nn.Linear(4, 4),
    "fire2": lambda: Spike(0.5, 0.4),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_every_module_is_named(name: str) -> None:
    about, layers = About(0.002, (6,)), ["fc", "fire"]
    fine = Net(drop=nn.Dropout(0.5), same=nn.Identity(), loss=nn.CrossEntropyLoss()).eval()
    build(fine, FAMILY, about, layers)
    with pytest.raises(UnsupportedError, match=f"  {name}: is part of the model"):
        build(Net(**{name: LEFT_OUT[name]()}).eval(), FAMILY, about, layers)
    block = Net(block=nn.Sequential(OrderedDict({name: LEFT_OUT[name]()}))).eval()
    with pytest.raises(UnsupportedError, match=rf"  block\.{name}: is part of the model"):
        build(block, FAMILY, about, layers)


def test_every_parameter_and_buffer_is_named() -> None:
    net = Net().eval()
    net.scale = nn.Parameter(torch.tensor(3.0))
    net.register_buffer("shift", torch.zeros(4))
    with pytest.raises(UnsupportedError, match=r"scale: is part of the model.*\n.*shift: is part") as caught:
        build(net, FAMILY, About(0.002, (6,)), ["fc", "fire"])
    assert len(caught.value.violations) == 2
