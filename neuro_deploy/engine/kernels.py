"""Synaptic sums in compiled loops, driven by events: only spikes that are not 0 cost something.

Spikes: int8, int16 or int32 (rows, samples, N_source).  Sums: `total` (rows, samples, >= N_target), of the chip's rows
r0..r1-1; row r takes the spikes of row r - lag.  Rows that the source does not have hold no spikes.  The samples are
`first`, ..., `first` + total.shape[1] - 1 of the spikes' array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from .jit import compiled, inlined, intrinsic
from .lanes import TILE, data_of, load, resized, splat, store, tile, vector_at

Array = NDArray[Any]
LANES = 64
"""How many spikes are looked at together: the bits of a mask."""
SLACK = 2 * LANES
"""How much longer than N_source a list of events must be."""
BLOCK = 8
"""The width of a block is filled up to a multiple of this, unless it is 1."""


@intrinsic
def fired(typing: Any, flat: Any, start: Any) -> Any:
    """A mask (uint64) of which of flat[start : start + 64] are not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = data_of(context, builder, signature, arguments, 0)
        values = load(builder, vector_at(builder, data, arguments[1], LANES))
        return builder.bitcast(builder.icmp_signed("!=", values, ir.Constant(values.type, None)), ir.IntType(LANES))

    return types.uint64(flat, types.int64), generate


@intrinsic
def differing(typing: Any, flat: Any, one: Any, other: Any) -> Any:
    """A mask (uint64) of where flat[one : one + 64] and flat[other : other + 64] differ."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = data_of(context, builder, signature, arguments, 0)
        values, others = (load(builder, vector_at(builder, data, start, LANES)) for start in arguments[1:])
        return builder.bitcast(builder.icmp_signed("!=", values, others), ir.IntType(LANES))

    return types.uint64(flat, types.int64, types.int64), generate


@intrinsic
def lowest(typing: Any, mask: Any) -> Any:
    """Position of the lowest bit of a mask; 64 if there is none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def ones(typing: Any, mask: Any) -> Any:
    """Number of bits that are 1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@inlined
def eight(mask: Any, base: int, events: Array, k: int) -> Any:
    """Write the positions of the eight lowest bits (what is too much is written over later); gives the other bits."""
    for i in range(8):
        events[k + i] = base + lowest(mask)
        mask &= mask - np.uint64(1)
    return mask


@compiled
def find(flat: Array, start: int, n: int, events: Array) -> int:
    """Write where flat[start : start + n] is not 0 into events (int32, n + SLACK); gives how many there are."""
    k = 0
    i = 0
    while i + LANES <= n:
        mask = fired(flat, start + i)
        met = ones(mask)
        mask = eight(mask, i, events, k)
        if met > 8:
            mask = eight(mask, i, events, k + 8)
            at = k + 16
            while mask != 0:
                events[at] = i + lowest(mask)
                mask &= mask - np.uint64(1)
                at += 1
        k += met
        i += LANES
    while i < n:
        events[k] = i
        k += flat[start + i] != 0
        i += 1
    return k


@inlined
def alike(flat: Array, one: int, other: int, n: int) -> bool:
    """True if flat[one : one + n] equals flat[other : other + n]."""
    i = 0
    while i + LANES <= n:
        if differing(flat, one + i, other + i) != 0:
            return False
        i += LANES
    while i < n:
        if flat[one + i] != flat[other + i]:
            return False
        i += 1
    return True


@inlined
def copy(flat: Array, to: int, start: int, n: int) -> None:
    """flat[to : to + n] = flat[start : start + n], which do not overlap."""
    target, source = flat[to : to + n], flat[start : start + n]
    for j in range(target.shape[0]):
        target[j] = source[j]


@inlined
def clear(flat: Array, start: int, n: int) -> None:
    """flat[start : start + n] = 0."""
    part = flat[start : start + n]
    for j in range(part.shape[0]):
        part[j] = 0


ones16, few_ones16 = tile(8, 16, False), tile(1, 16, False)
values16, few_values16 = tile(8, 16, True), tile(1, 16, True)
values32, few_values32 = tile(4, 32, True), tile(1, 32, True)


@compiled
def dense(
    spikes: Array,
    place: tuple[int, int, int, int, int],
    weight: Array,
    rule: tuple[bool, int, int, int],
    events: Array,
    total: Array,
) -> None:
    """total = or += the sums of an all-to-all synapse; nothing may wrap.

    place: (r0, r1, lag, first, samples).
    weight: (N_source, M) int8, int16 or int32; M: N_target and zeros, a multiple of TILE.
    rule: (add to `total`?, mode, most, scale).  The sum is multiplied by `scale`.  Modes 0 and 1: sums of `most` events
    fit 16 bits; 0: all spikes are 0 or 1.
    total: int32 (r1 - r0, samples, >= M), or larger.
    """
    r0, r1, lag, first, samples = place
    add, mode, most, scale = rule
    rows, every, n = spikes.shape
    m = weight.shape[1]
    flat, w, sums = spikes.reshape(-1), weight.reshape(-1), total.reshape(-1)
    for r in range(r0, r1):
        for b in range(samples):
            o = ((r - r0) * total.shape[1] + b) * total.shape[2]
            at = ((r - lag) * every + first + b) * n
            k = 0
            if 0 <= r - lag < rows:
                if not add and r > r0 and r > lag and alike(flat, at, at - every * n, n):
                    copy(sums, o, o - total.shape[1] * total.shape[2], m)
                    continue
                k = find(flat, at, n, events)
            if not add:
                clear(sums, o, m)
            start = 0
            while start < k:
                stop = min(k, start + most)
                j = 0
                while j < m:
                    if mode == 0 and m - j >= 8 * TILE:
                        ones16(w, j, m, events, start, stop, flat, at, scale, sums, o + j)
                        j += 8 * TILE
                    elif mode == 0:
                        few_ones16(w, j, m, events, start, stop, flat, at, scale, sums, o + j)
                        j += TILE
                    elif mode == 1 and m - j >= 8 * TILE:
                        values16(w, j, m, events, start, stop, flat, at, scale, sums, o + j)
                        j += 8 * TILE
                    elif mode == 1:
                        few_values16(w, j, m, events, start, stop, flat, at, scale, sums, o + j)
                        j += TILE
                    elif m - j >= 4 * TILE:
                        values32(w, j, m, events, start, stop, flat, at, scale, sums, o + j)
                        j += 4 * TILE
                    else:
                        few_values32(w, j, m, events, start, stop, flat, at, scale, sums, o + j)
                        j += TILE
                start = stop


@intrinsic
def add_block(typing: Any, weight: Any, q: Any, spike: Any, out: Any, o: Any) -> Any:
    """out[o : o + BLOCK] += weight[q : q + BLOCK] * spike, in the width of `out`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, sums = (data_of(context, builder, signature, arguments, i) for i in (0, 3))
        there = vector_at(builder, sums, arguments[4], BLOCK)
        bits = sums.type.pointee.width
        w = resized(builder, load(builder, vector_at(builder, weights, arguments[1], BLOCK)), bits)
        w = builder.mul(w, splat(builder, resized(builder, arguments[2], bits), BLOCK))
        store(builder, builder.add(load(builder, there), w), there)
        return context.get_dummy_value()

    return types.void(weight, q, spike, out, o), generate


