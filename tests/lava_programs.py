"""ChipPrograms at the edges of their registers: the numbers of a draft (lava_drafts.py), and what a run of them met."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from lava_drafts import Draft, Layer, Link

from neuro_deploy.engine import Request, plain
from neuro_deploy.neurons import spec
from neuro_deploy.program import ChipProgram, Encoder, Population
from neuro_deploy.program.data import Synapse
from neuro_deploy.trace import Recording, Trace
from neuro_deploy.wiring import Conv, Dense, Wiring, to_sparse

DECAYS = (0, 1, 2047, 2048, 4094, 4095)
MIXED = (-256, -254, -128, -2, 0, 2, 126, 128, 254)
POSITIVE = (0, 1, 127, 128, 255)
EXPONENTS = {"gentle": (0,), "edge": (-9, -3, -1, 0, 1, 3), "violent": (5, 7, 10, 13, 17, 21, 24)}
LIMIT = (1 << 23) - 1


def pick(rng: np.random.Generator, values: Any, size: Any) -> np.ndarray:
    return rng.choice(np.asarray(values), size)


def edges(low: int, high: int) -> tuple[int, ...]:
    """low, high and all of 2^k - 1, 2^k, -2^k between."""
    powers = [v for k in range(24) for v in ((1 << k) - 1, 1 << k, -(1 << k))]
    return tuple(sorted({low, high, *(v for v in powers if low <= v <= high)}))


def parameter(rng: np.random.Generator, layer: Layer, gentle: Any, low: int, high: int, edge: Any = ()) -> np.ndarray:
    """One per neuron, sometimes one for all; by style: of `gentle`, of `edge` (by default powers of two), of all."""
    size = () if rng.random() < 0.15 else (int(np.prod(layer.shape)),)
    if layer.style == "any":
        return rng.integers(low, high + 1, size)
    return pick(rng, gentle if layer.style == "gentle" else (edge or edges(low, high)), size)


def population(rng: np.random.Generator, name: str, layer: Layer, latency: int) -> Population:
    """The integers of a population."""
    style, kind = layer.style, layer.kind.partition("-")[0]
    params = {
        "dv": parameter(rng, layer, (0, 4095, 4096), 0, 4096, (*DECAYS, 4096)),
        "bias_mant": parameter(rng, layer, (-1, 0, 1, 2), -4096, 4095),
        "bias_exp": parameter(rng, layer, (6,), 0, 7, (0, 1, 6, 7)),
    }
    if kind != "cf" or "current" in layer.kind:
        params["du"] = parameter(rng, layer, (0, 4095), 0, 4095, DECAYS)
    if kind == "lif":
        top = {"edge": 1000}.get(style, (1 << 17) - 1)
        params["vth"] = parameter(rng, layer, (1, 2, 3, 4), 1, top)
    if layer.kind == "lif-reset":
        params["v_reset"] = parameter(rng, layer, (-128, -64, -1, 1, 64, 128), -LIMIT, LIMIT)
    if kind == "cf":
        params["rounds"] = np.asarray(pick(rng, (1, 2, 3, 3, 7), ()))
        params["rounds_neg"] = np.asarray(pick(rng, (1, 2, 3), ()) if "signed" in layer.kind else 0)
        for vth, rounds in (("vth", "rounds"), ("vth_neg", "rounds_neg")):
            top = min({"edge": 400}.get(style, 1 << 17), ((1 << 17) - 1) // max(1, int(params[rounds])))
            params[vth] = parameter(rng, layer, (1, 2, 3, 4), 1, top)
    if kind == "cf" and "reset" in layer.kind:
        near = params["vth"] * pick(rng, (32, 48, 63, 65, 80, 128), params["vth"].shape)
        wide = parameter(rng, layer, (1, 32, 96, 160, 288), 1, LIMIT)
        taken = near if rng.integers(2) else wide
        params["theta_reset"] = np.clip(taken, 1, LIMIT // params["rounds"]) * (rng.random(taken.shape) > 0.2)
    return Population(name, kind, layer.shape, params, latency, np.asarray(1.0))


def weights(rng: np.random.Generator, style: str, wild: int, shape: tuple[int, ...]) -> np.ndarray:
    """Of one sign or of both, and then even; wild: up to this size, as only Lava's Conv takes them, or 0."""
    mode = int(rng.integers(4))
    if style == "any" and wild:
        return rng.integers(-wild, wild + 1, shape)
    if style == "any":
        return {0: rng.integers(0, 256, shape), 1: -rng.integers(0, 256, shape)}.get(
            mode, 2 * rng.integers(-128, 128, shape)
        )
    if style == "gentle":
        return pick(rng, {0: (0, 1, 2), 1: (0, -1)}.get(mode, (-2, 0, 2, 4)), shape)
    return pick(rng, {0: POSITIVE, 1: tuple(-v for v in POSITIVE)}.get(mode, MIXED), shape)


