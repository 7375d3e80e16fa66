"""The operations of a graph as torch modules over (T, B, ...), in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..graph.nodes import Convolution, Delay, Dense, Diagonal, Flatten, Passing, Pool, Sink, Slice, Source
from ..neurons import part
from ..neurons.base import FloatNeuron


class DenseModule(nn.Module):
    """y = x @ weight.T + bias, as torch.nn.Linear computes it."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, operation: Dense) -> None:
        super().__init__()
        self.register_buffer("weight", _tensor(operation.weight))
        self.register_buffer("bias", None if operation.bias is None else _tensor(operation.bias))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class DiagonalModule(nn.Module):
    """y = scale * x."""

    scale: Tensor

    def __init__(self, operation: Diagonal) -> None:
        super().__init__()
        self.register_buffer("scale", _tensor(operation.scale))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class SliceModule(nn.Module):
    """Some elements of a flat input, in a shape of their own."""

    def __init__(self, operation: Slice) -> None:
        super().__init__()
        self.start, self.shape = operation.start, operation.shape

    def forward(self, x: Tensor) -> Tensor:
        part = x[:, :, self.start : self.start + math.prod(self.shape)]
        return part.reshape(*x.shape[:2], *self.shape)


class FlattenModule(nn.Module):
    """Join axes; time and batch stay."""

    def __init__(self, operation: Flatten) -> None:
        super().__init__()
        self.start = operation.start + 2
        self.end = operation.end + 2 if operation.end >= 0 else operation.end

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start, self.end)


class ConvolutionModule(nn.Module):
    """As torch.nn.functional.conv1d and conv2d define it, all steps and samples in one batch."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, operation: Convolution) -> None:
        super().__init__()
        self.register_buffer("weight", _tensor(operation.weight))
        self.register_buffer("bias", None if operation.bias is None else _tensor(operation.bias))
        self.options = (operation.stride, operation.padding, operation.dilation, operation.groups)

    def forward(self, x: Tensor) -> Tensor:
        convolve: Callable[..., Tensor] = functional.conv1d if self.weight.ndim == 3 else functional.conv2d
        y = convolve(x.flatten(0, 1), self.weight, self.bias, *self.options)
        return y.reshape(*x.shape[:2], *y.shape[1:])


class PoolModule(nn.Module):
    """The sum of each window, added up row by row in float32; the mean is that sum / n, one more rounding.

    n: the window's size, zeros of the padding included; so mean * n = sum wherever n is a power of two.
    """

    def __init__(self, operation: Pool) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: Tensor) -> Tensor:
        (rows, columns), (top, left) = self.operation.kernel, self.operation.padding
        padded = functional.pad(x.flatten(0, 1), (left, left, top, top))
        total = functional.avg_pool2d(padded, (rows, columns), self.operation.stride, divisor_override=1)
        y = total / (rows * columns) if self.operation.mean else total
        return y.reshape(*x.shape[:2], *y.shape[1:])


class DelayModule(nn.Module):
    """y[t] = x[t - steps], 0 before."""

    steps: Tensor

    def __init__(self, operation: Delay) -> None:
        super().__init__()
        self.register_buffer("steps", torch.from_numpy(operation.steps.copy()))
        self.distinct: list[int] = np.unique(operation.steps).tolist()

    def at(self, past: Sequence[Tensor], t: int, zero: Tensor) -> Tensor:
        """y[t] from x[0], .. x[t]; where all steps are 1 or more, x[t] may still be missing."""
        y = zero
        for k in self.distinct:
            if k <= t:
                y = torch.where(self.steps == k, past[t - k], y)
        return y

    def forward(self, x: Tensor) -> Tensor:
        past, zero = x.unbind(0), torch.zeros_like(x[0])
        return torch.stack([self.at(past, t, zero) for t in range(len(x))])


def _neuron(operation: FloatNeuron) -> nn.Module:
    module: nn.Module = part(operation.kind, "torch").from_neuron(operation)
    return module


def _identity(operation: Source | Sink | Passing) -> nn.Module:
    return nn.Identity()


MODULES: dict[type, Any] = {
    Source: _identity,
    Sink: _identity,
    Passing: _identity,
    Slice: SliceModule,
    Dense: DenseModule,
    Diagonal: DiagonalModule,
    Flatten: FlattenModule,
    Convolution: ConvolutionModule,
    Pool: PoolModule,
    Delay: DelayModule,
    FloatNeuron: _neuron,
}


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))
