"""The definition and `sim` against Lava's own process models and the scalar oracle: spikes, v, h and u at every row.

Hypothesis draws the networks.  `pytest -m long` draws 10,000 (NEURO_DEPLOY_NETWORKS says how many).
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, seed, settings
from lava_drafts import Draft, drafts, random_draft
from lava_harness import VARIABLES, differences, run_spk
from lava_programs import defined, events, program, spikes_in

from neuro_deploy.backends import simulate

pytestmark = pytest.mark.lava
STEPS, BATCH = 6, 2
QUIET = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
CHUNK = 500
"""Networks that hypothesis draws from one seed."""

FIRES = ("cf fires", "cf with du fires", "lif fires", "lif with v_reset fires", "li moves")
SENDS = ("dense carries", "sparse carries", "conv carries", "value -1", "value 1", "value 2", "value 3")
EDGES = ("cf h == k*theta", "lif h == k*theta", "v_clips", "u_wraps", "a_wraps", "sum wraps", "conv wraps")
SHAPES = ("recurrent", "several synapses", "dense delayed", "sparse delayed", "conv delayed")
SHIFTS = tuple(f"{kind} shifted {way}" for kind in ("dense", "sparse", "conv") for way in ("left", "right"))
WINDOWS = tuple(f"conv {what}" for what in ("1-D", "2-D", "stride", "padding", "dilation", "groups"))
LEAKS = ("cf without memory", "lif without memory", "li without memory", "cf after latency 1", "li after latency 1")
TAKES = tuple(
    f"theta_reset {side}{often}"
    for side in ("takes more", "takes less", "takes nothing", "below 0")
    for often in ("", " twice")
)
WANTED = (*FIRES, *TAKES, *SENDS, *EDGES, *SHAPES, *SHIFTS, *WINDOWS, *LEAKS)


class Tally:
    """What all comparisons met, and which programs agreed (by digest); hypothesis repeats some."""

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()
        self.agreed: set[str] = set()

    def missing(self, least: int) -> list[str]:
        """What should have been met, and was not so often."""
        return [f"{name}: {self.met[name]}" for name in WANTED if self.met[name] < least]


def unequal(draft: Draft, tally: Tally) -> dict[str, int]:
    """How many numbers differ, by population and variable: the definition's from Lava's, the oracle's and sim's."""
    case, x = program(draft), spikes_in(draft, STEPS, BATCH)
    if case.digest in tally.agreed:
        return {}
    ours, theirs, met = defined(case, x), run_spk(case, x), Counter[str]()
    found = {f"lava {name}": n for name, n in differences(ours, theirs).items() if n}
    shown = simulate(case, x, "sim", VARIABLES)
    found |= {f"sim {name}": n for name, n in differences(shown, ours).items() if n}
    inputs, _ = case.encode(x)
    expected = oracle.run(case, inputs["in"], met)
    for p in case.populations:
        for variable, data in ours.populations[p.name].data.items():
            flat = data.reshape(*data.shape[:2], -1)
            met["numbers"] += flat.size
            if not np.array_equal(flat, expected[p.name, variable]):
                found[f"oracle {p.name}.{variable}"] = int((flat != expected[p.name, variable]).sum())
    if not found:
        tally.agreed.add(case.digest)
        tally.met.update(met + events(case, ours))
    return found


def compare(networks: int, first: int, shown: Callable[[Tally], None] = lambda tally: None) -> Tally:
    """Compare on at least so many different networks.  first: seed of the first chunk; shown: called after each."""
    tally = Tally()
    for number in itertools.count(first):

        @seed(number)
        @settings(QUIET, max_examples=max(20, min(CHUNK, networks - len(tally.agreed))))
        @given(draft=drafts())
        def equal(draft: Draft) -> None:
            assert unequal(draft, tally) == {}

        equal()
        shown(tally)
        if len(tally.agreed) >= networks:
            break
    return tally


def test_sim_equals_lavas_models_and_the_oracle() -> None:
    tally = compare(200, 0)
    assert len(tally.agreed) >= 200
    assert not tally.missing(3)


@pytest.mark.long
def test_sim_equals_lavas_models_and_the_oracle_on_very_many_networks(capsys: Any) -> None:
    begin = time.monotonic()

    def show(tally: Tally) -> None:
        with capsys.disabled():
            print(f"\r{len(tally.agreed):,} networks, {tally.met['numbers']:,} numbers", end="", flush=True)

    networks = int(os.environ.get("NEURO_DEPLOY_NETWORKS", "10000"))
    tally = compare(networks, 1000, show)
    with capsys.disabled():
        print(f" equal in sim, Lava's models and the oracle, in {time.monotonic() - begin:.0f} s")
        print(", ".join(f"{name} {tally.met[name]:,}" for name in WANTED))
    assert len(tally.agreed) >= networks
    assert not tally.missing(networks // 100)


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
