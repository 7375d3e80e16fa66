"""The verdict of a whole road: passed only if sim and Lava are equal, with what weakens it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from runs import changed, floated, program, run, run_prefix, with_data

from neuro_deploy.comparison import judge
from neuro_deploy.program import Readout
from neuro_deploy.trace import Trace


@pytest.fixture(scope="module")
def sim() -> Trace:
    return run()


def test_the_verdict(sim: Trace) -> None:
    readout = program().readout
    assert readout is not None
    labels = readout.decide(sim)
    lava = replace(run_prefix(sim, 2), backend="lava")
    witnesses = {"fc1": "our CF in Lava", "out": "Lava LIF"}
    verdict = judge(sim, lava=lava, reference=floated(sim), readout=readout, labels=labels, witnesses=witnesses)
    assert verdict.passed and verdict.exit_code == 0 and (verdict.samples, verdict.lava_samples) == (4, 2)
    assert verdict.differing == verdict.differing_spikes == 0 and verdict.agreement == 1.0
    assert verdict.accuracy == {"float": 1.0, "sim": 1.0, "lava": 1.0} and verdict.witnesses == witnesses
    assert "agree in every one of" in verdict.sentence
    assert verdict.remarks == ("3 of 4 decisions are ties, which the lowest index wins",)
    assert json.loads(json.dumps(verdict.to_dict(), allow_nan=False)) == verdict.to_dict()


def test_the_verdict_fails(sim: Trace) -> None:
    wrong = judge(sim, lava=changed(sim, "fc1", "v", (3, 0, 0)))
    assert not wrong.passed and wrong.exit_code == 1 and wrong.differing == 1 and "fc1.v, step 2" in wrong.sentence
    alone = judge(sim)
    assert not alone.passed and alone.differing is None and "Lava did not run" in alone.sentence
    blind = judge(sim, lava=with_data(sim, "out", "v", None))
    assert not blind.passed and "not enough recorded" in blind.sentence


def test_where_nothing_fires_nothing_is_judged(sim: Trace) -> None:
    """Equal, but in silence: of all samples, and of those that Lava ran."""
    still = sim
    for name in ("fc1", "out"):
        still = with_data(still, name, "spikes", np.zeros_like(still.populations[name].data["spikes"]))
    verdict = judge(still, lava=still)
    assert not verdict.passed and verdict.exit_code == 1 and verdict.differing == 0
    assert "Not judged: no neuron fires in the 4 samples" in verdict.sentence
    late = sim
    for name in ("fc1", "out"):
        spikes = sim.populations[name].data["spikes"].copy()
        spikes[:, :2] = 0
        late = with_data(late, name, "spikes", spikes)
    assert all(p.data["spikes"].any() for p in late.populations.values())
    assert "in the 2 samples" in judge(late, lava=run_prefix(late, 2)).sentence
    half = with_data(late, "fc1", "spikes", sim.populations["fc1"].data["spikes"])
    verdict = judge(half, lava=run_prefix(half, 2))
    assert verdict.passed and verdict.remarks == (
        "out never fires in the 2 samples that Lava ran: its equality says little",
    )


def test_ties_are_counted(sim: Trace) -> None:
    readout = Readout("out")
    counts = sim.aligned("out", "spikes").sum(axis=0)
    expected = sum(int((row == row.max()).sum() > 1) for row in counts.reshape(len(counts), -1))
    even = with_data(sim, "out", "spikes", np.ones_like(sim.populations["out"].data["spikes"]))
    assert readout.ties(sim).sum() == expected and readout.ties(even).all()
    assert "4 of 4 decisions are ties" in judge(even, readout=readout).remarks[-1]


def test_the_verdict_remarks_on_silence_and_clips(sim: Trace) -> None:
    quiet = with_data(sim, "out", "spikes", np.zeros_like(sim.populations["out"].data["spikes"]))
    quiet = replace(quiet, counters={"fc1": {"v_clips": 3, "a_wraps": 0}, "out": {"v_clips": 0}})
    verdict = judge(quiet, lava=quiet)
    assert verdict.counters == {"fc1": {"v_clips": 3}}
    silence, clips = verdict.remarks
    assert silence == "out never fires: its equality says little"
    assert clips.startswith("fc1: a potential met its register's limit 3 times")


def test_a_loss_on_the_chip_is_remarked_although_sim_and_lava_agree(sim: Trace) -> None:
    """Passed is about integers: that the float network decides otherwise must not be overlooked."""
    readout = program().readout
    assert readout is not None
    spikes = sim.populations["out"].data["spikes"].copy()
    wrong = (readout.decide(sim)[0] + 1) % np.prod(spikes.shape[2:])
    spikes.reshape(*spikes.shape[:2], -1)[:, 0, wrong] += 100
    other = with_data(sim, "out", "spikes", spikes)
    assert (readout.decide(other) != readout.decide(sim)).tolist() == [True, False, False, False]
    verdict = judge(sim, lava=sim, reference=floated(other), readout=readout, labels=readout.decide(other))
    assert verdict.passed and "accuracy falls by 25.0 points on the chip" in verdict.remarks[0]
    unlabelled = judge(sim, lava=sim, reference=floated(other), readout=readout)
    assert "float and sim decide differently in 1 of 4 samples" in unlabelled.remarks[0]
    assert all("on the chip" not in remark for remark in judge(sim, lava=sim, reference=floated(sim)).remarks)
