"""Small networks of every architecture, in which every population fires."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import neuro_deploy as nd

STEPS, CLASSES = 4, 5
K2 = {"circulations": 2, "beta": 0.8}
HARD = {"reset": "hard", "beta": 0.7}
Case = tuple[Callable[[], nn.Module], tuple[int, ...]]

CASES: Mapping[str, Case] = {
    "mlp": (lambda: nd.nn.mlp([2, 3, 3], [12, 9], CLASSES, STEPS), (2, 3, 3)),
    "recurrent": (lambda: nd.nn.recurrent_mlp(10, [12, 9], CLASSES, STEPS), (10,)),
    "recurrent, delay 2": (lambda: nd.nn.recurrent_mlp(10, [12], CLASSES, STEPS, delay=2, neuron_args=K2), (10,)),
    "vgg": (lambda: nd.nn.vgg([1, 8, 7], CLASSES, [4, 6], [7], STEPS, convolutions=2), (1, 8, 7)),
    "vgg, avg": (lambda: nd.nn.vgg([2, 8, 8], CLASSES, [4, 6], steps=STEPS, pooling="avg"), (2, 8, 8)),
    "vgg, sum, lif": (
        lambda: nd.nn.vgg([1, 8, 8], CLASSES, [4], [6], STEPS, "lif", pooling="sum", neuron_args=HARD),
        (1, 8, 8),
    ),
    "vgg, one axis": (
        lambda: nd.nn.vgg([1, 12], CLASSES, [4, 6], steps=STEPS, batch_norm=False, neuron_args={"theta": 0.7}),
        (1, 12),
    ),
    "sew_resnet": (lambda: nd.nn.sew_resnet([1, 6, 6], CLASSES, [4, 6], STEPS, blocks=2), (1, 6, 6)),
    "spiking_transformer": (lambda: nd.nn.spiking_transformer([1, 8, 6], CLASSES, 8, 2, 2, STEPS), (1, 8, 6)),
    "spiking_transformer, one axis, lif": (
        lambda: nd.nn.spiking_transformer([2, 10], CLASSES, 8, 1, 4, STEPS, "lif", neuron_args=HARD),
        (2, 10),
    ),
}


def made(name: str, seed: int = 0) -> tuple[nn.Module, NDArray[np.float32]]:
    """A network in eval mode, lively and with statistics of its own, and an input for it (T, B, *shape)."""
    build, shape = CASES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        x = torch.randint(0, 17, (STEPS, 8, *shape)) / 16
        for module in model.modules():
            if isinstance(module, nd.nn.BatchNorm):
                nn.init.uniform_(module.weight, 0.9, 1.6)
                nn.init.uniform_(module.bias, 0.2, 0.9)
                module.momentum = 1.0
            elif isinstance(module, (nn.Linear, nd.nn.Conv1d)) and name == "vgg, one axis":  # without batch norm
                nn.init.uniform_(module.weight, -0.2, 1.0)
    with torch.no_grad():
        model.train()(x)
    return model.eval(), x.numpy()
