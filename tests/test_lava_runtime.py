"""Lava's real runtime: equal to `sim` and to the harness, a clean state between samples, floats, refusals."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import networks
import numpy as np
import oracle
import pytest
from lava_drafts import random_draft
from lava_harness import VARIABLES, differences, run_spk
from lava_programs import program, spikes_in

import neuro_deploy as nd
from neuro_deploy.backends import simulate
from neuro_deploy.backends.base import Job
from neuro_deploy.backends.lava import plan_of
from neuro_deploy.backends.lava_float import run_composed
from neuro_deploy.backends.lava_plan import Plan, load_plan, save_plan
from neuro_deploy.graph.compose import Composed, ComposedInput, ComposedPopulation, ComposedSynapse
from neuro_deploy.neurons import FloatNeuron
from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population
from neuro_deploy.program.data import Synapse
from neuro_deploy.wiring import Conv, Dense, Sparse, to_sparse

pytestmark = pytest.mark.lava

CASES = {
    "all kinds": (
        101,
        [
            ("cf-signed", "gentle", "conv"),
            ("cf-signed-current", "edge", "sparse"),
            ("lif-reset", "gentle", "dense"),
            ("lif", "any", "sparse"),
            ("li", "violent", "dense"),
        ],
    ),
    "images": (102, [("cf", "gentle", "conv"), ("cf-current", "any", "conv"), ("lif", "edge", "conv")]),
    "overflow": (103, [("cf", "violent", "dense"), ("lif", "violent", "conv"), ("li", "violent", "sparse")]),
    "one": (105, [("cf-current", "any", "sparse")]),
}


def case_of(name: str) -> tuple[ChipProgram, Any]:
    draft = random_draft(*CASES[name])
    return program(draft), spikes_in(draft, 6, 3)


def deep() -> tuple[ChipProgram, Any]:
    """Three layers with large positive biases; the last one is recurrent with a delay, and also delayed as sparse."""
    rng = np.random.default_rng(5)
    shared = {"bias_exp": np.asarray(6), "dv": np.asarray(400)}
    first = {**shared, "vth": rng.integers(2, 5, 6), "bias_mant": np.asarray(1), "vth_neg": np.asarray(3)}
    first |= {"rounds": np.asarray(3), "rounds_neg": np.asarray(0)}
    second = {**shared, "vth": np.full(5, 4), "bias_mant": np.full(5, 3), "du": np.asarray(300)}
    third = {**first, "vth": np.full(4, 4), "bias_mant": np.full(4, 9), "du": np.asarray(2000)}
    populations = (
        Population("p0", "cf", (1, 2, 3), first, 1, np.asarray(1.0)),
        Population("p1", "lif", (5,), second, 3, np.asarray(1.0)),
        Population("p2", "cf", (4,), third, 4, np.asarray(1.0)),
    )
    back = np.full((4, 4), 2, np.int32)
    thin = to_sparse(Dense(back * np.eye(4, dtype=np.int32)))
    synapses = (
        DenseSynapse("a", "in", "p0", 2 * rng.integers(-3, 4, (6, 4))),
        DenseSynapse("b", "p0", "p1", 2 * rng.integers(-3, 4, (5, 6))),
        DenseSynapse("c", "p1", "p2", 2 * rng.integers(-3, 4, (4, 5))),
        DenseSynapse("back", "p2", "p2", back, 0, 2),
        DenseSynapse("again", "p2", "p2", -back, 1, 0),
        Synapse("thin", "p2", "p2", thin, 0, 1),
    )
    encoder = Encoder("in", (4,), 1, 1, 4, False, 0, 15)
    return ChipProgram("loihi2", 1e-3, 64, (encoder,), populations, synapses, None, False), rng.integers(
        0, 16, (6, 3, 4)
    ).astype(float)


@pytest.mark.parametrize("which", CASES)
def test_the_runtime_equals_sim_and_the_harness(which: str) -> None:
    case, x = case_of(which)
    lava = simulate(case, x, "lava", VARIABLES)
    for other in (simulate(case, x, "sim", VARIABLES), run_spk(case, x)):
        found = differences(other, lava)
        assert len(found) >= 3 * len(case.populations)
        assert not any(found.values()), found


def test_a_trace_is_laid_out_as_sims() -> None:
    case, x = deep()
    seen: list[tuple[int, int]] = []
    lava = simulate(case, x, "lava", ("spikes", "v"), progress=lambda done, total: seen.append((done, total)))
    sim = simulate(case, x, "sim", ("spikes", "v"))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (lava.backend, lava.kind, lava.digest, lava.steps, lava.dt) == ("lava", "integer", case.digest, 6, case.dt)
    assert lava.counters["in"] == sim.counters["in"]
    assert lava.provenance["witness p1"] == "Lava's own LIF"
    assert list(lava.populations) == list(sim.populations)
    for name, here in sim.populations.items():
        there = lava.populations[name]
        assert (there.shape, there.latency) == (here.shape, here.latency)
        assert np.array_equal(there.unit, here.unit)
        assert list(there.data) == list(here.data)
        for variable, array in here.data.items():
            assert there.data[variable].dtype == np.int32 and array.dtype.kind == "i"
            assert np.array_equal(there.data[variable], array)


def test_deep_biases_and_recurrence_and_no_state_between_samples() -> None:
    case, x = deep()
    sim = simulate(case, x, "sim", VARIABLES)
    third = simulate(case, 0 * x, "sim").populations["p2"].data["spikes"]
    assert third[4].all(), "without input, the bias alone makes every neuron fire at once"
    assert not third[:4].any(), "and none before the latency"
    together = simulate(case, x, "lava", VARIABLES)
    assert not any(differences(sim, together).values())
    backwards = simulate(case, x[:, ::-1], "lava", VARIABLES)
    alone = simulate(case, x[:, 1:2], "lava", VARIABLES)
    for name in ("p0", "p1", "p2"):
        for variable, array in together.populations[name].data.items():
            assert np.array_equal(array[:, ::-1], backwards.populations[name].data[variable])
            assert np.array_equal(array[:, 1:2], alone.populations[name].data[variable])


def float_network() -> Composed:
    """All kinds and what is optional in them, all wirings, delayed or not, a loop, deep biases, a source of ones."""
    rng = np.random.default_rng(7)
    signed = {"theta_neg": np.float32(1), "circulations": np.float32(3), "circulations_neg": np.float32(1)}
    first = {**signed, "beta": rng.random((2, 2, 3)), "theta": rng.uniform(0.2, 0.4, (2, 2, 3))}
    second = {"beta": rng.random(5), "beta_syn": rng.random(5), "theta": rng.uniform(0.3, 0.9, 5)}
    third = {**signed, "beta": np.float32(0.75), "beta_syn": np.float32(0.25), "theta": np.float32(0.5)}
    third |= {"circulations_neg": ZERO, "theta_reset": np.float32([0.2, 0.35, 0.0, 0.9]), "drift": np.float32(0.1)}
    last = {"beta": rng.random((3, 1, 2)), "beta_syn": np.float32(0.5), "drift": np.float32(0.125)}
    populations = (
        ComposedPopulation("ones", FloatNeuron("lif", (1,), {"beta": ZERO, "theta": np.float32(0.5)}), np.ones(1), 1),
        ComposedPopulation("one", FloatNeuron("cf", (2, 2, 3), first), rng.normal(0.2, 0.3, 12), 1),
        ComposedPopulation(
            "two", FloatNeuron("lif", (5,), second | {"v_reset": rng.normal(0, 0.2, 5)}), rng.normal(0.2, 0.3, 5), 2
        ),
        ComposedPopulation("three", FloatNeuron("cf", (4,), third), np.full(4, 0.6), 3),
        ComposedPopulation("four", FloatNeuron("li", (3, 1, 2), last), np.full(6, 0.125), 4),
    )

    def dense(*shape: int) -> Dense:
        return Dense(rng.normal(0, 0.5, shape))

    def sparse(*shape: int) -> Sparse:
        return to_sparse(Dense(rng.normal(0, 0.8, shape) * (rng.random(shape) < 0.5)))

    image = Conv(rng.normal(0, 0.6, (2, 1, 2, 2)), (2, 3, 4), (1, 2), (0, 1), (1, 1), 2)
    again = Conv(rng.normal(0, 0.4, (3, 2, 2, 2)), (2, 2, 3))
    synapses = (
        ComposedSynapse("a", "x", "one", image, 0),
        ComposedSynapse("b", "one", "two", sparse(5, 12), 0),
        ComposedSynapse("constant", "ones", "two", dense(5, 1), 2),
        ComposedSynapse("c", "two", "three", dense(4, 5), 0),
        ComposedSynapse("d", "x", "three", dense(4, 24), 2),
        ComposedSynapse("e", "three", "three", dense(4, 4), 1),
        ComposedSynapse("f", "one", "three", sparse(4, 12), 1),
        ComposedSynapse("g", "one", "four", again, 2),
        ComposedSynapse("h", "three", "four", dense(6, 4), 0),
    )
    return Composed(0.002, (ComposedInput("x", (2, 3, 4)),), populations, synapses, None, None)


ZERO = np.float32(0)


def float_oracle(network: Composed, x: Any) -> dict[tuple[str, str], Any]:
    """(population, variable) -> (rows, N), neuron by neuron; one sample x (T, N)."""
    rows = len(x) + network.depth
    out = {("x", "spikes"): np.vstack([x, np.zeros((network.depth, x.shape[1]))])}
    out |= {(p.name, k): np.zeros((rows, p.neuron.size)) for p in network.populations for k in VARIABLES}
    for row in range(rows):
        for p in network.populations:
            for i in range(p.neuron.size):
                before = {k: out[p.name, k][row - 1, i] if row else 0.0 for k in ("u", "v")}
                a = sum(
                    oracle.weighted(s.wiring, i, out[s.source, "spikes"][row - 1 - s.delay].tolist())
                    for s in network.synapses
                    if s.target == p.name and row - 1 - s.delay >= 0
                )
                own = {k: float(p.neuron.flat(k)[i]) for k in p.neuron.params}
                u = own.get("beta_syn", 0.0) * before["u"] + a
                h = own["beta"] * before["v"] + u + (p.bias[i] if row >= p.latency else 0.0)
                s, v = float_fire(p.neuron.kind, own, h)
                for name, value in (("spikes", s), ("v", v), ("h", h), ("u", u)):
                    out[p.name, name][row, i] = value
    return out


def float_fire(kind: str, own: dict[str, float], h: float) -> tuple[float, float]:
    """(spikes, what is left of h)."""
    if kind == "li":
        return 0, h
    if kind == "lif":
        return (1, own.get("v_reset", 0.0)) if h > own["theta"] else (0, h)
    s = sum(h > k * own["theta"] for k in (1, 2, 3)) - (own["circulations_neg"] > 0 and h < -own["theta_neg"])
    return s, h - s * (own.get("theta_reset", own["theta"]) if s > 0 else own["theta_neg"])


def test_floats_equal_a_plain_oracle() -> None:
    network = float_network()
    x = np.random.default_rng(1).random((8, 2, 2, 3, 4))
    trace = run_composed(network, Job(x, VARIABLES))
    assert (trace.backend, trace.kind, trace.digest, trace.dt) == ("lava-float", "float", "", 0.002)
    for sample in range(2):
        expected = float_oracle(network, x[:, sample].reshape(8, -1))
        for p in network.populations:
            recording = trace.populations[p.name]
            assert (recording.shape, recording.latency, float(recording.unit)) == (p.neuron.shape, p.latency, 1.0)
            for name, values in recording.data.items():
                seen = values[:, sample].reshape(12, -1)
                assert seen.any() or (p.name, name) in (("four", "spikes"), ("ones", "v"))
                assert np.allclose(seen, expected[p.name, name], rtol=0, atol=1e-12), (p.name, name)
    shown = {p.name: tuple(trace.populations[p.name].data) for p in network.populations}
    assert shown["one"] == ("spikes", "v", "h") and shown["ones"] == ("spikes", "v")
    assert shown["two"] == shown["three"] == shown["four"] == VARIABLES
    assert set(np.unique(trace.populations["one"].data["spikes"])) >= {0, 1, 2, 3}
    assert (trace.populations["two"].data["v"] < 0).any() and trace.populations["four"].data["v"].any()


def test_a_network_of_everything_on_the_whole_road() -> None:
    """From NIR: sim and Lava agree in every number, `reference` and Lava's floats in every spike."""
    graph = networks.everything()
    case = nd.compile(graph, target="loihi2")
    x = networks.pixels(6, 2, 128, seed=2).reshape(6, 2, 2, 8, 8)
    sim, lava = (simulate(case, x, name, VARIABLES) for name in ("sim", "lava"))
    assert {s.kind for s in case.synapses} == {"dense", "sparse", "conv"}
    assert not any(differences(sim, lava).values())
    one, other = (simulate(graph, x, name, VARIABLES) for name in ("reference", "lava-float"))
    for p in case.populations:
        assert sim.populations[p.name].data["v" if p.kind == "li" else "spikes"].any(), p.name
        if p.name in one.populations:
            assert np.array_equal(one.aligned(p.name, "spikes"), other.aligned(p.name, "spikes")), p.name
            assert np.allclose(one.aligned(p.name, "v"), other.aligned(p.name, "v"), rtol=0, atol=1e-4), p.name


