"""Models and graphs for the tests of training in a chip's arithmetic."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from networks import pixels
from numpy.typing import NDArray
from torch import Tensor, nn

import neuro_deploy as nd
from neuro_deploy.trace import Trace
from neuro_deploy.train.chip import Chip

STEPS, SIZE = 6, 12
VARIABLES = ("spikes", "v", "h", "u")


class Rich(nn.Module):
    """Every kind and option that nd.nn has: two branches, a skip without a layer, currents, per-neuron parameters."""

    def __init__(self) -> None:
        super().__init__()
        theta, beta = torch.linspace(0.3, 0.6, 20), torch.linspace(0.5, 0.95, 16)
        self.a, self.norm = nn.Linear(SIZE, 20), nd.nn.BatchNorm(20)
        self.fire_a = nd.nn.CirculateFire(0.8, theta, 3, steps=STEPS, alpha=3.0, surrogate="arctan")
        self.b, self.fire_b = nn.Linear(20, 20), nd.nn.LIF(0.75, 0.3, reset="hard", v_reset=-0.1, drift=0.02)
        self.c, self.signed = nn.Linear(20, 16), nd.nn.CirculateFire(beta, 0.2, 2, polarity="signed", theta_neg=0.25)
        self.d, self.slow = nn.Linear(16, 14), nd.nn.CirculateFire(0.9, 0.3, 2, beta_syn=0.6, theta_reset=0.4)
        self.e, self.lif = nn.Linear(14, 12), nd.nn.LIF(0.7, 0.2, beta_syn=0.5, detach_reset=True)
        self.skip = nd.nn.LIF(0.6, 0.5, reset="hard")
        self.f, self.out = nn.Linear(12, 5, bias=False), nd.nn.CirculateFire(0.9, 0.25, 3, learnable_alpha=False)

    def forward(self, x: Tensor) -> Tensor:
        first = self.fire_a(self.norm(self.a(x)))
        joined = self.signed(self.c(first + self.fire_b(self.b(first))))
        last = self.lif(self.e(self.slow(self.d(joined))))
        return self.out(self.f(self.skip(last)))


class Reader(nn.Module):
    """Ends in integrators, whose potentials are read."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.a, self.fire = nn.Flatten(2), nn.Linear(SIZE, 15), nd.nn.LIF(0.85, 0.5)
        self.b, self.read = nn.Linear(15, 4), nd.nn.Integrator(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.b(self.fire(self.a(self.flat(x)))))


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """A model with weights of its own, some running statistics, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind()
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.Linear):
                    module.weight.mul_(2.0)
                    if module.bias is not None:
                        module.bias.copy_(torch.rand_like(module.bias) * 0.3)
        model(torch.from_numpy(pixels(STEPS, 40, SIZE)).reshape(STEPS, 40, *shape_of(kind)))
    return model.eval()


def shape_of(kind: type[nn.Module]) -> tuple[int, ...]:
    return (3, 4) if kind is Reader else (SIZE,)


def exported(model: nn.Module) -> nir.NIRGraph:
    shape = shape_of(type(model))
    return nd.export_nir(
        model, dt=0.002, input_shape=shape, steps=STEPS, input_low=0.0, input_high=1.0, input_quantum=1 / 16
    )


def chip_of(kind: type[nn.Module], seed: int = 0) -> Chip:
    model = made(kind, seed)
    return nd.to_chip(exported(model), model)


def inputs(kind: type[nn.Module], batch: int = 24, seed: int = 1) -> NDArray[np.float32]:
    return pixels(STEPS, batch, SIZE, seed=seed).reshape(STEPS, batch, *shape_of(kind))


def differences(chip: Chip, x: NDArray[Any], trace: Trace) -> dict[str, int]:
    """Population and variable -> in how many places the forward pass and a trace differ."""
    found = {}
    for name, seen in chip.record(x).items():
        if name not in trace.populations:  # a source of constants that are all 0 by now
            continue
        for variable, values in seen.items():
            if variable in trace.populations[name].data:
                wanted = trace.aligned(name, variable)
                got = values[:, : wanted.shape[1]]
                assert got.shape == wanted.shape
                found[f"{name}.{variable}"] = int((got != wanted).sum())
    return found


def shaken(chip: Chip, size: float = 0.3, seed: int = 5) -> Chip:
    """Other weights and biases, as training would leave them: no multiples of anything."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (*chip.weights.values(), *chip.biases.values()):
            scale = size * parameter.abs().mean()
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return chip
