"""A dataset of bars: which of four is lit."""

from __future__ import annotations

import numpy as np

from ..recipe import DataSettings
from .base import About, Dataset

ABOUT = About("bars", "which of four is lit", "static", (6,), 4, 24, 16, licence="ours", source="here")


def load(asked: DataSettings, steps: int) -> Dataset:
    x = np.zeros((40, 6), np.float32)
    y = np.arange(40) % 4
    x[np.arange(40), y] = 1.0
    x[:, 4:] = np.random.default_rng(0).integers(0, 5, (40, 2)) / 4
    return Dataset(
        name="bars",
        train_x=x[:24],
        train_y=y[:24],
        test_x=x[24:],
        test_y=y[24:],
        classes=4,
        input_low=0.0,
        input_high=1.0,
        input_quantum=0.25,
    )
