"""Networks for the witnesses: random ones inside the safe subset of docs/semantics.md, compiled ones, ones outside."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from executors import run_sim

import neuro_deploy as nd
from neuro_deploy.graph import InputRange
from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population, Synapse
from neuro_deploy.trace import Trace

STEPS = 64
SAFE_SUM = 1 << 15
SAFE_STATE = 1 << 23
LEAKS = (0, 1, 64, 1024, 2047, 2048, 3500, 4094, 4095)
DT = 0.001


@dataclass(frozen=True, eq=False)
class Drawn:
    """A network and its input.  x: (T, 1, N).  trace: what sim makes of it.  redrawn: how many draws were put back."""

    name: str
    program: ChipProgram
    x: np.ndarray
    trace: Trace
    redrawn: int = 0

    @property
    def spikes(self) -> int:
        """How many spikes sim's populations fire."""
        return sum(int(self.trace.populations[p.name].data["spikes"].sum()) for p in self.program.populations)

    def met(self) -> Counter[str]:
        """What the network has and what happened in it, by name."""
        found: Counter[str] = Counter()
        for p in self.program.populations:
            data = {k: a.astype(np.int64) for k, a in self.trace.populations[p.name].data.items()}
            found["v meets the threshold"] += int((data["h"] == p.params["vth"] << 6).sum())
            found["|v| above 2^22"] += int((np.abs(data["h"]) > 1 << 22).sum())
            found["|u| above 2^22"] += int((np.abs(data["u"]) > 1 << 22).sum())
            kept = np.sign(data["u"]) * (np.abs(data["u"]) * (4095 - p.params["du"]) >> 12)
            sums = (data["u"][1:] - kept[:-1]) >> 6
            found["|sum| above 2^14"] += int((np.abs(sums) > SAFE_SUM >> 1).sum())
            found["du = 0"] += bool((p.params["du"] == 0).any())
            found["biased"] += bool(p.params["bias_mant"].any())
            found["bias that would fire early"] += bool((p.params["bias_mant"] > 0).any() and p.latency > 1)
        for s in self.program.synapses:
            found["recurrent"] += s.source == s.target
            found["feedback"] += s.source[0] == "p" and s.source > s.target
            found["delayed"] += s.delay > 0
            found["exponent"] += s.exponent > 0
            found["positive"] += bool((s.weight > 0).any())
            found["negative"] += bool((s.weight < 0).any())
            found["odd"] += bool((s.weight % 2).any())
        return found


def spikes_in(rng: np.random.Generator, size: int, steps: int = STEPS) -> np.ndarray:
    """Random binary input, each neuron with a rate of its own: float64 (T, 1, N)."""
    return (rng.random((steps, 1, size)) < rng.uniform(0.05, 0.7, size)).astype(np.float64)


def encoder(size: int) -> Encoder:
    """Binary spikes, passed on as they are."""
    return Encoder("in", (size,), 1, 1, 1, False, 0, 1)


def program_of(size: int, populations: list[Population], synapses: list[Synapse]) -> ChipProgram:
    """A program for loihi1 with one input."""
    return ChipProgram("loihi1", DT, 256, (encoder(size),), tuple(populations), tuple(synapses), None, False)


def is_safe(program: ChipProgram, trace: Trace) -> bool:
    """True if a run stays inside the safe subset: weights, sums, u, u + bias and v; and no register met its limit."""
    if any(s.exponent < 0 for s in program.synapses):
        return False
    for p in program.populations:
        incoming = [s for s in program.synapses if s.target == p.name]
        largest = sum((np.abs(s.weight.astype(np.int64)) << s.exponent).sum(axis=1) for s in incoming)
        data = {k: trace.populations[p.name].data[k].astype(np.int64) for k in ("u", "v", "h")}
        bias = p.params["bias_mant"] << p.params["bias_exp"]
        states = (data["u"], data["v"], data["h"], data["u"][p.latency :] + bias)
        if np.max(largest) >= SAFE_SUM or any(np.abs(state).max(initial=0) >= SAFE_STATE for state in states):
            return False
        if any(trace.counters[p.name].values()) or not all(_stored(s.weight) for s in incoming):
            return False
    return True


def _stored(weight: np.ndarray) -> bool:
    """True if weights are multiples of their step already, within 8 bits (254 in mixed mode)."""
    mixed = bool((weight > 0).any() and (weight < 0).any())
    return bool((np.abs(weight) <= (254 if mixed else 255)).all() and (not mixed or (weight % 2 == 0).all()))


