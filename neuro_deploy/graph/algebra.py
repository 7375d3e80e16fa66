"""Linear maps between flat populations as float64 wirings: what a node does, products, sums."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..wiring import Conv, Dense, Sparse, Wiring, by_channel, to_dense, to_sparse
from .nesting import Shape
from .nodes import Convolution, Pool, Slice, two

Floats = NDArray[np.float64]
DENSE_BELOW = 4096
"""Matrices of so few entries are always dense."""
DENSE_FROM = 0.25
"""So are those with this share of entries that are not zero."""


def identity(size: int) -> Sparse:
    """Each to itself."""
    return diagonal(np.ones(size))


def diagonal(values: Floats) -> Sparse:
    """Each to itself, times a number.  values: (N,)."""
    size = len(values)
    return Sparse(np.asarray(values, np.float64), np.arange(size, dtype=np.int32), np.arange(size + 1), size)


def slice_of(operation: Slice, shape: Shape) -> Sparse:
    """The elements of one part of a flat input.  shape: of the input, (N,)."""
    size = int(np.prod(operation.shape, dtype=np.int64))
    columns = np.arange(operation.start, operation.start + size, dtype=np.int32)
    return Sparse(np.ones(size), columns, np.arange(size + 1), shape[0])


def diagonal_of(wiring: Wiring) -> Floats | None:
    """The numbers of a diagonal map, or None for another."""
    if not isinstance(wiring, Sparse) or wiring.target_size != wiring.sources:
        return None
    whole = np.arange(wiring.sources + 1)
    same = np.array_equal(wiring.starts, whole) and np.array_equal(wiring.columns, whole[:-1])
    return wiring.weight if same else None


def convolution(operation: Convolution, shape: Shape) -> Conv:
    """A convolution node; a one-dimensional one is an image of height 1.  shape: of its input, (C, *image)."""
    weight, stride, padding, dilation = operation.weight, operation.stride, operation.padding, operation.dilation
    if weight.ndim == 3:
        weight, shape = weight[:, :, None], (shape[0], 1, shape[1])
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    source = (shape[0], shape[1], shape[2])
    return Conv(weight.astype(np.float64), source, two(stride), two(padding), two(dilation), operation.groups)


def pooling(operation: Pool, shape: Shape) -> Conv:
    """A pool node as a convolution of each channel by itself."""
    height, width = operation.kernel
    value = 1.0 / (height * width) if operation.mean else 1.0
    weight = np.full((shape[0], 1, height, width), value)
    source = (shape[0], shape[1], shape[2])
    return Conv(weight, source, operation.stride, operation.padding, (1, 1), shape[0])


def scaled(wiring: Wiring, scale: Floats) -> Wiring:
    """diag(scale) @ wiring.  scale: (N_target,)."""
    if isinstance(wiring, Conv) and not by_channel(scale, wiring.target_shape[0]):
        wiring = to_sparse(wiring)
    return wiring.with_weight(wiring.weight * wiring.spread(scale))


def product(after: Wiring, before: Wiring) -> Wiring:
    """after @ before; a convolution stays one beside numbers by channel and, where that is exact, beside another one
    (a pool, say); it becomes a matrix beside anything else."""
    scale = diagonal_of(after)
    if scale is not None:
        return scaled(before, scale)
    scale = diagonal_of(before)
    if scale is not None:
        found = _of_scaled_input(after, scale)
        if found is not None:
            return found
    if isinstance(after, Conv) and isinstance(before, Conv):
        joined = one_of_two(after, before)
        if joined is not None:
            return joined
    if isinstance(after, Dense):
        return Dense(
            (_matrix(before).T @ after.weight.T).T if not isinstance(before, Dense) else after.weight @ before.weight
        )
    if isinstance(before, Dense):
        return Dense(_matrix(after) @ before.weight)
    return _sparse(_matrix(after) @ _matrix(before))


def _of_scaled_input(wiring: Wiring, scale: Floats) -> Wiring | None:
    """wiring @ diag(scale), in the same layout; None where that cannot hold it."""
    if isinstance(wiring, Dense):
        return Dense(wiring.weight * scale)
    if isinstance(wiring, Sparse):
        return wiring.with_weight(wiring.weight * scale[wiring.columns])
    if not isinstance(wiring, Conv) or not by_channel(scale, wiring.source_shape[0]):
        return None
    channels = scale.reshape(wiring.source_shape[0], -1)[:, 0].reshape(wiring.groups, 1, -1)
    each = np.repeat(channels, wiring.weight.shape[0] // wiring.groups, axis=1)
    return wiring.with_weight(wiring.weight * each.reshape(*wiring.weight.shape[:2], 1, 1))


def one_of_two(after: Conv, before: Conv) -> Conv | None:
    """Two convolutions as one, or None where that is another map, or a kernel with holes.

    Position j of the second kernel and i of the first meet at j * d2 * s1 + i * d1 (stride s, dilation d).  The second
    one's padding is zero, so what the first would give there must be too: it may see nothing of the image from there.
    """
    (h, w), axes = before.source_shape[1:], range(2)
    spans = [[after.dilation[a] * before.stride[a] * j for j in range(after.weight.shape[2 + a])] for a in axes]
    steps = [[before.dilation[a] * i for i in range(before.weight.shape[2 + a])] for a in axes]
    whole = all({j + i for j in spans[a] for i in steps[a]} == {*range(spans[a][-1] + steps[a][-1] + 1)} for a in axes)
    blind = all(
        not 0 <= place * before.stride[a] - before.padding[a] + i < (h, w)[a]
        for a in axes
        for place in _padded(after, a)
        for i in steps[a]
    )
    if not (whole and blind):
        return None
    groups = math.gcd(after.groups, before.groups)
    one, two = (_in_groups(c, groups) for c in (before, after))
    size = [spans[a][-1] + steps[a][-1] + 1 for a in axes]
    kernel = np.zeros((groups, two.shape[1], one.shape[2], *size))
    for (y, j), (x, k) in itertools.product(enumerate(spans[0]), enumerate(spans[1])):
        for (v, i), (u, m) in itertools.product(enumerate(steps[0]), enumerate(steps[1])):
            kernel[..., j + i, k + m] += two[..., y, x] @ one[..., v, u]
    stride, padding = (
        (numbers[0], numbers[1])
        for numbers in (
            [after.stride[a] * before.stride[a] for a in axes],
            [after.padding[a] * before.stride[a] + before.padding[a] for a in axes],
        )
    )
    return Conv(kernel.reshape(-1, *kernel.shape[2:]), before.source_shape, stride, padding, (1, 1), groups)


def _padded(conv: Conv, axis: int) -> list[int]:
    """Places outside its source that a convolution sees along an axis."""
    side, taps = conv.source_shape[1 + axis], range(conv.weight.shape[2 + axis])
    starts = (conv.stride[axis] * y - conv.padding[axis] for y in range(conv.target_shape[1 + axis]))
    seen = {start + conv.dilation[axis] * tap for start in starts for tap in taps}
    return sorted(place for place in seen if not 0 <= place < side)


def _in_groups(conv: Conv, groups: int) -> Floats:
    """The kernel in fewer groups, zeros between the old ones: (groups, C_out / groups, C_in / groups, ...)."""
    c_out, per, *size = conv.weight.shape
    old, each = conv.groups // groups, c_out // conv.groups
    kernel = conv.weight.reshape(groups, old, each, per, *size)
    wide = np.zeros((groups, old, each, old, per, *size))
    for index in range(old):
        wide[:, index, :, index] = kernel[:, index]
    return wide.reshape(groups, old * each, old * per, *size)


def total(one: Wiring, other: Wiring) -> Wiring:
    """one + other."""
    if isinstance(one, Dense) or isinstance(other, Dense):
        return Dense(to_dense(one).weight + to_dense(other).weight)
    return _sparse(_matrix(one) + _matrix(other))


def rows_of(wiring: Wiring, kept: NDArray[np.bool_]) -> Wiring:
    """The map to some targets only; the others get nothing.  kept: (N_target,)."""
    if kept.all():
        return wiring
    targets, sources, weights = to_sparse(wiring).triples()
    held = kept[targets]
    return Sparse.of(targets[held], sources[held], weights[held], (wiring.target_size, wiring.source_size))


def settled(wiring: Wiring) -> Wiring:
    """As a synapse holds it: a sparse matrix that is small or not very sparse becomes dense."""
    if not isinstance(wiring, Sparse):
        return wiring
    cells = wiring.target_size * wiring.sources
    return to_dense(wiring) if cells <= DENSE_BELOW or wiring.weight.size >= DENSE_FROM * cells else wiring


def _matrix(wiring: Wiring) -> Any:
    held = to_sparse(wiring)
    return sparse.csr_matrix((held.weight, held.columns, held.starts), shape=(held.target_size, held.sources))


def _sparse(matrix: Any) -> Sparse:
    matrix = sparse.csr_matrix(matrix)
    matrix.sum_duplicates()
    matrix.sort_indices()
    return Sparse(matrix.data, matrix.indices, matrix.indptr, int(matrix.shape[1]))
