"""What is asked of an executor of ChipPrograms, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..neurons import spec
from ..program import ChipProgram


def quiet(done: int, total: int) -> None:
    """A progress callback that shows nothing."""


@dataclass(frozen=True)
class Request:
    """What to run and what to keep.

    steps: logical steps T of the input; the run has T + program.depth rows.
    record: variables ("spikes", "v", "h", "u") to keep.   only: populations to keep, None: all.
    strict: stop at the first wrap or clip of a register.   progress: called with (done, of how many).
    """

    steps: int
    record: tuple[str, ...] = ("spikes",)
    only: tuple[str, ...] | None = None
    strict: bool = False
    progress: Callable[[int, int], None] = quiet

    def keeps(self, population: str, variable: str) -> bool:
        """True if that is recorded."""
        return variable in self.record and (self.only is None or population in self.only)


class Execution(NamedTuple):
    """What a run gave.

    data: population -> variable -> (rows, B, N); spikes in their `spike_dtype`, the rest int32.
    counters: population -> event ("a_wraps", "u_wraps", "v_clips") -> how often.
    """

    data: dict[str, dict[str, NDArray[Any]]]
    counters: dict[str, dict[str, int]]


def spike_dtype(low: int, high: int) -> type[np.signedinteger[Any]]:
    """The narrowest of int8, int16 and int32 that holds low..high."""
    for dtype in (np.int8, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return np.int32


def spike_ranges(program: ChipProgram) -> Mapping[str, tuple[int, int]]:
    """Encoder or population -> smallest and largest value of its spikes."""
    ranges = {e.name: (e.low, e.high) for e in program.encoders}
    return ranges | {p.name: spec(p.kind).spike_range(p.params) for p in program.populations}
