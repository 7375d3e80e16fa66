"""`sim` against a plain scalar oracle, and what it counts."""

from __future__ import annotations

import lava_programs
import networks
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lava_drafts import Draft, drafts

import neuro_deploy as nd
from neuro_deploy.engine.plain import matmul_exact
from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population, Readout
from neuro_deploy.trace import Recording, Trace

DU = st.one_of(
    st.integers(0, 4095), st.sampled_from([0, 1, 2, 4094, 4095]), st.integers(1, 11).map(lambda k: (1 << k) - 1)
)
DV = st.one_of(DU, st.just(4096))


LIMIT = (1 << 23) - 1


def scaled(low: int, high: int) -> st.SearchStrategy[int]:
    powers = [s * ((1 << k) + d) for k in range(24) for d in (-1, 0) for s in (-1, 1)]
    return st.one_of(st.integers(low, high), st.sampled_from(sorted({p for p in powers if low <= p <= high})))


@st.composite
def programs(draw: st.DrawFn) -> ChipProgram:
    """Random small networks, parameters over their registers' full range; feedback and delays included."""
    inputs = draw(st.integers(1, 3))
    high = draw(st.sampled_from([1, 15, 255, 4095]))
    encoder = Encoder("input", (inputs,), 1, 1, 13, True, -high, high)
    populations, synapses, sizes = [], [], {"input": inputs}
    for index in range(draw(st.integers(1, 3))):
        name, size = f"p{index}", draw(st.integers(1, 3))
        kind = draw(st.sampled_from(["cf", "lif", "li"]))
        rounds = draw(st.integers(1, 4))

        def many(values: st.SearchStrategy[int], size: int = size) -> list[int]:
            return draw(st.lists(values, min_size=size, max_size=size))

        top = ((1 << 23) - 1 >> 6) // rounds
        params = {"dv": many(DV), "bias_mant": many(scaled(-4096, 4095)), "bias_exp": many(st.integers(0, 7))}
        if kind == "cf":
            params |= {"vth": many(scaled(1, top)), "vth_neg": many(scaled(1, top))}
            params |= {"rounds": [rounds] * size, "rounds_neg": [draw(st.integers(0, rounds))] * size}
        if kind != "cf" or draw(st.booleans()):
            params |= {"du": many(DU)}
        if kind == "lif":
            params |= {"vth": many(scaled(1, (1 << 17) - 1))}
            params |= {"v_reset": many(scaled(-LIMIT, LIMIT))} if draw(st.booleans()) else {}
        latency = index + 1
        populations.append(Population(name, kind, (size,), {k: np.array(v) for k, v in params.items()}, latency, 1.0))
        sources = [f"p{index - 1}" if index else "input", *(draw(st.sampled_from([[], [name], ["input"]])))]
        sizes[name] = size
        for number, source in enumerate(sources):
            weight = draw(
                st.lists(
                    scaled(-128, 127).map(lambda w: 2 * w), min_size=size * sizes[source], max_size=size * sizes[source]
                )
            )
            shaped = np.array(weight).reshape(size, sizes[source])
            exponent, delay = draw(st.integers(-3, 7)), draw(st.integers(0, 2))
            synapses.append(DenseSynapse(f"s{index}.{number}", source, name, shaped, exponent, delay))
    return ChipProgram("test", 0.001, 100, (encoder,), tuple(populations), tuple(synapses), None, False)


@settings(max_examples=120, deadline=None)
@given(program=programs(), seed=st.integers(0, 1000))
def test_sim_is_the_scalar_oracle(program: ChipProgram, seed: int) -> None:
    rng = np.random.default_rng(seed)
    encoder = program.encoders[0]
    x = rng.integers(encoder.low, encoder.high + 1, (7, 2, encoder.shape[0]))
    x[rng.random(x.shape) < 0.4] = 0
    trace = nd.simulate(program, x.astype(np.float64), "sim", ("spikes", "v", "h", "u"))
    expected = oracle.run(program, x)
    for name, recording in trace.populations.items():
        for variable, data in recording.data.items():
            np.testing.assert_array_equal(data, expected[name, variable], err_msg=f"{name}.{variable}")


@settings(max_examples=150, deadline=None)
@given(draft=drafts())
def test_sim_is_the_scalar_oracle_in_all_kinds_and_wirings(draft: Draft) -> None:
    """What test_lava_models.py asks, without Lava."""
    case, x = lava_programs.program(draft), lava_programs.spikes_in(draft, 6, 2)
    trace = nd.simulate(case, x, "sim", ("spikes", "v", "h", "u"))
    expected = oracle.run(case, case.encode(x)[0]["in"])
    for p in case.populations:
        assert set(trace.populations[p.name].data) == {v for n, v in expected if n == p.name}
        for variable, data in trace.populations[p.name].data.items():
            flat = data.reshape(*data.shape[:2], -1)
            np.testing.assert_array_equal(flat, expected[p.name, variable], err_msg=f"{p.name}.{variable}")


