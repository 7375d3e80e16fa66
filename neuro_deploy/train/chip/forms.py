"""Which standard node can be a synapse: a matrix, a number for each element, or a convolution; and Flattens around it.

NIR joins axes (Flatten) and never parts them, so a matrix leads to vectors only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...wiring import Conv, Dense, Wiring

Shape = tuple[int, ...]
LINEAR, SCALE, CONV1D, CONV2D = "linear", "scale", "conv1d", "conv2d"
LARGEST = 1 << 26
"""Entries of a matrix that is written."""


def merges(shape: Shape, wanted: Shape) -> list[tuple[int, int]] | None:
    """The axes (first, last) that Flattens join one after the other to make one shape of another; None: they cannot."""
    groups = _groups(shape, wanted)
    if groups is None:
        return None
    found, first = [], 0
    for count in groups:
        found += [(first, first + count - 1)] if count > 1 else []
        first += count
    return found[::-1]


def _groups(shape: Shape, wanted: Shape) -> list[int] | None:
    """How many axes of `shape` make each axis of `wanted`."""
    if not wanted:
        return None if shape else []
    for count in range(1, len(shape) + 1):
        if math.prod(shape[:count]) == wanted[0]:
            rest = _groups(shape[count:], wanted[1:])
            if rest is not None:
                return [count, *rest]
    return None


def image_of(wiring: Conv, form: str) -> tuple[Shape, Shape]:
    """The shapes that a convolution takes and gives as a node."""
    if form == CONV2D:
        return wiring.source_shape, wiring.target_shape
    return (wiring.source_shape[0], wiring.source_shape[2]), (wiring.target_shape[0], wiring.target_shape[2])


def form_of(wiring: Wiring, given: Shape, start: int, wanted: Shape) -> str | None:
    """The node that can be a synapse, or the part of it that one source gives; None: none can.

    given: the source's shape.   start: its first element in the wiring's source.   wanted: the target's shape.
    """
    if isinstance(wiring, Conv):
        whole = start == 0 and math.prod(given) == wiring.source_size
        flat = wiring.source_shape[1] == wiring.target_shape[1] == wiring.weight.shape[2] == 1
        for form in (CONV1D, CONV2D) if len(given) == 2 else (CONV2D, CONV1D):
            takes, gives = image_of(wiring, form)
            fits = merges(given, takes) is not None and merges(gives, wanted) is not None
            if whole and fits and (flat or form == CONV2D):
                return form
        return None
    size, few = math.prod(given), math.prod(given) * wiring.target_size <= LARGEST
    vector = len(wanted) == 1 and len(given) > 0 and few
    if isinstance(wiring, Dense) and vector:
        return LINEAR
    if merges(given, wanted) is not None and diagonal_of(wiring, start, size) is not None:
        return SCALE
    return LINEAR if vector else None


def diagonal_of(wiring: Wiring, start: int, size: int) -> NDArray[np.float64] | None:
    """The numbers of a wiring that, of the sources start .. start + size - 1, gives each target its own; or None."""
    if wiring.target_size != size:
        return None
    targets, sources, weights = wiring.triples()
    inside = (sources >= start) & (sources < start + size) & (weights != 0)
    if (sources[inside] != targets[inside] + start).any():
        return None
    found = np.zeros(size)
    np.add.at(found, targets[inside], weights[inside])
    return found


def matrix_of(wiring: Wiring, start: int, size: int) -> NDArray[np.float64]:
    """The weights from the sources start .. start + size - 1, (N_target, size)."""
    if isinstance(wiring, Dense):
        return wiring.weight[:, start : start + size].astype(np.float64)
    targets, sources, weights = wiring.triples()
    inside = (sources >= start) & (sources < start + size)
    matrix = np.zeros((wiring.target_size, size))
    np.add.at(matrix, (targets[inside], sources[inside] - start), weights[inside])
    return matrix
