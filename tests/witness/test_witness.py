"""LIF networks, spike for spike, on four executors of one ChipProgram: sim, Lava, nengo-loihi and brian2-loihi.

Everything is compared: spikes, v and u of every population in every row.  Rows are aligned by fixed offsets (see
nengo_loihi_run.py and brian2_loihi_run.py), which `test_an_impulse_arrives_in_its_row` pins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from cases import Drawn, compiled, draw, is_safe, program_of
from exchange import Run, case_of
from executors import accepts, differences, run_of, run_sim, run_witness
from lava_harness import run_spk
from outside import outside

from neuro_deploy.backends import simulate
from neuro_deploy.errors import BackendError
from neuro_deploy.program import DenseSynapse, Population

pytestmark = pytest.mark.witness

WITNESSES = ("lava", "nengo_loihi", "brian2_loihi")
RULES = outside()
LEAST = {"random": (200, 50_000), "biased": (150, 20_000), "compiled": (40, 20_000)}
"""Group -> the fewest networks and spikes that a comparison may rest on."""
Networks = dict[str, list[Drawn]]
Seen = dict[str, tuple[Mapping[str, Run], Mapping[str, Any]]]
"""Witness -> what it saw, by case, and what it warned of, by case."""


def impulse() -> Drawn:
    """One spike through three neurons, the last synapse with a delay of 2."""
    params = {"du": 4095, "dv": 4095, "vth": 1, "bias_exp": 0, "bias_mant": 0}
    populations = [
        Population(name, "lif", (1,), {k: np.asarray(v) for k, v in params.items()}, latency, np.asarray(1.0))
        for name, latency in (("p0", 1), ("p1", 2), ("p2", 5))
    ]
    weight = np.array([[2]], np.int32)
    synapses = [DenseSynapse(f"{s}-{t}", s, t, weight, 0, d) for s, t, d in (("in", "p0", 0), ("p0", "p1", 0))]
    synapses.append(DenseSynapse("p1-p2", "p1", "p2", weight, 0, 2))
    program = program_of(1, populations, synapses)
    x = np.zeros((8, 1, 1))
    x[1] = 1
    return Drawn("impulse", program, x, run_sim(program, x))


@pytest.fixture(scope="module")
def networks() -> Networks:
    return {
        "impulse": [impulse()],
        "random": [draw(seed) for seed in range(300)],
        "biased": [draw(seed, biased=True, each=seed % 2 > 0) for seed in range(1000, 1150)],
        "compiled": [compiled(seed, biased=seed >= 40) for seed in range(70)],
        "outside": [rule.drawn for rule in RULES.values()],
    }


@pytest.fixture(scope="module")
def seen(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Every witness runs its cases once."""
    drawn = [d for group in networks.values() for d in group]
    cases = [case_of(d.name, d.program, d.x) for d in drawn]
    found: Seen = {"lava": (dict(_lava(drawn)), {})}
    for witness in WITNESSES[1:]:
        runs, notes = run_witness(witness, cases, tmp_path_factory.mktemp(witness))
        assert set(runs) == {case.name for case in cases if accepts(witness, case)}
        found[witness] = runs, notes["warnings"]
    return found


def _lava(drawn: list[Drawn]) -> Iterator[tuple[str, Run]]:
    """Lava's own process models without its runtime; a network that the backend refuses is left out."""
    for d in drawn:
        try:
            yield d.name, run_of(d.program, run_spk(d.program, d.x))
        except BackendError:
            continue


def test_the_networks_are_not_vacuous(networks: Networks) -> None:
    for group in ("random", "biased", "compiled"):
        met: Counter[str] = Counter()
        for d in networks[group]:
            assert is_safe(d.program, d.trace), d.name
            for p in d.program.populations:
                spikes = d.trace.populations[p.name].data["spikes"]
                assert spikes.sum() >= 5 and not spikes.all(), (d.name, p.name)
            met += d.met()
        wanted = {"positive", "negative", "delayed", "recurrent", "v meets the threshold"}
        if group != "random":
            wanted |= {"biased", "bias that would fire early"}
        if group != "compiled":
            wanted |= {"odd", "exponent", "feedback", "du = 0"}
            wanted |= {"|u| above 2^22", "|v| above 2^22", "|sum| above 2^14"}
        assert min(met[name] for name in wanted) >= 5, met
    assert all(d.program.proven for d in networks["compiled"])


@pytest.mark.parametrize("witness", WITNESSES)
def test_an_impulse_arrives_in_its_row(witness: str, networks: Networks, seen: Seen) -> None:
    (d,) = networks["impulse"]
    run = seen[witness][0][d.name]
    rows = {p.name: np.flatnonzero(run[p.name, "spikes"]).tolist() for p in d.program.populations}
    assert rows == {"p0": [2], "p1": [3], "p2": [6]}


@pytest.mark.parametrize(
    ("group", "witness"), [(g, w) for g in LEAST for w in WITNESSES if (g, w) != ("biased", "brian2_loihi")]
)
def test_inside_the_safe_subset_all_agree(
    group: str, witness: str, networks: Networks, seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, warnings = seen[witness]
    count: Counter[str] = Counter()
    wrong = {}
    for d in (d for d in networks[group] if d.name in runs):
        expected = run_of(d.program, d.trace)
        late = {key: np.roll(array, 1, axis=0) for key, array in expected.items()}
        assert all(differences(expected, late)[p.name, "spikes"] for p in d.program.populations), "a shift would show"
        count += Counter(networks=1, spikes=d.spikes, numbers=sum(array.size for array in expected.values()))
        found = differences(expected, runs[d.name])
        wrong |= {(d.name, *key): number for key, number in found.items() if number}
    with capsys.disabled():
        print(
            f"\n{group:8} sim = {witness:12} {count['networks']:4} networks, {count['spikes']:7,} spikes, "
            f"{count['numbers']:9,} numbers, {sum(wrong.values())} differ"
        )
    assert count["networks"] >= LEAST[group][0] and count["spikes"] >= LEAST[group][1]
    assert not wrong
    assert not {d.name for d in networks[group]} & set(warnings), "a witness warned of an overflow"


@pytest.mark.parametrize(("group", "index"), [("random", 0), ("random", 1), ("biased", 0), ("compiled", 0)])
def test_lavas_runtime_agrees_with_its_models(group: str, index: int, networks: Networks) -> None:
    d = networks[group][index]
    lava = simulate(d.program, d.x, "lava", ("spikes", "v", "u"))
    assert not any(differences(run_of(d.program, d.trace), run_of(d.program, lava)).values())


@pytest.mark.parametrize("rule", RULES)
def test_outside_the_safe_subset_they_do_not(rule: str, seen: Seen) -> None:
    d = RULES[rule].drawn
    assert not is_safe(d.program, d.trace)
    expected = run_of(d.program, d.trace)
    for witness in RULES[rule].differ:
        assert differences(expected, seen[witness][0][d.name])["p0", "spikes"] > 0, witness
    for witness in RULES[rule].equal:
        assert not any(differences(expected, seen[witness][0][d.name]).values()), witness
    judges = {witness for witness in WITNESSES if d.name in seen[witness][0]}
    assert judges == {*RULES[rule].differ, *RULES[rule].equal}
