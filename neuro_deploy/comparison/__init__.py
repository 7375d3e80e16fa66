"""Two recorded runs: the same or not, and where they part.

Exact comparison (two integer runs, or two float runs: ==, no tolerance) and statistics (a float run against an integer
run) are never mixed.  A comparison lists what it compared and what it could not.
"""

from __future__ import annotations

from .cause import Account, Cause, Input
from .result import (
    Comparison,
    Decisions,
    Divergence,
    NotCompared,
    PopulationStatistics,
    TrainDistances,
    VariableComparison,
)
from .runs import compare, input_names
from .verdict import Verdict, counter_remarks, judge

__all__ = [
    "Account",
    "Cause",
    "Comparison",
    "Decisions",
    "Divergence",
    "Input",
    "NotCompared",
    "PopulationStatistics",
    "TrainDistances",
    "VariableComparison",
    "Verdict",
    "compare",
    "counter_remarks",
    "input_names",
    "judge",
]
