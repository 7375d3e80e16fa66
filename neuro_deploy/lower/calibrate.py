"""How far potentials and currents go on typical input: what the scale "calibrated" is made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine import Request, simulate
from ..fixed import Ints
from ..program import ChipProgram

CHUNK = 64
"""Samples at once: bounds the memory."""


def observed(program: ChipProgram, x: NDArray[Any]) -> dict[str, Ints]:
    """Population -> the largest |h| or |u| of each neuron, int64 (N,), over all samples of x (T, B, *shape)."""
    most = {p.name: np.zeros(p.size, np.int64) for p in program.populations}
    for first in range(0, x.shape[1], CHUNK):
        done, _ = simulate(program, x[:, first : first + CHUNK], Request(len(x), ("h", "u")))
        for name, seen in most.items():
            for values in done.data[name].values():
                np.maximum(seen, np.abs(values.astype(np.int64)).max(axis=(0, 1)), out=seen)
    return most
