"""Arrays from memory that is used again.

A fresh large array costs more than to compute it: the system hands out its pages one by one, and empties each.  So
memory of arrays that nobody uses any more is kept for the next of the same size, KEPT bytes of it at most.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike, NDArray

Memory = NDArray[np.uint8]
SMALL = 1 << 16
"""Bytes below which memory is not kept."""
ALIGNED = 64
"""Bytes: a cache line."""
KEPT: int = min(1 << 30, psutil.virtual_memory().total // 16)


class _Free:
    """Memory that nobody uses, by its size.  A lease may end in any thread, and within these lines too."""

    def __init__(self, kept: int) -> None:
        self.kept, self.total = kept, 0
        self.sizes: dict[int, list[Memory]] = {}
        self._lock = threading.RLock()

    def take(self, size: int) -> Memory | None:
        """Memory of that many bytes."""
        with self._lock:
            found = self.sizes.get(size)
            if not found:
                return None
            self.total -= size
            return found.pop() if len(found) > 1 else self.sizes.pop(size)[0]

    def give(self, memory: Memory) -> None:
        """Keep it for the next; the largest goes where all would be too much."""
        with self._lock:
            self.sizes.setdefault(memory.nbytes, []).append(memory)
            self.total += memory.nbytes
            while self.total > self.kept:
                self.take(max(list(self.sizes)))


FREE = _Free(KEPT)


class _Lease:
    """Owns memory for as long as arrays and tensors over it live.  Its array's views refer to it, not to the memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self, free: _Free = FREE) -> None:
        free.give(self.memory)


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array, C order, of any content."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    memory = FREE.take(size)
    if memory is None:
        whole = np.empty(size + ALIGNED, np.uint8)
        start = -whole.ctypes.data % ALIGNED
        memory = whole[start : start + size]
    return np.asarray(_Lease(memory)).view(dtype).reshape(shape)
