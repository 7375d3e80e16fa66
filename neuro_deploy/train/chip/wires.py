"""Who is connected with whom, in torch: sums over synapses, exact forward; backward with respect to spikes and weights.

    part = wrap32(W @ s) * 2^exponent          of a dense or sparse synapse: wrapped before the shift
    part = wrap24((W @ s) * 2^exponent)        of a convolution: after it                           (engine/plain.py)

A convolution is a matrix product over unfolded images, or a sum over the kernel's positions: no algorithm that
transforms its operands (Winograd, FFT), whose sums would round.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from ...engine.plain import CONV_BITS
from ...wiring import Conv, Sparse, Wiring

PIECE = 1 << 24
"""So many numbers are unfolded or gathered at a time."""
BITS = 32
"""Of the accumulator."""
Grads = tuple[Tensor | None, Tensor | None]


class Wire(nn.Module, ABC):
    """A wiring without its weights, which are q: whole numbers, float64, in the wiring's layout."""

    bits: ClassVar[int] = BITS
    after: ClassVar[bool] = False
    """True if a sum is wrapped after its shift."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__()
        self.sizes = wiring.target_size, wiring.source_size

    @abstractmethod
    def product(self, s: Tensor, q: Tensor) -> Tensor:
        """The sums (M, N_target) of spikes s (M, N_source), both in the dtype of q."""

    @abstractmethod
    def backward(self, s: Tensor, q: Tensor, grad: Tensor, need: tuple[bool, bool]) -> Grads:
        """Gradients of s and of q, where they are needed, from that of the product; all float32."""

    @abstractmethod
    def totals(self, q: Tensor) -> Tensor:
        """Bounds of sum |q| of each target, or of each channel."""

    @abstractmethod
    def least(self, factors: Tensor) -> Tensor:
        """Of factors (N_target,) the smallest at each weight's targets; broadcasts against q."""

    def signed(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Of each target the sums of its negative and of its positive weights, (N_target,)."""
        one = q.new_ones((1, self.sizes[1]))
        return self.product(one, q.clamp(max=0))[0], self.product(one, q.clamp(min=0))[0]


class DenseWire(Wire):
    """q: (N_target, N_source)."""

    def product(self, s: Tensor, q: Tensor) -> Tensor:
        return s @ q.T

    def backward(self, s: Tensor, q: Tensor, grad: Tensor, need: tuple[bool, bool]) -> Grads:
        return grad @ q if need[0] else None, grad.T @ s if need[1] else None

    def totals(self, q: Tensor) -> Tensor:
        return q.abs().sum(1)

    def least(self, factors: Tensor) -> Tensor:
        return factors[:, None]


class SparseWire(Wire):
    """q: (n,)."""

    rows: Tensor
    columns: Tensor

    def __init__(self, wiring: Sparse) -> None:
        super().__init__(wiring)
        for name, values in (("rows", wiring.rows), ("columns", wiring.columns)):
            self.register_buffer(name, torch.from_numpy(np.array(values, np.int64)), persistent=False)

    def product(self, s: Tensor, q: Tensor) -> Tensor:
        index = torch.stack([self.rows, self.columns])
        matrix = torch.sparse_coo_tensor(index, q, self.sizes, is_coalesced=True, check_invariants=False)
        found: Tensor = torch.sparse.mm(matrix, s.T.contiguous())
        return found.T.contiguous()

    def backward(self, s: Tensor, q: Tensor, grad: Tensor, need: tuple[bool, bool]) -> Grads:
        to_s = to_q = None
        if need[0]:
            index = torch.stack([self.columns, self.rows])
            matrix = torch.sparse_coo_tensor(index, q, self.sizes[::-1], check_invariants=False)
            to_s = torch.sparse.mm(matrix, grad.T.contiguous()).T.contiguous()
        if need[1]:
            to_q = torch.zeros_like(q)
            pieces = (torch.split(x, max(1, PIECE // max(1, len(q)))) for x in (grad, s))
            for one, other in zip(*pieces, strict=True):
                to_q += (one[:, self.rows] * other[:, self.columns]).sum(0)
        return to_s, to_q

    def totals(self, q: Tensor) -> Tensor:
        return q.new_zeros(self.sizes[0]).index_add_(0, self.rows, q.abs())

    def least(self, factors: Tensor) -> Tensor:
        return factors[self.rows]


class ConvWire(Wire):
    """q: (C_out, C_in / groups, height, width)."""

    bits, after = CONV_BITS, True

    def __init__(self, wiring: Conv) -> None:
        super().__init__(wiring)
        self.source, self.target, self.groups = wiring.source_shape, wiring.target_shape, wiring.groups
        self.stride, self.padding, self.dilation = wiring.stride, wiring.padding, wiring.dilation
        self.taps = tuple(wiring.taps())

    def product(self, s: Tensor, q: Tensor) -> Tensor:
        images = s.reshape(len(s), *self.source)
        by_taps = q.shape[1] == 1
        each = max(self.source[0], self.target[0]) if by_taps else q[0].numel() * self.groups
        pieces = torch.split(images, max(1, PIECE // (each * self.target[1] * self.target[2])))
        made = self._by_taps if by_taps else self._unfolded
        return torch.cat([made(piece, q) for piece in pieces]).flatten(1)

    def _unfolded(self, images: Tensor, q: Tensor) -> Tensor:
        """By one matrix product a group."""
        if q[0, 0].numel() == 1 and self.source[1:] == self.target[1:]:
            columns = images
        else:
            columns = functional.unfold(images, tuple(q.shape[2:]), self.dilation, self.padding, self.stride)
        columns = columns.reshape(len(images), self.groups, q[0].numel(), self.target[1] * self.target[2])
        return (q.reshape(self.groups, -1, q[0].numel()) @ columns).reshape(len(images), *self.target)

    def _by_taps(self, images: Tensor, q: Tensor) -> Tensor:
        """Of one input channel a group: position by position."""
        up, left = self.padding
        padded = functional.pad(images, (left, left, up, up)).repeat_interleave(len(q) // self.groups, 1)
        total = images.new_zeros(len(images), *self.target)
        for tap in self.taps:
            total += padded[:, :, tap.rows, tap.columns] * q[:, :, tap.row, tap.column, None]
        return total

    def backward(self, s: Tensor, q: Tensor, grad: Tensor, need: tuple[bool, bool]) -> Grads:
        images, g = s.reshape(len(s), *self.source), grad.reshape(len(s), *self.target)
        options = (self.stride, self.padding, self.dilation, self.groups)
        to_s = conv2d_input(images.shape, q, g, *options).flatten(1) if need[0] else None  # type: ignore[no-untyped-call]
        to_q = conv2d_weight(images, q.shape, g, *options) if need[1] else None  # type: ignore[no-untyped-call]
        return to_s, to_q

    def totals(self, q: Tensor) -> Tensor:
        return q.abs().sum((1, 2, 3))

    def least(self, factors: Tensor) -> Tensor:
        return factors.reshape(self.target[0], -1).amin(1)[:, None, None, None]


WIRES: Mapping[str, type[Any]] = {"dense": DenseWire, "sparse": SparseWire, "conv": ConvWire}
"""Kind of a wiring -> class."""


def wire_of(wiring: Wiring) -> Wire:
    """The wiring in torch."""
    wire: Wire = WIRES[wiring.kind](wiring)
    return wire
