"""Why runs differ: `diagnose` names the fault that makes two runs part, `explain` what each number format costs."""

from __future__ import annotations

from .costs import explain
from .diagnosis import Diagnosis, diagnose
from .faults import Fault
from .formats import FORMATS
from .result import Effect, Explanation, FormatCost, Proposal

__all__ = [
    "FORMATS",
    "Diagnosis",
    "Effect",
    "Explanation",
    "Fault",
    "FormatCost",
    "Proposal",
    "diagnose",
    "explain",
]