@compiled
def blocks(
    spikes: Array,
    place: tuple[int, int, int, int, int],
    table: tuple[Array, Array, Array, Array, Array],
    weight: Array,
    width: int,
    add: bool,
    events: Array,
    total: Array,
) -> None:
    """total = or += the sums of a synapse that reaches its targets in blocks of `width` neighbours.

    place: (r0, r1, lag, first, samples).
    table: (starts, stops, shift, base, row), int32: a spike of source i meets, for p in starts[i] .. stops[i] - 1, the
    targets base[p] .. base[p] + width - 1 with the weights from row[p] + shift[i] on.
    weight: int32, flat.   width: 1 or a multiple of BLOCK; weights of 0 may reach beyond a target's block.
    total: int32 where nothing can wrap, else int64 (which wraps as numpy's does).
    """
    r0, r1, lag, first, samples = place
    starts, stops, shift, base, row = table
    rows, every, n = spikes.shape
    m = total.shape[2]
    flat, sums = spikes.reshape(-1), total.reshape(-1)
    for r in range(r0, r1):
        for b in range(samples):
            o = ((r - r0) * total.shape[1] + b) * m
            at = ((r - lag) * every + first + b) * n
            k = 0
            if 0 <= r - lag < rows:
                if not add and r > r0 and r > lag and alike(flat, at, at - every * n, n):
                    copy(sums, o, o - total.shape[1] * m, m)
                    continue
                k = find(flat, at, n, events)
            if not add:
                clear(sums, o, m)
            for e in range(k):
                i = np.uint64(events[e])  # unsigned, so that no index is looked at for being negative
                s, own = np.int64(flat[at + events[e]]), np.int64(shift[i])
                for p in range(np.uint64(starts[i]), np.uint64(stops[i])):
                    q, to = row[p] + own, o + base[p]
                    if width == 1:
                        sums[to] += weight[q] * s
                    else:
                        c = np.int64(0)
                        while c < width:
                            add_block(weight, q + c, s, sums, to + c)
                            c += BLOCK
