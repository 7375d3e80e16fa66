"""The verdict of a whole road: passed only if sim and Lava are equal, with what weakens it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from runs import changed, floated, program, run, run_prefix, with_data

from neuro_deploy.comparison import judge
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
    assert "agree in every one of" in verdict.sentence and not verdict.remarks
    assert json.loads(json.dumps(verdict.to_dict(), allow_nan=False)) == verdict.to_dict()


def test_the_verdict_fails(sim: Trace) -> None:
    wrong = judge(sim, lava=changed(sim, "fc1", "v", (3, 0, 0)))
    assert not wrong.passed and wrong.exit_code == 1 and wrong.differing == 1 and "fc1.v, step 2" in wrong.sentence
    alone = judge(sim)
    assert not alone.passed and alone.differing is None and "Lava did not run" in alone.sentence
    blind = judge(sim, lava=with_data(sim, "out", "v", None))
    assert not blind.passed and "not enough recorded" in blind.sentence


def test_the_verdict_remarks_on_silence_and_clips(sim: Trace) -> None:
    quiet = with_data(sim, "out", "spikes", np.zeros_like(sim.populations["out"].data["spikes"]))
    quiet = replace(quiet, counters={"fc1": {"v_clips": 3, "a_wraps": 0}, "out": {"v_clips": 0}})
    verdict = judge(quiet, lava=quiet)
    assert verdict.counters == {"fc1": {"v_clips": 3}}
    silence, clips = verdict.remarks
    assert silence == "out never fires: its equality says little"
    assert clips.startswith("fc1: a potential met its register's limit 3 times")
