"""`sim` against Lava's own process models and against the scalar oracle: spikes, v, h and u at every row.

Hypothesis draws the networks.  `pytest -m long` draws 10,000 (NEURO_DEPLOY_NETWORKS says how many).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, seed, settings
from lava_drafts import Draft, drafts, random_draft
from lava_harness import VARIABLES, differences, run_spk
from lava_programs import events, program, spikes_in

from neuro_deploy.backends import simulate

pytestmark = pytest.mark.lava
STEPS, BATCH = 6, 2
CHUNK = 500
"""Networks that hypothesis draws from one seed."""

FIRES = ("cf fires", "cf with du fires", "lif fires", "lif with v_reset fires", "li moves")
SENDS = ("dense carries", "sparse carries", "conv carries", "value -1", "value 1", "value 2", "value 3")
EDGES = ("cf h == k*theta", "lif h == k*theta", "v_clips", "u_wraps", "a_wraps", "sum wraps", "conv wraps")
SHAPES = ("recurrent", "several synapses", "dense delayed", "sparse delayed", "conv delayed")
SHIFTS = tuple(f"{kind} shifted {way}" for kind in ("dense", "sparse", "conv") for way in ("left", "right"))
WINDOWS = tuple(f"conv {what}" for what in ("1-D", "2-D", "stride", "padding", "dilation", "groups"))
LEAKS = ("cf without memory", "lif without memory", "li without memory", "cf after latency 1", "li after latency 1")
WANTED = (*FIRES, *SENDS, *EDGES, *SHAPES, *SHIFTS, *WINDOWS, *LEAKS)


def unequal(draft: Draft, met: Counter[str]) -> dict[str, int]:
    """How many numbers differ, by population and variable, between sim and Lava, and sim and the oracle."""
    case, x = program(draft), spikes_in(draft, STEPS, BATCH)
    ours = simulate(case, x, "sim", VARIABLES)
    found = {f"lava {name}": n for name, n in differences(ours, run_spk(case, x)).items() if n}
    inputs, _ = case.encode(x)
    expected = oracle.run(case, inputs["in"], met)
    for p in case.populations:
        for variable, data in ours.populations[p.name].data.items():
            flat = data.reshape(*data.shape[:2], -1)
            met["numbers"] += flat.size
            if not np.array_equal(flat, expected[p.name, variable]):
                found[f"oracle {p.name}.{variable}"] = int((flat != expected[p.name, variable]).sum())
    met.update(events(case, ours))
    met["networks"] += 1
    return found


def draw_and_compare(networks: int, number: int, met: Counter[str]) -> None:
    """Compare on networks that hypothesis draws; number: of the seed."""

    @seed(number)
    @settings(max_examples=networks, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(draft=drafts())
    def equal(draft: Draft) -> None:
        assert unequal(draft, met) == {}

    equal()


def test_sim_equals_lavas_models_and_the_oracle() -> None:
    met: Counter[str] = Counter()
    draw_and_compare(200, 0, met)
    assert met["networks"] >= 200
    assert not [name for name in WANTED if met[name] < 3], met


@pytest.mark.long
def test_sim_equals_lavas_models_and_the_oracle_on_very_many_networks(capsys: Any) -> None:
    met: Counter[str] = Counter()
    most, begin = int(os.environ.get("NEURO_DEPLOY_NETWORKS", "10000")), time.monotonic()
    for number in range(-(-most // CHUNK)):
        draw_and_compare(min(CHUNK, most - number * CHUNK), 1 + number, met)
        with capsys.disabled():
            print(f"\r{met['networks']:,} networks, {met['numbers']:,} numbers", end="", flush=True)
    with capsys.disabled():
        print(f" equal in sim, Lava's models and the oracle, in {time.monotonic() - begin:.0f} s")
        print(", ".join(f"{name} {met[name]:,}" for name in WANTED))
    assert met["networks"] >= most
    assert not [name for name in WANTED if met[name] < most // 100], met


def test_the_comparison_sees_one_number() -> None:
    draft = random_draft(3, [("cf", "gentle", "dense"), ("lif", "edge", "sparse"), ("li", "edge", "conv")])
    case, x = program(draft), spikes_in(draft, STEPS, BATCH)
    ours, theirs = simulate(case, x, "sim", VARIABLES), run_spk(case, x)
    found = differences(ours, theirs)
    p0, p1, p2 = ("spikes", "v", "h"), ("spikes", "v", "u"), ("spikes", "v", "h", "u")
    assert set(found) == {f"p{i}.{name}" for i, names in enumerate((p0, p1, p2)) for name in names}
    assert not any(found.values())
    changed = {k: np.array(v) for k, v in theirs.populations["p1"].data.items()}
    changed["u"][2, 1, 0, 0, 0] += 1
    object.__setattr__(theirs.populations["p1"], "data", changed)
    assert {k: n for k, n in differences(ours, theirs).items() if n} == {"p1.u": 1}
