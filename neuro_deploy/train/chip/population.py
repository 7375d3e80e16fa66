"""One population of a Chip: what is learned of it, and what is frozen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError
from ...fixed import Registers
from ...neurons import spec
from ...neurons.base import Interval, bias_of, remembers
from ...neurons.chip import Dynamics
from ...neurons.parameters import Positive
from ...neurons.torch import DEFAULT_ALPHA, SpikingNeuron
from ...program import ChipProgram, Population
from ...wiring import by_channel
from .arithmetic import mantissas, quantize_bias
from .names import constants_of
from .plan import channels_of

NO_ROOM = float(1 << 40)
"""Where nothing is proven: more than any register holds."""


class ChipPopulation(nn.Module):
    """A population's bias and its surrogate's sharpness, which are learned, and what is frozen of it.

    bias: float32 (N,), or one for each channel (C,); a buffer where it is not learned.
    room: how far below and above 0 its register sums may go in a step, float64 (2, N).
    """

    room: Tensor
    size: Tensor
    step: Tensor
    offset: Tensor

    def __init__(
        self,
        program: ChipProgram,
        given: Population,
        like: SpikingNeuron | None,
        room: Interval | None,
        learns_bias: bool,
    ) -> None:
        super().__init__()
        sharp = torch.tensor([DEFAULT_ALPHA]).double()
        raw = Positive().right_inverse(sharp) if like is None else like.raw_alpha.detach().cpu().clone()
        low, high = spec(given.kind).spike_range(given.params)
        self.kind, self.fires, self.registers = given.kind, (low, high) != (0, 0), program.registers
        learns = self.fires if like is None else like.raw_alpha.requires_grad
        self.raw_alpha = nn.Parameter(raw.float(), requires_grad=learns)
        self.surrogate = "sigmoid" if like is None else like.surrogate
        self.detach_reset = bool(getattr(like, "detach_reset", False))
        self.steps = None if like is None else like.steps
        self.shape, self.count = given.shape, given.size
        kept = np.full((2, given.size), NO_ROOM) if room is None else np.maximum(1, np.stack([-room.low, room.high]))
        self.proven = program.proven
        self.register_buffer("room", torch.from_numpy(kept.astype(np.float64)))
        step = torch.from_numpy(np.broadcast_to(given.unit, (given.size,)).copy())
        self.register_buffer("step", step, persistent=False)
        self.register_buffer("size", _size(given, like, program.registers), persistent=False)
        self.names = tuple(name for name in given.params if name not in ("bias_mant", "bias_exp"))
        for name in self.names:
            value = torch.from_numpy(np.broadcast_to(given.params[name], (given.size,)).copy())
            self.register_buffer(f"q_{name}", value, persistent=False)
        self.remembers = remembers(given.params, program.registers)
        self._set_bias(program, given, learns_bias)

    def _set_bias(self, program: ChipProgram, given: Population, learned: bool) -> None:
        bias = np.broadcast_to(bias_of(given.params), (given.size,)).copy()
        self.register_buffer("offset", torch.from_numpy(bias).double(), persistent=False)
        constants = constants_of(program)
        incoming = [s for s in program.synapses if s.target == given.name and s.source not in constants]
        self.channels = channels_of(given, incoming)
        shared = by_channel(bias, self.channels) and by_channel(self.step.numpy(), self.channels)
        each = (bias * self.step.numpy()).reshape(self.channels if shared else given.size, -1)[:, 0]
        self.bias = nn.Parameter(torch.from_numpy(each).float()) if learned else None

    def integer_bias(self) -> Tensor:
        """The bias in register units, whole, float64 (N,), with straight-through gradients."""
        if self.bias is None:
            return self.offset
        return quantize_bias(self.spread(self.bias), self.step, self.registers)

    def smaller_bias(self, bias: Tensor, factor: Tensor) -> Tensor:
        """One that is that much smaller, rounded toward zero.  factor: (N,)."""
        mantissa, exponent = mantissas(bias * factor, self.registers, toward_zero=True)
        return mantissa * 2.0**exponent

    def spread(self, values: Tensor) -> Tensor:
        """One value a neuron, (N,), from one a channel."""
        return values.repeat_interleave(self.count // max(1, len(values)), 0)

    def dynamics(self) -> Dynamics:
        """Its arithmetic."""
        params = {name: self.get_buffer(f"q_{name}") for name in self.names}
        return Dynamics(
            self.kind, params, self.registers, self.size, self.surrogate, self.detach_reset, fires=self.fires
        )

    def threshold(self) -> tuple[float, int]:
        """The largest threshold, in float units, and the most rounds through it.  Only of what fires."""
        levels = spec(self.kind).levels(
            {n: self.get_buffer(f"q_{n}").cpu().numpy() for n in self.names}, self.registers
        )
        assert levels is not None
        return float((self.size.cpu().numpy() * levels.theta).max()), int(np.max(levels.rounds))

    @property
    def alpha(self) -> Tensor:
        """The surrogate's sharpness, > 0, (T,) or (1,): softplus(raw_alpha)."""
        return nn.functional.softplus(self.raw_alpha)

    def alphas(self, steps: int, begin: int, rows: int) -> Tensor:
        """The same in each of so many rows, (rows,), from the T steps that begin in row `begin`; the ends go on.

        Raises: InputError in training with another T.
        """
        if self.steps not in (None, steps) and self.training and torch.is_grad_enabled():
            raise InputError(f"alpha is learned for T = {self.steps} steps, got an input of {steps}")
        alpha = self.alpha
        index = (torch.arange(rows, device=alpha.device) - begin).clamp(min=0, max=len(alpha) - 1)
        return alpha[index]


def _size(given: Population, like: SpikingNeuron | None, registers: Registers) -> Tensor:
    """The float value of a register step, float32 (N,): such that thresholds are those of the model it was made of."""
    unit = np.broadcast_to(given.unit, (given.size,)).copy()
    levels = spec(given.kind).levels(given.params, registers)
    if like is None or levels is None:
        return torch.from_numpy(unit).float()
    theta = like.theta.detach().cpu().double().broadcast_to(given.shape).reshape(-1)
    return (theta / torch.from_numpy(np.broadcast_to(levels.theta, (given.size,)).copy())).float()
