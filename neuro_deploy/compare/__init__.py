"""Two recorded runs: the same or not, and where they part.

Exact comparison (two integer runs, or two float runs: ==, no tolerance) and statistics (a float run against an integer
run) are never mixed.  A comparison lists what it compared and what it could not.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .result import Comparison, Decisions, Divergence, NotCompared, PopulationStatistics, VariableComparison
from .runs import compare, input_names
from .verdict import Verdict, judge


class _Callable(ModuleType):
    """`nd.compare(a, b)` also works after this module was imported and hides the function of the same name."""

    def __call__(self, *args: Any, **options: Any) -> Comparison:
        return compare(*args, **options)


sys.modules[__name__].__class__ = _Callable

__all__ = [
    "Comparison",
    "Decisions",
    "Divergence",
    "NotCompared",
    "PopulationStatistics",
    "VariableComparison",
    "Verdict",
    "compare",
    "input_names",
    "judge",
]
