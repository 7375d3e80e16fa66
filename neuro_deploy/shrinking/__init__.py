"""`shrink`: the smallest network, input and window of time in which two runs still differ, as one small file."""

from __future__ import annotations

from .case import Case
from .files import is_case, load_case, save_case
from .runs import Judge, between_backends, between_programs
from .search import Shrunk, shrink

__all__ = [
    "Case",
    "Judge",
    "Shrunk",
    "between_backends",
    "between_programs",
    "is_case",
    "load_case",
    "save_case",
    "shrink",
]
