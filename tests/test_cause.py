"""compare tells why two runs part: inputs, weights, sums, potentials and thresholds on both sides."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import fast_programs
import numpy as np
import pytest
from runs import changed, floated, program, run, with_data

from neuro_deploy.backends import simulate
from neuro_deploy.cli import run as cli
from neuro_deploy.comparison import Cause, Comparison, compare
from neuro_deploy.comparison.account import Place, Side, account, sums, terms
from neuro_deploy.comparison.exact import Pair
from neuro_deploy.comparison.levels import distance, nearest
from neuro_deploy.errors import InputError
from neuro_deploy.files import write_npz
from neuro_deploy.neurons.base import Levels
from neuro_deploy.program import ChipProgram, save_program
from neuro_deploy.report import write_report
from neuro_deploy.trace import VARIABLES, Trace, save_trace

X = np.random.default_rng(5).random((10, 4, 3)) * 3


def with_weight(case: ChipProgram, name: str, index: tuple[int, ...], by: int) -> ChipProgram:
    changed = []
    for s in case.synapses:
        weight = s.weight.copy()
        if s.name == name:
            weight[index] += by
        changed.append(replace(s, wiring=s.wiring.with_weight(weight)))
    return replace(case, synapses=tuple(changed))


def sim(case: ChipProgram) -> Trace:
    return simulate(case, X, "sim", VARIABLES)


def found(result: Comparison) -> Cause:
    assert result.first is not None and result.first.cause is not None
    return result.first.cause


def test_the_row_of_a_wiring_is_its_triples() -> None:
    rng = np.random.default_rng(0)
    for n in range(30):
        style = fast_programs.STYLES[n % 3]
        made = fast_programs.conv(rng, style, (4, 5, 6)) if n % 3 == 0 else None
        made = made or fast_programs.wiring(rng, ("dense", "sparse")[n % 2], style, (17,), (9,))
        targets, sources, weights = made.triples()
        for target in range(made.target_size):
            row = made.row(target)
            assert np.array_equal(row[0], sources[targets == target])
            assert np.array_equal(row[1], weights[targets == target])


@pytest.mark.parametrize(("synapse", "index"), [("w1", (2, 1)), ("w2", (3, 4))])
def test_the_weight_that_makes_the_difference_is_named(synapse: str, index: tuple[int, int]) -> None:
    good = program()
    bad = with_weight(good, synapse, index, 3)
    result = compare(sim(good), sim(bad), programs=(good, bad))
    cause = found(result)
    assert result.first and np.ravel_multi_index(result.first.neuron, (5,) if synapse == "w1" else (2, 2)) == index[0]
    (one,) = cause.inputs
    weight = int(good.synapses[synapse == "w2"].weight[index])
    assert (one.synapse, one.neuron, one.weight_a, one.weight_b) == (synapse, (index[1],), weight, weight + 3)
    assert one.spike_a == one.spike_b != 0 and one.b - one.a == 3 * one.spike_a
    assert cause.a.total is not None and cause.b.total == cause.a.total + 3 * one.spike_a
    for told, side in ((cause.a, 1), (cause.b, 2)):
        first = result.first
        values = {"h[t]": (first.a, first.b)} if first.variable == "h" else {n: v for n, *v in first.context}
        h = values["h[t]"][side - 1]
        assert told.h == told.expected == h and told.level and told.distance == h - told.level


def test_a_spike_upstream_is_named_where_it_arrives() -> None:
    case, good = program(), run()
    bad = changed(good, "fc1", "spikes", (4, 2, 3), by=1)
    bad = changed(bad, "out", "v", (5, 2, 1, 0), by=5)
    assert compare(good, bad, programs=case).first.population == "fc1"  # type: ignore[union-attr]
    only = {k: v for k, v in bad.populations.items() if k != "fc1"}
    kept = replace(bad, populations={**only, "fc1": replace(bad.populations["fc1"], latency=1)})
    hidden = with_data(with_data(good, "fc1", "v", None), "fc1", "h", None)
    result = compare(hidden, kept, programs=case)
    assert found(result).inputs == ()
    first = result.first
    assert first and (first.population, first.variable) == ("fc1", "spikes")


def test_without_h_the_inputs_give_it() -> None:
    good, bad = program(), with_weight(program(), "w2", (1, 2), -4)
    with_h = found(compare(sim(good), sim(bad), programs=(good, bad)))
    one, other = (with_data(sim(p), "out", "h", None) for p in (good, bad))
    assert found(compare(one, other, programs=(good, bad))) == with_h
    blind = [with_data(t, "out", "u", None) for t in (one, other)]
    cause = found(compare(*blind, programs=(good, bad)))
    assert (cause.a.h, cause.a.expected, cause.a.level) == (None, None, None)
    assert cause.a.total and cause.b.total == cause.a.total + sum(i.b - i.a for i in cause.inputs)


def test_an_account_is_what_sim_computes() -> None:
    """Drawn programs: every kind and wiring, delays, loops, registers that wrap and clip."""
    seen, clipped = 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        case = fast_programs.program(rng)
        x = fast_programs.spikes_in(rng, case.encoders[0], 6, 2).reshape(6, 2, *case.encoders[0].shape)
        trace = simulate(case, x.astype(np.float64), "sim", VARIABLES)
        for p in case.populations:
            for _ in range(12):
                row, neuron = int(rng.integers(0, 6 + case.depth)), int(rng.integers(0, p.size))
                place, side = Place(p.name, neuron, row, 1), Side(trace, case)
                told = account(side, place, sums(side, place, terms(side, place)))
                h = trace.populations[p.name].data["h"][row, 1].reshape(-1)[neuron]
                assert told.expected == h
                seen, clipped = seen + 1, clipped + told.clipped
    assert seen > 200 and clipped > 5


def test_levels_and_their_distance() -> None:
    signed = Levels(np.asarray(100), np.asarray(3), np.asarray(40), np.asarray(2))
    expected = {149: 1, 151: 2, 900: 3, 40: 1, 3: -1, -3: -1, -61: -2, -999: -2}
    assert {h: nearest(h, signed)[0] for h in expected} == expected
    assert nearest(-61, signed) == (-2, -80) and nearest(251, signed) == (3, 300)
    unsigned = signed._replace(rounds_neg=np.asarray(0))
    assert nearest(-61, unsigned) == (1, 100)
    for known in (signed, unsigned):
        for h in range(-300, 500):
            assert abs(h - nearest(h, known)[1]) == distance(np.asarray([h]), known)[0]


def test_counts_by_step_add_up() -> None:
    good, bad = sim(program()), sim(with_weight(program(), "w1", (0, 0), 2))
    result = compare(good, bad)
    for e in result.exact:
        x, y = (t.populations[e.population].data[e.variable] for t in (good, bad))
        latency = good.populations[e.population].latency
        each = [(r - latency, int((x[r] != y[r]).sum())) for r in range(len(x)) if (x[r] != y[r]).any()]
        assert e.by_step == tuple(each) and sum(n for _, n in each) == e.differing
    assert any(len(e.by_step) > 2 for e in result.exact)


def test_programs_must_be_those_of_the_runs() -> None:
    good, other = program(), with_weight(program(), "w1", (0, 0), 2)
    third = with_weight(program(), "w1", (1, 1), 2)
    a, b = sim(good), sim(other)
    assert compare(a, b, programs=good).first.cause is not None  # type: ignore[union-attr]
    for wrong in (third, (other, good), (good, third)):
        with pytest.raises(InputError, match="programs are not those of the runs"):
            compare(a, b, programs=wrong)
    with pytest.raises(InputError, match="explains integer runs only"):
        compare(a, floated(a), programs=good)


def test_distances_are_those_of_the_definitions() -> None:
    """dt = 1 ms, time constant 5 ms: one spike two steps late costs 2/5; one that is missing 1."""
    from neuro_deploy.comparison.distances import train_distances

    a = np.zeros((12, 3, 2), np.int32)
    b = a.copy()
    a[4, 0, 0], b[6, 0, 0] = 1, 1
    a[3, 1, 1] = -2
    told = train_distances(Pair(a, b, 0, "logical steps"), 1e-3)
    assert (told.trains, told.differing, told.measured) == (6, 2, 2)
    assert told.victor_purpura == pytest.approx((0.4 + 2) / 6)
    assert told.van_rossum == pytest.approx((np.sqrt(2 - 2 * np.exp(-0.4)) + 2) / 6)


def test_distances_of_a_float_run(monkeypatch: pytest.MonkeyPatch) -> None:
    good = run()
    bad = changed(floated(good), "out", "spikes", (4, 1, 0, 1), by=1)
    by_name = {s.population: s for s in compare(bad, good, distances=True).statistics}
    out, fc1 = by_name["out"], by_name["fc1"]
    assert out.distances and out.distances.victor_purpura == pytest.approx(1 / 16)
    assert out.count_error == (1, 1 / 16) and fc1.count_error == (0, 0.0)
    assert fc1.distances and (fc1.distances.van_rossum, fc1.distances.differing) == (0, 0)
    assert by_name["input"].distances is None
    with pytest.raises(InputError, match="these two are compared exactly"):
        compare(good, good, distances=True)
    monkeypatch.setitem(sys.modules, "elephant", None)
    with pytest.raises(InputError, match=r"pip install 'neuro_deploy\[statistics\]'"):
        compare(bad, good, distances=True)


def test_the_command_tells_the_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = program(), with_weight(program(), "w2", (3, 4), 3)
    paths = [
        str(tmp_path / name) for name in ("a.trace.h5", "b.trace.h5", "a.program.h5", "b.program.h5", "f.trace.h5")
    ]
    for case, trace, file in ((good, *paths[0:3:2]), (bad, *paths[1:4:2])):
        save_trace(sim(case), trace)
        save_program(case, file)
    save_trace(floated(sim(good)), paths[4])
    programs = ["--program", paths[2], "--program", paths[3]]
    html = tmp_path / "r.html"
    assert cli(["compare", *paths[:2], *programs, "--report", str(html)]) == 1
    text = capsys.readouterr().out
    assert (
        "Connections that add something else" in text and "h[t] above it" in text and "Differing values by step" in text
    )
    assert "Connections that add something else" in html.read_text()
    assert cli(["compare", *paths[:2], *programs, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    cause = told["first"]["cause"]
    assert told["diagnosis"]["kind"] == "weight" and "diagnosis: weight: in sim (b): w2" in text
    assert (
        cause["inputs"][0]["synapse"] == "w2" and cause["inputs"][0]["weight_b"] == cause["inputs"][0]["weight_a"] + 3
    )
    write_npz(tmp_path / "l.npz", input=X, label=np.zeros(4, np.int64))
    label = ["--label", str(tmp_path / "l.npz")]
    assert cli(["compare", paths[4], paths[0], *programs[:2], *label, "--distances", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["decisions"]["agreeing"] == 4 and told["statistics"][2]["distances"]["van_rossum"] == 0
    capsys.readouterr()
    assert cli(["compare", paths[4], paths[0], *programs[2:], *label]) == 2  # of another program
    assert "--program: sim is a run of" in capsys.readouterr().err
    assert cli(["compare", paths[4], paths[0], "--junit", str(tmp_path / "j.xml")]) == 1
    assert 'skipped="1"' in (tmp_path / "j.xml").read_text()
    assert cli(["compare", *paths[:2], *label]) == 2
    assert cli(["compare", *paths[:2], *programs, *programs[:2]]) == 2


def test_the_report_takes_a_cause(tmp_path: Path) -> None:
    good, bad = program(), with_weight(program(), "w1", (2, 1), 3)
    a, b = sim(good), sim(bad)
    result = compare(a, b, programs=(good, bad))
    write_report(tmp_path / "r.html", title="t", result=result, a=a, b=b, program=good)
    assert "h[t] that the inputs give" in (tmp_path / "r.html").read_text()
