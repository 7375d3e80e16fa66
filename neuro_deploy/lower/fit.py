"""Does a program fit the chip, and how much of it does it take?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import Violation
from ..program import ChipProgram
from ..target import Target


@dataclass(frozen=True)
class Fit:
    def to_dict(self) -> dict[str, Any]:
        return {}


def fit(program: ChipProgram, chip: Target) -> Fit:
    return Fit()


def fit_violations(program: ChipProgram, chip: Target) -> list[Violation]:
    return []
