"""ChipPrograms at the edges of their registers, for the tests that compare executors."""

from __future__ import annotations

from collections import Counter

import numpy as np

from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population
from neuro_deploy.trace import Trace

DECAYS = (0, 1, 2047, 2048, 4094, 4095)
MIXED = (-256, -254, -128, -2, 0, 2, 126, 128, 254)
POSITIVE = (0, 1, 127, 128, 255)
STYLES = ("gentle", "edge", "violent")
"""gentle: small multiples of 64, so that h meets k*theta; edge: 2^k - 1, 2^k, -2^k; violent: registers overflow."""


def pick(rng: np.random.Generator, values: tuple[int, ...], size: int | tuple[int, int]) -> np.ndarray:
    return rng.choice(np.asarray(values), size)


def edges(low: int, high: int) -> tuple[int, ...]:
    """low, high and all of 2^k - 1, 2^k, -2^k between."""
    powers = [v for k in range(18) for v in ((1 << k) - 1, 1 << k, -(1 << k))]
    return tuple(sorted({low, high, *(v for v in powers if low <= v <= high)}))


def neurons(rng: np.random.Generator, style: str, size: int) -> dict[str, np.ndarray]:
    """What CF and LIF have in common: dv, bias_mant, bias_exp."""
    gentle = style == "gentle"
    return {
        "dv": pick(rng, (0, 4095) if gentle else DECAYS, size),
        "bias_mant": pick(rng, (-1, 0, 1, 2) if gentle else edges(-4096, 4095), size),
        "bias_exp": np.asarray(6) if gentle else pick(rng, (0, 1, 6, 7), size),
    }


def cf(rng: np.random.Generator, name: str, style: str, size: int, latency: int, signed: bool) -> Population:
    rounds = int(rng.choice([1, 2, 3, 3, 7]))
    rounds_neg = int(rng.choice([1, 2, 3])) if signed else 0
    tops = {"gentle": 4, "edge": 400, "violent": 1 << 17}
    params = neurons(rng, style, size) | {"rounds": np.asarray(rounds), "rounds_neg": np.asarray(rounds_neg)}
    for vth, most in (("vth", rounds), ("vth_neg", max(1, rounds_neg))):
        top = min(tops[style], ((1 << 17) - 1) // most)
        params[vth] = pick(rng, (1, 2, 3, 4) if style == "gentle" else edges(1, top), size)
    return Population(name, "cf", (size,), params, latency, np.asarray(1.0))


def lif(rng: np.random.Generator, name: str, style: str, size: int, latency: int) -> Population:
    tops = {"gentle": 4, "edge": 1000, "violent": (1 << 17) - 1}
    du = pick(rng, (0, 4095) if style == "gentle" else DECAYS, size)
    params = neurons(rng, style, size) | {"du": du, "vth": pick(rng, edges(1, tops[style]), size)}
    return Population(name, "lif", (size,), params, latency, np.asarray(1.0))


def synapse(rng: np.random.Generator, style: str, source: tuple[str, int], target: Population) -> DenseSynapse:
    """A synapse with all signs or one, an exponent and a delay."""
    shape = (target.size, source[1])
    mode = int(rng.integers(4))
    values: tuple[int, ...] = {0: POSITIVE, 1: tuple(-v for v in POSITIVE)}.get(mode, MIXED)
    if style == "gentle":
        values = {0: (0, 1, 2), 1: (0, -1)}.get(mode, (-2, 0, 2, 4))
    exponents = {"gentle": (0,), "edge": (-9, -3, -1, 0, 1, 3), "violent": (5, 7, 10, 13, 17, 21, 24)}
    return DenseSynapse(
        f"{source[0]}-{target.name}",
        source[0],
        target.name,
        pick(rng, values, shape).astype(np.int32),
        int(rng.choice(exponents[style])),
        int(rng.choice([0, 0, 1, 3])),
    )


def program(rng: np.random.Generator, kinds: tuple[str, ...], styles: tuple[str, ...], signed: bool) -> ChipProgram:
    """Populations in a chain, with skips, recurrence and delays; latencies that may be later than the first spike.

    kinds: "cf" or "lif" for each population; styles: one for each; signed: polarity of CF, and of half the inputs.
    """
    bits = int(rng.choice([1, 4, 8, 16]))
    negative = signed and bits > 1 and bool(rng.integers(2))
    high = (1 << (bits - negative)) - 1
    encoder = Encoder("in", (int(rng.integers(1, 6)),), 1, 1, bits, negative, -high - 1 if negative else 0, high)
    populations: list[Population] = []
    synapses: list[DenseSynapse] = []
    before = (encoder.name, encoder.shape[0])
    for depth, (kind, style) in enumerate(zip(kinds, styles, strict=True)):
        size, latency = int(rng.integers(1, 8)), depth + 1 + int(rng.integers(0, 3))
        name = f"p{depth}"
        new = cf(rng, name, style, size, latency, signed) if kind == "cf" else lif(rng, name, style, size, latency)
        populations.append(new)
        synapses.append(synapse(rng, style, before, new))
        if depth and rng.integers(2):
            synapses.append(synapse(rng, style, (encoder.name, encoder.shape[0]), new))
        if rng.integers(2):
            synapses.append(synapse(rng, style, (name, size), new))
        before = (name, size)
    return ChipProgram("loihi2", 1e-3, 64, (encoder,), tuple(populations), tuple(synapses), None, False)


def spikes_in(rng: np.random.Generator, encoder: Encoder, steps: int, batch: int) -> np.ndarray:
    """Input of extremes and anything between: float64 (T, B, N)."""
    shape = (steps, batch, *encoder.shape)
    extreme = rng.choice([encoder.low, 0, 1, encoder.high], shape)
    return np.where(rng.random(shape) < 0.5, extreme, rng.integers(encoder.low, encoder.high + 1, shape)).astype(float)


def events(case: ChipProgram, trace: Trace) -> Counter[str]:
    """What a run met: clips and wraps, graded values, potentials that are exactly k * theta."""
    met: Counter[str] = Counter()
    for p in case.populations:
        met.update({k: n for k, n in trace.counters[p.name].items() if n})
        data = trace.populations[p.name].data
        met[f"{p.kind} fires"] += int(data["spikes"].any())
        if p.kind == "cf":
            met.update({f"value {k}": int((data["spikes"] == k).sum()) for k in (-1, 1, 2, 3)})
        theta = np.broadcast_to(p.params["vth"] << 6, (p.size,))
        most = int(p.params["rounds"]) if p.kind == "cf" else 1
        for k in range(1, most + 1):
            met[f"{p.kind} h == k*theta"] += int((data["h"] == k * theta).sum())
    met["recurrent"] += any(s.source == s.target for s in case.synapses)
    met["delayed"] += any(s.delay for s in case.synapses)
    return met
