"""What float32 makes of the numbers of a file: neurons and `reference` compute in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import Violation
from ..neurons.scheme import numbers_of

EXACT = (np.dtype(np.float32), np.dtype(np.float16))
"""Types whose numbers float32 holds."""
IN_STEPS = (nir.Delay,)
"""Nodes whose numbers become whole steps."""


def lost(name: str, node: Any) -> Iterable[Violation]:
    """Numbers of a node that float32 turns into 0, infinity or, of whole numbers, into another one."""
    for key, value, kept in _rounded(node):
        finite = np.isfinite(value) & (value != 0)
        whole = value.dtype.kind in "iub"
        bad = finite & ((kept == 0) | ~np.isfinite(kept) | (whole & (kept.astype(np.float64) != value)))
        if bad.any():
            before, after = value[bad].flat[0], kept[bad].flat[0]
            remedy = "store it as float64 if it may be rounded" if whole else "scale it into float32's range"
            yield Violation(name, f"{key} holds {before!r:.60}, which is {after:.9g} in float32", remedy)


def change_of(node: Any) -> float:
    """The largest relative change of a node's numbers in float32; 0.0 where it holds them all."""
    largest = 0.0
    for _, value, kept in _rounded(node):
        exact, held = value.astype(np.float64), kept.astype(np.float64)
        moved = np.isfinite(exact) & np.isfinite(held) & (exact != 0)
        change = np.abs(held[moved] - exact[moved]) / np.abs(exact[moved])
        largest = max(largest, float(change.max(initial=0.0)))
    return largest


def _rounded(node: Any) -> Iterator[tuple[str, NDArray[Any], NDArray[np.float32]]]:
    """Name, numbers and their float32, of the parameters that are of another type."""
    if not isinstance(node, nir.NIRNode) or isinstance(node, IN_STEPS) or not dataclasses.is_dataclass(node):
        return
    for key, held in numbers_of(node).items():
        value = np.asarray(held)
        if value.dtype.kind in "fiub" and value.dtype not in EXACT:
            with np.errstate(over="ignore", under="ignore"):
                yield key, value, value.astype(np.float32)