def synapse(rng: np.random.Generator, style: str, link: Link, source: Any, target: Population, most: int) -> Synapse:
    """The integers of a synapse.  source: the shape of what sends; most: the largest |spike|."""
    exponent = int(rng.integers(-9, 13) if style == "any" else rng.choice(EXPONENTS[style]))
    name, wiring = f"{link.source}-{target.name}-{link.wiring}", Wiring
    if link.window is not None:
        geometry = link.window
        shape = (geometry.channels, source[0] // geometry.groups, *geometry.kernel)
        direct = link.delay == 0 and exponent >= 0
        wild = min(3000, ((1 << 31) - 1) // int(most * np.prod(shape[1:]))) if direct else 0
        values = weights(rng, style, wild, shape)
        reach = int(np.abs(values).reshape(len(values), -1).sum(axis=1).max()) * most
        while reach and (reach << exponent >= 1 << 31 if direct else reach * 2.0**exponent >= LIMIT):
            exponent -= 1
            assert not direct or exponent >= 0
        wiring = Conv(values, source, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    else:
        values = weights(rng, style, 0, (target.size, int(np.prod(source))))
        wiring = Dense(values)
        if link.wiring == "sparse":
            wiring = to_sparse(Dense(np.where(rng.random(values.shape) < 0.5, values, 0)))
    return Synapse(name, link.source, target.name, wiring, exponent, link.delay)


def program(draft: Draft) -> ChipProgram:
    """The numbers of a draft.  Latencies may be later than the first spike."""
    rng = np.random.default_rng(draft.seed)
    high = (1 << (draft.bits - draft.negative)) - 1
    low = -high - 1 if draft.negative else 0
    encoder = Encoder("in", draft.shape, 1, 1, draft.bits, draft.negative, low, high)
    shapes, most = {"in": draft.shape}, {"in": max(high, -low)}
    populations: list[Population] = []
    synapses: list[Synapse] = []
    for index, layer in enumerate(draft.layers):
        new = population(rng, f"p{index}", layer, index + 1 + layer.late)
        populations.append(new)
        shapes[new.name] = layer.shape
        most[new.name] = max(map(abs, spec(new.kind).spike_range(new.params)))
        for number, link in enumerate(layer.links):
            made = synapse(rng, layer.style, link, shapes[link.source], new, most[link.source])
            synapses.append(Synapse(f"{made.name}{number}", *(getattr(made, k) for k in FIELDS)))
    return ChipProgram("loihi2", 1e-3, 64, (encoder,), tuple(populations), tuple(synapses), None, False)


FIELDS = ("source", "target", "wiring", "exponent", "delay")


def spikes_in(draft: Draft, steps: int, batch: int) -> np.ndarray:
    """Input of extremes, zeros and anything between: float64 (T, B, C, H, W)."""
    rng = np.random.default_rng(draft.seed + 1)
    encoder = program(draft).encoders[0]
    shape = (steps, batch, *encoder.shape)
    extreme = rng.choice([encoder.low, 0, 1, encoder.high], shape)
    return np.where(rng.random(shape) < 0.5, extreme, rng.integers(encoder.low, encoder.high + 1, shape)).astype(float)


def defined(case: ChipProgram, x: np.ndarray) -> Trace:
    """What the definition (engine/plain.py) gives for x (T, B, *shape), whatever backend shows it; all variables."""
    inputs, counters = case.encode(x)
    done = plain.run(case, inputs, Request(len(x), ("spikes", "v", "h", "u")))
    shape = (len(x) + case.depth, x.shape[1])
    populations = {
        p.name: Recording(
            p.shape, p.latency, p.unit, {k: a.reshape(*shape, *p.shape) for k, a in done.data[p.name].items()}
        )
        for p in case.populations
    }
    return Trace(populations, len(x), case.dt, "plain", "integer", case.digest, {**counters, **done.counters})


def flavour(p: Population) -> str:
    """The kind, and what not every population of it has."""
    extra = {"cf": "du", "lif": "v_reset"}.get(p.kind, "")
    return f"{p.kind} with {extra}" if extra in p.params else p.kind


def events(case: ChipProgram, trace: Trace) -> Counter[str]:
    """What a run met: who fires, clips and wraps, graded values, potentials that are exactly k * theta, structures."""
    met: Counter[str] = Counter()
    for p in case.populations:
        met.update({k: n for k, n in trace.counters[p.name].items() if n})
        data = trace.populations[p.name].data
        fires = data["spikes"].any()
        met[f"{flavour(p)} {'fires' if p.kind != 'li' else 'moves'}"] += int(
            data["v"].any() if p.kind == "li" else fires
        )
        met[f"{p.kind} without memory"] += int((p.params["dv"] == 4096).any() and data["v"].any())
        met[f"{p.kind} after latency 1"] += int(p.latency > 1)
        if p.kind == "cf":
            met.update({f"value {k}": int((data["spikes"] == k).sum()) for k in (-1, 1, 2, 3)})
            met.update(resets(p, data["spikes"], data["v"]))
        if p.kind != "li":
            theta = np.broadcast_to(p.params["vth"] << 6, (p.size,)).reshape(p.shape)
            for k in range(1, (int(p.params["rounds"]) if p.kind == "cf" else 1) + 1):
                met[f"{p.kind} h == k*theta"] += int((data["h"] == k * theta).sum())
        met["several synapses"] += sum(s.target == p.name for s in case.synapses) > 1
    for s in case.synapses:
        met.update(structure(s))
    return met


def resets(p: Population, spikes: np.ndarray, v: np.ndarray) -> Counter[str]:
    """What a CF population with a theta_reset met: graded spikes that take more than theta, less, nothing."""
    if "theta_reset" not in p.params:
        return Counter()
    more = np.broadcast_to(p.params["theta_reset"] - p.params["vth"] * 64, (p.size,)).reshape(p.shape)
    sides = {"takes more": spikes * (more > 0), "takes less": spikes * (more < 0), "below 0": spikes * (v < 0)}
    sides["takes nothing"] = spikes * (np.broadcast_to(p.params["theta_reset"], (p.size,)) == 0).reshape(p.shape)
    met = Counter({f"theta_reset {name}": int((lost > 0).sum()) for name, lost in sides.items()})
    return met + Counter({f"theta_reset {name} twice": int((lost > 1).sum()) for name, lost in sides.items()})


def structure(s: Synapse) -> list[str]:
    """What is special about a synapse."""
    found = [s.kind, *([f"{s.kind} delayed"] if s.delay else []), *(["recurrent"] if s.source == s.target else [])]
    found += [f"{s.kind} shifted {'right' if s.exponent < 0 else 'left'}"] if s.exponent else []
    if isinstance(s.wiring, Conv):
        w = s.wiring
        found += [
            f"conv {k}" for k, rest in (("stride", 1), ("padding", 0), ("dilation", 1)) if max(getattr(w, k)) > rest
        ]
        found += ["conv groups"] if w.groups > 1 else []
        found += ["conv 1-D"] if w.source_shape[1] == 1 and w.weight.shape[3] > 1 else []
        found += ["conv 2-D"] if min(w.weight.shape[2:]) > 1 else []
    return found
