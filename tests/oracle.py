"""A plain scalar interpreter of a ChipProgram: Python integers, neuron by neuron, written from docs/semantics.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro_deploy.program import ChipProgram, Population

LIMIT = (1 << 23) - 1


def int32(x: int) -> int:
    return (x + 2**31) % 2**32 - 2**31


def leak(x: int, factor: int) -> int:
    sign = -1 if x < 0 else 1
    return sign * ((abs(x) * factor) >> 12)


def clip(x: int) -> int:
    return max(-LIMIT, min(LIMIT, x))


def parameter(population: Population, name: str, neuron: int) -> int:
    values = population.params[name]
    return int(values if values.ndim == 0 else values[neuron])


def fire_cf(p: dict[str, int], v: int, a: int, bias: int) -> tuple[int, int, int]:
    h = clip(leak(v, 4096 - p["dv"]) + a * 64 + bias)
    up = sum(1 for k in range(1, p["rounds"] + 1) if h > k * p["vth"] * 64)
    down = sum(1 for k in range(1, p["rounds_neg"] + 1) if h < -k * p["vth_neg"] * 64)
    return up - down, h - up * p["vth"] * 64 + down * p["vth_neg"] * 64, h


def fire_lif(p: dict[str, int], u: int, v: int, a: int, bias: int) -> tuple[int, int, int, int]:
    u = int32(leak(u, 4095 - p["du"]) + int32(a * 64))
    if u > 2**23:
        u -= 2**24
    elif u <= -(2**23):
        u += 2**24
    h = clip(leak(v, 4096 - p["dv"]) + u + bias)
    spike = int(h > p["vth"] * 64)
    return spike, u, 0 if spike else h, h


def run(program: ChipProgram, q: np.ndarray[Any, Any]) -> dict[tuple[str, str], np.ndarray[Any, Any]]:
    """(population, variable) -> (rows, B, N) for integer input q (T, B, N)."""
    steps, batch = q.shape[:2]
    rows = steps + program.depth
    sizes = {program.encoders[0].name: q.shape[2], **{p.name: p.size for p in program.populations}}
    out = {(name, "spikes"): np.zeros((rows, batch, n), np.int64) for name, n in sizes.items()}
    out[program.encoders[0].name, "spikes"][:steps] = q
    for p in program.populations:
        for variable in ("v", "h", "u"):
            out[p.name, variable] = np.zeros((rows, batch, p.size), np.int64)
    for row in range(rows):
        for p in program.populations:
            for sample in range(batch):
                for neuron in range(p.size):
                    _advance(program, p, out, row, sample, neuron)
    return out


def _advance(program: ChipProgram, p: Population, out: Any, row: int, sample: int, neuron: int) -> None:
    total = 0
    for s in program.synapses:
        when = row - 1 - s.delay
        if s.target == p.name and when >= 0:
            spikes = out[s.source, "spikes"][when, sample]
            part = int32(sum(int(w) * int(x) for w, x in zip(s.weight[neuron], spikes, strict=True)))
            total += part << s.exponent if s.exponent >= 0 else part >> -s.exponent
    params = {name: parameter(p, name, neuron) for name in p.params}
    bias = params["bias_mant"] << params["bias_exp"] if row >= p.latency else 0
    v = int(out[p.name, "v"][row - 1, sample, neuron]) if row else 0
    at = (row, sample, neuron)
    if p.kind == "cf":
        out[p.name, "spikes"][at], out[p.name, "v"][at], out[p.name, "h"][at] = fire_cf(params, v, int32(total), bias)
    else:
        u = int(out[p.name, "u"][row - 1, sample, neuron]) if row else 0
        spike, u, v, h = fire_lif(params, u, v, int32(total), bias)
        out[p.name, "spikes"][at], out[p.name, "u"][at], out[p.name, "v"][at], out[p.name, "h"][at] = spike, u, v, h
