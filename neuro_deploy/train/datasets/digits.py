"""Handwritten digits, 8 x 8 pixels in 17 grey levels: 1,797 real samples that scikit-learn carries.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998);
the test part, as in `sklearn.datasets.load_digits`.
"""

from __future__ import annotations

import numpy as np

from ..recipe import DataSettings
from .base import About, Dataset, digest_of

LEVELS = 16
HOLD_OUT = 5
"""Of the samples sorted by class, every fifth is for testing: 1,437 to train, 360 to test, ten equal classes."""

ABOUT = About(
    "digits",
    "handwritten digits, 8 x 8 pixels",
    "static",
    (64,),
    10,
    1437,
    360,
    licence="CC BY 4.0",
    source="E. Alpaydin, C. Kaynak, 1998, UCI Machine Learning Repository; carried by scikit-learn",
    digest="a7487402593386db",
)


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: pixels float32 (B, 64), multiples of 1/16 in [0, 1].  Always the same split."""
    from sklearn.datasets import load_digits

    pixels, label = load_digits(return_X_y=True)
    x, y = (pixels / LEVELS).astype(np.float32), label.astype(np.int64)
    held = np.zeros(len(y), bool)
    held[np.argsort(y, kind="stable")[::HOLD_OUT]] = True
    parts = (x[~held], y[~held], x[held], y[held])
    return Dataset("digits", *parts, 10, 0.0, 1.0, 1 / LEVELS, digest=digest_of(*parts))
