"""benchmarks/ablation.py: a campaign that was interrupted goes on to the same lines; its statistics, by hand."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from neuro_deploy.errors import FormatError
from neuro_deploy.train import load_recipe

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
NAMES = ("ablation", "ablation_tables", "ablation_workloads", "ablation_runs", "ablation_study", "ablation_docs")


@pytest.fixture(scope="module")
def modules() -> Iterator[list[Any]]:
    """The benchmark's modules, which lie in no package."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield [importlib.import_module(name) for name in NAMES]
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in NAMES:
            sys.modules.pop(name, None)


def tiny(workloads: Any, trials: int = 2) -> Any:
    args = (("inputs", 64), ("hidden", (12,)), ("classes", 10))
    more = {"trials": trials, "seeds": (3, 4)}
    return workloads.Workload("tiny", "tiny", "digits_mlp", "mlp", args, 4, 3, 64, 0.02, **more)


def lines(path: Path) -> list[dict[str, Any]]:
    """Without what a clock says, in any order."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for record in found:
        record.pop("seconds")
    return sorted(found, key=lambda record: json.dumps(record, sort_keys=True))


def test_an_interrupted_campaign_goes_on_to_the_same_lines(modules: list[Any], tmp_path: Path) -> None:
    ablation, tables, workloads, *_ = modules
    jobs = ([tiny(workloads)], [ablation.ARMS[0], ablation.ARMS[4]])
    options = {"processes": 0}
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "results" / "broken.jsonl"
    done = ablation.campaign(*jobs, whole, **options)
    seen: list[int] = []

    def interrupt(workload: str, stage: str, count: int, total: int) -> None:
        seen.append(count)
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablation.campaign(*jobs, broken, **options, on_run=interrupt)
    assert seen == [0, 1, 2, 3] and len(lines(broken)) == 3
    with broken.open("a") as stream:
        stream.write('{"workload": "tin')
    counts: list[int] = []
    again = ablation.campaign(*jobs, broken, **options, on_run=lambda *told: counts.append(told[2]))
    assert counts[:2] == [3, 4], "what has its line is not run again"
    assert lines(broken) == lines(whole) and again.keys() == done.keys()
    assert {r["stage"] for r in again.values()} == {"search", "test"}
    assert all(r["spikes"] > 0 and r["accuracy"] > 0.1 and not r["error"] for r in again.values())
    found = ablation.outcomes(jobs[0][0], jobs[1], again)
    best = [max(r["accuracy"] for r in lines(whole) if r["arm"] == a.name and r["stage"] == "search") for a in jobs[1]]
    assert [o.validation for o in found["best"]] == [100 * accuracy for accuracy in best]
    before = broken.stat().st_mtime_ns, len(lines(broken))
    ablation.campaign(*jobs, broken, **options)
    assert before[1] == len(lines(broken)) == len(done)
    assert "| LIF |" in tables.summary("best", found["best"])[4]


def test_what_was_not_written_by_it_is_refused(modules: list[Any], tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"workload": "tiny"}\n')
    with pytest.raises(FormatError, match="move it away"):
        modules[3].read_results(tmp_path / "x.jsonl")


def test_the_spikes_are_those_of_every_population_and_step(modules: list[Any]) -> None:
    """Rates are means over neurons and steps: 12 hidden neurons and 10 of the readout, 4 steps."""
    workloads, runs = modules[2:4]
    assert runs.neurons(tiny(workloads), "") == {"*1": 48, "*2": 40}


def test_every_arm_draws_the_same_where_it_has_the_same(modules: list[Any]) -> None:
    ablation, _, workloads, *_ = modules
    settings = [[ablation.drawn(w, arm, t) for arm in workloads.ARMS] for w in [tiny(workloads)] for t in range(6)]
    for arms in settings:
        for arm, setting in zip(workloads.ARMS, arms, strict=True):
            assert set(setting) == set(arm.tuned)
            assert all(arms[0][key] == setting[key] for key in arms[0]) and arms[4].items() >= setting.items()
    assert len({json.dumps(arms) for arms in settings}) == 6
    assert settings[0][4]["training.lr"] == 0.02


def test_every_workload_is_a_recipe(modules: list[Any]) -> None:
    """All arms of a workload are of the same size and length; the search sees no test set."""
    ablation, _, workloads, *_ = modules
    for workload in workloads.WORKLOADS.values():
        seen = []
        for stage in ("search", "test"):
            for arm in workloads.ARMS:
                job = ablation.Job(workload, arm, ablation.drawn(workload, arm, 1), 5, stage)
                recipe = load_recipe(workload.recipe, job.overrides)
                assert recipe.data.measure == ("validation" if stage == "search" else "test") and recipe.seed == 5
                assert (recipe.data.validation > 0) == (stage == "search")
                own = recipe.network.args["neuron_args"]
                assert own["learnable_alpha"] == ("TSL" in arm.name)
                assert ("circulations" in own) == ("CF" in arm.name)
                assert (recipe.training.balance_weight > 0) == ("PNB" in arm.name)
                args = {k: v for k, v in recipe.network.args.items() if not k.startswith("neuron")}
                seen.append((args, recipe.network.steps, recipe.training.epochs, recipe.training.batch_size))
        assert all(one == seen[0] for one in seen)


def test_the_choice_at_equal_spikes(modules: list[Any]) -> None:
    ablation, _, workloads, *_ = modules
    workload, arms = tiny(workloads, 4), [workloads.ARMS[0], workloads.ARMS[2]]
    told = [(0.8, 10.0), (0.9, 30.0), (0.7, 20.0), (0.95, 40.0), (0.8, 30.0), (0.85, 31.0), (0.9, 35.0), (0.8, 25.0)]
    done = {}
    for job, (accuracy, spikes) in zip(ablation.searched(workload, arms), told, strict=True):
        done[ablation.key_of(job.known)] = {**job.known, "accuracy": accuracy, "spikes": spikes, "error": ""}
    picked = ablation.choices(workload, arms, done)
    # LIF has the even ones: (0.8, 10), (0.7, 20), (0.8, 30), (0.9, 35); CF (0.9, 30), (0.95, 40), (0.85, 31), (0.8, 25)
    assert [r["spikes"] for r in picked["best"]] == [35.0, 40.0]
    assert picked["equal"] == [None, None], "larger thresholds are not tried yet"
    first = picked["best"][1]["setting"][ablation.THETA]
    lower = [ablation.swept(workload, arm, done, 35.0) for arm in arms]
    assert [job.setting[ablation.THETA] for job in lower[1]] == pytest.approx([1.4 * first, 2 * first])
    assert ablation.lowered(workload, arms, done) == [*lower[0], *lower[1]]
    for job in (*lower[0], *lower[1]):
        done[ablation.key_of(job.known)] = {**job.known, "accuracy": 0.3, "spikes": 5.0, "error": ""}
    assert [r["spikes"] for r in ablation.choices(workload, arms, done)["equal"]] == [35.0, 30.0]
    done[ablation.key_of(lower[1][1].known)] |= {"accuracy": 0.92, "spikes": 35.0}
    picked = ablation.choices(workload, arms, done)
    assert [r["accuracy"] for r in picked["best"]] == [0.9, 0.95] and picked["equal"][1]["accuracy"] == 0.92
    assert ablation.lowered(workload, arms, done) == []
    for factor in (2.8, 4.0):
        job = ablation.swept(workload, arms[1], done, 4.0)[-1]
        assert job.setting[ablation.THETA] == pytest.approx(factor * first, abs=1e-4), "until one has few enough"
        done[ablation.key_of(job.known)] = {
            **job.known,
            "accuracy": 0.2,
            "spikes": 4.5 if factor < 4 else 3.0,
            "error": "",
        }
    assert len(ablation.swept(workload, arms[1], done, 4.0)) == 4 == len(ablation.swept(workload, arms[1], done, 2.0))
    few = ablation.choices(workload, arms, dict(list(done.items())[:2]))
    assert few["equal"][1] is None


def test_the_statistics_by_hand(modules: list[Any]) -> None:
    tables = modules[1]
    a, b = [91.0, 92.5, 90.0, 93.0, 91.5], [90.0, 92.0, 90.5, 91.0, 90.5]
    d = np.array(a) - np.array(b)
    t = d.mean() / (d.std(ddof=1) / math.sqrt(5))
    mean, p = tables.paired(a, b)
    assert mean == pytest.approx(0.8) and p == pytest.approx(2 * special.stdtr(4, -abs(t)))
    assert tables.paired(b, a) == pytest.approx((-0.8, p))
    assert tables.paired([2, 3], [1, 2])[0] == 1 and math.isnan(tables.paired([2, 3], [1, 2])[1])
    assert tables.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert tables.holm([0.5, 0.9]) == [1.0, 1.0]
    assert tables.holm([math.nan, 0.02])[1] == pytest.approx(0.04)
    one = tables.Outcome("LIF", {"training.lr": 0.1}, 90.0, tuple(b), (10.0,) * 5)
    other = tables.Outcome("CF", {"training.lr": 0.2}, 91.0, tuple(a), (1234.0,) * 5)
    trials = [[50.0, 60.0, 70.0], [51.0, 59.0, 73.0], [], [], []]
    text = tables.report("T", {"best": [one, other, None, None, None], "equal": [one, None, None, None, None]}, trials)
    assert f"| CF | 91.0 | 91.60 | {np.std(a, ddof=1):.2f} | 1,234 | +0.80 | {p:.3f} |" in text
    assert "| none, or not run |" in text and f"| CF against LIF | +0.80 | {p:.3f} | +1.00 | 2 of 3 |" in text


def test_the_study_changes_one_setting_and_sees_no_test_set(modules: list[Any]) -> None:
    workloads, study = modules[2], modules[4]
    workload = tiny(workloads)
    jobs = study.study_jobs(workload)
    assert {job.stage for job in jobs} == {"study"} and len({job.seed for job in jobs}) == len(study.SEEDS)
    for title, variants in study.topics(workload).items():
        assert len({variant.label for variant in variants}) == len(variants), title
        for job in (job for variant in variants for job in variant.jobs(workload)):
            assert set(job.setting) == set(job.arm.tuned)
            assert load_recipe(workload.recipe, job.overrides).data.measure == "validation"
    told = {workloads.key_of(job.known): {**job.known, "accuracy": 0.5, "spikes": 7.0} for job in jobs}
    alone = study.topics(workload)["Circulations K"][1].jobs(workload)
    for job, accuracy in zip(alone, (0.4, 0.6, 0.65), strict=True):
        told[workloads.key_of(job.known)]["accuracy"] = accuracy
    assert "| K = 2 | 55.00 | 13.23 | 7 | +5.00 | 2 of 3 |" in study.study_report(workload, told)
    told.pop(workloads.key_of(alone[1].known))
    assert "| K = 2 | 52.50 | 17.68 | 7 | +2.50 | 1 of 2 |" in study.study_report(workload, told), "seeds that all have"
    assert study.study_report(workload, {}) == ""


def test_the_pages_have_the_tables_that_the_results_give(modules: list[Any]) -> None:
    """`python benchmarks/ablation.py --write` makes them."""
    ablation, docs = modules[0], modules[5]
    for page, text in docs.current(ablation.printed(list(ablation.WORKLOADS), ablation.RESULTS)).items():
        assert page.read_text(encoding="utf-8") == text, page


def test_the_overview_by_hand(modules: list[Any]) -> None:
    tables, docs = modules[1], modules[5]
    a, b = (90.0, 92.0, 91.0), (93.0, 94.0, 92.0)
    arms = [tables.Outcome("LIF", {}, 90.0, a, (10.0,) * 3), None, tables.Outcome("CF", {}, 91.0, b, (15.0,) * 3)]
    p = 2 * special.stdtr(2, -2 / (1 / math.sqrt(3)))
    row = f"| T | 91.00 ± 1.00 | 93.00 ± 1.00 | +2.00 | {p:.3f} | 1.50 x |  |  |"
    assert docs.overview({"T": {"best": arms, "equal": [arms[0], None, None]}}).splitlines()[2] == row
    assert len(docs.overview({"T": {"best": [None] * 3, "equal": [None] * 3}}).splitlines()) == 2
    with pytest.raises(ValueError, match="no marks"):
        docs.placed("x", "ablation", "y")
