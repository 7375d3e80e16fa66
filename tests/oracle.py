"""A plain scalar interpreter of a ChipProgram: Python integers, neuron by neuron, written from docs/semantics.md."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from neuro_deploy.program import ChipProgram, Population

Numbers = np.ndarray[Any, Any]
LIMIT = (1 << 23) - 1


def wrapped(x: int, bits: int) -> int:
    return (x + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def leak(x: int, factor: int) -> int:
    sign = -1 if x < 0 else 1
    return sign * ((abs(x) * factor) >> 12)


def clip(x: int) -> int:
    return max(-LIMIT, min(LIMIT, x))


def parameter(population: Population, name: str, neuron: int) -> int:
    values = population.params[name]
    return int(values if values.ndim == 0 else values[neuron])


def current(p: dict[str, int], u: int, a: int) -> int:
    u = wrapped(leak(u, 4095 - p["du"]) + a * 64, 32)
    if u > 2**23:
        return u - 2**24
    return u + 2**24 if u <= -(2**23) else u


def fire(kind: str, p: dict[str, int], h: int) -> tuple[int, int]:
    """(spikes, what is left of h)."""
    if kind == "li":
        return 0, h
    if kind == "lif":
        return (1, p.get("v_reset", 0)) if h > p["vth"] * 64 else (0, h)
    up = sum(1 for k in range(1, p["rounds"] + 1) if h > k * p["vth"] * 64)
    down = sum(1 for k in range(1, p["rounds_neg"] + 1) if h < -k * p["vth_neg"] * 64)
    return up - down, h - up * p.get("theta_reset", p["vth"] * 64) + down * p["vth_neg"] * 64


def weighted(wiring: Any, neuron: int, sent: Any) -> Any:
    """The sum of weight * spike of one target; sent: numbers (N_source,)."""
    return {"dense": _dense, "sparse": _sparse, "conv": _conv}[wiring.kind](wiring, neuron, sent)


def _dense(wiring: Any, neuron: int, sent: Any) -> Any:
    return sum(w * x for w, x in zip(wiring.weight[neuron].tolist(), sent, strict=True))


def _sparse(wiring: Any, neuron: int, sent: Any) -> Any:
    entries = range(int(wiring.starts[neuron]), int(wiring.starts[neuron + 1]))
    return sum(wiring.weight[e].item() * sent[int(wiring.columns[e])] for e in entries)


def _conv(wiring: Any, neuron: int, sent: Any) -> Any:
    c_out, c_in, height, width = wiring.weight.shape
    _, h_in, w_in = wiring.source_shape
    _, h_out, w_out = wiring.target_shape
    channel, row, column = neuron // (h_out * w_out), neuron // w_out % h_out, neuron % w_out
    first = channel // (c_out // wiring.groups) * c_in
    total = 0
    for c in range(c_in):
        for i in range(height):
            for j in range(width):
                y = row * wiring.stride[0] + i * wiring.dilation[0] - wiring.padding[0]
                x = column * wiring.stride[1] + j * wiring.dilation[1] - wiring.padding[1]
                if 0 <= y < h_in and 0 <= x < w_in:
                    total += wiring.weight[channel, c, i, j].item() * sent[((first + c) * h_in + y) * w_in + x]
    return total


def shifted(x: int, exponent: int) -> int:
    return x << exponent if exponent >= 0 else x >> -exponent


def run(program: ChipProgram, q: Numbers, met: Counter[str] | None = None) -> dict[tuple[str, str], Numbers]:
    """(population, variable) -> (rows, B, N) for integer input q (T, B, N); met: counts what the synapses did."""
    met = Counter() if met is None else met
    steps, batch = q.shape[:2]
    rows = steps + program.depth
    sizes = {program.encoders[0].name: q.shape[2], **{p.name: p.size for p in program.populations}}
    out = {(name, "spikes"): np.zeros((rows, batch, n), np.int64) for name, n in sizes.items()}
    out[program.encoders[0].name, "spikes"][:steps] = q
    for p in program.populations:
        for variable in ("v", "h", *(("u",) if "du" in p.params else ())):
            out[p.name, variable] = np.zeros((rows, batch, p.size), np.int64)
    for row in range(rows):
        for p in program.populations:
            for sample in range(batch):
                _advance(program, p, out, row, sample, met)
    return out


def _advance(program: ChipProgram, p: Population, out: Any, row: int, sample: int, met: Counter[str]) -> None:
    total = [0] * p.size
    for s in program.synapses:
        when = row - 1 - s.delay
        if s.target == p.name and when >= 0:
            sent = out[s.source, "spikes"][when, sample].tolist()
            for neuron in range(p.size) if any(sent) else ():
                total[neuron] += _arrives(s, neuron, sent, met)
    for neuron in range(p.size):
        at, before = (row, sample, neuron), (row - 1, sample, neuron)
        params = {name: parameter(p, name, neuron) for name in p.params}
        bias = params["bias_mant"] << params["bias_exp"] if row >= p.latency else 0
        a = wrapped(total[neuron], 32)
        met["sum wraps"] += a != total[neuron]
        x = a * 64
        if "du" in params:
            x = current(params, int(out[p.name, "u"][before]) if row else 0, a)
            out[p.name, "u"][at] = x
        v = int(out[p.name, "v"][before]) if row else 0
        h = clip(leak(v, 4096 - params["dv"]) + x + bias)
        out[p.name, "h"][at] = h
        out[p.name, "spikes"][at], out[p.name, "v"][at] = fire(p.kind, params, h)


def _arrives(s: Any, neuron: int, sent: Any, met: Counter[str]) -> int:
    """What a synapse gives to one target."""
    total = weighted(s.wiring, neuron, sent)
    if s.wiring.kind == "conv":
        exact = shifted(total, s.exponent)
        kept = wrapped(exact, 24)
        met["conv wraps"] += kept != exact
    else:
        kept = shifted(wrapped(total, 32), s.exponent)
    met[f"{s.wiring.kind} carries"] += kept != 0
    return kept