def fires(program: ChipProgram, trace: Trace) -> bool:
    """True if every population has some spikes, and none spikes nearly always."""
    spikes = [trace.populations[p.name].data["spikes"] for p in program.populations]
    return all(s.sum() >= 5 and s.mean() < 0.9 for s in spikes)


class _Draw:
    """One random network.

    biased: some neurons have a bias.  each: du, dv and vth differ between a population's neurons; else they are the
    population's.  gentle: small weights and thresholds and no synaptic memory, so that v meets the threshold exactly.
    """

    def __init__(self, rng: np.random.Generator, biased: bool, each: bool) -> None:
        self.rng, self.biased, self.each = rng, biased, each
        self.gentle = bool(rng.random() < 0.3)
        names = [f"p{depth}" for depth in range(int(rng.integers(1, 4)))]
        self.sizes = {name: int(rng.integers(2, 13)) for name in ("in", *names)}
        self.populations: list[Population] = []
        self.synapses: list[Synapse] = []
        for depth, name in enumerate(names):
            self.add(name, self.sources(names, depth), depth)

    def sources(self, names: list[str], depth: int) -> list[str]:
        """The layer before, and perhaps the input, the population itself, and later ones."""
        found = [("in", *names)[depth]]
        found += ["in"] if depth and self.rng.random() < 0.4 else []
        found += [names[depth]] if self.rng.random() < 0.4 else []
        return found + [later for later in names[depth + 1 :] if self.rng.random() < 0.25]

    def add(self, name: str, sources: list[str], depth: int) -> None:
        """A population with its synapses.  Its threshold is near what one spike of each exciting source adds up to."""
        rng, size = self.rng, self.sizes[name]
        du, dv = self.leaks(size, 4095), self.leaks(size, 0)
        # |u| <= 64 * sum * min(4096 / (du + 1), STEPS); all inputs at once are rare, so twice or four times as much may
        # stay below 2^23 too.
        memory = min(4096 / (int(du.min()) + 1), STEPS)
        most = min(SAFE_SUM - 1, int(SAFE_STATE / 64 / memory * 2.0 ** rng.choice([2, 1, 0, -1, -3, -6])))
        share = 4 * self.sizes[sources[0]] if self.gentle else most
        new = [self.synapse(source, name, n, share // len(sources)) for n, source in enumerate(sources)]
        self.synapses += new
        drive = sum((np.maximum(s.weight, 0).astype(np.int64) << s.exponent).sum(axis=1) for s in new)
        typical = drive * memory * 2.0 ** rng.uniform(-5, 0)
        vth = np.clip(typical if self.each else np.full(size, np.median(typical)), 1, (1 << 17) - 1).astype(np.int64)
        params = {"du": du, "dv": dv, "vth": vth, **self.bias(vth)}
        latency = depth + 1 + int(rng.choice([0, 0, 1, 2]))
        self.populations.append(Population(name, "lif", (size,), params, latency, np.asarray(1.0)))

    def leaks(self, size: int, gentle: int) -> np.ndarray:
        """du or dv, half of them at the edges; `gentle` in a gentle network."""
        count = size if self.each else 1
        edges, others = self.rng.choice(LEAKS, count), self.rng.integers(0, 4096, count)
        values = np.where(self.rng.random(count) < 0.5, edges, others)
        return np.broadcast_to(gentle if self.gentle else values, (size,)).copy()

    def bias(self, vth: np.ndarray) -> dict[str, np.ndarray]:
        """Mantissa and exponent, from minus a third to half of the threshold."""
        if not self.biased:
            return {"bias_mant": np.zeros_like(vth), "bias_exp": np.asarray(0)}
        exponent = self.rng.integers(0, 8, len(vth))
        wanted = (vth << 6) * self.rng.uniform(-0.3, 0.5, len(vth)) * (self.rng.random(len(vth)) < 0.7)
        return {"bias_mant": np.clip(wanted / 2.0**exponent, -4095, 4095).astype(np.int64), "bias_exp": exponent}

    def synapse(self, source: str, target: str, number: int, share: int) -> Synapse:
        """Weights whose absolute sum per neuron stays near `share`: of both signs (even), or of one.

        number: 0 for a population's first synapse, which is not inhibitory.
        """
        rng, sources = self.rng, self.sizes[source]
        room = max(1, share // sources)
        exponent = int(rng.integers(0, min(7, max(0, int(np.log2(room)) - 3)) + 1))
        most = min(254, max(2, room >> exponent))
        mode = str(rng.choice(["mixed", "excitatory", "inhibitory"], p=[0.5, 0.2, 0.3] if number else [0.6, 0.4, 0]))
        low, high = {"mixed": (-most, most), "excitatory": (0, most), "inhibitory": (-most, 0)}[mode]
        shape = (self.sizes[target], sources)
        weight = np.where(
            rng.random(shape) < 0.1, rng.choice([low, 0, high], shape), rng.integers(low, high + 1, shape)
        )
        weight = 2 * (weight // 2) if mode == "mixed" else weight
        delay = int(rng.choice([0, 0, 0, 1, 2, 5]))
        return DenseSynapse(f"{source}-{target}", source, target, weight.astype(np.int32), exponent, delay)


def draw(seed: int, biased: bool = False, each: bool = False) -> Drawn:
    """A random network inside the safe subset whose populations all fire; draws that are not are put back.

    Only sim decides that, before any witness runs.
    """
    rng = np.random.default_rng(seed)
    redrawn = 0
    while True:
        parts = _Draw(rng, biased, each)
        program = program_of(parts.sizes["in"], parts.populations, parts.synapses)
        x = spikes_in(rng, parts.sizes["in"])
        trace = run_sim(program, x)
        drawn = Drawn(f"random{seed}", program, x, trace, redrawn)
        if is_safe(program, trace) and fires(program, trace) and bool(drawn.met()["biased"]) == biased:
            return drawn
        redrawn += 1


def lif_graph(rng: np.random.Generator, biased: bool, extra: str) -> nir.NIRGraph:
    """A NIR graph of nir.LIF nodes with one to three layers.

    biased: nir.Affine and v_leak instead of nir.Linear.
    extra: "skip" adds a branch that joins again behind the second layer, "loop" a recurrent connection of the first.
    """
    sizes = [int(n) for n in rng.integers(4, 20, 4 if extra == "skip" else int(rng.integers(2, 5)))]
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([sizes[0]])})}
    edges, before = [], "input"
    for layer, (sources, targets) in enumerate(itertools.pairwise(sizes)):
        nodes[f"fc{layer}"] = _connection(rng, targets, sources, biased)
        nodes[f"lif{layer}"] = _lif(rng, targets, biased)
        edges += [(before, f"fc{layer}"), (f"fc{layer}", f"lif{layer}")]
        before = f"lif{layer}"
    joins = {"skip": ("lif2", sizes[-1]), "loop": ("lif0", sizes[1])}
    if extra in joins:
        target, size = joins[extra]
        nodes[extra] = _connection(rng, size, sizes[1], biased)
        edges += [("lif0", extra), (extra, target)]
    nodes["output"] = nir.Output({"output": np.array([sizes[-1]])})
    return nir.NIRGraph(nodes, [*edges, (before, "output")], type_check=False)


def _connection(rng: np.random.Generator, targets: int, sources: int, biased: bool) -> nir.NIRNode:
    weight = rng.normal(0.15, 1.5 / np.sqrt(sources), (targets, sources)).astype(np.float32)
    if not biased:
        return nir.Linear(weight=weight)
    return nir.Affine(weight=weight, bias=rng.normal(0.1, 0.2, targets).astype(np.float32))


def _lif(rng: np.random.Generator, size: int, biased: bool) -> nir.LIF:
    tau = rng.uniform(2 * DT, 40 * DT, size if biased else 1) * np.ones(size)
    return nir.LIF(
        tau=tau.astype(np.float32),
        r=(tau / DT * rng.uniform(0.6, 1.5)).astype(np.float32),
        v_leak=np.full(size, 0.5 * DT if biased else 0.0, np.float32),
        v_threshold=np.full(size, rng.uniform(0.5, 1.5), np.float32),
        v_reset=np.zeros(size, np.float32),
    )


def compiled(seed: int, biased: bool) -> Drawn:
    """A network that `compile` made for loihi1, and random spikes for it; drawn again until all populations fire."""
    rng = np.random.default_rng([seed, 1])
    redrawn = 0
    while True:
        graph = lif_graph(rng, biased, str(rng.choice(["none", "skip", "loop"])))
        program = nd.compile(graph, "loihi1", dt=DT, input_range=InputRange(0.0, 1.0, 1.0), max_steps=STEPS)
        x = spikes_in(rng, program.encoders[0].shape[0])
        trace = run_sim(program, x)
        if fires(program, trace):
            return Drawn(f"compiled{seed}", program, x, trace, redrawn)
        redrawn += 1
