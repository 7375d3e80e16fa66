"""Relay as a module."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from ..base import FloatNeuron
from ..parameters import read_parameter, write_parameter
from ..rounds import rounds
from ..torch import SpikingNeuron


class Relay(SpikingNeuron):
    def __init__(self, theta: Tensor | float = 1.0) -> None:
        super().__init__(0.0, theta)

    def fire(self, h: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        return rounds(h, self.theta, alpha, 1, self.surrogate), h


MODULE = Relay


def from_neuron(neuron: FloatNeuron) -> Relay:
    return Relay(read_parameter(neuron, "theta"))


def to_neuron(module: nn.Module, shape: tuple[int, ...]) -> FloatNeuron | None:
    if not isinstance(module, Relay):
        return None
    return FloatNeuron("relay", shape, {"theta": np.broadcast_to(write_parameter(module.theta, "theta", shape), shape)})
