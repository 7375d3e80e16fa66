"""Random ChipPrograms of every kind and wiring, for the tests that compare the two engines."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from neuro_deploy.engine import spike_dtype as spike_dtype
from neuro_deploy.fixed import LOIHI, Registers
from neuro_deploy.program import ChipProgram, Encoder, Population, Synapse
from neuro_deploy.wiring import Conv, Dense, Sparse, Wiring

Rng = np.random.Generator
STYLES = ("gentle", "edge", "violent")
"""gentle: small numbers, so that h meets k * theta; edge: 2^k - 1, 2^k, -2^k; violent: registers wrap and clip."""


def powers(low: int, high: int) -> np.ndarray:
    """low, high, and 2^k - 1, 2^k, -2^k between."""
    all_of = [s * ((1 << k) + d) for k in range(31) for d in (-1, 0) for s in (-1, 1)]
    return np.array(sorted({low, high, *(v for v in all_of if low <= v <= high)}))


def some(rng: Rng, style: str, low: int, high: int, size: Any) -> np.ndarray:
    """Random integers in low..high, or its powers of two."""
    if style == "gentle":
        low, high = max(low, -4), min(high, 4)
    near = rng.integers(low, high + 1, size)
    return np.where(rng.random(size) < 0.5, rng.choice(powers(low, high), size), near)


def one_or_many(rng: Rng, values: np.ndarray) -> np.ndarray:
    """A parameter for each neuron, or the first for all."""
    return values if rng.integers(2) else np.asarray(values[0])


def neurons(rng: Rng, kind: str, style: str, size: int, registers: Registers) -> dict[str, np.ndarray]:
    """Integer parameters over their registers' full range."""
    top = (1 << 17) - 1 if style != "gentle" else 4
    params = {
        "dv": some(rng, "edge", 0, registers.unity, size),
        "bias_mant": some(rng, style, -4096, 4095, size),
        "bias_exp": rng.integers(0, 8, size) if style != "gentle" else np.full(size, 6),
    }
    if kind != "cf" or rng.integers(2):
        params["du"] = some(rng, "edge", 0, registers.unity - 1, size)
    if kind == "lif":
        params["vth"] = some(rng, style, 1, top, size)
        if rng.integers(2):
            params["v_reset"] = some(rng, style, -registers.v_limit, registers.v_limit, size)
    if kind == "cf":
        highest = max(1, registers.v_limit >> registers.threshold_shift)
        most = min(highest, int(rng.choice([1, 2, 3, 7, 127, 128, 255])))
        params["rounds"] = rng.integers(1, most + 1, size)
        params["rounds_neg"] = rng.integers(0, most + 1, size) * int(rng.integers(2))
        for vth, rounds in (("vth", "rounds"), ("vth_neg", "rounds_neg")):
            limit = highest // np.maximum(1, params[rounds])
            params[vth] = np.maximum(1, np.minimum(some(rng, style, 1, min(top, highest), size), limit))
        if not params["rounds_neg"].any() and rng.integers(3):
            near = (params["vth"] << registers.threshold_shift) * rng.choice([2, 3, 4, 5, 8], size) // 4
            taken = np.where(rng.integers(0, 2, size), near, some(rng, style, 1, registers.v_limit, size))
            taken = np.clip(taken, 1, registers.v_limit // params["rounds"])
            params["theta_reset"] = taken * (rng.random(size) > 0.2)
    pairs = {"vth": "rounds", "vth_neg": "rounds_neg"}
    own = (*pairs, *pairs.values(), "theta_reset")
    one = {name: one_or_many(rng, v) for name, v in params.items() if name not in own}
    return one | {name: v for name, v in params.items() if name not in one}


def weights(rng: Rng, style: str, shape: Any) -> np.ndarray:
    """Weights of 8 or 9 bits, or of many, all even or not, some of them 0."""
    reach = {"gentle": 4, "edge": 256, "violent": int(rng.choice([256, 1 << 20, (1 << 31) - 1]))}[style]
    values = some(rng, style, -reach, reach - 1, shape) * rng.integers(0, 2, shape)
    step = 1 << int(rng.integers(0, 3))
    return (values // step * step).astype(np.int32)


def conv(rng: Rng, style: str, source: tuple[int, int, int]) -> Conv:
    """A convolution with random stride, padding, dilation and groups, onto an image of at least one pixel."""
    while True:
        c_in, groups = source[0], int(rng.choice([g for g in range(1, source[0] + 1) if source[0] % g == 0]))
        c_out = groups * int(rng.choice([1, 1, 2, 3, 8, 11]))
        kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
        pairs = [tuple(int(k) for k in rng.integers(low, 3, 2)) for low in (1, 0, 1)]
        found = Conv(weights(rng, style, (c_out, c_in // groups, *kernel)), source, *pairs, groups)  # type: ignore[arg-type]
        if not found.problems:
            return found


def sparse(rng: Rng, style: str, sources: int, targets: int) -> Sparse:
    """Some pairs of neurons: few, or nearly all."""
    count = int(rng.integers(0, max(2, sources * targets // int(rng.choice([1, 6, 60])))))
    pairs = rng.integers(0, targets, count), rng.integers(0, sources, count)
    made = Sparse.of(*pairs, np.ones(count, np.int32), (targets, sources))
    return made.with_weight(weights(rng, style, made.weight.shape))  # type: ignore[return-value]


def wiring(rng: Rng, kind: str, style: str, source: tuple[int, ...], target: tuple[int, ...]) -> Wiring:
    """Between populations of these shapes; a convolution where it fits."""
    n, m = int(np.prod(source)), int(np.prod(target))
    if kind == "sparse":
        return sparse(rng, style, n, m)
    if kind == "conv" and len(source) == len(target) == 3 and source[1:] == target[1:]:
        return Conv(weights(rng, style, (target[0], source[0], 3, 3)), source, padding=(1, 1))  # type: ignore[arg-type]
    return Dense(weights(rng, style, (m, n)))


def exponent(rng: Rng, style: str) -> int:
    """Of a synapse."""
    return int(rng.choice({"gentle": (0, 1), "edge": (-9, -3, -1, 0, 1, 3), "violent": (-2, 0, 5, 13, 24)}[style]))


def encoder(rng: Rng) -> Encoder:
    """Binary or graded, of any width, a vector or an image."""
    bits = int(rng.choice([1, 1, 1, 2, 5, 8, 9, 16, 17]))
    signed = bits > 1 and bool(rng.integers(2))
    high = (1 << (bits - signed)) - 1
    shape: tuple[int, ...] = (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(2, 8, 2)))
    if rng.integers(3) == 0:
        shape = (int(rng.choice([1, 7, 63, 64, 65, 150])),)
    return Encoder("in", shape, 1, 1, bits, signed, -high - 1 if signed else 0, high)


def program(rng: Rng, registers: Registers = LOIHI) -> ChipProgram:
    """A chain of populations with skips, feedback, delays, and latencies that may be later than the first spike."""
    first = encoder(rng)
    populations: list[Population] = []
    synapses: list[Synapse] = []
    shapes: dict[str, tuple[int, ...]] = {first.name: first.shape}

    def join(source: str, target: str, made: Wiring, style: str) -> None:
        name, delay = f"{source}-{target}.{len(synapses)}", int(rng.choice([0, 0, 0, 1, 5]))
        synapses.append(Synapse(name, source, target, made, exponent(rng, style), delay))

    before = first.name
    for depth in range(int(rng.integers(1, 5))):
        style, kind = str(rng.choice(STYLES)), str(rng.choice(["cf", "cf", "lif", "li"]))
        layout, name = str(rng.choice(["dense", "sparse", "conv"])), f"p{depth}"
        main: Wiring
        if layout == "conv" and len(shapes[before]) == 3:
            main = conv(rng, style, shapes[before])  # type: ignore[arg-type]
            shape: tuple[int, ...] = main.target_shape
        else:
            shape = (int(rng.choice([1, 3, 10, 31, 33, 130, 300])),)
            main = wiring(rng, layout, style, shapes[before], shape)
        shapes[name] = shape
        params = neurons(rng, kind, style, int(np.prod(shape)), registers)
        latency = depth + 1 + int(rng.integers(0, 3))
        populations.append(Population(name, kind, shape, params, latency, np.asarray(1.0)))
        join(before, name, main, style)
        for other in (first.name, name, str(rng.choice([p.name for p in populations]))):
            if rng.integers(4) == 0:
                join(
                    other,
                    name,
                    wiring(rng, str(rng.choice(["dense", "sparse", "conv"])), style, shapes[other], shape),
                    style,
                )
            if rng.integers(8) == 0:
                join(name, populations[0].name, wiring(rng, "sparse", style, shape, populations[0].shape), style)
        before = name
    return ChipProgram("test", 1e-3, 64, (first,), tuple(populations), tuple(synapses), None, False, registers)


def some_registers(rng: Rng) -> Registers:
    """Not Loihi's."""
    v, u, decay, shift, threshold = (
        int(rng.integers(low, high + 1)) for low, high in ((8, 31), (2, 31), (1, 16), (0, 16), (0, 16))
    )
    return Registers(v, u, decay, shift, threshold)


def spikes_in(rng: Rng, e: Encoder, steps: int, batch: int) -> np.ndarray:
    """Input of extremes and anything between, few or many: int32 (T, B, N); sometimes the same in every step."""
    shape = (1 if rng.integers(4) == 0 else steps, batch, int(np.prod(e.shape)))
    values = np.where(
        rng.random(shape) < 0.5, rng.choice([e.low, 0, 1, e.high], shape), rng.integers(e.low, e.high + 1, shape)
    )
    values = np.where(rng.random(shape) < rng.choice([0.02, 0.3, 1.0]), values, 0)
    return np.broadcast_to(values, (steps, *shape[1:])).astype(np.int32)


def features(case: ChipProgram) -> Counter[str]:
    """What a program has."""
    met: Counter[str] = Counter()
    for s in case.synapses:
        met[s.kind] += 1
        met["feedback" if s.source == s.target else "forward"] += 1
        met["delay"] += s.delay > 0
        met["exponent < 0"] += s.exponent < 0
        met["exponent > 0"] += s.exponent > 0
        if isinstance(s.wiring, Conv):
            met["grouped"] += s.wiring.groups > 1
            met["strided"] += s.wiring.stride != (1, 1)
            met["dilated"] += s.wiring.dilation != (1, 1)
            met["padded"] += s.wiring.padding != (0, 0)
    targets = [s.target for s in case.synapses]
    met["several synapses"] += len(set(targets)) < len(targets)
    for p in case.populations:
        met[p.kind] += 1
        met[f"{p.kind} with u"] += "du" in p.params
        met["v_reset"] += "v_reset" in p.params
        met["theta_reset"] += "theta_reset" in p.params
    return met
