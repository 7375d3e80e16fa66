"""One population of a Chip: what is learned of it beside its bias, and what is frozen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..fixed import Registers
from ..neurons.base import Interval
from ..neurons.torch import DEFAULT_ALPHA, SpikingNeuron
from ..program import Population
from .chip_neurons import Dynamics

NO_ROOM = float(1 << 40)
"""Where nothing is proven: more than any register holds."""


class ChipPopulation(nn.Module):
    """What is learned of a population beside its bias, the surrogate's sharpness, and what is frozen of it.

    room: how far below and above 0 its register sums may go in a step, float64 (2, N).
    """

    room: Tensor
    size: Tensor
    step: Tensor

    def __init__(
        self, given: Population, like: SpikingNeuron | None, room: Interval | None, registers: Registers
    ) -> None:
        super().__init__()
        sharp = torch.tensor([DEFAULT_ALPHA]).double()
        raw = sharp + torch.log(-torch.expm1(-sharp)) if like is None else like.raw_alpha.detach().cpu().clone()
        self.raw_alpha = nn.Parameter(raw.float(), requires_grad=like is None or like.raw_alpha.requires_grad)
        self.surrogate = "sigmoid" if like is None else like.surrogate
        self.detach_reset = bool(getattr(like, "detach_reset", False))
        self.steps = None if like is None else like.steps
        self.kind, self.fires, self.registers = given.kind, given.kind != "li", registers
        kept = np.full((2, given.size), NO_ROOM) if room is None else np.maximum(1, np.stack([-room.low, room.high]))
        self.register_buffer("room", torch.from_numpy(kept.astype(np.float64)))
        step = torch.from_numpy(np.broadcast_to(given.unit, (given.size,)).copy())
        self.register_buffer("step", step, persistent=False)
        self.register_buffer("size", _size(given, like, registers.threshold_shift), persistent=False)
        self.names = tuple(name for name in given.params if name not in ("bias_mant", "bias_exp"))
        for name in self.names:
            value = torch.from_numpy(np.broadcast_to(given.params[name], (given.size,)).copy())
            self.register_buffer(f"q_{name}", value, persistent=False)

    def dynamics(self) -> Dynamics:
        """Its arithmetic."""
        params = {name: self.get_buffer(f"q_{name}") for name in self.names}
        return Dynamics(self.kind, params, self.registers, self.size, self.surrogate, self.detach_reset)

    @property
    def alpha(self) -> Tensor:
        """The surrogate's sharpness, > 0, (T,) or (1,): softplus(raw_alpha)."""
        return nn.functional.softplus(self.raw_alpha)

    def alphas(self, steps: int) -> Tensor:
        """The same in each step, (T,); the last one goes on.  Raises: InputError in training with another T."""
        if self.steps not in (None, steps) and self.training and torch.is_grad_enabled():
            raise InputError(f"alpha is learned for T = {self.steps} steps, got an input of {steps}")
        alpha = self.alpha
        index = torch.arange(steps, device=alpha.device).clamp(max=len(alpha) - 1)
        return alpha[index]


def _size(given: Population, like: SpikingNeuron | None, threshold_shift: int) -> Tensor:
    """The float value of a register step, float32 (N,): such that thresholds are those of the model it was made of."""
    unit = np.broadcast_to(given.unit, (given.size,)).copy()
    if like is None:
        return torch.from_numpy(unit).float()
    theta = like.theta.detach().cpu().double().reshape(-1).expand(given.size)
    whole = np.broadcast_to(given.params["vth"] << threshold_shift, (given.size,)).copy()
    return (theta / torch.from_numpy(whole)).float()
