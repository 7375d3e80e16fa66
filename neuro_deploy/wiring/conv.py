"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .base import Array, Wiring, plain_product


class Tap(NamedTuple):
    """One position (row, column) of a kernel, and which inputs (slices of the padded image) it meets at each output."""

    row: int
    column: int
    rows: slice
    columns: slice


def by_channel(values: ArrayLike, channels: int) -> bool:
    """True if all neurons of a channel have one value.  values: (N,), N a multiple of channels."""
    each = np.asarray(values).reshape(channels, -1)
    return bool((each == each[:, :1]).all())


@dataclass(frozen=True, eq=False)
class Conv(Wiring):
    """A convolution as torch defines it (cross-correlation), padded with zeros.

    weight: (C_out, C_in / groups, height, width).   source_shape: (C_in, H, W).
    stride, padding, dilation: (vertical, horizontal).   groups: channels are convolved in so many separate groups.
    """

    kind: ClassVar[str] = "conv"
    source_shape: tuple[int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def problems(self) -> list[str]:
        if self.weight.ndim != 4 or len(self.source_shape) != 3:
            return [f"weight {self.weight.shape} needs four axes, source_shape {self.source_shape} three"]
        found = []
        c_out, c_in = self.weight.shape[:2]
        if self.groups < 1 or self.source_shape[0] != c_in * self.groups or c_out % self.groups:
            what = f"weight {self.weight.shape} in {self.groups} groups does not fit {self.source_shape[0]} channels"
            found.append(what)
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            if min(getattr(self, name)) < least or len(getattr(self, name)) != 2:
                found.append(f"{name} {getattr(self, name)} must be two numbers of at least {least}")
        if not found and min(self.target_shape) < 1:
            found.append(f"kernel {self.weight.shape[2:]} does not fit an image of {self.source_shape[1:]}")
        return found

    @property
    def channels(self) -> int:
        """C_out."""
        return int(self.weight.shape[0])

    @property
    def target_shape(self) -> tuple[int, int, int]:
        """(C_out, H_out, W_out)."""
        sides = []
        for size, kernel, s, p, d in zip(
            self.source_shape[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True
        ):
            sides.append((size + 2 * p - d * (kernel - 1) - 1) // s + 1)
        return (int(self.weight.shape[0]), *sides)

    @property
    def source_size(self) -> int:
        return int(np.prod(self.source_shape))

    @property
    def target_size(self) -> int:
        return int(np.prod(self.target_shape))

    @property
    def connections(self) -> int:
        rows, columns = self.meets()
        return int(rows.sum()) * int(columns.sum()) * int(np.prod(self.weight.shape[:2]))

    def meets(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """1 where a row of the output meets a row of the source, else 0, (H_out, H_in); and the same for columns."""
        sides = (self.target_shape[1:], self.source_shape[1:], self.weight.shape[2:])
        each = zip(*sides, self.stride, self.padding, self.dilation, strict=True)
        rows, columns = (_side(*numbers) for numbers in each)
        return rows, columns

    def spread(self, values: Array) -> Array:
        channels = self.target_shape[0]
        assert by_channel(values, channels), "a kernel is shared: its channel has one value"
        return np.asarray(values.reshape(channels, -1)[:, 0].reshape(-1, 1, 1, 1))

    def largest(self) -> Array:
        each = np.abs(self.weight).reshape(len(self.weight), -1).max(axis=1, initial=0)
        return np.repeat(each, self.target_size // len(each))

    def taps(self) -> Iterator[Tap]:
        """The positions of the kernel."""
        _, height, width = self.target_shape
        for i in range(self.weight.shape[2]):
            for j in range(self.weight.shape[3]):
                top, left = i * self.dilation[0], j * self.dilation[1]
                rows = slice(top, top + self.stride[0] * (height - 1) + 1, self.stride[0])
                columns = slice(left, left + self.stride[1] * (width - 1) + 1, self.stride[1])
                yield Tap(i, j, rows, columns)

    def apply(self, x: Array, multiply: Callable[[Array, Array], Array] | None = None) -> Array:
        multiply = multiply or plain_product
        batch, (_, height, width) = len(x), self.target_shape
        (up, left), kind = self.padding, np.result_type(x, self.weight)
        image = np.pad(x.reshape(batch, *self.source_shape), ((0, 0), (0, 0), (up, up), (left, left)))
        kernels = self.weight.reshape(self.groups, -1, *self.weight.shape[1:])
        grouped = image.reshape(batch, self.groups, kernels.shape[2], *image.shape[2:])
        result = np.zeros((batch, height, width, self.groups, kernels.shape[1]), kind)
        for tap in self.taps():
            met = np.moveaxis(grouped[..., tap.rows, tap.columns], 2, -1)  # C_in / groups last
            for g in range(self.groups):
                flat = met[:, g].reshape(-1, kernels.shape[2])
                product = multiply(flat, kernels[g, :, :, tap.row, tap.column])
                result[..., g, :] += product.reshape(batch, height, width, -1)
        return np.moveaxis(result.reshape(batch, height, width, -1), -1, 1).reshape(batch, -1)

    def triples(self) -> tuple[Array, Array, Array]:
        (c_in, h, w), (up, left) = self.source_shape, self.padding
        index = np.full((c_in, h + 2 * up, w + 2 * left), -1, np.int64)
        index[:, up : up + h, left : left + w] = np.arange(c_in * h * w).reshape(c_in, h, w)
        place = np.arange(self.target_size).reshape(self.target_shape)
        c_out, per_group = self.weight.shape[:2]
        first = np.arange(c_out) // (c_out // self.groups) * per_group
        found: list[tuple[Array, Array, Array]] = []
        for tap in self.taps():
            for k in range(per_group):
                sources = index[first + k][:, tap.rows, tap.columns]
                weights = np.broadcast_to(self.weight[:, k, tap.row, tap.column][:, None, None], sources.shape)
                inside = sources >= 0
                found.append((place[inside], sources[inside], weights[inside]))
        targets, sources, weights = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.lexsort((sources, targets))
        return targets[order], sources[order], weights[order]

    def row(self, target: int) -> tuple[Array, Array]:
        channel, y, x = (int(i) for i in np.unravel_index(target, self.target_shape))
        (c_in, h, w), (height, width) = self.source_shape, self.weight.shape[2:]
        rows = y * self.stride[0] - self.padding[0] + np.arange(height) * self.dilation[0]
        columns = x * self.stride[1] - self.padding[1] + np.arange(width) * self.dilation[1]
        up, along = (np.flatnonzero((at >= 0) & (at < n)) for at, n in ((rows, h), (columns, w)))
        per_group = self.weight.shape[1]
        first = channel // (self.channels // self.groups) * per_group
        met = np.ix_(np.arange(first, first + per_group), rows[up], columns[along])
        sources = np.arange(c_in * h * w).reshape(c_in, h, w)[met].reshape(-1)
        return sources, self.weight[channel][np.ix_(np.arange(per_group), up, along)].reshape(-1)


@lru_cache(maxsize=256)
def _side(target: int, source: int, kernel: int, stride: int, padding: int, dilation: int) -> NDArray[np.float64]:
    where = np.arange(target)[:, None] * stride - padding + np.arange(kernel) * dilation
    output, tap = np.nonzero((where >= 0) & (where < source))
    result = np.zeros((target, source))
    result[output, where[output, tap]] = 1
    result.flags.writeable = False
    return result
