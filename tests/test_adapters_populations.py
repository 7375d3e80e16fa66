"""Neurons that fire at their threshold, counted by division in other frameworks and by comparison here."""

from __future__ import annotations

import numpy as np
import pytest

from neuro_deploy.adapters.populations import at_least
from neuro_deploy.errors import UnsupportedError


def near(center: np.ndarray, steps: int) -> np.ndarray:
    """The float32 numbers around each center, (2 * steps + 1, N)."""
    bits = center.astype(np.float32).view(np.int32)
    return np.asarray(bits + np.arange(-steps, steps + 1, dtype=np.int32)[:, None]).view(np.float32)


@pytest.mark.parametrize("k", range(1, 17))
def test_rounds_are_those_of_a_division(k: int) -> None:
    """h > k * theta' against trunc(h / theta) >= k, both in float32, for every h within 16 steps of k * theta."""
    theta = np.exp(np.random.default_rng(k).uniform(-3, 3, 20_000)).astype(np.float32)
    h = near(np.float32(k) * theta, 16)
    ours, theirs = h > np.float32(k) * at_least(theta, "theta"), np.trunc(h / theta) >= k
    wrong = ours != theirs
    assert theirs.any() and not theirs.all()
    assert not wrong[np.isclose(h.astype(np.float64), k * theta.astype(np.float64), rtol=0, atol=0)].any()
    if k <= 2:
        assert not wrong.any()
    assert np.all(np.abs(h.astype(np.float64) / theta - k)[wrong] <= k * 2.0**-23)


def test_a_threshold_is_above_0() -> None:
    with pytest.raises(UnsupportedError, match=r"theta: is -0\.5, not above 0"):
        at_least([0.5, -0.5], "theta")
