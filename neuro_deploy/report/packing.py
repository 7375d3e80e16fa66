"""Arrays in a page: bytes in planes, deflated, in base64; report.js reads them by DecompressionStream."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {"i1": "Int8", "i2": "Int16", "i4": "Int32", "f4": "Float32", "f8": "Float64"}
"""dtype -> the typed array of JavaScript that reads it."""

LEVEL = 4
"""Of zlib: half the time of its default for a few percent more bytes."""


def narrowest(*arrays: NDArray[Any] | None) -> str:
    """The narrowest of TYPES that holds every value of all arrays as it is (integers beyond int32: as float64)."""
    given = [a for a in arrays if a is not None and a.size]
    for name in TYPES:
        if all(_holds(name, a) for a in given):
            return name
    return "f8"


def _holds(name: str, values: NDArray[Any]) -> bool:
    if name[0] == "f":
        with np.errstate(over="ignore"):
            return bool(np.array_equal(values.astype(name).astype(values.dtype), values, equal_nan=True))
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        return False
    info = np.iinfo(np.dtype(name))
    return bool(info.min <= values.min() and values.max() <= info.max)


def packed(values: NDArray[Any], dtype: str, against: NDArray[Any] | None = None) -> str:
    """The values as base64 text.  against: an array of that shape; its bits are taken away (XOR), so that what is the
    same costs nothing."""
    raw = _bytes(values, dtype)
    if against is not None:
        raw = raw ^ _bytes(against, dtype)
    planes = np.ascontiguousarray(raw.reshape(-1, np.dtype(dtype).itemsize).T)
    return base64.b64encode(zlib.compress(planes.tobytes(), LEVEL)).decode("ascii")


def packed_pair(a: NDArray[Any] | None, b: NDArray[Any] | None) -> dict[str, Any]:
    """The same rows of two runs: {"type", "a", "b"}.  b is against a, or "same" (all bits); None: not recorded."""
    dtype = narrowest(a, b)
    first = packed(a, dtype) if a is not None else None
    second: str | None = None
    if b is not None:
        same = a is not None and np.array_equal(_bytes(a, dtype), _bytes(b, dtype))
        second = "same" if same else packed(b, dtype, a)
    return {"type": TYPES[dtype], "a": first, "b": second}


def size_of(part: dict[str, Any]) -> int:
    """Characters that a packed pair takes."""
    return len(part["a"] or "") + len(part["b"] or "")


def _bytes(values: NDArray[Any], dtype: str) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).reshape(-1).view(np.uint8)