def test_a_plan_survives_its_file(tmp_path: Any) -> None:
    case, x = deep()
    plan = plan_of(case, Job(x, ("spikes", "v")))
    save_plan(plan, tmp_path)
    assert parts(load_plan(tmp_path)) == parts(plan)


def parts(plan: Plan) -> str:
    np.set_printoptions(threshold=100_000)
    return repr(
        [
            {k: dict(v) if k == "params" else v for k, v in vars(p).items()}
            for p in plan.sources + plan.cells + plan.wires
        ]
    )


def test_nothing_imports_what_it_should_not() -> None:
    """The parent never imports Lava; a Lava run never imports torch."""
    code = (
        "import sys; from neuro_deploy.backends import lava_plan, lava_process, simulate; "
        "from neuro_deploy.backends.lava_install import two_neurons; import numpy as np; "
        "simulate(two_neurons(), np.ones((4, 1, 1)), 'lava'); "
        "assert not [m for m in sys.modules if m.split('.')[0] in ('lava', 'torch')]; "
        "from pathlib import Path; from neuro_deploy.backends.lava import plan_of; "
        "from neuro_deploy.backends.base import Job; from neuro_deploy.backends.lava_worker import main; "
        "lava_plan.save_plan(plan_of(two_neurons(), Job(np.ones((4, 1, 1)), ('v',))), Path(sys.argv[1])); "
        "assert main(Path(sys.argv[1])) == 0; "
        "assert 'lava.proc.lif.models' in sys.modules and 'torch' not in sys.modules"
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
            assert run.stderr is not None
            errors = run.stderr.read()
        assert run.returncode == 0, errors


def test_only_some_populations_are_recorded() -> None:
    case, x = case_of("all kinds")
    whole = simulate(case, x, "lava", VARIABLES)
    some = simulate(case, x, "lava", VARIABLES, only=("p2", "in"))
    assert list(some.populations) == ["in", "p2"]
    for variable, array in some.populations["p2"].data.items():
        assert np.array_equal(array, whole.populations["p2"].data[variable])
    assert some.provenance == whole.provenance


def test_who_judges_a_population() -> None:
    case, x = case_of("all kinds")
    trace = simulate(case, x[:, :1], "lava", VARIABLES)
    assert trace.provenance == {
        "lava-nc": "0.10.0",
        "witness p0": "our circulate-firing process in Lava",
        "witness p1": "our circulate-firing process in Lava",
        "witness p2": "Lava's own LIF dynamics and threshold, with our reset value",
        "witness p3": "Lava's own LIF",
        "witness p4": "Lava's own LIF dynamics, never firing",
    }
    shown = {name: list(r.data) for name, r in trace.populations.items()}
    assert shown["p0"] == ["spikes", "v", "h"] and shown["p3"] == ["spikes", "v", "u"]
    assert shown["p1"] == shown["p2"] == shown["p4"] == ["spikes", "v", "h", "u"]
