"""The firing levels of a population, and which of them a potential is next to."""

from __future__ import annotations

from typing import cast

import numpy as np

from ..fixed import Ints
from ..neurons.base import Levels

FAR = np.int64(1) << 40
"""The distance of a level that is not there."""


def next_to(h: Ints, theta: Ints, rounds: Ints) -> Ints:
    """k of the level k * theta, k = 1..rounds, that is next to h; the lower of two; 1 where rounds is 0."""
    most = np.maximum(1, rounds)
    below = np.clip(h // theta, 1, most)
    above = np.minimum(below + 1, most)
    return cast(Ints, np.where(np.abs(h - below * theta) <= np.abs(h - above * theta), below, above))


def distance(h: Ints, levels: Levels) -> Ints:
    """Distance of each potential to the nearest level of both sides, in LSB.  h: int64 (..., N)."""
    up = _side(h, levels.theta, levels.rounds)
    return np.minimum(up, _side(-h, levels.theta_neg, levels.rounds_neg)) if levels.rounds_neg.any() else up


def _side(h: Ints, theta: Ints, rounds: Ints) -> Ints:
    return np.where(rounds > 0, np.abs(h - next_to(h, theta, rounds) * theta), FAR)


def nearest(h: int, levels: Levels) -> tuple[int, int]:
    """k and the value of the level next to one neuron's h; k < 0: of the mirrored side; the positive one of two."""
    one = Levels(*(np.asarray(v).reshape(-1)[:1] for v in levels))
    at = np.asarray([h])
    k, down = int(next_to(at, one.theta, one.rounds)[0]), -int(next_to(-at, one.theta_neg, one.rounds_neg)[0])
    up, mirrored = k * int(one.theta[0]), down * int(one.theta_neg[0])
    return (down, mirrored) if one.rounds_neg[0] and abs(h - mirrored) < abs(h - up) else (k, up)
