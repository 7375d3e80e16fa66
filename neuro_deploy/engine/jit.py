"""Numba, with types: how the compiled loops of this folder are compiled.

Every function is compiled at its first call, once for each combination of array types, without the interpreter's lock,
and kept in Numba's cache on disk.  That cache looks at one file alone: a compiled function must call no compiled
function of another file, or it would stay as it was when that one changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba.extending
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False}
"""_nrt: nothing is allocated, so views need no atomic counting of references, as dear as a small row of neurons."""


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers; without a cache where no folder for it can be written."""
    try:
        return cast(F, njit(cache=True, **OPTIONS)(function))
    except RuntimeError:
        return cast(F, njit(**OPTIONS)(function))


def inlined(function: F) -> F:
    """The same for a piece that is compiled into its callers, of the same file."""
    return cast(F, njit(inline="always", **OPTIONS)(function))


def intrinsic(function: Callable[..., Any]) -> Any:
    """A function that writes its own LLVM instructions (numba.extending.intrinsic)."""
    return numba.extending.intrinsic(function)
