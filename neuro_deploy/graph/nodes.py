"""What one NIR node does to one time step: a linear map, or a border of the graph.

To add a primitive: register a function that turns its node into one of the operations below.  Every consumer
(`reference`, `compile`, `lava-float`) knows these operations, so it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError, Violation
from ..neurons.base import FloatNeuron


@dataclass(frozen=True)
class Source:
    """The graph's input, of this shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Sink:
    """The graph's output."""


@dataclass(frozen=True, eq=False)
class Dense:
    """y = weight @ x + bias.  weight: (N_out, N_in); bias: (N_out,) or None.  x is one-dimensional."""

    weight: NDArray[Any]
    bias: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Diagonal:
    """y = scale * x + offset, element by element; both broadcast against x."""

    scale: NDArray[Any]
    offset: NDArray[Any] | None = None


@dataclass(frozen=True)
class Flatten:
    """Join the axes start..end (counted without time and batch) into one."""

    start: int
    end: int


Operation = Source | Sink | Dense | Diagonal | Flatten | FloatNeuron
Shape = tuple[int, ...]
_READERS: dict[type, Callable[[Any], Operation]] = {}


def reads(kind: type) -> Callable[[Callable[[Any], Operation]], Callable[[Any], Operation]]:
    """Register the function below as the reader of NIR nodes of type `kind`."""

    def register(function: Callable[[Any], Operation]) -> Callable[[Any], Operation]:
        _READERS[kind] = function
        return function

    return register


def read_node(name: str, node: nir.NIRNode) -> Operation:
    """The operation of a node that is not a neuron.  Raises: UnsupportedError for an unknown primitive."""
    reader = _READERS.get(type(node))
    if reader is None:
        known = ", ".join(sorted(kind.__name__ for kind in _READERS))
        raise UnsupportedError(
            "cannot read the graph",
            [Violation(name, f"{type(node).__name__} is not supported here", f"supported: {known}, LIF, and our CF")],
        )
    return reader(node)


@reads(nir.Input)
def _input(node: nir.Input) -> Operation:
    return Source(tuple(int(n) for n in np.atleast_1d(next(iter(node.input_type.values())))))


@reads(nir.Output)
def _output(node: nir.Output) -> Operation:
    return Sink()


@reads(nir.Affine)
def _affine(node: nir.Affine) -> Operation:
    return Dense(np.asarray(node.weight), np.asarray(node.bias))


@reads(nir.Linear)
def _linear(node: nir.Linear) -> Operation:
    return Dense(np.asarray(node.weight))


@reads(nir.Scale)
def _scale(node: nir.Scale) -> Operation:
    return Diagonal(np.asarray(node.scale))


@reads(nir.Flatten)
def _flatten(node: nir.Flatten) -> Operation:
    return Flatten(int(node.start_dim), int(node.end_dim))


def output_shape(name: str, operation: Operation, shape: Shape | None) -> Shape:
    """The shape (without time and batch) that an operation makes of its input's.

    Raises: UnsupportedError if they do not fit.
    """
    if isinstance(operation, Source):
        return operation.shape
    if shape is None:
        raise _misfit(name, "has no input", "connect it, or remove it")
    return _SHAPES[type(operation)](name, operation, shape)


def _same(name: str, operation: Sink, shape: Shape) -> Shape:
    return shape


def _dense(name: str, operation: Dense, shape: Shape) -> Shape:
    weight, bias = operation.weight, operation.bias
    if weight.ndim != 2 or len(shape) != 1 or weight.shape[1] != shape[0]:
        raise _misfit(name, f"weight {weight.shape} does not fit an input of shape {shape}", "flatten it, or mend it")
    if bias is not None and bias.shape != (weight.shape[0],):
        raise _misfit(name, f"bias {bias.shape} does not fit weight {weight.shape}", "one bias per output")
    return (int(weight.shape[0]),)


def _diagonal(name: str, operation: Diagonal, shape: Shape) -> Shape:
    for array in (operation.scale, operation.offset):
        if array is not None and np.broadcast_shapes(array.shape, shape) != shape:
            raise _misfit(name, f"scale {array.shape} does not fit an input of shape {shape}", "one per element")
    return shape


def _flattened(name: str, operation: Flatten, shape: Shape) -> Shape:
    last = operation.end if operation.end >= 0 else len(shape) + operation.end
    if not 0 <= operation.start <= last < len(shape):
        raise _misfit(name, f"axes {operation.start}..{operation.end} are not those of {shape}", "mend the node")
    joined = int(np.prod(shape[operation.start : last + 1], dtype=np.int64))
    return (*shape[: operation.start], joined, *shape[last + 1 :])


def _neuron(name: str, operation: FloatNeuron, shape: Shape) -> Shape:
    if operation.shape not in (shape, ()):
        raise _misfit(name, f"neurons {operation.shape} do not fit an input of shape {shape}", "one per element")
    return shape


_SHAPES: dict[type, Callable[[str, Any, Shape], Shape]] = {
    Sink: _same,
    Dense: _dense,
    Diagonal: _diagonal,
    Flatten: _flattened,
    FloatNeuron: _neuron,
}


def _misfit(name: str, what: str, remedy: str) -> UnsupportedError:
    return UnsupportedError("cannot read the graph", [Violation(name, what, remedy)])


def arrays_of(operation: Operation) -> dict[str, NDArray[Any]]:
    """The numbers of an operation, by name."""
    if isinstance(operation, FloatNeuron):
        return dict(operation.params)
    return {k: v for k, v in vars(operation).items() if isinstance(v, np.ndarray)}
