"""Layers over (T, B, *shape): torch's, applied to each step by itself, and those that know time.

Linear and Flatten(2) of torch take such tensors as they are; its convolutions, pools and batch norms do not, so here
they are with time in front.  All of them go to NIR and to the chip (see export.py).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..neurons.torch import SpikingNeuron, Stepper


def _by_step(where: str, x: Tensor, axes: int) -> Tensor:
    """x (T, B, C, *image) as one batch (T * B, C, *image).  Raises: InputError for another number of axes."""
    if x.ndim != axes + 3:
        image = ", ".join(("C", "H", "W")[: axes + 1] if axes == 2 else ("C", "L"))
        raise InputError(f"{where}: expected an input of shape (T, B, {image}), got {tuple(x.shape)}")
    return x.flatten(0, 1)


def _over_time(y: Tensor, x: Tensor) -> Tensor:
    """y (T * B, ...) with the first two axes of x (T, B, ...)."""
    return y.reshape(*x.shape[:2], *y.shape[1:])


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of a layer over time: statistics of each neuron, or of each channel, over T, B and the image.

    Call: (T, B, N) -> (T, B, N), or (T, B, C, *image) -> the same.  Arguments as of torch.nn.BatchNorm1d.
    Raises: InputError for another shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize."""
        if input.ndim < 3 or input.shape[2] != self.num_features:
            raise InputError(f"BatchNorm: expected (T, B, {self.num_features}, ...), got {tuple(input.shape)}")
        steps = input.flatten(0, 1)
        return super().forward(steps if steps.ndim == 2 else steps.flatten(2)).view_as(input)


class Conv1d(nn.Conv1d):
    """torch.nn.Conv1d of each step: (T, B, C_in, L) -> (T, B, C_out, L_out).  Raises: InputError for another shape."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        return _over_time(super().forward(_by_step("Conv1d", input, 1)), input)


class Conv2d(nn.Conv2d):
    """torch.nn.Conv2d of each step: (T, B, C_in, H, W) -> (T, B, C_out, H_out, W_out).

    Raises: InputError for another shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        return _over_time(super().forward(_by_step("Conv2d", input, 2)), input)


class AvgPool2d(nn.AvgPool2d):
    """torch.nn.AvgPool2d of each step: (T, B, C, H, W) -> (T, B, C, H_out, W_out).

    Between a population and a convolution, pool and convolution become one sparse matrix on the chip, which stores each
    weight by itself; a stride in the convolution keeps its kernel shared.
    Raises: InputError for another shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pool."""
        return _over_time(super().forward(_by_step(type(self).__name__, input, 2)), input)


class SumPool2d(AvgPool2d):
    """The sum of each window instead of its mean: whole numbers of spikes stay whole.

    kernel_size, stride, padding: as of torch.nn.AvgPool2d.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding, divisor_override=1)


class Delay(nn.Module):
    """y[t] = x[t - steps], and 0 before: (T, B, *shape) -> the same.

    steps: >= 1.   Raises: InputError.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise InputError(f"Delay: steps must be a whole number of 1 or more, got {steps!r}")
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        """Shift in time."""
        kept = max(0, len(x) - self.steps)
        return torch.cat([torch.zeros_like(x[kept:]), x[:kept]])

    def extra_repr(self) -> str:
        """For print(module)."""
        return f"steps={self.steps}"


class Recurrent(nn.Module):
    """A population with a connection to itself: what comes back is added to the input, `delay` steps later.

        s[t] = neuron(x[t] + back(s[t - delay]))        s[t] = 0 for t < 0, so the bias of `back` acts from t = 0 on

    Call: x (T, B, *shape) -> spikes (T, B, *shape).  Step by step: a GPU's fused neuron does not help here.

    neuron: a spiking population.   back: a Linear, or a Conv1d or Conv2d of neuro_deploy.nn, from shape to shape.
    delay: >= 1.  On the chip a loop takes as many steps as it has synapses; this one has one.
    Raises: InputError.
    """

    def __init__(self, neuron: SpikingNeuron, back: nn.Module, delay: int = 1) -> None:
        super().__init__()
        if not isinstance(neuron, SpikingNeuron):
            raise InputError(f"Recurrent: neuron must be a spiking population, got {type(neuron).__name__}")
        if not isinstance(back, (nn.Linear, Conv1d, Conv2d)):
            what = (
                f"Recurrent: back must be a Linear, or a Conv1d or Conv2d of neuro_deploy.nn, got {type(back).__name__}"
            )
            raise InputError(f"{what}; a batch norm in a loop would see one step at a time")
        self.neuron = neuron
        self.delay = Delay(delay)
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        """Spikes (T, B, *shape).  Raises: InputError for a wrong shape."""
        self.neuron._check(x)
        stepper = Stepper(self.neuron, len(x))
        sent: list[Tensor] = []
        for t, drive in enumerate(x.to(self.neuron.beta.dtype).unbind(0)):
            late = sent[t - self.delay.steps] if t >= self.delay.steps else torch.zeros_like(drive)
            back = cast(Tensor, self.back(late[None]))[0]
            if back.shape != drive.shape:
                raise InputError(f"Recurrent: back gives {tuple(back.shape[1:])}, not {tuple(drive.shape[1:])}")
            sent.append(stepper.step(drive + back))
        stepper.finish()
        return torch.stack(sent)
