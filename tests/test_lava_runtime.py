"""Lava's real runtime: equal to `sim` and to the harness, a clean state between samples, floats, refusals."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from lava_harness import VARIABLES, differences, run_spk
from lava_programs import program, spikes_in

from neuro_deploy.backends import simulate
from neuro_deploy.backends.base import Job
from neuro_deploy.backends.lava import plan_of
from neuro_deploy.backends.lava_float import run_composed
from neuro_deploy.backends.lava_install import two_neurons
from neuro_deploy.backends.lava_plan import Plan, load_plan, save_plan
from neuro_deploy.errors import BackendError
from neuro_deploy.graph.compose import Composed, ComposedInput, ComposedPopulation, ComposedSynapse
from neuro_deploy.neurons import FloatNeuron
from neuro_deploy.program import ChipProgram, DenseSynapse

pytestmark = pytest.mark.lava

CASES = [
    (101, ("cf", "cf"), ("edge", "gentle"), False),
    (102, ("lif", "cf", "lif"), ("edge", "violent", "gentle"), True),
    (103, ("cf", "lif", "cf", "cf"), ("gentle", "gentle", "edge", "violent"), True),
    (104, ("lif", "lif"), ("violent", "edge"), False),
    (105, ("cf",), ("violent",), True),
]


def case_of(seed: int, kinds: tuple[str, ...], styles: tuple[str, ...], signed: bool) -> tuple[ChipProgram, Any]:
    rng = np.random.default_rng(seed)
    case = program(rng, kinds, styles, signed)
    return case, spikes_in(rng, case.encoders[0], 6, 3)


def deep() -> tuple[ChipProgram, Any]:
    """The last layers have large positive biases, one of them is recurrent with a delay; nothing is random."""
    case, x = case_of(19, ("cf", "lif", "cf"), ("gentle", "gentle", "gentle"), False)
    first, second, third = case.populations
    biased = {"bias_mant": np.full(third.size, 9), "bias_exp": np.asarray(6), "vth": np.full(third.size, 4)}
    third = replace(third, params={**third.params, **biased}, latency=4)
    second = replace(second, params={**second.params, "bias_mant": np.full(second.size, 3)}, latency=3)
    back = np.full((third.size, third.size), 2, np.int32)
    synapses = [s for s in case.synapses if (s.source, s.target) != ("p2", "p2")]
    synapses += [DenseSynapse("back", "p2", "p2", back, 0, 2), DenseSynapse("again", "p2", "p2", -back, 1, 0)]
    return replace(case, populations=(first, second, third), synapses=tuple(synapses)), x


@pytest.mark.parametrize("which", CASES, ids=lambda c: "-".join(c[1]))
def test_the_runtime_equals_sim_and_the_harness(which: Any) -> None:
    case, x = case_of(*which)
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
            assert there.data[variable].dtype == array.dtype == np.int32
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
    """CF -> LIF -> CF with a recurrent, delayed synapse and deep biases."""
    rng = np.random.default_rng(7)
    cf = {"theta_neg": np.float32(1), "circulations": np.float32(3), "circulations_neg": np.float32(1)}
    one = FloatNeuron("cf", (2, 3), {**cf, "beta": rng.random((2, 3)), "theta": rng.uniform(0.2, 0.4, (2, 3))})
    two = FloatNeuron("lif", (5,), {"beta": rng.random(5), "theta": rng.uniform(0.3, 0.9, 5)})
    three = FloatNeuron("cf", (4,), {**cf, "beta": np.float32(0.75), "theta": np.float32(0.5)})
    bias = [rng.normal(0.2, 0.3, n.size) for n in (one, two)]
    populations = (
        ComposedPopulation("one", one, bias[0], 1),
        ComposedPopulation("two", two, bias[1], 2),
        ComposedPopulation("three", three, np.full(4, 0.6), 3),
    )
    synapses = (
        ComposedSynapse("a", "x", "one", rng.normal(0, 0.6, (6, 4)), 0),
        ComposedSynapse("b", "one", "two", rng.normal(0, 0.6, (5, 6)), 0),
        ComposedSynapse("c", "two", "three", rng.normal(0, 0.6, (4, 5)), 0),
        ComposedSynapse("d", "x", "three", rng.normal(0, 0.6, (4, 4)), 2),
        ComposedSynapse("e", "three", "three", rng.normal(0, 0.3, (4, 4)), 1),
    )
    return Composed(0.002, (ComposedInput("x", (4,)),), populations, synapses, None, None)


def float_oracle(network: Composed, x: Any) -> dict[str, Any]:
    """Spikes and potentials by plain loops over rows and populations; one sample."""
    rows = len(x) + 3
    spikes = {"x": np.vstack([x, np.zeros((3, x.shape[1]))])}
    spikes |= {p.name: np.zeros((rows, p.neuron.size)) for p in network.populations}
    v = {p.name: np.zeros((rows + 1, p.neuron.size)) for p in network.populations}
    for row in range(rows):
        for p in network.populations:
            h = p.neuron.flat("beta") * v[p.name][row - 1] + (p.bias if row >= p.latency else 0)
            for s in network.synapses:
                if s.target == p.name and row - 1 - s.delay >= 0:
                    h = h + s.weight @ spikes[s.source][row - 1 - s.delay]
            if p.neuron.kind == "lif":
                spikes[p.name][row] = h > p.neuron.flat("theta")
                v[p.name][row] = np.where(spikes[p.name][row], 0, h)
            else:
                theta = p.neuron.flat("theta")
                s = sum((h > k * theta) * 1.0 for k in (1, 2, 3)) - (h < -1.0)
                spikes[p.name][row], v[p.name][row] = s, h - s * np.where(s < 0, 1.0, theta)
    return {name: (spikes[name], v[name][:rows]) for name in v}


def test_floats_equal_a_plain_oracle() -> None:
    network = float_network()
    x = np.random.default_rng(1).random((8, 2, 4))
    trace = run_composed(network, Job(x, ("spikes", "v", "h")))
    assert (trace.backend, trace.kind, trace.digest, trace.dt) == ("lava-float", "float", "", 0.002)
    for sample in range(2):
        expected = float_oracle(network, x[:, sample])
        for p in network.populations:
            recording = trace.populations[p.name]
            spikes, v = (recording.data[k][:, sample].reshape(11, -1) for k in ("spikes", "v"))
            assert (recording.shape, recording.latency, float(recording.unit)) == (p.neuron.shape, p.latency, 1.0)
            assert spikes.any() and np.array_equal(spikes, expected[p.name][0])
            assert np.allclose(v, expected[p.name][1], rtol=0, atol=1e-12)
    assert set(np.unique(trace.populations["one"].data["spikes"])) >= {0, 1, 2, 3}


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


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        ([[3, -2]], "in: Lava's Dense would change 1 weights, the first 3"),
        ([[256, 0]], "in: Lava's Dense would change 1 weights, the first 256"),
        ([[-258, -2]], "in: Lava's Dense would change 1 weights, the first -258"),
    ],
)
def test_a_weight_that_lava_would_change_is_refused(weight: list[list[int]], says: str) -> None:
    case = two_neurons()
    wide = replace(case.encoders[0], shape=(2,))
    synapse = replace(case.synapses[0], weight=np.array(weight))
    case = replace(case, encoders=(wide,), synapses=(synapse, case.synapses[1]))
    with pytest.raises(BackendError, match=says):
        simulate(case, np.zeros((3, 1, 2)), "lava")


def test_what_lava_cannot_run_is_refused() -> None:
    case, x = two_neurons(), np.zeros((3, 1, 1))
    first, second = case.synapses
    with pytest.raises(BackendError, match="out: delay 64 exceeds 63"):
        simulate(replace(case, synapses=(first, replace(second, delay=64))), x, "lava")
    with pytest.raises(BackendError, match="connected network, but lif is not part"):
        simulate(replace(case, synapses=(first,)), x, "lava")
    big = replace(case.encoders[0], bits=24, high=2**24 - 1)
    late = replace(first, delay=1, exponent=-2, weight=np.array([[255]]))
    with pytest.raises(BackendError, match="in: sums up to"):
        simulate(replace(case, encoders=(big,), synapses=(late, second)), x, "lava")
