"""A ChipProgram as the compiled loops take it: orders of neurons, tables of weights, and what may be left out.

Static bounds decide: where no sum of a population's synapses can wrap, whatever the spikes, its sums are made in 16 or
32 bits without a look at wraps; else in 64 bits, by the definition's rules ("careful").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fixed import Registers
from ..program import ChipProgram, Population, Synapse
from ..wiring import Conv, Dense, Sparse, Wiring, to_dense
from .base import spike_dtype, spike_ranges
from .plain import CONV_BITS
from .scans import Scan, scan_of

Array = NDArray[Any]
Span = tuple[int, int]
TILE, BLOCK = 32, 8
"""As in lanes.py and kernels.py."""
LINE = 64
"""Arrays begin at a multiple of so many bytes."""
FEW = 8
"""Sums in 16 bits are worth while if they hold at least so many events."""
FULL, LARGEST = 1 / 32, 1 << 24
"""A sparse synapse with a larger share of all pairs, of so many at most, is summed as a dense one."""
INT32 = (1 << 31) - 1


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of any content that begins at a multiple of LINE bytes."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    array: Array = raw[start : start + size].view(dtype).reshape(shape)
    return array


@dataclass(frozen=True, eq=False)
class Table:
    """A synapse in blocks of neighbouring targets; see kernels.blocks.

    where: (starts, stops, shift, base, row).   weight: int32, flat.
    """

    where: tuple[Array, Array, Array, Array, Array]
    weight: Array
    width: int


@dataclass(frozen=True, eq=False)
class Matrix:
    """An all-to-all synapse; see kernels.dense.

    weight: (N_source, M).   mode, most: how sums are made.
    """

    weight: Array
    mode: int
    most: int


@dataclass(frozen=True, eq=False)
class Wire:
    """A synapse.

    lag: rows from a spike to its sum.   body: its weights.   synapse: for the rules of the definition, if it can wrap.
    scale: a matrix's sum is multiplied by it (a table's weights are already).   down: any is shifted right by it.
    """

    source: str
    lag: int
    body: Table | Matrix
    scale: int
    down: int
    synapse: Synapse


@dataclass(frozen=True, eq=False)
class Cell:
    """A population.

    channels: the loops count its neurons with so many channels last; 1: as the program does.
    scan: its compiled form, or None: the kind's own integer step.   careful: sums can wrap.
    width: length of a row of sums.
    """

    population: Population
    channels: int
    scan: Scan | None
    wires: tuple[Wire, ...]
    careful: bool
    width: int


@dataclass(frozen=True, eq=False)
class Network:
    """A program, ready to run.

    groups: populations that feed each other in a cycle are in one group; a group follows those that feed it.
    cyclic: for each group, whether there is a cycle in it.   dtypes: of all spikes, those of encoders among them.
    sizes: number of neurons, of each encoder and population.
    """

    program: ChipProgram
    groups: tuple[tuple[Cell, ...], ...]
    cyclic: tuple[bool, ...]
    dtypes: Mapping[str, Any]
    sizes: Mapping[str, int]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All populations."""
        return tuple(cell for group in self.groups for cell in group)


def reach_of(wiring: Wiring, largest: int) -> int:
    """No sum of a synapse can be larger, for spikes up to `largest`."""
    size = np.abs(wiring.weight, dtype=np.int64)
    if isinstance(wiring, Sparse):
        ends = np.concatenate([[0], np.cumsum(size)])[wiring.starts]
        return int(np.diff(ends).max(initial=0)) * largest
    return int(size.reshape(len(size), -1).sum(axis=1).max(initial=0)) * largest


def can_wrap(synapses: list[Synapse], reaches: list[int]) -> bool:
    """True unless no spikes can make a sum of these synapses of one population wrap.  reaches: their `reach_of`."""
    total = 0
    for s, reach in zip(synapses, reaches, strict=True):
        shifted = reach << max(0, s.exponent)
        limit = (1 << (CONV_BITS - 1)) - 1 if s.kind == "conv" else INT32
        total += shifted
        if reach > INT32 or shifted > limit:
            return True
    return total > INT32


