"""The compiled engine gives what the plain one gives: every number, dtype, counter and error."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import fast_programs as programs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuro_deploy.neurons
from neuro_deploy.engine import Execution, Request, chunks, encode, fast, kernels, layout, plain, scans
from neuro_deploy.errors import InputError, RegisterError
from neuro_deploy.fixed import LOIHI
from neuro_deploy.neurons.base import Step
from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population, Synapse
from neuro_deploy.wiring import Conv, Dense

ALL = ("spikes", "v", "h", "u")
SEEDS = st.integers(0, (1 << 32) - 1)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No network of another test is kept."""
    layout.network_of.cache_clear()
    yield
    layout.network_of.cache_clear()


def differences(got: Execution, want: Execution) -> list[str]:
    """Where two runs differ, in any respect."""
    found = [] if got.counters == want.counters else [f"counters {got.counters} {want.counters}"]
    if [list(c) for c in got.counters.values()] != [list(c) for c in want.counters.values()]:
        found.append("order of counters")
    if [(n, list(d)) for n, d in got.data.items()] != [(n, list(d)) for n, d in want.data.items()]:
        return [*found, f"names {got.data.keys()} {want.data.keys()}"]
    for name, arrays in want.data.items():
        for variable, array in arrays.items():
            other = got.data[name][variable]
            if other.dtype != array.dtype or other.shape != array.shape or not np.array_equal(other, array):
                found.append(f"{name}.{variable}")
    return found


