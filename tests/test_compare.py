"""compare sees what it must see, says what it did not, and calls nothing equal that it did not look at."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from runs import changed, floated, program, run, run_prefix, with_data, with_recording

import neuro_deploy as nd
from neuro_deploy.comparison import Comparison, compare, input_names
from neuro_deploy.comparison.exact import Pair, blocks, compare_values, max_distance
from neuro_deploy.errors import FileError, FormatError, InputError
from neuro_deploy.trace import VARIABLES, Recording, Trace, save_trace


@pytest.fixture(scope="module")
def sim() -> Trace:
    trace = run()
    assert {1, 2, 3} <= set(np.unique(trace.populations["fc1"].data["spikes"]))
    assert trace.populations["out"].data["spikes"].any()
    return trace


def check_json(result: Comparison) -> None:
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()


def test_equal_runs_are_equal_and_say_what_was_compared(sim: Trace) -> None:
    result = compare(sim, run())
    assert result.equal and result.exit_code == 0 and not result.insufficient
    assert result.kind == "exact" and result.first is None and not result.not_compared
    assert {(e.population, e.variable) for e in result.exact} == {
        ("input", "spikes"),
        *product(["fc1"], ("spikes", "v", "h")),
        *product(["out"], VARIABLES),
    }
    rows, batch = 12, 4
    assert result.values == rows * batch * (3 + 3 * 5 + 4 * 4)
    assert all(e.span == "all rows" for e in result.exact)
    assert "equal" in result.summary()
    check_json(result)


def test_one_flipped_spike_is_seen(sim: Trace) -> None:
    old = int(sim.populations["out"].data["spikes"][6, 2, 1, 0])
    flipped = changed(sim, "out", "spikes", (6, 2, 1, 0), by=1 - 2 * old)
    result = compare(sim, flipped)
    assert not result.equal and result.exit_code == 1
    assert (result.differing, result.differing_spikes) == (1, 1)
    first = result.first
    assert first is not None
    assert (first.population, first.variable, first.step, first.sample) == ("out", "spikes", 4, 2)
    assert (first.neuron, first.a, first.b) == ((1, 0), old, 1 - old)
    assert [label for label, *_ in first.context] == ["v[t-1]", "u[t]", "h[t]", "v[t]"]
    h = int(sim.populations["out"].data["h"][6, 2, 1, 0])
    assert ("h[t]", h, h) in first.context
    assert "out.spikes, step 4, sample 2, neuron (1, 0)" in result.summary()
    check_json(result)


@pytest.mark.parametrize(("population", "variable"), [("fc1", "v"), ("out", "u"), ("fc1", "h"), ("input", "spikes")])
def test_one_value_off_by_one_is_seen(sim: Trace, population: str, variable: str) -> None:
    shape = sim.populations[population].data[variable].shape
    index = tuple(n // 2 for n in shape)
    result = compare(changed(sim, population, variable, index, by=-1), sim)
    assert not result.equal
    assert [(e.population, e.variable, e.differing, e.max_abs) for e in result.exact if e.differing] == [
        (population, variable, 1, 1)
    ]
    assert result.first and result.first.b - result.first.a == 1


def test_a_run_that_is_a_step_late_is_seen(sim: Trace) -> None:
    late = sim
    for variable, array in sim.populations["out"].data.items():
        late = with_data(late, "out", variable, np.roll(array, 1, axis=0))
    result = compare(sim, late)
    assert not result.equal
    assert {e.population for e in result.exact if e.differing} == {"out"}


@pytest.mark.parametrize("extra", [0, 1])
def test_a_declared_shift_is_equal(sim: Trace, extra: int) -> None:
    """One step more of latency, with one row more or with rows cut to the same number."""
    steps = sim.steps - 1 + extra
    old = sim.populations["out"]
    data = {k: np.concatenate([np.full_like(v[:1], 99), v[: len(v) - 1 + extra]]) for k, v in old.data.items()}
    shorter = replace(sim, steps=steps)
    result = compare(shorter, with_recording(shorter, "out", Recording(old.shape, old.latency + 1, old.unit, data)))
    assert result.equal
    assert {e.span for e in result.exact if e.population == "out"} == {"logical steps"}
    assert {e.span for e in result.exact if e.population == "fc1"} == {"all rows"}


def test_a_wrong_latency_is_seen(sim: Trace) -> None:
    old = sim.populations["fc1"]
    moved = with_recording(sim, "fc1", Recording(old.shape, old.latency + 1, old.unit, old.data))
    assert not compare(sim, moved).equal


@pytest.mark.parametrize(("row", "step"), [(0, -2), (11, 9), (1, -1)])
def test_rows_outside_the_logical_steps_count(sim: Trace, row: int, step: int) -> None:
    result = compare(sim, changed(sim, "out", "v", (row, 3, 1, 1)))
    assert not result.equal and result.first and result.first.step == step


def test_the_tail_counts(sim: Trace) -> None:
    """fc1 has latency 1 and 12 rows for 10 steps: its last row is no logical step."""
    result = compare(sim, changed(sim, "fc1", "spikes", (11, 0, 0)))
    assert not result.equal and result.first and result.first.step == 10


@pytest.mark.parametrize("missing", ["spikes", "v"])
@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1)])
def test_without_spikes_or_v_nothing_is_equal(sim: Trace, missing: str, sides: tuple[int, ...]) -> None:
    runs = [sim, sim]
    for side in sides:
        runs[side] = with_data(sim, "fc1", missing, None)
    result = compare(*runs)
    assert not result.equal and result.insufficient and result.exit_code == 1 and result.differing == 0
    assert [(m.population, m.variable, m.needed) for m in result.not_compared] == [("fc1", missing, True)]
    assert "not enough recorded" in result.summary() and f"fc1.{missing}" in result.summary()
    check_json(result)


@pytest.mark.parametrize("missing", ["h", "u"])
def test_what_one_side_cannot_show_is_listed(sim: Trace, missing: str) -> None:
    result = compare(sim, replace(with_data(sim, "out", missing, None), backend="lava"))
    assert result.equal and not result.insufficient
    assert [(m.variable, m.reason) for m in result.not_compared] == [(missing, "not recorded by lava")]


def test_the_input_needs_no_v_but_its_spikes_count(sim: Trace) -> None:
    assert input_names(sim, sim) == ("input",)
    without = with_data(sim, "input", "spikes", None)
    assert compare(sim, without).equal
    assert not compare(sim, changed(sim, "input", "spikes", (0, 0, 0))).equal


def test_a_missing_population_is_not_enough(sim: Trace) -> None:
    fewer = replace(sim, populations={k: v for k, v in sim.populations.items() if k != "out"})
    result = compare(fewer, sim)
    assert not result.equal and result.insufficient
    assert {m.population for m in result.not_compared} == {"out"}


def test_float_runs_are_compared_without_tolerance(sim: Trace) -> None:
    a = floated(sim)
    assert compare(a, floated(sim)).equal
    nearly = changed(a, "fc1", "v", (3, 1, 2), by=0.0)
    array = nearly.populations["fc1"].data["v"].copy()
    array[3, 1, 2] = np.nextafter(array[3, 1, 2], 10)
    result = compare(a, with_data(a, "fc1", "v", array))
    assert result.kind == "exact" and result.differing == 1 and not result.equal


def test_nan_is_never_equal(sim: Trace) -> None:
    a = changed(floated(sim), "fc1", "v", (3, 1, 2), by=np.nan)
    result = compare(a, a)
    assert not result.equal and result.differing == 1
    (entry,) = [e for e in result.exact if e.differing]
    assert entry.max_abs != entry.max_abs
    assert result.to_dict()["first"]["a"] == "nan"
    check_json(result)


def test_a_prefix_of_the_batch(sim: Trace) -> None:
    fewer = run_prefix(sim, 2)
    result = compare(sim, fewer)
    assert result.equal and result.samples == 2
    assert any("first 2 samples: the runs have 4 and 2" in note for note in result.notes)
    assert "2 samples" in result.summary()
    assert not compare(fewer, changed(sim, "out", "v", (5, 1, 0, 0))).equal
    assert compare(fewer, changed(sim, "out", "v", (5, 2, 0, 0))).equal


def test_other_samples_are_no_prefix(sim: Trace) -> None:
    with pytest.raises(InputError, match="2 and 4 samples, and the inputs of the first 2 differ"):
        compare(run_prefix(sim, 2), changed(sim, "input", "spikes", (0, 1, 2)))
    unknown = with_data(run_prefix(sim, 2), "input", "spikes", None)
    assert any("taken to be the same" in note for note in compare(unknown, sim).notes)


def test_runs_that_cannot_be_compared(sim: Trace) -> None:
    reshaped = Recording((4,), 2, np.asarray(1.0), {"v": np.zeros((12, 4, 4))})
    with pytest.raises(InputError, match=r"(?s)10 and 9 steps.*out: shape \(2, 2\) and \(4,\)"):
        compare(sim, replace(with_recording(sim, "out", reshaped), steps=9))
    with pytest.raises(InputError, match="no population in common"):
        compare(sim, replace(sim, populations={"other": sim.populations["fc1"]}))


def test_notes_tell_of_other_programs_and_dt(sim: Trace) -> None:
    result = compare(sim, replace(sim, digest="f" * 64, dt=0.5))
    assert result.equal and len(result.notes) == 2 and "different programs" in result.notes[0]


def test_float_against_integer_is_statistics_never_equal(sim: Trace) -> None:
    readout = program().readout
    labels = np.zeros(4, np.int64)
    result = compare(floated(sim), sim, readout=readout, labels=labels)
    assert result.kind == "statistics" and not result.equal and result.exit_code == 1
    assert not result.exact and result.first is None and result.differing_spikes == 0
    by_name = {s.population: s for s in result.statistics}
    assert by_name["input"].spikes_a is None and by_name["input"].errors["spikes"] == (0.0, 0.0)
    fc1 = by_name["fc1"]
    assert fc1.spikes_a == fc1.spikes_b == int(sim.aligned("fc1", "spikes").sum()) and fc1.rate_difference == 0
    assert fc1.values == 10 * 4 * 5 and fc1.errors["v"] == (0.0, 0.0)
    assert result.decisions and result.decisions.agreement == 1.0
    assert result.decisions.correct_a == result.decisions.correct_b
    check_json(result)


def test_statistics_measure_what_was_planted(sim: Trace) -> None:
    a = floated(sim, scale=1.5)
    a = changed(a, "fc1", "spikes", (2, 1, 3), by=2)
    result = compare(sim, a)
    by_name = {s.population: s for s in result.statistics}
    fc1 = by_name["fc1"]
    assert fc1.differing_spikes == 1 and fc1.spikes_a is not None and fc1.spikes_b == fc1.spikes_a + 2
    assert fc1.rate_difference == pytest.approx(2 / 200)
    v = sim.aligned("out", "v") * sim.populations["out"].unit.reshape(2, 2)
    assert by_name["out"].errors["v"] == pytest.approx((np.abs(v / 2).max(), np.sqrt(np.mean((v / 2) ** 2))))
    assert "1 of 360 spikes differ" in result.summary()


def test_labels_must_fit(sim: Trace) -> None:
    for labels in (np.zeros(3, int), np.zeros(4), np.zeros((4, 1), int)):
        with pytest.raises(InputError, match="labels: at least 4 integers"):
            compare(sim, sim, readout=program().readout, labels=labels)


def test_files_and_the_name_nd_compare(sim: Trace, tmp_path: Path) -> None:
    path = tmp_path / "a.trace.h5"
    save_trace(sim, path)
    for _ in range(2):  # the module of the same name must not hide the function
        assert nd.compare(path, sim).equal
    with pytest.raises(FileError):
        compare(tmp_path / "none", sim)
    path.write_bytes(b"no trace")
    with pytest.raises(FormatError):
        compare(sim, str(path))


def brute_force_first(a: Trace, b: Trace) -> tuple[str, str, int, int, tuple[int, ...]] | None:
    found = []
    for position, (name, p) in enumerate(a.populations.items()):
        for rank, variable in enumerate(VARIABLES):
            if variable in p.data:
                x, y = p.data[variable], b.populations[name].data[variable]
                for row, sample, *neuron in np.ndindex(*x.shape):
                    if x[(row, sample, *neuron)] != y[(row, sample, *neuron)]:
                        key = (row - p.latency, position, sample, tuple(neuron), rank)
                        found.append((key, (name, variable, row - p.latency, sample, tuple(neuron))))
    return min(found)[1] if found else None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([("input", "spikes"), ("fc1", "v"), ("fc1", "spikes"), ("out", "v"), ("out", "u")]),
            st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 2), st.integers(0, 1)),
        ),
        max_size=4,
    )
)
def test_the_first_divergence_is_the_first(places: list[tuple[tuple[str, str], tuple[int, int, int, int]]]) -> None:
    a = b = SMALL
    for (name, variable), (row, sample, i, j) in places:
        b = changed(b, name, variable, (row, sample, i % 2, j) if name == "out" else (row, sample, i))
    first = compare(a, b).first
    expected = brute_force_first(a, b)
    got = (first.population, first.variable, first.step, first.sample, first.neuron) if first else None
    assert got == expected
    assert compare(a, b).equal == (expected is None)


SMALL = run(samples=2, steps=4)


def test_ties_go_by_population_sample_neuron_variable(sim: Trace) -> None:
    """All at logical step 3: row 4 of fc1, row 5 of out."""
    places = [
        ("fc1", "h", (4, 0, 3)),
        ("fc1", "spikes", (4, 1, 0)),
        ("fc1", "v", (4, 0, 4)),
        ("out", "v", (5, 0, 0, 0)),
    ]
    for first, *later in (places, [places[1], places[3]], [("fc1", "spikes", (4, 0, 3)), *places]):
        other = sim
        for place in (*later, first):
            other = changed(other, *place)
        found = compare(sim, other).first
        name, variable, (_, sample, *neuron) = first
        assert found and (found.population, found.variable, found.step) == (name, variable, 3)
        assert (found.sample, found.neuron) == (sample, tuple(neuron))


@given(
    hnp.arrays(np.int32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(-2, 2)),
    st.randoms(use_true_random=False),
    st.integers(1, 40),
)
def test_blocks_do_not_change_the_result(a: np.ndarray, random: object, limit: int) -> None:
    b = a.copy()
    b.reshape(-1)[:: max(1, limit % 7)] += limit % 3
    result, first = compare_values("p", "v", Pair(a, b, 0, "all rows"), limit)
    where = np.argwhere(a != b)
    assert result.differing == len(where) and result.max_abs == np.abs(a - b).max()
    assert first == (tuple(where[0].tolist()) if len(where) else None)
    seen = np.zeros(a.shape, int)
    for rows, samples in blocks(a.shape, limit):
        seen[rows, samples] += 1
    assert (seen == 1).all()


def test_distances_are_exact_at_the_ends() -> None:
    assert max_distance(np.asarray([-(2**63)]), np.asarray([2**63 - 1])) == 2**64 - 1
    assert max_distance(np.asarray([True]), np.asarray([3])) == 2
    assert max_distance(np.asarray([1e308]), np.asarray([-1e308])) == np.inf
    assert max_distance(np.zeros(0), np.zeros(0)) == 0
