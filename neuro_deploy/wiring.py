"""Who is connected with whom, and how strongly: dense, sparse and convolutional weights, in float64 or in integers.

Neurons are counted in C order of their population's shape; (C, H, W) for a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .trace import frozen

Array = NDArray[Any]
W = TypeVar("W", bound="Wiring")


@dataclass(frozen=True, eq=False)
class Wiring:
    """What the kinds have in common.  weight: numbers of any dtype, in the kind's layout; frozen."""

    kind: ClassVar[str]
    weight: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen(np.asarray(self.weight)))

    @property
    def source_size(self) -> int:
        """Number N_source of neurons that send."""
        raise NotImplementedError

    @property
    def target_size(self) -> int:
        """Number N_target of neurons that receive."""
        raise NotImplementedError

    @property
    def problems(self) -> list[str]:
        """What is wrong with the layout; [] if nothing."""
        return []

    @property
    def connections(self) -> int:
        """Number of pairs of neurons that the layout connects, weights of zero included."""
        raise NotImplementedError

    def with_weight(self: W, weight: Array) -> W:
        """The same layout with other weights."""
        return replace(self, weight=weight)

    def spread(self, values: Array) -> Array:
        """values (N_target,) at each weight's target; broadcasts against `weight`.

        A convolution's weight belongs to all neurons of a channel: they must have one value.
        """
        raise NotImplementedError

    def largest(self) -> Array:
        """The largest |weight| that each target gets, (N_target,); 0 where it gets none."""
        raise NotImplementedError

    def apply(self, x: Array, multiply: Callable[[Array, Array], Array] | None = None) -> Array:
        """The weighted sums (M, N_target) of x (M, N_source).

        multiply: (x (M, n), weight (k, n)) -> (M, k) for the parts of the product; by default x @ weight.T.
        """
        raise NotImplementedError

    def triples(self) -> tuple[Array, Array, Array]:
        """(targets, sources, weights) of all connections, by target and then by source."""
        raise NotImplementedError


def _plain(x: Array, weight: Array) -> Array:
    return np.asarray(x @ weight.T)


@dataclass(frozen=True, eq=False)
class Dense(Wiring):
    """All to all.  weight: (N_target, N_source)."""

    kind: ClassVar[str] = "dense"

    @property
    def problems(self) -> list[str]:
        return [] if self.weight.ndim == 2 else [f"weight {self.weight.shape} has not two axes"]

    @property
    def source_size(self) -> int:
        return int(self.weight.shape[1])

    @property
    def target_size(self) -> int:
        return int(self.weight.shape[0])

    @property
    def connections(self) -> int:
        return self.weight.size

    def spread(self, values: Array) -> Array:
        return values[:, None]

    def largest(self) -> Array:
        return np.asarray(np.abs(self.weight).max(axis=1, initial=0))

    def apply(self, x: Array, multiply: Callable[[Array, Array], Array] | None = None) -> Array:
        return (multiply or _plain)(x, self.weight)

    def triples(self) -> tuple[Array, Array, Array]:
        targets, sources = np.indices(self.weight.shape)
        return targets.reshape(-1), sources.reshape(-1), self.weight.reshape(-1)


