"""`sim` against Lava's own process models: every number of spikes, v, h and u, at the registers' boundaries."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lava_harness import VARIABLES, differences, run_spk
from lava_programs import STYLES, events, program, spikes_in

from neuro_deploy.backends import simulate

pytestmark = pytest.mark.lava


def test_sim_equals_lavas_models_at_the_boundaries() -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        layers=st.lists(
            st.tuples(st.sampled_from(["cf", "cf", "lif"]), st.sampled_from(STYLES)), min_size=1, max_size=4
        ),
        signed=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
    )
    def equal(layers: list[tuple[str, str]], signed: bool, seed: int) -> None:
        rng = np.random.default_rng(seed)
        kinds, styles = zip(*layers, strict=True)
        case = program(rng, kinds, styles, signed)
        x = spikes_in(rng, case.encoders[0], 6, 2)
        ours = simulate(case, x, "sim", VARIABLES)
        assert not any(differences(ours, run_spk(case, x)).values())
        met.update(events(case, ours))
        met["networks"] += 1

    equal()
    wanted = ["value -1", "value 1", "value 2", "value 3", "cf h == k*theta", "lif h == k*theta", "cf fires"]
    wanted += ["lif fires", "v_clips", "u_wraps", "a_wraps", "recurrent", "delayed"]
    assert met["networks"] >= 200
    assert not [name for name in wanted if met[name] < 5], met


def test_the_comparison_sees_one_number(monkeypatch: Any) -> None:
    rng = np.random.default_rng(3)
    case = program(rng, ("cf", "lif"), ("gentle", "edge"), False)
    x = spikes_in(rng, case.encoders[0], 6, 2)
    ours, theirs = simulate(case, x, "sim", VARIABLES), run_spk(case, x)
    found = differences(ours, theirs)
    assert set(found) == {"p0.spikes", "p0.v", "p0.h", "p1.spikes", "p1.v", "p1.u"}
    assert not any(found.values())
    changed = {k: np.array(v) for k, v in theirs.populations["p1"].data.items()}
    changed["u"][2, 1, 0] += 1
    object.__setattr__(theirs.populations["p1"], "data", changed)
    assert {k: n for k, n in differences(ours, theirs).items() if n} == {"p1.u": 1}
