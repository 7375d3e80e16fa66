"""Arrays from memory that is used again.

A fresh large array costs more than to compute it: the system hands out its pages one by one, and empties each.  So
memory of arrays that nobody uses any more is kept for the next of the same size, KEPT bytes of it at most.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike, NDArray

Memory = NDArray[np.uint8]
SMALL = 1 << 16
"""Bytes below which memory is not kept."""
ALIGNED = 64
KEPT: int = min(1 << 30, psutil.virtual_memory().total // 16)

_free: dict[int, list[Memory]] = {}
"""Size -> what is free of it.  Each operation on it is atomic: a lease may end in any thread, at any time."""


class _Lease:
    """Owns memory for as long as arrays and tensors over it live.  Its array's views refer to it, not to the memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self, free: dict[int, list[Memory]] = _free, kept: int = KEPT) -> None:
        free.setdefault(self.memory.nbytes, []).append(self.memory)
        sizes = list(free)
        while sizes and sum(size * len(free[size]) for size in sizes) > kept:
            try:
                free[sizes[0]].pop()
            except IndexError:
                sizes.pop(0)


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array, C order, of any content."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    try:
        memory = _free[size].pop()
    except (KeyError, IndexError):
        whole = np.empty(size + ALIGNED, np.uint8)
        start = -whole.ctypes.data % ALIGNED
        memory = whole[start : start + size]
    return np.asarray(_Lease(memory)).view(dtype).reshape(shape)