@dataclass(frozen=True, eq=False)
class Sparse(Wiring):
    """Single connections, by target (compressed rows).

    weight: (n,).   columns: int32 (n,), the source of each.   starts: int64 (N_target + 1,); target i has the entries
    starts[i] .. starts[i + 1] - 1.   sources: N_source.
    """

    kind: ClassVar[str] = "sparse"
    columns: NDArray[np.int32]
    starts: NDArray[np.int64]
    sources: int

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "columns", frozen(np.asarray(self.columns, np.int32)))
        object.__setattr__(self, "starts", frozen(np.asarray(self.starts, np.int64)))

    @property
    def problems(self) -> list[str]:
        if self.weight.ndim != 1 or self.columns.shape != self.weight.shape or self.starts.ndim != 1:
            return ["weight and columns must be of one length, starts one-dimensional"]
        found = []
        if not len(self.starts) or self.starts[0] != 0 or self.starts[-1] != len(self.weight):
            found.append(f"starts must go from 0 to {len(self.weight)}")
        if (np.diff(self.starts) < 0).any():
            found.append("starts must not fall")
        if self.weight.size and not (self.columns.min() >= 0 and self.columns.max() < self.sources):
            found.append(f"columns must be in [0, {self.sources - 1}]")
        return found

    @property
    def source_size(self) -> int:
        return self.sources

    @property
    def target_size(self) -> int:
        return len(self.starts) - 1

    @property
    def connections(self) -> int:
        return self.weight.size

    @property
    def rows(self) -> NDArray[np.int64]:
        """The target of each entry, (n,)."""
        return np.repeat(np.arange(self.target_size), np.diff(self.starts))

    def spread(self, values: Array) -> Array:
        return np.asarray(values[self.rows])

    def largest(self) -> Array:
        result = np.zeros(self.target_size, self.weight.dtype)
        np.maximum.at(result, self.rows, np.abs(self.weight))
        return result

    def apply(self, x: Array, multiply: Callable[[Array, Array], Array] | None = None) -> Array:
        from scipy.sparse import csr_matrix

        kind = np.result_type(x, self.weight)
        shape = (self.target_size, self.sources)
        matrix = csr_matrix((self.weight.astype(kind), self.columns, self.starts), shape=shape)
        return np.ascontiguousarray((matrix @ x.astype(kind).T).T)

    def triples(self) -> tuple[Array, Array, Array]:
        return self.rows, self.columns.astype(np.int64), self.weight

    @staticmethod
    def of(targets: Array, sources: Array, weights: Array, shape: tuple[int, int]) -> Sparse:
        """From single connections (a pair that occurs twice is added up); shape: (N_target, N_source)."""
        key = targets.astype(np.int64) * shape[1] + sources
        pairs, where = np.unique(key, return_inverse=True)
        total = np.zeros(len(pairs), weights.dtype)
        np.add.at(total, where, weights)
        starts = np.searchsorted(pairs, np.arange(shape[0] + 1, dtype=np.int64) * shape[1])
        return Sparse(total, (pairs % shape[1]).astype(np.int32), starts, shape[1])


class Tap(NamedTuple):
    """One position (row, column) of a kernel, and which inputs (slices of the padded image) it meets at each output."""

    row: int
    column: int
    rows: slice
    columns: slice


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
        ones = replace(self, weight=np.ones(self.weight.shape, np.int64))
        return int(ones.apply(np.ones((1, self.source_size), np.int64)).sum())

    def spread(self, values: Array) -> Array:
        channels = values.reshape(self.target_shape[0], -1)
        assert (channels == channels[:, :1]).all(), "a kernel is shared: its channel has one value"
        return np.asarray(channels[:, 0].reshape(-1, 1, 1, 1))

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
        multiply = multiply or _plain
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


WIRINGS: dict[str, type[Wiring]] = {w.kind: w for w in (Dense, Sparse, Conv)}
"""Kind -> class."""


def to_sparse(wiring: Wiring) -> Sparse:
    """Any wiring as single connections, weights of zero left out."""
    if isinstance(wiring, Sparse):
        return wiring
    targets, sources, weights = wiring.triples()
    kept = weights != 0
    return Sparse.of(targets[kept], sources[kept], weights[kept], (wiring.target_size, wiring.source_size))


def to_dense(wiring: Wiring) -> Dense:
    """Any wiring as a matrix."""
    if isinstance(wiring, Dense):
        return wiring
    matrix = np.zeros((wiring.target_size, wiring.source_size), wiring.weight.dtype)
    targets, sources, weights = wiring.triples()
    np.add.at(matrix, (targets, sources), weights)
    return Dense(matrix)
