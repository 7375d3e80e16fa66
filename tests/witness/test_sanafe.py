"""Energy, time and counts on Loihi 1 against SANA-FE, a simulator of such chips, with its own file of Loihi.

SANA-FE is GPL-3.0: it gets its YAML file and runs in a process and an environment of its own.  It computes the spikes
itself, by neurons without leak that reset to 0, which it computes as we do.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cases import program_of
from environments import ENVIRONMENTS
from test_fit import limited

import neuro_deploy as nd
from neuro_deploy.estimates import Estimate
from neuro_deploy.program import ChipProgram, DenseSynapse, Population
from neuro_deploy.trace import Trace

pytestmark = pytest.mark.witness

HERE = Path(__file__).resolve().parent
SIZES = {"in": 20, "p0": 24, "p1": 16, "p2": 6}
CORE = 8
"""Neurons a core: the populations lie on six cores, on two tiles."""
STEPS = 40
FIT = {"synaptic_op": 35.5e-12, "access": 51.2e-12, "update": 21.6e-12, "spike": 69.3e-12}
FIT |= {"message": 111e-12, "hop": 4.2e-12}
"""What SANA-FE's loihi.yaml has for dense synapses, J; it numbers tiles by columns, so ours lie north and south."""


class Seen(NamedTuple):
    """A network, what sim and the estimate make of it, and what SANA-FE does."""

    program: ChipProgram
    trace: Trace
    estimate: Estimate
    sanafe: Mapping[str, Any]


def network() -> ChipProgram:
    """in -> p0 -> p1 -> p2, p1 to itself; no weight is 0."""
    rng = np.random.default_rng(7)
    lif = {"du": 4095, "dv": 0, "bias_mant": 0, "bias_exp": 0}
    ones = np.asarray(1.0)
    populations = [
        Population(n, "lif", (SIZES[n],), {k: np.asarray(v) for k, v in {**lif, "vth": vth}.items()}, i + 1, ones)
        for i, (n, vth) in enumerate((("p0", 300), ("p1", 400), ("p2", 500)))
    ]
    links = [("in", "p0"), ("p0", "p1"), ("p1", "p1"), ("p1", "p2")]
    synapses = []
    for source, target in links:
        weight = rng.integers(-20 if source == target else -40, 61, (SIZES[target], SIZES[source])) * 2
        synapses.append(DenseSynapse(f"{source}-{target}", source, target, np.where(weight == 0, 2, weight)))
    return program_of(SIZES["in"], populations, synapses)