def sized(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """Chunks and blocks of some random size, small enough that a small batch crosses their borders."""
    monkeypatch.setattr(fast, "BLOCK_ROWS", int(rng.choice([1, 1 << 12, 1 << 15])))
    monkeypatch.setattr(chunks, "BLOCK_BYTES", int(rng.choice([1, 1 << 13, 1 << 20])))
    monkeypatch.setattr(fast, "threads", lambda: int(rng.integers(1, 4)))


def met_by(case: ChipProgram, want: Execution, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What a program has, what its run meets, and which of our ways it takes."""
    met = programs.features(case)
    for p in case.populations:
        met.update({k: int(n > 0) for k, n in want.counters[p.name].items()})
        data = want.data[p.name]
        met.update({f"spike {k}": int((data["spikes"] == k).any()) for k in (-1, 1, 2, 3, 200)})
        if "vth" in p.params:
            theta = p.params["vth"] << case.registers.threshold_shift
            met["h == theta"] += int((data["h"] == theta).any())
            if "theta_reset" in p.params:
                taken, fired = p.params["theta_reset"], data["spikes"] > 0
                met.update({"takes more": int((fired & (taken > theta)).any()), "graded, takes more or less": 0})
                met["takes less"] += int((fired & (taken < theta)).any())
                met["takes nothing"] += int((fired & (taken == 0)).any())
                met["graded, takes more or less"] += int(((data["spikes"] > 1) & (taken != theta)).any())
                met["fires below 0"] += int((fired & (data["v"] < 0)).any())
        met[f"{data['spikes'].dtype} spikes"] += 1
    for cell in layout.network_of(case).cells:
        met["careful"] += cell.careful
        met["channels last"] += cell.channels > 1
        met["integer step"] += cell.scan is None
        for wire in cell.wires:
            if isinstance(wire.body, layout.Matrix):
                met[f"mode {wire.body.mode}"] += 1
                met[f"{wire.body.weight.dtype} weights"] += 1
            else:
                met["blocks" if wire.body.width > 1 else "single connections"] += 1
    met["cycle of several"] += any(len(group) > 1 for group in layout.network_of(case).groups)
    return met


USUAL = [
    *("dense", "sparse", "conv", "feedback", "delay", "exponent < 0", "exponent > 0", "grouped", "strided", "dilated"),
    *("padded", "several synapses", "cf", "lif", "li", "cf with u", "v_reset", "a_wraps", "u_wraps", "v_clips"),
    *("spike -1", "spike 1", "spike 2", "spike 3", "spike 200", "h == theta", "int8 spikes", "int16 spikes"),
    *("careful", "channels last", "mode 0", "mode 1", "mode 2", "int8 weights", "int16 weights", "blocks"),
    *("single connections", "cycle of several"),
    *("theta_reset", "takes more", "takes less", "takes nothing", "graded, takes more or less", "fires below 0"),
]


def agree(case: ChipProgram, q: np.ndarray, record: tuple[str, ...] = ALL) -> Execution:
    """Both engines' run of a program, which must be the same.  q: (T, B, N)."""
    request = Request(len(q), record)
    want = plain.run(case, {"in": q}, request)
    assert differences(fast.run(case, {"in": q}, request), want) == []
    return want


def drawn(seed: int, steps: int = 12, registers: Any = None) -> tuple[ChipProgram, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    case = programs.program(rng, registers(rng) if registers else LOIHI)
    q = programs.spikes_in(rng, case.encoders[0], steps, int(rng.integers(1, 8)))
    return case, q, rng


def test_random_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=SEEDS)
    def check(seed: int) -> None:
        case, q, rng = drawn(seed)
        sized(monkeypatch, rng)
        met.update(met_by(case, agree(case, q), monkeypatch))

    check()
    assert not [name for name in USUAL if not met[name]], met


def test_other_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=SEEDS)
    def check(seed: int) -> None:
        case, q, rng = drawn(seed, registers=programs.some_registers)
        sized(monkeypatch, rng)
        met.update(met_by(case, agree(case, q), monkeypatch))

    check()
    assert met["integer step"] and met["u_wraps"] and met["v_clips"] and met["spike 1"], met


def population(kind: str, size: int, latency: int = 1, **params: Any) -> Population:
    common = {"dv": 100, "bias_mant": 0, "bias_exp": 0, **({"vth": 1} if kind != "li" else {})}
    if kind == "cf":
        common |= {"vth_neg": 1, "rounds": 3, "rounds_neg": 2}
    return Population("p", kind, (size,), {k: np.asarray(v) for k, v in (common | params).items()}, latency, 1.0)  # type: ignore[arg-type]


def single(p: Population, made: Any, encoder: Encoder, exponent: int = 0) -> ChipProgram:
    synapse = Synapse("s", "in", "p", made, exponent)
    return ChipProgram("test", 1e-3, 64, (encoder,), (p,), (synapse,), None, False)


@pytest.mark.parametrize("a", [-(1 << 31), -(1 << 25) - 1, -(1 << 17), -1, 0, 1, (1 << 17) - 1, 1 << 25, (1 << 31) - 1])
@pytest.mark.parametrize("kind", ["cf", "lif", "li"])
def test_sums_at_the_edges(kind: str, a: int) -> None:
    """u wraps by 24 bits, by 32, and by both, in both directions and from every u before; h clips far away."""
    encoder = Encoder("in", (2,), 1, 1, 2, True, -1, 1)
    q = np.array([[[1, 1]], [[1, 0]], [[-1, 0]], [[0, 1]], [[1, 1]], [[-1, -1]], [[1, -1]], [[0, 0]]], np.int32)
    weight = np.stack([np.full(64, np.clip(a, 1 - (1 << 31), None)), programs.powers(-(1 << 23), 1 << 23)[:64]], axis=1)
    for du in (None, 0, 2048, 4095):
        p = population(kind, 64, **({} if du is None else {"du": du}), bias_mant=4095, bias_exp=7)
        if kind != "cf" and du is None:
            continue
        agree(single(p, Dense(weight.astype(np.int32)), encoder), q)


def test_many_events_fill_an_accumulator() -> None:
    """Thousands of equal weights: 16 bits would overflow if sums were not taken out of them in time."""
    encoder = Encoder("in", (3000,), 1, 1, 1, False, 0, 1)
    q = np.ones((3, 2, 3000), np.int32)
    q[1, 1, ::2] = 0
    for weight in (127, -127, 255, 4095, -4097):
        case = single(population("cf", 300, vth=100, dv=0), Dense(np.full((300, 3000), weight, np.int32)), encoder)
        assert (layout.network_of(case).cells[0].wires[0].body.mode == 2) == (weight == -4097)  # type: ignore[union-attr]
        agree(case, q)
    graded = replace(encoder, bits=4, high=15)
    agree(single(population("lif", 40, du=5), Dense(np.full((40, 3000), -127, np.int32)), graded), q * 15)


def test_rounds_of_which_a_neighbour_goes_more() -> None:
    """Thresholds that overflow 32 bits in rounds that only another neuron may go, up or down."""
    wide = replace(LOIHI, v_bits=29, threshold_shift=11)
    vth, rounds = np.array([1, (1 << 17) - 1, 1 << 16, 1 << 14, 3]), np.array([255, 1, 1, 7, 100])
    encoder = Encoder("in", (1,), 1, 1, 1, True, -1, 0)
    for sign in (1, -1):
        p = population("cf", 5, vth=vth, vth_neg=np.roll(vth, 1), rounds=rounds, rounds_neg=np.roll(rounds, 1) - 1)
        for a in (1 << 22, 1 << 20, 1 << 10):
            case = replace(single(p, Dense(np.full((5, 1), sign * a)), encoder), registers=wide)
            assert layout.network_of(case).cells[0].scan is not None
            agree(case, -np.ones((6, 2, 1), np.int32))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_round_takes_at_its_limits(sign: int) -> None:
    """rounds * theta and rounds * theta_reset as large as a potential of Loihi's and of the most bits can be."""
    encoder = Encoder("in", (1,), 1, 1, 2, True, -1, 1)
    q = np.array([1, 1, 0, 0, -1, 1, 0], np.int32).reshape(-1, 1, 1) * sign
    for registers in (LOIHI, replace(LOIHI, v_bits=29, threshold_shift=11)):
        rounds = np.array([1, 1, 1, 255, 255, 255, 7, 7, 100])
        most = registers.v_limit // rounds
        vth = np.maximum(1, np.where(np.arange(9) % 3 == 1, most >> registers.threshold_shift, 1))
        taken = np.where(np.arange(9) % 3 == 0, most, np.where(np.arange(9) % 3 == 1, 1, most // 2))
        p = population("cf", 9, vth=vth, rounds=rounds, rounds_neg=0, theta_reset=taken, dv=1)
        for a in (1 << 22, 1 << 16, 1 << 10, 3):
            case = replace(single(p, Dense(np.full((9, 1), a)), encoder), registers=registers)
            assert layout.network_of(case).cells[0].scan is not None
            agree(case, q)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_chain_of_convolutions(groups: int) -> None:
    """Channels stay last from one convolution to the next, and to a dense synapse; what is recorded has them first."""
    rng = np.random.default_rng(groups)
    encoder = Encoder("in", (4, 9, 8), 1, 1, 1, False, 0, 1)
    populations, synapses, shape, source = [], [], (4, 9, 8), "in"
    for i, c_out in enumerate((12, 20, 8)):
        w = rng.integers(-60, 90, (c_out, shape[0] // groups, 3, 3))
        made = Conv(w, shape, (1 + i % 2, 1), (1, i), (1, 1), groups)
        shape = made.target_shape
        p = replace(population("cf", 1, i + 1, vth=200, vth_neg=300), name=f"p{i}", shape=shape)
        populations.append(p)
        synapses.append(Synapse(f"s{i}", source, p.name, made, delay=i))
        source = p.name
    out = replace(population("lif", 5, 4, du=4095, vth=20), name="out")
    last = DenseSynapse("d", source, "out", rng.integers(-99, 100, (5, int(np.prod(shape)))))
    case = ChipProgram("test", 1e-3, 64, (encoder,), (*populations, out), (*synapses, last), None, False)
    assert [c.channels for c in layout.network_of(case).cells] == [12, 20, 8, 1]
    want = agree(case, (rng.random((9, 5, 288)) < 0.2).astype(np.int32))
    assert all(want.data[p.name]["spikes"].any() for p in case.populations)


def test_input_that_stays_the_same_is_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And input that changes in one place, the last, is not taken for the same."""
    rng = np.random.default_rng(0)
    encoder = Encoder("in", (70,), 1, 1, 8, False, 0, 255)
    q = np.repeat(rng.integers(0, 256, (1, 3, 70)), 8, axis=0).astype(np.int32)
    q[4:, 1, 69] += 1 - 2 * (q[4:, 1, 69] > 0)
    for made in (Dense(rng.integers(-9, 9, (40, 70))), programs.sparse(rng, "edge", 70, 40)):
        agree(single(population("cf", 40, vth=50), made, encoder), q)


@pytest.mark.parametrize("batch", [1, 2, 5, 6, 7, 13])
def test_borders_of_chunks(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    case, _, rng = drawn(3)
    q = programs.spikes_in(rng, case.encoders[0], 9, batch)
    monkeypatch.setattr(fast, "threads", lambda: 2)
    for samples in (1, 2, 3):
        monkeypatch.setattr(fast, "_samples", lambda *_, samples=samples: samples)
        for size in (1, 1 << 14, 1 << 20):
            monkeypatch.setattr(chunks, "BLOCK_BYTES", size)
            agree(case, q)


def test_only_and_record() -> None:
    case, q, _ = drawn(11)
    everything = agree(case, q)
    for record, only in ((("spikes",), ("p0",)), (("v", "u"), ("in", "p0")), (("h",), None), (("u",), ())):
        request = Request(len(q), record, only)
        got, want = fast.run(case, {"in": q}, request), plain.run(case, {"in": q}, request)
        assert differences(got, want) == []
        assert got.counters == everything.counters
        assert not [array for arrays in got.data.values() for array in arrays.values() if array.flags.writeable]


def test_progress_counts_samples() -> None:
    case, q, _ = drawn(11)
    told: list[tuple[int, int]] = []
    fast.run(case, {"in": q}, Request(len(q), progress=lambda done, total: told.append((done, total))))
    assert told[-1] == (q.shape[1], q.shape[1]) and sorted(told) == told


def error_of(run: Callable[[], Any]) -> str | None:
    try:
        run()
    except RegisterError as error:
        return str(error)
    return None


def test_strict_says_what_the_plain_engine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Counter[str] = Counter()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=SEEDS)
    def check(seed: int) -> None:
        case, q, rng = drawn(seed)
        sized(monkeypatch, rng)
        request = Request(len(q), strict=True)
        want = error_of(lambda: plain.run(case, {"in": q}, request))
        assert error_of(lambda: fast.run(case, {"in": q}, request)) == want
        x = q.reshape(*q.shape[:2], *case.encoders[0].shape)
        assert error_of(lambda: fast.simulate(case, x, request)) == want
        told["later sample"] += want is not None and "sample 0" not in want
        told.update(["none" if want is None else want.split(" in neuron")[0].split(": ")[1]])

    check()
    wanted = ["none", "later sample", *plain.EVENTS.values()]
    assert not [name for name in wanted if not told[name]], told


class Odd:
    """The spec of a kind from outside."""

    SPEC: Any = None

    def spike_range(self, params: Any) -> tuple[int, int]:
        return -1, 2


def odd_step(params: Any, state: Any, a: Any, biased: bool, registers: Any) -> Step:
    w = (state["w"] + a) % 7
    fired = (w > 4).astype(np.int64) * 2 - (w == 0)
    return Step(fired, {"v": w}, {"w": w}, {"w_wraps": w == 6})


def test_a_kind_without_compiled_loops_takes_its_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {
        name: ModuleType(name) for name in ("somewhere", "somewhere.odd", "somewhere.odd.spec", "somewhere.odd.integer")
    }
    modules["somewhere.odd.spec"].SPEC = Odd()  # type: ignore[attr-defined]
    modules["somewhere.odd.integer"].step = odd_step  # type: ignore[attr-defined]
    start = lambda params, batch, size: {"w": np.zeros((batch, size), np.int64)}  # noqa: E731
    modules["somewhere.odd.integer"].start = start  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(neuro_deploy.neurons, "NEURONS", (*neuro_deploy.neurons.NEURONS, "somewhere.odd"))
    rng = np.random.default_rng(5)
    encoder = Encoder("in", (2, 4, 4), 1, 1, 1, False, 0, 1)
    first = Population("odd", "odd", (6, 4, 4), {}, 1, np.asarray(1.0))
    made = (
        Synapse("a", "in", "odd", Conv(rng.integers(-3, 4, (6, 2, 3, 3)), (2, 4, 4), padding=(1, 1))),
        DenseSynapse("b", "odd", "p", rng.integers(-9, 10, (8, 96))),
        DenseSynapse("c", "p", "odd", rng.integers(-9, 10, (96, 8))),
    )
    case = ChipProgram("t", 1e-3, 64, (encoder,), (first, population("cf", 8, 2)), made, None, False)
    want = agree(case, (rng.random((9, 5, 32)) < 0.3).astype(np.int32))
    assert want.counters["odd"]["w_wraps"] and set(np.unique(want.data["odd"]["spikes"])) == {-1, 0, 2}


MUTANTS: dict[str, Callable[[Any], Any]] = {
    "scan": lambda real: (
        lambda total, place, neuron, params, *rest: real(
            total, place, neuron, params + (np.arange(9) == scans.THETA)[:, None].astype(np.int32), *rest
        )
    ),
    "scan, which takes theta": lambda real: (
        lambda total, place, neuron, *rest: real(total, place, (min(neuron[0], scans.CIRCULATES), *neuron[1:]), *rest)
    ),
    "dense": lambda real: lambda spikes, place, *rest: real(spikes, (*place[:2], place[2] + 1, *place[3:]), *rest),
    "blocks": lambda real: lambda spikes, place, table, weight, *rest: real(spikes, place, table, weight + 1, *rest),
    "wrap_bits": lambda real: lambda x, bits: real(x, bits + 1),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def caught() -> int:
        layout.network_of.cache_clear()
        found = 0
        for seed in range(12):
            case, q, _ = drawn(seed)
            request = Request(len(q), ALL)
            got, want = fast.run(case, {"in": q}, request), plain.run(case, {"in": q}, request)
            found += bool(differences(got, want))
        return found

    assert caught() == 0
    part = name.partition(",")[0]
    monkeypatch.setattr(chunks, part, MUTANTS[name](getattr(chunks, part)))
    assert caught() > 0


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, dtype=st.sampled_from([np.int8, np.int16, np.int32]))
def test_events_are_found(seed: int, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    n, start = int(rng.integers(0, 300)), int(rng.integers(0, 5))
    flat = (rng.integers(-128, 128, start + n + 7) * (rng.random(start + n + 7) < rng.random())).astype(dtype)
    events = np.full(n + kernels.SLACK, -1, np.int32)
    found = kernels.find(flat, start, n, events)
    assert events[:found].tolist() == np.flatnonzero(flat[start : start + n]).tolist()


def inputs(rng: np.random.Generator, dtype: str, e: Encoder) -> np.ndarray:
    """Numbers around the encoder's steps: halves, limits, far beyond, in some layout of memory."""
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 5)), *e.shape)
    unit = e.denominator / e.numerator
    whole = rng.integers(e.low - e.offset - 3, e.high - e.offset + 4, shape)
    x = (whole + rng.choice([0, 0.5, -0.5, 0.25, 1e-9], shape)) * unit
    x = np.where(rng.random(shape) < 0.1, rng.choice([0.0, -0.0, 1e30, -1e30, 2.0**31, -(2.0**53) - 1], shape), x)
    if np.dtype(dtype).kind in "iub":
        limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        x = np.clip(np.rint(x), *map(float, limits)).clip(-(2.0**63), 2.0**63 - 1024)
    with np.errstate(over="ignore"):
        made = np.clip(x, -6e4, 6e4).astype(dtype) if dtype == "float16" else x.astype(dtype)
    layout_of: Any = rng.choice(["plain", "turned", "swapped", "frozen", "strided"])
    if layout_of == "turned":
        made = np.asarray(made.swapaxes(0, 1), order="C").swapaxes(0, 1)
    elif layout_of == "swapped":
        made = made.astype(made.dtype.newbyteorder())
    elif layout_of == "frozen":
        made.flags.writeable = False
    elif layout_of == "strided":
        made = np.repeat(made, 2, axis=1)[:, ::2]
    return made


DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint64", "float16", "float32", "float64")


def test_input_becomes_the_same_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=SEEDS, dtype=st.sampled_from(DTYPES), scaled=st.booleans())
    def check(seed: int, dtype: str, scaled: bool) -> None:
        rng = np.random.default_rng(seed)
        bits, signed = int(rng.choice([1, 4, 7, 31])), bool(rng.integers(2))
        high, low = (1 << (bits - signed)) - 1, -(1 << (bits - 1)) if signed else 0
        low, high = sorted(rng.integers(low, high + 1, 2)) if rng.integers(2) else (low, high)
        ratio = (int(rng.integers(1, 300)), int(rng.choice([1, 3, 7, 64, 1000]))) if scaled else (1, 1)
        offset = int(rng.integers(-9, 9)) if scaled else 0
        e = Encoder("in", (3, 2), *ratio, bits, signed, int(low), int(high), offset)
        x = inputs(rng, dtype, e)
        want, clipped = e.encode(x)
        out = programs.spike_dtype(int(low), int(high))
        got, counted = encode.encode(e, x, out)
        assert got.dtype == out and np.array_equal(got, want) and counted == clipped
        met["clipped"] += clipped
        met["not clipped"] += clipped == 0
        met[f"{dtype} {encode.Rounding(e, x).kernel.__name__}"] += 1

    check()
    assert met["clipped"] and met["not clipped"]
    ways = {(d, "clip_whole") for d in DTYPES[:6]} | {(d, "round_own") for d in ("float32", "float64")}
    ways |= {(d, "round_scaled") for d in DTYPES}
    assert not [way for way in ways if not met[" ".join(way)]], met


def test_bad_input_is_refused_as_by_the_encoder() -> None:
    e = Encoder("in", (3,), 1, 1, 8, False, 0, 255)
    scaled = replace(e, numerator=255)
    x = np.zeros((4, 3, 3))
    for bad in (np.nan, np.inf, -np.inf):
        for dtype in (np.float32, np.float64, np.float16):
            for coder in (e, scaled):
                wrong = x.astype(dtype)
                wrong[3, 2, 2] = bad
                with pytest.raises(InputError) as error, np.errstate(invalid="ignore"):
                    encode.encode(coder, wrong)
                with pytest.raises(InputError) as other, np.errstate(invalid="ignore"):
                    coder.encode(wrong)
                assert str(error.value) == str(other.value)
    with pytest.raises(InputError, match=r"expected shape \(T, B, 3\), got \(4, 3, 2\)"):
        encode.encode(e, x[..., :2])


def test_simulate_encodes_and_runs() -> None:
    case, q, _ = drawn(11)
    e = replace(case.encoders[0], numerator=3, denominator=2)
    case = replace(case, encoders=(e,))
    x = (q * (2 / 3) * 1.1).reshape(*q.shape[:2], *e.shape)
    x[0, 0] = e.high + 1
    request = Request(len(x), ALL)
    integers, counters = case.encode(x)
    want = plain.run(case, integers, request)
    got, counted = fast.simulate(case, x, request)
    assert differences(got, want) == [] and counted == counters and counters["in"]["clipped"] > 0


def test_integers_beyond_the_encoder_are_refused() -> None:
    case, q, _ = drawn(11)
    q[3, 0, 0] = case.encoders[0].high + 1
    with pytest.raises(InputError, match="encode them first"):
        fast.run(case, {"in": q}, Request(len(q)))


def test_without_numba_the_plain_engine_runs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    case, q, _ = drawn(11)
    monkeypatch.setattr(fast, "available", lambda: False)
    monkeypatch.setattr(layout, "network_of", None)
    x, request = q.reshape(*q.shape[:2], *case.encoders[0].shape), Request(len(q), ALL)
    want = plain.run(case, {"in": q}, request)
    assert differences(fast.run(case, {"in": q}, request), want) == []
    assert differences(fast.simulate(case, x, request)[0], want) == []
    assert "numba is not installed" in caplog.text
    assert not fast.choose(case, replace(request, steps=1 << 30), 1 << 30)


def test_large_work_is_chosen() -> None:
    case, _, _ = drawn(11)
    assert not fast.choose(case, Request(1), 1)
    assert fast.choose(case, Request(1000), 1000)


def test_two_runs_share_no_state() -> None:
    case, q, _ = drawn(11)
    request = Request(len(q), ALL)
    first, second = fast.run(case, {"in": q}, request), fast.run(case, {"in": q}, request)
    assert differences(first, second) == []
