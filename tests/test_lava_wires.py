"""Which of Lava's synapses runs a synapse, and what is refused because Lava would change a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from lava_harness import VARIABLES, differences, run_spk

from neuro_deploy.backends import simulate
from neuro_deploy.backends.base import Job
from neuro_deploy.backends.lava import plan_of
from neuro_deploy.backends.lava_install import two_neurons
from neuro_deploy.backends.lava_wires import sum_reach
from neuro_deploy.errors import BackendError, InputError
from neuro_deploy.fixed import Registers
from neuro_deploy.program import ChipProgram, Encoder, Population
from neuro_deploy.program.data import Synapse
from neuro_deploy.wiring import Conv, Dense, Tap, to_dense, to_sparse

pytestmark = pytest.mark.lava


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        ([[3, -2]], "in: Lava's Dense would change 1 weights, the first 3"),
        ([[256, 0]], "in: Lava's Dense would change 1 weights, the first 256"),
        ([[-258, -2]], "in: Lava's Dense would change 1 weights, the first -258"),
    ],
)
def test_a_weight_that_lava_would_change_is_refused(weight: list[list[int]], says: str) -> None:
    case = two_neurons()
    wide = replace(case.encoders[0], shape=(2,))
    synapse = replace(case.synapses[0], wiring=Dense(np.array(weight)))
    case = replace(case, encoders=(wide,), synapses=(synapse, case.synapses[1]))
    with pytest.raises(BackendError, match=says):
        simulate(case, np.zeros((3, 1, 2)), "lava")


def test_what_lava_cannot_run_is_refused() -> None:
    case, x = two_neurons(), np.zeros((3, 1, 1))
    first, second = case.synapses
    with pytest.raises(BackendError, match="out: delay 64 exceeds 63"):
        simulate(replace(case, synapses=(first, replace(second, delay=64))), x, "lava")
    with pytest.raises(BackendError, match="connected network, but lif is not part"):
        simulate(replace(case, synapses=(first,)), x, "lava")
    big = replace(case.encoders[0], bits=24, high=2**24 - 1)
    late = replace(first, delay=1, exponent=-2, wiring=Dense(np.array([[255]])))
    with pytest.raises(BackendError, match="in: sums up to"):
        simulate(replace(case, encoders=(big,), synapses=(late, second)), x, "lava")
    narrow = replace(case, registers=Registers(u_bits=20))
    with pytest.raises(BackendError, match=r"'loihi2' has u_bits = 20, Lava's models 24, .* 'sim'"):
        simulate(narrow, x, "lava")
    with pytest.raises(InputError, match="strict: backend 'lava' does not watch"):
        simulate(case, x, "lava", strict=True)


def convolution(bits: int, exponent: int, delay: int, kernel: int = 3) -> ChipProgram:
    """One convolution into an integrator; weights 255."""
    wiring = Conv(np.full((1, 1, 1, kernel), 255, np.int32), (1, 1, kernel + 6))
    params = {"du": 4095, "dv": 4096, "bias_mant": 0, "bias_exp": 0}
    out = Population(
        "out", "li", wiring.target_shape, {k: np.asarray(v) for k, v in params.items()}, 1, np.asarray(1.0)
    )
    encoder = Encoder("in", wiring.source_shape, 1, 1, bits, False, 0, (1 << bits) - 1)
    synapse = Synapse("c", "in", "out", wiring, exponent, delay)
    return ChipProgram("loihi2", 1e-3, 64, (encoder,), (out,), (synapse,), None, False)


@pytest.mark.parametrize(
    ("bits", "exponent", "delay", "kernel", "ways"),
    [
        (16, 0, 0, 3, "conv"),
        (16, 5, 0, 3, "conv"),
        (13, 0, 1, 3, "sparse"),
        (13, -3, 0, 3, "sparse"),
        (7, 0, 0, 150, "sparse"),
        (24, 0, 0, 3, "c: sums up to 12834569475 exceed 32 bits, and neither Lava's Conv nor"),
        (16, 6, 0, 3, "c: sums up to 3208593600 exceed 32 bits, and neither Lava's Conv nor"),
        (
            14,
            0,
            1,
            3,
            r"c: Lava's Conv has no delay and no negative exponent \(here delay 1, exponent 0\), and its Sparse",
        ),
        (24, -14, 0, 3, "c: sums up to 12834569475 exceed 32 bits, and neither Lava's Conv nor its Sparse"),
        (14, 0, 0, 150, "c: Lava's Conv takes no number beyond 127 for its geometry"),
    ],
)
def test_a_convolution_goes_where_lava_keeps_its_sums(
    bits: int, exponent: int, delay: int, kernel: int, ways: str
) -> None:
    case = convolution(bits, exponent, delay, kernel)
    x = np.random.default_rng(0).integers(0, 1 << bits, (4, 2, 1, 1, kernel + 6)).astype(float)
    if ways not in ("conv", "sparse"):
        with pytest.raises(BackendError, match=ways):
            plan_of(case, Job(x, ("v",)))
        return
    assert [w.wiring.kind for w in plan_of(case, Job(x, ("v",))).wires] == [ways]
    sim = simulate(case, x, "sim", VARIABLES)
    assert sim.populations["out"].data["v"].any()
    assert not any(differences(sim, run_spk(case, x)).values())


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-8, 7), (-5, 0), (3, 9)])
def test_the_reach_of_sums_is_the_largest_that_spikes_can_give(low: int, high: int) -> None:
    rng = np.random.default_rng(high)
    dense = Dense(rng.integers(-100, 101, (5, 7)))
    conv = Conv(rng.integers(-100, 101, (2, 3, 1, 2)), (3, 1, 4))
    for wiring in (dense, to_sparse(dense), conv, to_sparse(conv)):
        full = to_dense(wiring).weight
        worst = np.concatenate(
            [np.where(full > 0, a, b) for a, b in ((max(high, 0), min(low, 0)), (min(low, 0), max(high, 0)))]
        )
        assert sum_reach(wiring, low, high) == np.abs(wiring.apply(worst)).max()


def test_lava_convolves_more_than_127_channels_and_sides() -> None:
    """Lava's Conv computes its geometry in int8, which numpy 2 no longer widens; mended."""
    rng = np.random.default_rng(2)
    wide = Conv(rng.integers(-100, 100, (130, 1, 1, 3)), (130, 1, 140), (1, 35), (0, 60), (1, 40), 26)
    wide = replace(wide, weight=rng.integers(-100, 100, (130, 5, 1, 3)))
    assert not wide.problems
    params = {"du": 4095, "dv": 0, "bias_mant": 0, "bias_exp": 0, "vth": 1000}
    first = Population("p", "lif", wide.target_shape, {k: np.asarray(v) for k, v in params.items()}, 1, np.asarray(1.0))
    encoder = Encoder("in", wide.source_shape, 1, 1, 1, False, 0, 1)
    case = ChipProgram("loihi2", 1e-3, 64, (encoder,), (first,), (Synapse("c", "in", "p", wide),), None, False)
    x = rng.integers(0, 2, (3, 1, *wide.source_shape)).astype(float)
    sim = simulate(case, x, "sim", VARIABLES)
    assert sim.populations["p"].data["spikes"].any()
    assert not any(differences(sim, simulate(case, x, "lava", VARIABLES)).values())


@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("exponent", [0, -1])
def test_a_wrong_geometry_of_sim_is_seen_by_lava(delay: int, exponent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that `sim` meets upside down: also where Lava runs the single connections instead of its Conv."""
    case = convolution(4, exponent, delay)
    uneven = case.synapses[0].wiring.with_weight(np.array([[[[250, 2, 100]]]], np.int32))
    case = replace(case, synapses=(replace(case.synapses[0], wiring=uneven),))
    x = np.random.default_rng(2).integers(0, 16, (6, 2, *case.encoders[0].shape)).astype(float)
    assert not any(differences(simulate(case, x, "sim-plain", VARIABLES), run_spk(case, x)).values())
    taps = Conv.taps

    def flipped(self: Conv) -> Iterator[Tap]:
        met = list(taps(self))
        for one, other in zip(met, reversed(met), strict=True):
            yield Tap(other.row, other.column, one.rows, one.columns)

    monkeypatch.setattr(Conv, "taps", flipped)
    assert any(differences(simulate(case, x, "sim-plain", VARIABLES), run_spk(case, x)).values())