def test_the_oracle_sees_graded_spikes_clips_and_late_biases() -> None:
    """The drawn cases are not all silent: a compiled network, with every value of s and a bias at its latency."""
    program = nd.compile(networks.chain(seed=4), "loihi2")
    x = networks.pixels(6, 3, 12, seed=1)
    trace = nd.simulate(program, x, "sim", ("spikes", "v", "h", "u"))
    expected = oracle.run(program, program.encoders[0].encode(x)[0])
    for name, recording in trace.populations.items():
        for variable, data in recording.data.items():
            np.testing.assert_array_equal(data, expected[name, variable])
        assert recording.data["spikes"].any(), name
    assert set(np.unique(trace.aligned("cf1", "spikes"))) == {0, 1, 2, 3}
    assert trace.populations["lif"].latency == 3
    assert not trace.populations["lif"].data["v"][:3].any()


def test_wraps_and_clips_are_counted() -> None:
    """One neuron driven beyond its registers, by hand."""
    encoder = Encoder("input", (1,), 1, 1, 31, False, 0, (1 << 31) - 1)
    common = {"dv": 0, "vth": 1000, "bias_mant": 0, "bias_exp": 0}
    lif = Population("lif", "lif", (1,), {**common, "du": 4095}, 1, 1.0)
    cf = Population("cf", "cf", (1,), {**common, "vth_neg": 1000, "rounds": 2, "rounds_neg": 0}, 1, 1.0)
    synapses = tuple(DenseSynapse(f"to_{n}", "input", n, [[64]], 7) for n in ("lif", "cf"))
    program = ChipProgram("test", 0.001, 10, (encoder,), (lif, cf), synapses, None, False)
    x = np.array([16.0, 40.0, float(1 << 20)]).reshape(3, 1, 1)
    trace = nd.simulate(program, x, "sim", ("spikes", "v", "h", "u"))
    # a << 6 = x << 19: 2^23 fits u (its upper edge), 40 << 19 wraps, 2^20 << 13 = 2^33 wraps in the sum
    assert trace.aligned("lif", "u")[:2, 0, 0].tolist() == [1 << 23, (40 << 19) - (1 << 24)]
    assert trace.counters["lif"] == {"a_wraps": 1, "u_wraps": 1, "v_clips": 1}
    assert trace.counters["cf"]["v_clips"] == 2
    assert trace.counters["input"]["clipped"] == 0


def test_input_is_rounded_half_to_even() -> None:
    encoder = Encoder("input", (5,), 3, 2, 8, True, -128, 127)
    q, clipped = encoder.encode(np.array([1, -1, 5, 0.5, 100]).reshape(1, 1, 5) / 3)
    assert q.ravel().tolist() == [0, 0, 2, 0, 50] and clipped == 0


def test_the_lowest_index_wins_a_tie() -> None:
    spikes = np.zeros((4, 3, 5), np.int32)
    spikes[0, 0, [1, 3]] = 2
    spikes[:, 1, 4] = 1
    trace = Trace({"out": Recording((5,), 0, np.asarray(1.0), {"spikes": spikes})}, 4, 0.001, "sim", "integer")
    assert Readout("out").decide(trace).tolist() == [1, 4, 0]
    assert Readout("out", start=1).decide(trace).tolist() == [0, 4, 0]
    with pytest.raises(nd.NeuroDeployError, match="no step lies"):
        Readout("out", start=99).decide(trace)


def test_clipped_input_is_counted() -> None:
    program = nd.compile(networks.chain(), "loihi2")
    x = networks.pixels(2, 3, 12)
    x[0, 0, :4] = 1.5
    x[1, 2, 0] = -0.5
    assert nd.simulate(program, x).counters["input"]["clipped"] == 5


@given(seed=st.integers(0, 100), big=st.booleans())
def test_matmul_is_exact(seed: int, big: bool) -> None:
    rng = np.random.default_rng(seed)
    top = (1 << 31) - 1 if big else 255
    spikes = rng.integers(-top, top, (3, 50))
    weight = rng.integers(-256, 255, (4, 50)).astype(np.int32)
    exact = [[sum(int(s) * int(w) for s, w in zip(row, column, strict=True)) for column in weight] for row in spikes]
    assert matmul_exact(spikes, weight).tolist() == exact
    huge = np.full((1, 1 << 16), (1 << 31) - 1)
    assert matmul_exact(huge, np.full((1, 1 << 16), 255, np.int32)).item() == (1 << 16) * 255 * ((1 << 31) - 1)


def test_samples_and_order_do_not_matter() -> None:
    program = nd.compile(networks.chain(), "loihi2")
    x = networks.pixels(6, 5, 12)
    whole = nd.simulate(program, x)
    turned = nd.simulate(program, x[:, ::-1])
    first = nd.simulate(program, x, samples=2)
    for name in ("cf1", "cf2", "lif"):
        np.testing.assert_array_equal(whole.aligned(name, "v"), turned.aligned(name, "v")[:, ::-1])
        np.testing.assert_array_equal(whole.aligned(name, "v")[:, :2], first.aligned(name, "v"))


def test_bad_programs_are_refused() -> None:
    program = nd.compile(networks.chain(), "loihi2")
    population = program.populations[0]
    params = {**population.params, "dv": np.asarray(4097)}
    wrong = Population(population.name, "cf", population.shape, params, 1, population.unit)
    changed = ChipProgram(
        "t", 0.001, 9, program.encoders, (wrong, *program.populations[1:]), program.synapses, None, False
    )
    with pytest.raises(nd.NeuroDeployError, match=r"cf1: dv in \[4097, 4097\] exceeds \[0, 4096\]"):
        nd.simulate(changed, networks.pixels(2, 1, 12))