def channels_of(synapses: list[Synapse]) -> int:
    """How many channels come last: those of the first convolution that leads there in blocks; else 1."""
    for s in synapses:
        w = s.wiring
        if isinstance(w, Conv) and w.weight.shape[0] > w.groups and w.target_size > w.weight.shape[0]:
            return int(w.weight.shape[0])
    return 1


def ordered(values: Array, channels: int, axis: int = 0) -> Array:
    """values along an axis with the channels last."""
    if channels == 1:
        return values
    return np.take(values, np.arange(values.shape[axis]).reshape(channels, -1).T.reshape(-1), axis)


def columns_of(wiring: Dense, source: int, target: int, dtype: Any, multiple: int, down: int = 0) -> Array:
    """The weights by source, (N_source, M): shifted right by `down`, M filled up with zeros to a multiple."""
    weight = ordered(ordered(wiring.weight, source, 1), target, 0)
    full = aligned((weight.shape[1], -(-weight.shape[0] // multiple) * multiple), dtype)
    full[:, weight.shape[0] :] = 0
    full[:, : weight.shape[0]] = (weight >> down).astype(dtype).T
    return full


def matrix_of(wiring: Dense, span: Span, source: int, target: int) -> tuple[Matrix, int]:
    """A dense synapse without the power of two that all its weights have in common, and that one's exponent.

    span: the least and the largest spike.
    """
    low, high = int(wiring.weight.min(initial=0)), int(wiring.weight.max(initial=0))
    bits = int(np.bitwise_or.reduce(wiring.weight.reshape(-1), initial=0))
    down = (bits & -bits).bit_length() - 1 if bits else 0
    weight = columns_of(wiring, source, target, spike_dtype(low >> down, high >> down), TILE, down)
    most = ((1 << 15) - 1) // max(1, (max(-low, high) >> down) * max(-span[0], span[1]))
    mode = 0 if span[0] >= 0 and span[1] <= 1 else 1
    if most < FEW:
        most, mode = 1 << 30, 2
    return Matrix(weight, mode, most), down


def dense_table(wiring: Dense, source: int, target: int) -> Table:
    """All targets as one block."""
    weight = columns_of(wiring, source, target, np.int32, BLOCK)
    zero, every = np.zeros(len(weight), np.int32), np.arange(len(weight), dtype=np.int32)
    return Table((zero, zero + 1, every * weight.shape[1], zero[:1], zero[:1]), weight.reshape(-1), weight.shape[1])


def sparse_table(wiring: Wiring, source: int, target: int) -> Table:
    """Single connections, by source."""
    targets, sources, weights = wiring.triples()
    targets, sources = (
        index % (size // channels) * channels + index // (size // channels)
        for index, channels, size in ((targets, target, wiring.target_size), (sources, source, wiring.source_size))
    )
    by = np.argsort(sources, kind="stable")
    ends = np.searchsorted(sources[by], np.arange(wiring.source_size + 1)).astype(np.int32)
    base, row = targets[by].astype(np.int32), np.arange(len(by), dtype=np.int32)
    return Table((ends[:-1], ends[1:], np.zeros_like(ends[:-1]), base, row), weights[by].astype(np.int32), 1)


def conv_table(wiring: Conv, source: int) -> Table:
    """A block for each position of the kernel: the output channels of one place, which are neighbours (channels last).

    Block (g * taps + tap) * per_group + k of the weights: from input channel k of group g by that position.
    """
    c_out, per_group, tall, long = wiring.weight.shape
    (_, h, w), groups = wiring.source_shape, wiring.groups
    each, taps, (up, left) = c_out // groups, tall * long, wiring.padding
    block = 1 if each == 1 else -(-each // BLOCK) * BLOCK
    weight = np.zeros((groups, taps, per_group, block), np.int32)
    weight[..., :each] = wiring.weight.reshape(groups, each, per_group, taps).transpose(0, 3, 2, 1)
    index = np.full((h + 2 * up, w + 2 * left), -1, np.int64)
    index[up : up + h, left : left + w] = np.arange(h * w).reshape(h, w)
    place = np.stack([index[tap.rows, tap.columns].reshape(-1) for tap in wiring.taps()])
    tap, output = np.nonzero(place >= 0)
    place = place[tap, output]
    by = np.argsort(place, kind="stable")
    tap, output, ends = tap[by], output[by], np.searchsorted(place[by], np.arange(h * w + 1))
    base = np.concatenate([output * c_out + g * each for g in range(groups)])
    row = np.concatenate([(g * taps + tap) * per_group for g in range(groups)])
    channel, position = np.divmod(ordered(np.arange(wiring.source_size), source), h * w)
    begin = channel // per_group * len(by)
    where = (begin + ends[position], begin + ends[position + 1], channel % per_group * block, base, row * block)
    starts, stops, shift, base, row = (array.astype(np.int32) for array in where)
    return Table((starts, stops, shift, base, row), weight.reshape(-1), block)


def wire_of(s: Synapse, span: Span, careful: bool, source: int, target: int) -> Wire:
    """A synapse.  span: of its spikes.   source, target: how many channels of these populations come last."""
    wiring, down, up = s.wiring, 0, min(max(0, s.exponent), 31)
    most = wiring.source_size * wiring.target_size
    if isinstance(wiring, Sparse) and FULL * most < wiring.weight.size and most <= LARGEST and not careful:
        wiring = to_dense(wiring)
    body: Table | Matrix
    if isinstance(wiring, Dense) and not careful:
        body, down = matrix_of(wiring, span, source, target)
    elif isinstance(wiring, Dense):
        body = dense_table(wiring, source, target)
    elif isinstance(wiring, Conv) and wiring.weight.shape[0] == target:
        body = conv_table(wiring, source)
    else:
        body = sparse_table(wiring, source, target)
    if isinstance(body, Table) and not careful:
        body = replace(body, weight=body.weight << up)
    return Wire(s.source, 1 + s.delay, body, 1 << min(31, up + down), min(max(0, -s.exponent), 31), s)


def groups_of(program: ChipProgram) -> list[tuple[list[str], bool]]:
    """The populations in groups of mutual influence, in an order in which each group follows its sources."""
    names = [p.name for p in program.populations]
    into = {name: [s.source for s in program.synapses if s.target == name and s.source in names] for name in names}
    before: dict[str, set[str]] = {}
    for name in names:
        todo, met = [name], set[str]()
        while todo:
            new = [n for n in into[todo.pop()] if n not in met]
            met.update(new)
            todo += new
        before[name] = met
    found: list[tuple[list[str], bool]] = []
    for name in sorted(names, key=lambda n: (len(before[n] - {n}), names.index(n))):
        if not any(name in group for group, _ in found):
            mutual = [n for n in names if n == name or (n in before[name] and name in before[n])]
            found.append((mutual, name in before[name]))
    return found


def cell_of(
    p: Population, incoming: list[Synapse], spans: Mapping[str, Span], channels: Mapping[str, int], registers: Registers
) -> Cell:
    """A population with its synapses.  spans: of all spikes.   channels: how many come last, of each population."""
    reaches = [reach_of(s.wiring, max(-spans[s.source][0], spans[s.source][1])) for s in incoming]
    careful, last = can_wrap(incoming, reaches), channels[p.name]
    wires = tuple(wire_of(s, spans[s.source], careful, channels.get(s.source, 1), last) for s in incoming)
    room = [w.body.weight.shape[1] if isinstance(w.body, Matrix) else p.size + w.body.width for w in wires]
    width = -(-max([p.size, *room]) // TILE) * TILE
    return Cell(p, last, scan_of(p, registers, last), wires, careful, width)


@lru_cache(maxsize=4)
def network_of(program: ChipProgram) -> Network:
    """The program, ready to run; those of the last four programs are kept."""
    spans = spike_ranges(program)
    incoming = {p.name: [s for s in program.synapses if s.target == p.name] for p in program.populations}
    known = [p.name for p in program.populations if scan_of(p, program.registers) is not None]
    channels = {name: channels_of(synapses) if name in known else 1 for name, synapses in incoming.items()}
    cells = {p.name: cell_of(p, incoming[p.name], spans, channels, program.registers) for p in program.populations}
    groups = groups_of(program)
    return Network(
        program,
        groups=tuple(tuple(cells[n] for n in group) for group, _ in groups),
        cyclic=tuple(cycle for _, cycle in groups),
        dtypes={name: spike_dtype(*span) for name, span in spans.items()},
        sizes={e.name: int(np.prod(e.shape, dtype=np.int64)) for e in program.encoders}
        | {p.name: p.size for p in program.populations},
    )
