"""Delta debugging: a smallest part of a list that still does something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def smallest(items: Sequence[T], does: Callable[[list[T]], bool], least: int = 0) -> list[T]:
    """A part of `items`, in their order, that does it while no single item can be left out of it.

    Leaves out blocks, halved when none can go: about n log n questions at most, k log n where k items matter.
    items: which do it.   does: the question.   least: items that stay, in any case.
    Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002.
    """
    kept = list(items)
    if len(kept) > least == 0 and does([]):
        return []
    size = max(1, len(kept) // 2)
    while True:
        start, gone = 0, False
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if len(rest) >= max(1, least) and does(rest):
                kept, gone = rest, True
            else:
                start += size
        if size == 1 and not gone:
            return kept
        size = max(1, size // 2) if size > 1 else 1
