"""MNIST-1D: ten digit-like curves in one dimension, drawn anew from a seed, 40 points each; nothing is downloaded.

A sample is the curve of its class, padded with 36 to 60 zeros, stretched to 72 points, scaled by 0.8 to 1.2, turned by
up to 47 points; where there is no curve comes smooth noise, everywhere white noise, then a slope; and 40 points of it
are kept.  All samples together are brought to mean 0 and standard deviation 1.

Source: S. Greydanus and D. Kobak, Scaling down deep learning with MNIST-1D, ICML 2024 (arXiv 2011.14439): construction
and numbers; the curves are those of the authors' package mnist1d 0.0.2 (Apache-2.0).  Written from the paper, with a
generator of its own: the same distribution, not the same samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..recipe import DataSettings
from .base import About, Dataset, digest_of

Floats = NDArray[np.float64]

CURVES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
"""The digits 0 to 9, from left to right."""
SEED, SAMPLES, TRAINING = 42, 5000, 4000
PADDING, LENGTH, POINTS = (36, 60), 72, 40
SCALE, TURN = 0.4, 48
SMOOTH_NOISE, SMOOTHNESS, WHITE_NOISE, SLOPE = 0.25, 2.0, 0.02, 0.75
HEIGHT = 6.0
"""What the standardized curves are divided by."""
LEVELS, REACH = 32, 127
LIMIT = REACH / LEVELS
"""Kept are multiples of 1/32, at most 127 of them: 8 bits with the sign; 63 of 200,000 points are clipped."""

ABOUT = About(
    "mnist1d",
    "digit-like curves of 40 points, drawn from a seed",
    "static",
    (POINTS,),
    len(CURVES),
    TRAINING,
    SAMPLES - TRAINING,
    licence="Apache-2.0",
    source="S. Greydanus, D. Kobak, ICML 2024, arXiv 2011.14439",
)


def templates() -> Floats:
    """The curves, (10, 12): standardized each, starting at 0."""
    x = np.array(CURVES)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    return np.asarray((x - x[:, :1]) / HEIGHT)


def draw(curve: Floats, rng: np.random.Generator) -> Floats:
    """One sample of a curve (12,), float64 (40,)."""
    padding = rng.integers(PADDING[0], PADDING[1] + 1)
    there = np.concatenate([np.ones(len(curve)), np.zeros(padding)])
    x = _resampled(np.concatenate([curve, np.zeros(padding)]), LENGTH)
    there = _resampled(there, LENGTH) > 0
    turn = rng.integers(TURN)
    x, there = np.roll(x * (1 + SCALE * (rng.random() - 0.5)), turn), np.roll(there, turn)
    smooth = gaussian_filter1d(SMOOTH_NOISE * rng.standard_normal(LENGTH), SMOOTHNESS)
    x = np.where(there, x, smooth) + WHITE_NOISE * rng.standard_normal(LENGTH)
    slope = SLOPE * (rng.random() - 0.5) * np.linspace(-0.5, 0.5, LENGTH)
    return _resampled(x - slope, POINTS)


def _resampled(x: Floats, points: int) -> Floats:
    """x at so many equal distances, by linear interpolation."""
    return np.interp(np.linspace(0, 1, points), np.linspace(0, 1, len(x)), x)


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: float32 (B, 40), 4,000 samples to train and 1,000 to test, ten equal classes.  Always the same."""
    rng, curves = np.random.default_rng(SEED), templates()
    y = np.arange(SAMPLES) % len(curves)
    x = np.stack([draw(curves[label], rng) for label in y])
    x = (x - x.mean()) / x.std()
    x = (np.clip(np.rint(x * LEVELS) / LEVELS, -LIMIT, LIMIT)).astype(np.float32)
    held = np.zeros(SAMPLES, bool)
    held[TRAINING:] = True
    y = y.astype(np.int64)
    parts = (x[~held], y[~held], x[held], y[held])
    return Dataset("mnist1d", *parts, len(curves), -LIMIT, LIMIT, 1 / LEVELS, digest=digest_of(*parts))
