"""Why runs differ: `diagnose` names the fault that makes two integer runs part."""

from __future__ import annotations

from .diagnosis import Diagnosis, diagnose
from .faults import KINDS, Fault

__all__ = ["KINDS", "Diagnosis", "Fault", "diagnose"]
