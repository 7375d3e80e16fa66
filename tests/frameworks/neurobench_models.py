"""A network of snnTorch in whole numbers, which the chip holds exactly; only torch and snnTorch are imported here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import snntorch as snn
import torch
from torch import nn

SHAPE = (2, 6, 6)
STEPS, BATCH = 12, 5


def weights() -> dict[str, np.ndarray]:
    """A kernel and a matrix, a third of them zeros; 127 in each row fills its 8 bits: none is rounded."""
    rng = np.random.default_rng(2)
    shapes = {"conv": (3, 2, 3, 3), "fc": (7, 3 * 3 * 3)}
    found = {n: (rng.integers(-60, 100, s) * (rng.random(s) < 0.67)).astype(np.float32) for n, s in shapes.items()}
    for values in found.values():
        values.reshape(len(values), -1)[:, 0] = 127
    return found


def inputs() -> dict[str, np.ndarray]:
    """Name -> (T, B, *SHAPE): spikes; values in quarters; spikes of both signs in some steps, values in others."""
    rng = np.random.default_rng(3)
    shape = (STEPS, BATCH, *SHAPE)
    spikes = (rng.random(shape) < 0.3).astype(np.float32)
    values = (rng.integers(0, 5, shape) / 4 * (rng.random(shape) < 0.5)).astype(np.float32)
    mixed = np.where(np.arange(STEPS)[:, None, None, None, None] % 3 == 0, values, spikes)
    return {"spikes": spikes, "values": values, "mixed": mixed}


def network(given: Mapping[str, np.ndarray], hidden: bool) -> nn.Sequential:
    """Conv -> Leaky -> Flatten -> Linear -> Leaky, without leak.  hidden: the neurons keep their state themselves."""
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False)
    linear = nn.Linear(27, 7, bias=False)
    for layer, name in ((conv, "conv"), (linear, "fc")):
        layer.weight = nn.Parameter(torch.from_numpy(given[name].copy()), requires_grad=False)
    first = snn.Leaky(beta=1.0, threshold=128.0, init_hidden=hidden)
    last = snn.Leaky(beta=1.0, threshold=128.0, init_hidden=hidden, output=hidden)
    return nn.Sequential(conv, first, nn.Flatten(), linear, last)
