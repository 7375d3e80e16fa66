"""The shape (without time and batch) that each operation makes of its input's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..neurons.base import FloatNeuron
from .nesting import Shape
from .nodes import (
    Convolution,
    Delay,
    Dense,
    Diagonal,
    Flatten,
    Operation,
    Passing,
    Pool,
    Sink,
    Slice,
    Source,
    misfit,
)


def output_shape(name: str, operation: Operation, shape: Shape | None) -> Shape:
    """The shape (without time and batch) that an operation makes of its input's.

    Raises: UnsupportedError if they do not fit.
    """
    if isinstance(operation, Source):
        return operation.shape
    if shape is None:
        raise misfit(name, "has no input", "connect it, or remove it")
    return _SHAPES[type(operation)](name, operation, shape)


def _same(name: str, operation: Sink | Passing, shape: Shape) -> Shape:
    return shape


def _sliced(name: str, operation: Slice, shape: Shape) -> Shape:
    return operation.shape


def _dense(name: str, operation: Dense, shape: Shape) -> Shape:
    weight, bias = operation.weight, operation.bias
    if weight.ndim != 2 or len(shape) != 1 or weight.shape[1] != shape[0]:
        raise misfit(name, f"weight {weight.shape} does not fit an input of shape {shape}", "flatten it, or mend it")
    if bias is not None and bias.shape != (weight.shape[0],):
        raise misfit(name, f"bias {bias.shape} does not fit weight {weight.shape}", "one bias per output")
    return (int(weight.shape[0]),)


def _diagonal(name: str, operation: Diagonal, shape: Shape) -> Shape:
    if not fits(operation.scale.shape, shape):
        what = f"scale {operation.scale.shape} does not fit an input of shape {shape}"
        raise misfit(name, what, "one per element")
    return shape


def _flattened(name: str, operation: Flatten, shape: Shape) -> Shape:
    last = operation.end if operation.end >= 0 else len(shape) + operation.end
    if not 0 <= operation.start <= last < len(shape):
        raise misfit(name, f"axes {operation.start}..{operation.end} are not those of {shape}", "mend the node")
    joined = int(np.prod(shape[operation.start : last + 1], dtype=np.int64))
    return (*shape[: operation.start], joined, *shape[last + 1 :])


def _convolved(name: str, operation: Convolution, shape: Shape) -> Shape:
    weight, axes = operation.weight, operation.weight.ndim - 2
    if axes < 1 or len(shape) != axes + 1 or weight.shape[1] * operation.groups != shape[0]:
        what = f"weight {weight.shape} in {operation.groups} groups does not fit an input of shape {shape}"
        raise misfit(name, what, "its input must be (channels, *image)")
    if weight.shape[0] % operation.groups or any(
        len(p) != axes for p in (operation.stride, operation.padding, operation.dilation)
    ):
        raise misfit(name, "groups, stride, padding or dilation do not fit the weight", "mend the node")
    if operation.bias is not None and operation.bias.shape != (weight.shape[0],):
        raise misfit(name, f"bias {operation.bias.shape} does not fit weight {weight.shape}", "one bias per channel")
    return (int(weight.shape[0]), *_image(name, shape[1:], weight.shape[2:], operation))


def _pooled(name: str, operation: Pool, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise misfit(name, f"pools images, but its input has the shape {shape}", "its input must be (C, H, W)")
    return (shape[0], *_image(name, shape[1:], operation.kernel, operation))


def _image(name: str, image: Shape, kernel: Shape, operation: Convolution | Pool) -> Shape:
    dilation = operation.dilation if isinstance(operation, Convolution) else (1,) * len(kernel)
    sides = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(image, kernel, operation.stride, operation.padding, dilation, strict=True)
    )
    if min(sides) < 1:
        raise misfit(name, f"a kernel of {tuple(kernel)} does not fit an image of {image}", "pad it, or mend the node")
    return sides


def _delayed(name: str, operation: Delay, shape: Shape) -> Shape:
    if not fits(operation.steps.shape, shape):
        raise misfit(name, f"delay {operation.steps.shape} does not fit an input of shape {shape}", "one per element")
    return shape


def fits(given: Shape, shape: Shape) -> bool:
    """True for the shape itself, one number for all, and one of as many axes that broadcasts ((C, 1, 1), say)."""
    same_axes = len(given) == len(shape) and all(a in (1, b) for a, b in zip(given, shape, strict=True))
    return same_axes or int(np.prod(given, dtype=np.int64)) == 1


def _neuron(name: str, operation: FloatNeuron, shape: Shape) -> Shape:
    if not fits(operation.shape, shape):
        raise misfit(name, f"neurons {operation.shape} do not fit an input of shape {shape}", "one per element")
    return shape


_SHAPES: dict[type, Callable[[str, Any, Shape], Shape]] = {
    Sink: _same,
    Passing: _same,
    Slice: _sliced,
    Dense: _dense,
    Diagonal: _diagonal,
    Flatten: _flattened,
    Convolution: _convolved,
    Pool: _pooled,
    Delay: _delayed,
    FloatNeuron: _neuron,
}
