"""BasicMotions: a smart watch's accelerometer and gyroscope during four activities, ten values a second."""

from __future__ import annotations

from ..recipe import DataSettings
from .base import About, Dataset
from .series import load_series

ABOUT = About(
    "basic_motions",
    "a watch's acceleration and rotation: standing, running, walking, badminton",
    "series",
    (6,),
    4,
    40,
    40,
    licence="none stated (the package that carries it: BSD-3-Clause)",
    source="A. Bagnall et al., The UEA multivariate time series archive, 2018, arXiv 1811.00075",
    steps=100,
    package="sktime",
    digest="90bcfa1958483356",
)


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: float32 (B, 100, 6); see `series`.  Raises: DatasetError, FormatError."""
    return load_series(ABOUT, "BasicMotions")
