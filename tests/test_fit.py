"""`fit` against numbers counted by plain loops over single connections, with every limit binding."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from functools import cache
from typing import Any

import networks
import numpy as np
import pytest

import neuro_deploy as nd
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.lower.fit import RESOURCES, Use, fit, fit_violations
from neuro_deploy.program import ChipProgram, Encoder, Population
from neuro_deploy.program.data import Synapse
from neuro_deploy.target import Sourced, Target, load_target
from neuro_deploy.wiring import Conv, Dense, Sparse, Wiring, to_sparse

SEEDS = range(40)
LI = {"dv": 0, "du": 4095, "bias_mant": 0, "bias_exp": 0}
LIMITS = {
    "neurons": "neurons_per_core",
    "synapse_memory_bytes": "synapse_memory_bytes_per_core",
    "input_axons": "input_axons_per_core",
    "output_axons": "output_axons_per_core",
}


def limited(base: str = "loihi1", chip: dict[str, int] | None = None, **limits: int) -> Target:
    """A target with other limits of a core (by the names of Use); `chip`: cores, synapses_per_chip."""
    target = load_target(base)
    source = next(iter(target.sources))
    values = {LIMITS[name]: value for name, value in limits.items()} | (chip or {})
    entries = {name: Sourced[int](value=value, source=source) for name, value in values.items()}
    return target.model_copy(update={"core": target.core.model_copy(update=entries)})


def network(shapes: dict[str, tuple[int, ...]], *links: tuple[str, str, Wiring, int]) -> ChipProgram:
    """The first shape is the input.  links: (source, target, wiring, delay)."""
    names = list(shapes)
    populations = tuple(Population(n, "li", shapes[n], LI, i + 1, np.asarray(1.0)) for i, n in enumerate(names[1:]))
    encoder = Encoder(names[0], shapes[names[0]], 1, 1, 1, False, 0, 1)
    synapses = tuple(Synapse(f"{a}-{b}-{i}", a, b, w, 0, delay) for i, (a, b, w, delay) in enumerate(links))
    return ChipProgram("loihi1", 1e-3, 10, (encoder,), populations, synapses, None, False)


def dense(targets: int, sources: int) -> Dense:
    return Dense(np.ones((targets, sources), np.int32))


# --- plain loops ------------------------------------------------------------------------------------------------------


def list_bits(weights: int, entry: int) -> int:
    bits = 0
    while weights > 0:
        piece = min(64, weights)
        words = 0
        while 64 * words < piece * entry + 10:
            words += 1
        bits, weights = bits + 64 * words, weights - piece
    return bits


@cache
def pairs_of(wiring: Wiring) -> list[tuple[int, int]]:
    targets, sources, _ = wiring.triples()
    return list(zip(targets.tolist(), sources.tolist(), strict=True))


def lists(wiring: Wiring, block: range) -> dict[int, int]:
    """Source (of a convolution: input channel) -> number of weights that the core keeps for it."""
    found: Counter[int] = Counter()
    if not isinstance(wiring, Conv):
        return Counter(j for i, j in pairs_of(wiring) if i in block)
    c_out, height, width = wiring.target_shape
    per_group = wiring.weight.shape[1]
    for channel in range(c_out):
        if any(channel * height * width + i in block for i in range(height * width)):
            group = channel // (c_out // wiring.groups)
            for k in range(per_group):
                found[group * per_group + k] += wiring.weight.shape[2] * wiring.weight.shape[3]
    return found


def used(program: ChipProgram, name: str, block: range, sizes: dict[str, int], index: int) -> Use:
    memory = inputs = outputs = 0
    for s in program.synapses:
        if s.target == name:
            entry = 8 if isinstance(s.wiring, Dense) else 8 + index
            memory += sum(list_bits(n, entry) for n in lists(s.wiring, block).values()) // 8
        pairs = pairs_of(s.wiring)
        inputs += len({j for i, j in pairs if i in block}) if s.target == name else 0
        outputs += len({(j, i // sizes[s.target]) for i, j in pairs if j in block}) if s.source == name else 0
    return Use(len(block), memory, inputs, outputs)


def cut(n: int, size: int) -> list[range]:
    return [range(a, min(n, a + size)) for a in range(0, n, size)]


def placed(program: ChipProgram, target: Target) -> tuple[dict[str, int], set[tuple[str, str]]]:
    """Block sizes, and (population, limit) that a single neuron breaks."""
    limits = {name: getattr(target.core, key).value for name, key in LIMITS.items()}
    neurons = {p.name: p.size for p in program.populations}
    index = int(np.ceil(np.log2(limits["neurons"] or max(neurons.values()))))
    sizes, broken = dict(neurons), set()

    def over(name: str, size: int, resources: tuple[str, ...]) -> set[str]:
        uses = [asdict(used(program, name, block, sizes, index)) for block in cut(neurons[name], size)]
        checked = {r for r in resources if limits[r] and (name, r) not in broken}
        return {r for r in checked if any(u[r] > limits[r] for u in uses)}

    for resources in (tuple(LIMITS)[:3], tuple(LIMITS)):
        while True:
            before = dict(sizes)
            for name in reversed(neurons):
                n = neurons[name]
                broken |= {(name, r) for r in over(name, 1, resources)}
                first = -(-n // sizes[name])
                sizes[name] = next(
                    size for c in range(first, n + 1) if not over(name, size := -(-n // c), resources)
                )  # fmt: skip
            if before == sizes:
                break
    return sizes, broken


def random_program(rng: np.random.Generator) -> ChipProgram:
    """An image into a convolution, dense and sparse layers behind, a loop, a delayed second path."""
    groups = int(rng.integers(1, 3))
    source = (2 * groups, int(rng.integers(2, 5)), int(rng.integers(2, 5)))
    kernel = rng.integers(1, 3, (2 * groups, 2, *rng.integers(1, 4, 2))).astype(np.int32)
    stride, padding = tuple(rng.integers(1, 3, 2).tolist()), tuple(rng.integers(1, 3, 2).tolist())
    conv = Conv(kernel, source, stride, padding, (1, int(rng.integers(1, 3))), groups)
    n, m = int(rng.integers(3, 14)), int(rng.integers(2, 9))
    sizes = {"in": source, "conv": conv.target_shape, "mid": (n,), "out": (m,)}
    some = Sparse.of(
        rng.integers(0, n, 3 * n), rng.integers(0, conv.target_size, 3 * n), np.ones(3 * n), (n, conv.target_size)
    )
    loop = to_sparse(Dense(rng.integers(0, 2, (n, n))))
    twice = Sparse(np.ones(2, np.int32), np.zeros(2, np.int32), np.array([0, 2, *[2] * (m - 1)]), n)
    return network(
        sizes,
        ("in", "conv", conv, 0),
        ("conv", "mid", some, 0),
        ("mid", "mid", loop, 0),
        ("mid", "out", dense(m, n), 0),
        ("mid", "out", twice, 2),
    )


def random_target(rng: np.random.Generator) -> Target:
    tight = {"neurons": 9, "synapse_memory_bytes": 150, "input_axons": 18, "output_axons": 24}
    limits = {name: int(rng.integers(most // 6, most)) * int(rng.random() < 0.6) for name, most in tight.items()}
    return limited(**limits)


def test_random_programs() -> None:
    bound, broken = Counter(), Counter()
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        program, target = random_program(rng), random_target(rng)
        result = fit(program, target)
        sizes, alone = placed(program, target)
        index = int(np.ceil(np.log2(target.core.neurons_per_core.value or max(p.size for p in program.populations))))
        assert {p.name: p.neurons_per_core for p in result.populations} == sizes, seed
        for p in result.populations:
            n = program.population(p.name).size
            uses = [used(program, p.name, block, sizes, index) for block in cut(n, sizes[p.name])]
            assert (p.cores, p.total, p.fullest) == (len(uses), Use.of(uses, sum), Use.of(uses, max)), (seed, p.name)
            wirings = [s.wiring for s in program.synapses if s.target == p.name]
            assert p.connections == sum(len(w.triples()[0]) for w in wirings)
            assert p.stored_weights == sum(w.weight.size for w in wirings)
            kept = [sum(lists(w, block).values()) for w in wirings for block in cut(n, sizes[p.name])]
            assert p.stored_on_cores == sum(kept)
            bound[p.bound_by] += 1
            assert (p.bound_by == "") == (p.cores == 1)
        found = fit_violations(program, target)
        named = {(v.node, r) for v in found for r, (text, _) in RESOURCES.items() if f" {text}, a core of" in v.what}
        assert named == alone and len(found) == len(alone), seed
        broken.update(r for _, r in alone)
    assert all(bound[name] > 2 for name in LIMITS), bound
    assert all(broken[name] > 2 for name in list(LIMITS)[1:]), broken


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_a_dense_layer_on_loihi1() -> None:
    """784 lists of 256 weights, of 4 * 576 bits each, exceed a core's 131,072 bytes; of 128 weights they do not.

    nengo-loihi 1.1.0 says the same: Synapse(784), set_weights(784 x 128), bits() = 8 * 112,896; 200 x 200: 8 * 46,400.
    """
    program = network(
        {"in": (784,), "a": (256,), "b": (10,)}, ("in", "a", dense(256, 784), 0), ("a", "b", dense(10, 256), 0)
    )
    result = fit(program, load_target("loihi1"))
    a, b = result.populations
    assert (a.cores, a.bound_by, a.neurons_per_core) == (2, "synapse_memory_bytes", 128)
    assert a.fullest == Use(128, 112_896, 784, 128) and a.total == Use(256, 225_792, 1568, 256)
    assert (b.cores, b.total) == (1, Use(10, 256 * 16, 256, 0))
    assert a.connections == a.stored_weights == a.stored_on_cores == 784 * 256
    assert result.chips == 1 and fit_violations(program, load_target("loihi1")) == []
    small = fit(network({"in": (200,), "a": (200,)}, ("in", "a", dense(200, 200), 0)), load_target("loihi1"))
    assert small.populations[0].total == Use(200, 46_400, 200, 0)


def test_a_convolution_on_loihi1() -> None:
    """Two 3 x 3 kernels over 4 x 4: 10 * 10 pairs a kernel; one list of 18 weights of 8 + 10 bits: 384 bits."""
    conv = Conv(np.ones((2, 1, 3, 3), np.int32), (1, 4, 4), padding=(1, 1))
    program = network({"in": (1, 4, 4), "a": (2, 4, 4)}, ("in", "a", conv, 0))
    (a,) = fit(program, load_target("loihi1")).populations
    assert (a.connections, a.stored_weights, a.stored_on_cores, a.cores) == (200, 18, 18, 1)
    assert a.total == Use(32, 48, 16, 0)
    (a,) = fit(program, limited(neurons=20)).populations  # 16 and 16: one kernel each, of 9 * (8 + 5) + 10 bits
    assert (a.cores, a.stored_on_cores, a.total) == (2, 18, Use(32, 2 * 16, 32, 0))
    (a,) = fit(program, limited(neurons=8)).populations  # two rows of a channel see three rows of the image
    assert (a.cores, a.stored_on_cores, a.fullest) == (4, 36, Use(8, 16, 12, 0))


def test_chips() -> None:
    program = network({"in": (5,), "a": (10,)}, ("in", "a", dense(10, 5), 0))
    for chip, chips in (({"cores": 4}, 3), ({"synapses_per_chip": 12}, 5), ({"cores": 0}, 0), ({"cores": 10}, 1)):
        result = fit(program, limited(chip=chip, neurons=1))
        assert (result.chips, sum(p.cores for p in result.populations)) == (chips, 10), chip
        assert fit_violations(program, limited(chip=chip, neurons=1)) == []


def test_violations_all_at_once() -> None:
    program = network(
        {"in": (20,), "a": (6,), "b": (9,)}, ("in", "a", dense(6, 20), 0), ("a", "b", dense(9, 6), 0)
    )  # fmt: skip
    target = limited(neurons=3, synapse_memory_bytes=100, input_axons=12, output_axons=2)
    found = [str(v) for v in fit_violations(program, target)]
    few = "(a convolution, sparse weights, or a smaller layer"
    assert found == [
        "a: neuron 0 alone needs 160 bytes of synapse memory, a core of loihi1 has 100 (6 of 6 neurons need too many); "
        f"give each neuron fewer inputs {few} before it), or choose another target",
        "a: neuron 0 alone needs 20 input axons, a core of loihi1 has 12 (6 of 6 neurons need too many); "
        f"give each neuron fewer sources {few} before it), or choose another target",
        "a: neuron 0 alone needs 3 output axons, a core of loihi1 has 2 (6 of 6 neurons need too many); "
        f"let each neuron reach fewer cores {few} behind it), or choose another target",
    ]
    assert [p.cores for p in fit(program, target).populations] == [2, 3]  # by the limits that can be kept


def test_the_worst_neuron_is_named() -> None:
    some = Sparse.of(np.array([0, 2, 2, 2, 3, 3, 3]), np.array([0, 0, 1, 2, 0, 1, 3]), np.ones(7), (4, 4))
    program = network({"in": (4,), "a": (4,)}, ("in", "a", some, 0))
    (found,) = fit_violations(program, limited(input_axons=2))
    assert "neuron 2 alone needs 3 input axons" in found.what and "(2 of 4 neurons need too many)" in found.what


def test_nothing_published_nothing_checked() -> None:
    program = network({"in": (20,), "a": (6,)}, ("in", "a", dense(6, 20), 0), ("a", "a", dense(6, 6), 3))
    target = limited(neurons=0, synapse_memory_bytes=0, input_axons=0, output_axons=0)
    (a,) = fit(program, target).populations
    assert (a.cores, a.bound_by, a.total) == (1, "", Use(6, 26 * 8, 26, 6)) and not fit_violations(program, target)


def test_a_population_without_input() -> None:
    (a,) = fit(network({"in": (3,), "a": (5,)}), limited(neurons=2)).populations
    assert (a.cores, a.total, a.connections) == (3, Use(5, 0, 0, 0), 0)


def test_compile_reports_and_refuses() -> None:
    graph = networks.chain()
    report = nd.compile(graph, "loihi2").report["fit"]
    assert json.loads(json.dumps(report)) == report
    assert report["cores"] == 3 and report["chips"] == 1 and report["total"]["neurons"] == 20 + 9 + 5
    assert report["connections"] == 12 * 20 + 20 * 9 + 9 * 5
    with pytest.raises(UnsupportedError, match="cf1: neuron 0 alone needs 12 input axons, a core of loihi2 has 11"):
        nd.compile(graph, limited("loihi2", input_axons=11))


def test_large_programs_are_counted_by_geometry(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*args: Any) -> Any:
        raise AssertionError("expanded")

    conv = Conv(np.ones((32, 16, 3, 3), np.int32), (16, 16, 16), padding=(1, 1))
    program = network({"in": (16, 16, 16), "a": (32, 16, 16)}, ("in", "a", conv, 0))
    assert conv.connections == 1_083_392
    for name in ("triples", "apply"):
        monkeypatch.setattr(Conv, name, no)
    assert fit(program, load_target("loihi1")).populations[0].connections == 1_083_392