def yaml_of(program: ChipProgram, x: np.ndarray) -> Iterator[str]:
    """SANA-FE's description of the network, of its input spikes, and of the cores: ours, the inputs on the next one."""
    yield from ("network:", "  name: ours", "  groups:", "    - name: in", "      attributes: []", "      neurons:")
    for i, train in enumerate(x[:, 0].T.astype(int).tolist()):
        yield f"        - {i}: [spikes: {train}, log_spikes: true]"
    for p in program.populations:
        soma = f"soma: {{threshold: {p.params['vth']}, leak_decay: 1.0, input_decay: 0.0, reset: 0, reset_mode: hard}}"
        yield from (f"    - name: {p.name}", "      attributes: []", "      neurons:")
        yield f"        - 0..{p.size - 1}: [{soma}, log_spikes: true]"
    yield "  edges:"
    for s in program.synapses:
        for (target, source), weight in np.ndenumerate(s.weight):
            yield f"    - {s.source}.{source} -> {s.target}.{target}: [weight: {weight}]"
    yield "mappings:"
    core = 0
    hardware = "synapse: loihi_dense_synapse, dendrite: loihi_dendrites"
    for p in program.populations:
        for start in range(0, p.size, CORE):
            end = min(start + CORE, p.size) - 1
            yield f"  - {p.name}.{start}..{end}: [core: {core // 4}.{core % 4}, soma: loihi_lif, {hardware}]"
            core += 1
    for i in range(SIZES["in"]):
        yield f'  - in.{i}: [core: {core // 4}.{core % 4}, soma: "loihi_inputs[{i}]", {hardware}]'


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    environment, folder = ENVIRONMENTS["sanafe"], tmp_path_factory.mktemp("sanafe")
    if not environment.ready:
        raise RuntimeError(f"{environment.folder} is not ready; run 'make test-witness'")
    program = network()
    x = (np.random.default_rng(3).random((STEPS, 1, SIZES["in"])) < 0.3).astype(np.float64)
    trace = nd.simulate(program, x, record=("spikes",))
    rows = STEPS + program.depth
    padded = np.concatenate([x, np.zeros((program.depth, *x.shape[1:]))])
    (folder / "snn.yaml").write_text("\n".join(yaml_of(program, padded)) + "\n", encoding="utf-8")
    command = [environment.python, HERE / "sanafe_run.py", folder, str(rows)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    told = json.loads((folder / "sanafe.json").read_text(encoding="utf-8"))
    estimate = nd.estimate(program, trace, limited("loihi1", neurons=CORE))
    return Seen(program, trace, estimate, told)


def fired(trace: Trace) -> list[set[str]]:
    """The neurons that fire in each row, as SANA-FE names them."""
    rows: list[set[str]] = [set() for _ in range(STEPS + 3)]
    for name in SIZES:
        for row, _, neuron in np.argwhere(trace.populations[name].data["spikes"]).tolist():
            rows[row].add(f"{name}.{neuron}")
    return rows


def test_both_fire_alike(seen: Seen) -> None:
    ours = fired(seen.trace)
    assert [set(row) for row in seen.sanafe["fired"]] == ours
    counts = [sum(name.startswith(f"{p}.") for row in ours for name in row) for p in SIZES]
    assert min(counts) > 20, "every population fires"
    assert [layer.spikes for layer in seen.estimate.layers] == counts


def test_both_count_alike(seen: Seen) -> None:
    layers = seen.estimate.layers
    assert seen.sanafe["neurons_fired"] == sum(layer.spikes for layer in layers)
    assert seen.sanafe["packets_sent"] == sum(layer.messages for layer in layers)
    assert seen.sanafe["spikes"] == sum(layer.synaptic_ops.high for layer in layers)
    assert seen.estimate.cores == 6 and seen.estimate.tiles == 2
    assert 0 < sum(seen.sanafe["hops"]) < seen.sanafe["packets_sent"], "a hop for each message is our most"


def test_its_energy_is_that_of_our_counts(seen: Seen) -> None:
    layers, energy = seen.estimate.layers, seen.sanafe["energy"]
    ops, messages = (sum(each) for each in zip(*((x.synaptic_ops.high, x.messages) for x in layers), strict=True))
    assert energy["synapse"] == pytest.approx(ops * FIT["synaptic_op"])
    assert energy["network"] == pytest.approx(messages * FIT["message"] + sum(seen.sanafe["hops"]) * FIT["hop"])
    updates = sum(layer.neurons for layer in layers) * seen.estimate.steps
    spikes = sum(layer.spikes for layer in layers if layer.neurons)
    least = updates * FIT["access"] + spikes * (FIT["update"] + FIT["spike"])
    assert least <= energy["soma"] <= least + (updates - spikes) * FIT["update"]


def test_its_energy_and_time_lie_within_our_ranges(seen: Seen, capsys: pytest.CaptureFixture[str]) -> None:
    told = (
        (seen.estimate.energy, seen.sanafe["energy"]["total"], "J"),
        (seen.estimate.time, seen.sanafe["sim_time"], "s"),
    )
    with capsys.disabled():
        for span, value, unit in told:
            print(f"\nours {span.low:.4g} .. {span.high:.4g} {unit}, SANA-FE {value:.4g} {unit}", end="")
    for span, value, _ in told:
        assert span.low <= value <= span.high
