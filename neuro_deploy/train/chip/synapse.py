"""One synapse of a Chip: its weights, and what is frozen of it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...program import Synapse
from ...wiring import by_channel
from .arithmetic import quantize
from .names import learned
from .wires import Wire, wire_of

GRID = 2
"""Weights of mixed signs at full width are even: docs/semantics.md."""


class ChipSynapse(nn.Module):
    """A synapse with integer weights, learned in float.

    weight: float32, in the layout of the wiring; None where it is not learned.   size: the float value of one step of
    an integer weight, float64, broadcasts against it.   connected: bool, False where there is no connection: its weight
    stays 0.   each: a learned weight stands for so many targets, one after the other.
    """

    size: Tensor
    q: Tensor
    connected: Tensor

    def __init__(
        self, given: Synapse, size: NDArray[np.float64], channels: int, connected: NDArray[np.bool_] | None
    ) -> None:
        """size: (N_target,).   channels: of the target, for constants, which are one for each channel."""
        super().__init__()
        self.wire: Wire = wire_of(given.wiring)
        self.exponent, self.each = given.exponent, 1
        weight = given.wiring.weight.astype(np.float64)
        spread = np.broadcast_to(given.wiring.spread(size), weight.shape)
        self.register_buffer("size", torch.from_numpy(np.array(given.wiring.spread(size))), persistent=False)
        self.weight: nn.Parameter | None = None
        if not learned(given):
            self.register_buffer("q", torch.from_numpy(weight), persistent=False)
            return
        there = np.ones(weight.shape, bool) if connected is None else connected
        self.register_buffer("connected", torch.from_numpy(np.array(there)))
        each = weight * spread
        if given.wiring.source_size == 1 and all(by_channel(values, channels) for values in (each, size)):
            self.each = max(1, given.wiring.target_size // channels)
        self.weight = nn.Parameter(torch.from_numpy(each[:: self.each].copy()).float())

    def integers(self, most: int) -> Tensor:
        """The weights as whole numbers, float64, in the wiring's layout, with straight-through gradients."""
        if self.weight is None:
            return self.q
        weight = self.weight if self.each == 1 else self.weight.repeat_interleave(self.each, 0)
        return quantize(weight * self.connected, self.size, GRID, most)
