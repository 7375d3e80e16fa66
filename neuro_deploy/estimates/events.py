"""What happens on the cores in each step of a run: spikes, messages, synaptic operations.

Row r of a count is the chip's step r.  A message and its operations count in the row in which the spike is sent,
whatever the synapse's delay.  Operations are counted twice: `stored`, one for each connection that the program stores,
and `effective`, those whose weight is not zero; a chip that skips zeros does the latter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fixed import Ints
from ..lower.cores import blocks_of, counts_into
from ..lower.fit import Fit
from ..neurons import spec
from ..program import ChipProgram, Synapse
from ..trace import Trace
from ..wiring import Conv, Sparse, Wiring

Counts = NDArray[np.float64]


@singledispatch
def fan_out(wiring: Wiring) -> Ints:
    """How many weights that are not zero each source has, (N_source,); by default of a matrix (N_target, N_source)."""
    return np.asarray(np.count_nonzero(wiring.weight, axis=0), np.int64)


@fan_out.register
def _(wiring: Sparse) -> Ints:
    return np.bincount(wiring.columns[wiring.weight != 0], minlength=wiring.source_size).astype(np.int64)


@fan_out.register
def _(wiring: Conv) -> Ints:
    """By geometry: each tap adds its channels' count to the places of the padded source that it meets."""
    (channels, height, width), (up, left) = wiring.source_shape, wiring.padding
    kernels = np.count_nonzero(wiring.weight.reshape(wiring.groups, -1, *wiring.weight.shape[1:]), axis=1)
    counts = kernels.reshape(channels, *wiring.weight.shape[2:]).astype(np.int64)
    image = np.zeros((channels, height + 2 * up, width + 2 * left), np.int64)
    for tap in wiring.taps():
        image[:, tap.rows, tap.columns] += counts[:, tap.row, tap.column, None, None]
    return image[:, up : up + height, left : left + width].reshape(-1)


@dataclass(frozen=True, eq=False)
class CoreEvents:
    """One population in a run, by step (rows), sample (B) and core (C); an input has no core (C = 0).

    spikes: neuron-steps that fire, as the target counts them, (rows, B).   spikes_on: the same by core, (rows, B, C).
    messages: sent, one for each connection and core that the neuron reaches, (rows, B).   sent_from, got_by: by core.
    effective: synaptic operations of its incoming synapses, (rows, B).   stored: by core, (rows, B, C).
    """

    name: str
    blocks: tuple[slice, ...]
    neurons: int
    spikes: Counts
    spikes_on: Counts
    messages: Counts
    sent_from: Counts
    got_by: Counts
    effective: Counts
    stored: Counts


def core_events(program: ChipProgram, trace: Trace, placed: Fit, graded: str) -> Iterator[CoreEvents]:
    """The events of the inputs, then of the populations.

    placed: the cores (`lower.fit`).   graded: "once" counts a spike of value k once, "each" k times.
    Raises: InputError if the trace is not a run of the program with the spikes of every population.
    """
    _check(program, trace)
    sizes = {p.name: p.neurons_per_core for p in placed.populations}
    blocks = {p.name: tuple(blocks_of(p.size, sizes[p.name])) for p in program.populations}
    blocks |= {e.name: () for e in program.encoders}
    fired = {name: _events(program, trace, name, graded) for name in blocks}
    for name in (*(e.name for e in program.encoders), *(p.name for p in program.populations)):
        yield _of(program, name, blocks, fired)


def _of(
    program: ChipProgram, name: str, blocks: Mapping[str, tuple[slice, ...]], fired: Mapping[str, NDArray[Any]]
) -> CoreEvents:
    own, here = fired[name], blocks[name]
    into = [s for s in program.synapses if s.target == name]
    shape = own.shape[:2]
    stored, got_by = np.zeros((*shape, len(here))), np.zeros((*shape, len(here)))
    effective = np.zeros(shape)
    for synapse in into:
        counts = np.stack([counts_into(synapse.wiring, block) for block in here], axis=1)
        stored += _product(fired[synapse.source], counts)
        got_by += _product(fired[synapse.source], counts > 0)
        effective += _product(fired[synapse.source], fan_out(synapse.wiring)[:, None])[..., 0]
    reach = _reach(own.shape[2], [s for s in program.synapses if s.source == name], blocks)
    sent_from = np.zeros((*shape, len(here)))
    for core, block in enumerate(here):
        sent_from[..., core] = _product(own[..., block], reach[block, None])[..., 0]
    messages = sent_from.sum(axis=2) if here else _product(own, reach[:, None])[..., 0]
    spikes_on = np.zeros((*shape, len(here)))
    for core, block in enumerate(here):
        spikes_on[..., core] = own[..., block].sum(axis=2, dtype=np.float64)
    spikes = own.sum(axis=2, dtype=np.float64)
    neurons = own.shape[2] if here else 0
    return CoreEvents(name, here, neurons, spikes, spikes_on, messages, sent_from, got_by, effective, stored)


def _reach(size: int, out: list[Synapse], blocks: Mapping[str, tuple[slice, ...]]) -> Ints:
    """To how many cores each neuron sends, connection by connection, (N,)."""
    reach = np.zeros(size, np.int64)
    for synapse in out:
        for block in blocks[synapse.target]:
            reach += counts_into(synapse.wiring, block) > 0
    return reach


def _product(fired: NDArray[Any], counts: NDArray[Any]) -> Counts:
    """(rows, B, C) from (rows, B, N) and (N, C), a row at a time; exact below 2^53."""
    factor = counts.astype(np.float64)
    return np.stack([row.astype(np.float64) @ factor for row in fired])


def _events(program: ChipProgram, trace: Trace, name: str, graded: str) -> NDArray[Any]:
    """How often each neuron's spike counts, (rows, B, N)."""
    recording = trace.populations[name]
    if "spikes" not in recording.data:  # it cannot fire: `_check`
        return np.zeros((trace.steps + program.depth, trace.batch, recording.size), np.bool_)
    spikes = recording.data["spikes"].reshape(*recording.data["spikes"].shape[:2], -1)
    return np.asarray(np.abs(spikes) if graded == "each" else spikes != 0)


def _check(program: ChipProgram, trace: Trace) -> None:
    if trace.digest != program.digest:
        whose = f"program {trace.digest[:12]}" if trace.digest else "a float network"
        raise InputError(f"estimate: the trace is a run of {whose}, not of program {program.digest[:12]}")
    silent = {p.name for p in program.populations if spec(p.kind).spike_range(p.params) == (0, 0)}
    needed = [*(e.name for e in program.encoders), *(p.name for p in program.populations)]
    known = {n for n, recording in trace.populations.items() if "spikes" in recording.data}
    missing = [n for n in needed if n not in known and not (n in silent and n in trace.populations)]
    if missing:
        raise InputError(f"estimate: the trace lacks the spikes of {', '.join(missing)}; record 'spikes' of all")
