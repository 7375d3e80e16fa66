"""What a core keeps of a synapse, counted from geometry: connections into a block of neurons, lists of weights."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from ..fixed import Ints
from ..wiring import Conv, Sparse, Wiring


def blocks_of(neurons: int, size: int) -> list[slice]:
    """A population cut into blocks of so many neurons, the last one smaller."""
    return [slice(start, min(start + size, neurons)) for start in range(0, neurons, size)]


@singledispatch
def counts_into(wiring: Wiring, block: slice) -> Ints:
    """How many connections each source has into the neurons of a block, (N_source,); by default one with each."""
    return np.full(wiring.source_size, block.stop - block.start)


@counts_into.register
def _(wiring: Sparse, block: slice) -> Ints:
    columns = wiring.columns[wiring.starts[block.start] : wiring.starts[block.stop]]
    return np.bincount(columns, minlength=wiring.source_size)


@counts_into.register
def _(wiring: Conv, block: slice) -> Ints:
    """By geometry: the neurons of the block at each place of the image, and the places of the source that they meet."""
    height, width = wiring.target_shape[1:]
    first, group = _channels(wiring, block)
    flags = np.zeros((len(group), height, width))
    start = first * height * width
    flags.reshape(-1)[block.start - start : block.stop - start] = 1
    heads = np.flatnonzero(np.diff(group, prepend=-1))
    rows, columns = wiring.meets()
    result = np.zeros((wiring.groups, wiring.weight.shape[1], *wiring.source_shape[1:]), np.int64)
    result[group[heads]] = (rows.T @ np.add.reduceat(flags, heads, axis=0) @ columns)[:, None]
    return result.reshape(-1)


@singledispatch
def lists_of(wiring: Wiring, block: slice, counts: Ints) -> Ints:
    """Lengths of the weight lists that a core keeps; by default one a source, with a weight a connection."""
    return counts


@lists_of.register
def _(wiring: Conv, block: slice, counts: Ints) -> Ints:
    """One an input channel, with the kernels of all output channels of the block that read it."""
    readers = np.bincount(_channels(wiring, block)[1])
    return np.repeat(readers * int(np.prod(wiring.weight.shape[2:])), wiring.weight.shape[1])


def _channels(wiring: Conv, block: slice) -> tuple[int, Ints]:
    """The first output channel that a block touches, and the group of each from there to the last."""
    channels, height, width = wiring.target_shape
    first, last = block.start // (height * width), (block.stop - 1) // (height * width)
    return first, np.arange(first, last + 1) // (channels // wiring.groups)
