"""A ChipProgram as the compiled loops take it: orders of neurons, tables of weights, and what may be left out.

Static bounds decide: where no sum of a population's synapses can wrap, whatever the spikes, its sums are made in 16 or
32 bits without a look at wraps; else in 64 bits, by the definition's rules ("careful").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import ChipProgram, Population, Synapse
from ..wiring import Conv, Dense, Sparse, Wiring, to_dense
from .base import spike_dtype, spike_ranges
from .plain import CONV_BITS
from .scans import Scan, scan_of

Array = NDArray[Any]
TILE, BLOCK = 32, 8
"""As in kernels.py."""
LINE = 64
"""Arrays begin at a multiple of so many bytes."""
FEW = 8
"""Sums in 16 bits are worth while if they hold at least so many events."""
FULL = 0.25
"""A sparse synapse with a larger share of all pairs is treated as a dense one."""
INT32 = (1 << 31) - 1


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of any content that begins at a multiple of LINE bytes."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def placed(values: Array, dtype: Any) -> Array:
    """A copy of values in such an array."""
    array = aligned(values.shape, dtype)
    array[...] = values
    return array


@dataclass(frozen=True, eq=False)
class Table:
    """A synapse in blocks of neighbouring targets; see kernels.blocks.

    where: (starts, stops, shift, base, row).   weight: int32 (rows * width,).
    """

    where: tuple[Array, Array, Array, Array, Array]
    weight: Array
    width: int


@dataclass(frozen=True, eq=False)
class Matrix:
    """An all-to-all synapse; see kernels.dense.

    weight: (N_source, M).   mode, most: how sums are made.   reach: the largest |sum| before the scale.
    """

    weight: Array
    mode: int
    most: int
    reach: int

    @cached_property
    def floats(self) -> Array | None:
        """The weights as floats in which every partial sum is exact; None where sums by events are faster, or no float is."""
        if self.mode < 2 or self.reach >= 1 << 53:
            return None
        return self.weight.astype(np.float32 if self.reach < 1 << 24 else np.float64)


@dataclass(frozen=True, eq=False)
class Wire:
    """A synapse.

    lag: rows from a spike to its sum.   body: its weights.   synapse: for the rules of the definition, if it can wrap.
    scale, down: a matrix's sum is multiplied by `scale` (a table's weights are already), any is shifted right by `down`.
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

    order: its neurons as the loops count them (index of each in the program's order), or None for the program's order.
    scan: its compiled form, or None: the kind's own integer step.   careful: sums can wrap.
    width: length of a row of sums.   dtype: of its spikes.
    """

    population: Population
    order: Array | None
    scan: Scan | None
    wires: tuple[Wire, ...]
    careful: bool
    width: int
    dtype: Any


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

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All weights of dense synapses that are summed by `kernels.dense`."""
        return tuple(w.body for cell in self.cells for w in cell.wires if isinstance(w.body, Matrix))


def reach_of(wiring: Wiring, largest: int) -> int:
    """The largest |sum| of a synapse for spikes up to `largest`."""
    size = np.abs(wiring.weight.astype(np.int64))
    if isinstance(wiring, Dense):
        sums = size.sum(axis=1)
    else:
        sums = wiring.with_weight(size).apply(np.ones((1, wiring.source_size), np.int64))
    return int(sums.max(initial=0)) * largest


def can_wrap(synapses: list[Synapse], ranges: Mapping[str, tuple[int, int]]) -> bool:
    """True unless no spikes can make a sum of these synapses of one population wrap."""
    total = 0
    for s in synapses:
        reach = reach_of(s.wiring, max(map(abs, ranges[s.source])))
        shifted = reach << s.exponent if s.exponent >= 0 else reach
        limit = (1 << (CONV_BITS - 1)) - 1 if s.kind == "conv" else INT32
        total += shifted
        if reach > INT32 or shifted > limit:
            return True
    return total > INT32


def order_of(synapses: list[Synapse]) -> tuple[Array | None, tuple[int, int, int] | None]:
    """Channels last where a convolution of several channels a group leads there, and that convolution's shape."""
    for s in synapses:
        w = s.wiring
        if isinstance(w, Conv) and w.weight.shape[0] > w.groups and w.target_size > w.weight.shape[0]:
            index = np.arange(w.target_size).reshape(w.target_shape)
            return np.ascontiguousarray(index.transpose(1, 2, 0)).reshape(-1), w.target_shape
    return None, None


def ordered(values: Array, order: Array | None, axis: int = 0) -> Array:
    """values along an axis in another order."""
    return values if order is None else np.take(values, order, axis)


def matrix_of(
    wiring: Dense, largest: int, binary: bool, source: Array | None, target: Array | None
) -> tuple[Matrix, int]:
    """A dense synapse, and the power of two that was taken out of its weights (as a factor)."""
    weight = ordered(ordered(wiring.weight, source, 1), target, 0)
    bits = int(np.bitwise_or.reduce(np.abs(weight.astype(np.int64)), axis=None, initial=0))
    factor = bits & -bits or 1
    weight = weight // factor
    width = -(-weight.shape[0] // TILE) * TILE
    dtype = spike_dtype(int(weight.min(initial=0)), int(weight.max(initial=0)))
    full = np.zeros((weight.shape[1], width), dtype)
    full[:, : weight.shape[0]] = weight.T
    size = max(1, int(np.abs(weight.astype(np.int64)).max(initial=0)) * largest)
    most, mode = ((1 << 15) - 1) // size, 0 if binary else 1
    if most < FEW:
        most, mode = 1 << 30, 2
    return Matrix(placed(full, dtype), mode, most, reach_of(wiring, largest) // factor), factor


def dense_table(wiring: Dense, source: Array | None, target: Array | None) -> Table:
    """All targets as one block."""
    weight = ordered(ordered(wiring.weight, source, 1), target, 0)
    width = -(-weight.shape[0] // BLOCK) * BLOCK
    full = np.zeros((weight.shape[1], width), np.int32)
    full[:, : weight.shape[0]] = weight.T
    zero, every = np.zeros(len(full), np.int32), np.arange(len(full), dtype=np.int32)
    return Table((zero, zero + 1, every, zero[:1], zero[:1]), placed(full.reshape(-1), np.int32), width)


def sparse_table(wiring: Wiring, source: Array | None, target: Array | None) -> Table:
    """Single connections, by source."""
    targets, sources, weights = wiring.triples()
    for index, order in ((targets, target), (sources, source)):
        if order is not None:
            index[:] = np.argsort(order)[index]
    by = np.argsort(sources, kind="stable")
    ends = np.searchsorted(sources[by], np.arange(wiring.source_size + 1)).astype(np.int32)
    base, row = targets[by].astype(np.int32), np.arange(len(by), dtype=np.int32)
    return Table((ends[:-1], ends[1:], np.zeros_like(ends[:-1]), base, row), weights[by].astype(np.int32), 1)


def conv_table(wiring: Conv, source: Array | None) -> Table:
    """A block for each position of the kernel: the output channels of one place, which are neighbours (channels last).

    Row (g * taps + tap) * per_group + k of the weights: from input channel k of group g by that position.
    """
    c_out, per_group, tall, long = wiring.weight.shape
    (_, h, w), (_, height, width), groups = wiring.source_shape, wiring.target_shape, wiring.groups
    each, taps = c_out // groups, tall * long
    block = 1 if each == 1 else -(-each // BLOCK) * BLOCK
    weight = np.zeros((groups, taps, per_group, block), np.int32)
    split = wiring.weight.reshape(groups, each, per_group, taps)
    weight[..., :each] = split.transpose(0, 3, 2, 1)
    index = np.full((h + 2 * wiring.padding[0], w + 2 * wiring.padding[1]), -1, np.int64)
    index[wiring.padding[0] :, wiring.padding[1] :][:h, :w] = np.arange(h * w).reshape(h, w)
    outputs = np.arange(height * width).reshape(height, width)
    found = [(index[t.rows, t.columns], t.row * long + t.column) for t in wiring.taps()]
    place = np.concatenate([inputs[inputs >= 0] for inputs, _ in found])
    output = np.concatenate([outputs[inputs >= 0] for inputs, _ in found])
    tap = np.concatenate([np.full(int((inputs >= 0).sum()), number) for inputs, number in found])
    by = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[by], np.arange(h * w + 1))
    base = np.concatenate([output[by] * c_out + g * each for g in range(groups)])
    row = np.concatenate([(g * taps + tap[by]) * per_group for g in range(groups)])
    channel, position = np.divmod(ordered(np.arange(wiring.source_size), source), h * w)
    begin = channel // per_group * len(by)
    where = (begin + ends[position], begin + ends[position + 1], channel % per_group, base, row)
    return Table(tuple(a.astype(np.int32) for a in where), placed(weight.reshape(-1), np.int32), block)  # type: ignore[arg-type]


def wire_of(
    s: Synapse, ranges: Mapping[str, tuple[int, int]], careful: bool, source: Array | None, target: Any
) -> Wire:
    """A synapse between populations in these orders; target: (order, shape of the image that it comes from)."""
    low, high = ranges[s.source]
    wiring, (order, image) = s.wiring, target
    if isinstance(wiring, Sparse) and wiring.weight.size > FULL * wiring.source_size * wiring.target_size:
        wiring = to_dense(wiring)
    factor, exponent = 1, min(max(0, s.exponent), 31)
    body: Table | Matrix
    if isinstance(wiring, Dense) and not careful:
        body, factor = matrix_of(wiring, max(abs(low), abs(high)), low >= 0 and high <= 1, source, order)
    elif isinstance(wiring, Dense):
        body = dense_table(wiring, source, order)
    elif isinstance(wiring, Conv) and image == wiring.target_shape:
        body = conv_table(wiring, source)
    else:
        body = sparse_table(wiring, source, order)
    if isinstance(body, Table) and not careful:
        body = replace(body, weight=placed(body.weight.astype(np.int64) << exponent, np.int32))
    return Wire(s.source, 1 + s.delay, body, factor << exponent, min(max(0, -s.exponent), 31), s)


def groups_of(program: ChipProgram) -> list[tuple[list[str], bool]]:
    """The populations in groups of mutual influence, in an order in which each group follows its sources."""
    names = [p.name for p in program.populations]
    into: dict[str, set[str]] = {name: {s.source for s in program.synapses if s.target == name} for name in names}
    before: dict[str, set[str]] = {}
    for name in names:
        todo, met = [name], set()
        while todo:
            new = [n for n in sorted(into[todo.pop()]) if n in into and n not in met]
            met.update(new)
            todo += new
        before[name] = met
    found: list[tuple[list[str], bool]] = []
    for name in sorted(names, key=lambda n: (len(before[n] - {n}), names.index(n))):
        if not any(name in group for group, _ in found):
            cycle = name in before[name]
            found.append(([n for n in names if n == name or (n in before[name] and name in before[n])], cycle))
    return found


def network_of(program: ChipProgram) -> Network:
    """The program, ready to run."""
    ranges = spike_ranges(program)
    incoming = {p.name: [s for s in program.synapses if s.target == p.name] for p in program.populations}
    scans = {p.name: scan_of(p, program.registers) for p in program.populations}
    own = {name: order_of(incoming[name]) if scan else (None, None) for name, scan in scans.items()}
    cells = {}
    for p in program.populations:
        careful = can_wrap(incoming[p.name], ranges)
        order, scan = own[p.name][0], scans[p.name]
        if scan is not None:
            scan = scan._replace(params=ordered(scan.params, order, 1))
        wires = tuple(
            wire_of(s, ranges, careful, own.get(s.source, (None, None))[0], own[p.name]) for s in incoming[p.name]
        )
        room = [w.body.weight.shape[1] if isinstance(w.body, Matrix) else p.size + w.body.width for w in wires]
        width = -(-max([p.size, *room]) // TILE) * TILE
        dtype = spike_dtype(*ranges[p.name])
        cells[p.name] = Cell(p, order, scan, wires, careful, width, dtype)
    groups = groups_of(program)
    return Network(
        program,
        groups=tuple(tuple(cells[n] for n in group) for group, _ in groups),
        cyclic=tuple(cycle for _, cycle in groups),
        dtypes={name: spike_dtype(*span) for name, span in ranges.items()},
        sizes={e.name: int(np.prod(e.shape, dtype=np.int64)) for e in program.encoders}
        | {p.name: p.size for p in program.populations},
    )
