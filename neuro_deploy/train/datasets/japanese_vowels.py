"""Japanese vowels: twelve cepstrum coefficients of nine men who say "ae", 7 to 29 frames each; who is it?"""

from __future__ import annotations

from ..recipe import DataSettings
from .base import About, Dataset
from .series import load_series

ABOUT = About(
    "japanese_vowels",
    "twelve coefficients of a spoken vowel, nine speakers",
    "series",
    (12,),
    9,
    270,
    370,
    licence="CC BY 4.0",
    source="M. Kudo, J. Toyama, M. Shimbo, Pattern Recognit. Lett. 20:1103, 1999, UCI Machine Learning Repository",
    steps=29,
    package="sktime",
    digest="859dd910d488d65e",
)


def load(asked: DataSettings, steps: int) -> Dataset:
    """The dataset: float32 (B, 29, 12), short ones end in zeros; see `series`.  Raises: DatasetError, FormatError."""
    return load_series(ABOUT, "JapaneseVowels")
