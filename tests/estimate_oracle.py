"""What a run costs on a chip, by plain loops over single spikes and single connections."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from neuro_deploy.lower.fit import fit
from neuro_deploy.program import ChipProgram
from neuro_deploy.target import Target
from neuro_deploy.trace import Trace


def spikes_of(program: ChipProgram, trace: Trace, name: str) -> np.ndarray:
    """(rows, B, N)."""
    recording = trace.populations[name]
    shape = (trace.steps + program.depth, trace.batch, recording.size)
    spikes = recording.data["spikes"].reshape(shape) if "spikes" in recording.data else np.zeros(shape, int)
    return spikes.astype(int)


def blocks(program: ChipProgram, target: Target) -> dict[str, list[range]]:
    """The cores of each population, as ranges of its neurons."""
    size = {p.name: p.neurons_per_core for p in fit(program, target).populations}
    cut = {
        p.name: [range(i, min(i + size[p.name], p.size)) for i in range(0, p.size, size[p.name])]
        for p in program.populations
    }
    return {e.name: [] for e in program.encoders} | cut


def oracle(program: ChipProgram, trace: Trace, target: Target) -> dict[str, Any]:
    """Counts and costs in J and s, summed over samples, one spike and one connection at a time."""
    assert target.costs is not None
    energy, time, mesh = target.costs.energy, target.costs.time, target.costs.mesh
    cores, each = blocks(program, target), target.costs.graded.value == "each"
    core_of = {(n, i): c for n, found in cores.items() for c, block in enumerate(found) for i in block}
    tiles = -(-sum(map(len, cores.values())) // mesh.cores_per_tile.value)
    by_row, by_column = (
        [(i % wide, i // wide) if wide == mesh.columns.value else (i // wide, i % wide) for i in range(tiles)]
        for wide in (mesh.columns.value, mesh.rows.value)
    )
    spans_of = [tuple(max(at[k] for at in grid) for k in (0, 1)) for grid in (by_row, by_column)]
    way = max(x * energy.hop_east_west.high + y * energy.hop_north_south.high for x, y in spans_of)
    far = max(x * time.hop_east_west.high + y * time.hop_north_south.high for x, y in spans_of)
    rows, batch = trace.steps + program.depth, trace.batch
    found = {n: {"spikes": 0, "messages": 0, "effective": 0, "stored": 0, "busy": [0.0, 0.0]} for n in cores}
    links: dict[str, list[tuple[str, dict[int, list[tuple[int, int]]]]]] = {n: [] for n in cores}
    for s in program.synapses:
        fans: dict[int, list[tuple[int, int]]] = {}
        for t, i, w in zip(*(a.tolist() for a in s.wiring.triples()), strict=True):
            fans.setdefault(i, []).append((t, w))
        links[s.source].append((s.target, fans))
    total = [0.0, 0.0]
    for row, sample in itertools.product(range(rows), range(batch)):
        low = {n: [0.0, 0.0] for n in cores}
        high = {
            (n, c): len(b) * (time.neuron_update.high + time.neuron_active.high)
            for n, bs in cores.items()
            for c, b in enumerate(bs)
        }
        for n in cores:
            low[n][0] += sum(map(len, cores[n])) * time.neuron_update.low
            for i, value in enumerate(spikes_of(program, trace, n)[row, sample].tolist()):
                times = abs(value) if each else int(value != 0)
                found[n]["spikes"] += times
                low[n][0] += times * time.neuron_active.low
                if cores[n]:
                    high[n, core_of[n, i]] += times * time.spike.high
                for there, fans in links[n]:
                    reached = fans.get(i, [])
                    found[there]["stored"] += times * len(reached)
                    found[there]["effective"] += times * sum(w != 0 for _, w in reached)
                    low[there][1] += times * sum(w != 0 for _, w in reached) * time.synaptic_op.low
                    for t, _ in reached:
                        high[there, core_of[there, t]] += times * time.synaptic_op.high
                    for c in {core_of[there, t] for t, _ in reached}:
                        found[n]["messages"] += times
                        high[there, c] += times * time.message_in.high
                        if cores[n]:
                            high[n, core_of[n, i]] += times * time.message_out.high
        lows = {n: max(pair) / len(cores[n]) if cores[n] else 0.0 for n, pair in low.items()}
        highs = {n: max((high[n, c] for c in range(len(cores[n]))), default=0.0) for n in cores}
        for n in cores:
            found[n]["busy"][0] += lows[n] * 1e-9
            found[n]["busy"][1] += highs[n] * 1e-9
        barrier = time.barrier_chip if tiles > 1 else time.barrier_tile
        total[0] += (max(lows.values()) + time.barrier_tile.low) * 1e-9
        total[1] += (max(highs.values()) + far + barrier.high) * 1e-9
    for n, f in found.items():
        updates, own = sum(map(len, cores[n])) * rows * batch, f["spikes"] if cores[n] else 0
        least = f["effective"] * energy.synaptic_op.low + f["messages"] * energy.message.low
        most = f["stored"] * energy.synaptic_op.high + f["messages"] * (energy.message.high + way)
        least += own * (energy.neuron_active.low + energy.spike.low)
        most += updates * energy.neuron_active.high + own * energy.spike.high
        f["active"], f["idle"] = (
            (least * 1e-12, most * 1e-12),
            tuple(updates * e * 1e-12 for e in (energy.neuron_update.low, energy.neuron_update.high)),
        )
    return {"layers": found, "time": total, "tiles": tiles}
