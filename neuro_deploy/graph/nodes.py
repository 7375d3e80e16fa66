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
from .nesting import Part, Port


@dataclass(frozen=True)
class Source:
    """The graph's input, of this shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Sink:
    """The graph's output."""


@dataclass(frozen=True)
class Passing:
    """y = x: the Input (into) or Output of a nested graph."""

    into: bool


@dataclass(frozen=True)
class Slice:
    """The elements from `start` on of a flat x, in this shape: one Input of several."""

    start: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Dense:
    """y = weight @ x + bias.  weight: (N_out, N_in); bias: (N_out,) or None.  x is one-dimensional."""

    weight: NDArray[Any]
    bias: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Diagonal:
    """y = scale * x, element by element; see `fits`."""

    scale: NDArray[Any]


@dataclass(frozen=True)
class Flatten:
    """Join the axes start..end (counted without time and batch) into one."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution over the last axes, as torch defines it (cross-correlation, zero padding).

    weight: (C_out, C_in / groups, *kernel), one or two kernel axes; bias: (C_out,) or None.
    stride, padding, dilation: one number for each kernel axis.   Input and output: (C, *image).
    """

    weight: NDArray[Any]
    bias: NDArray[Any] | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True)
class Pool:
    """The sum, or the mean (padding counts), of windows of each channel.  Input and output: (C, H, W)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    mean: bool


@dataclass(frozen=True, eq=False)
class Delay:
    """y[t] = x[t - steps], 0 before.  steps: int64, () or one per element, >= 0."""

    steps: NDArray[np.int64]


Operation = Source | Sink | Passing | Slice | Dense | Diagonal | Flatten | Convolution | Pool | Delay | FloatNeuron
NEURON_NODES = "LIF, IF, CubaLIF, Threshold, LI, I, CubaLI, and our CF"
Reader = Callable[[Any, float], Operation]
_READERS: dict[type, Reader] = {}


def reads(kind: type) -> Callable[[Reader], Reader]:
    """Register the function below as the reader (node, dt) -> Operation of NIR nodes of type `kind`."""

    def register(function: Reader) -> Reader:
        _READERS[kind] = function
        return function

    return register


def read_node(name: str, node: Any, dt: float) -> Operation:
    """The operation of a node that is not a neuron, at dt seconds a step.

    Raises: UnsupportedError for an unknown primitive, or one with parameters that we cannot keep.
    """
    reader = _READERS.get(type(node))
    if reader is None:
        known = ", ".join(sorted(kind.__name__ for kind in _READERS if issubclass(kind, nir.NIRNode)))
        raise UnsupportedError(
            "cannot read the graph",
            [Violation(name, f"{type(node).__name__} is not supported here", f"supported: {known}, {NEURON_NODES}")],
        )
    try:
        return reader(node, dt)
    except UnsupportedError as error:
        raise UnsupportedError(error.title, [Violation(name, v.what, v.remedy) for v in error.violations]) from error


@reads(nir.Input)
def _input(node: nir.Input, dt: float) -> Operation:
    return Source(tuple(int(n) for n in np.atleast_1d(next(iter(node.input_type.values())))))


@reads(nir.Output)
def _output(node: nir.Output, dt: float) -> Operation:
    return Sink()


@reads(Port)
def _port(node: Port, dt: float) -> Operation:
    return Passing(node.into)


@reads(Part)
def _part(node: Part, dt: float) -> Operation:
    return Slice(node.start, node.shape)


@reads(nir.Affine)
def _affine(node: nir.Affine, dt: float) -> Operation:
    return Dense(np.asarray(node.weight), np.asarray(node.bias))


@reads(nir.Linear)
def _linear(node: nir.Linear, dt: float) -> Operation:
    return Dense(np.asarray(node.weight))


@reads(nir.Scale)
def _scale(node: nir.Scale, dt: float) -> Operation:
    return Diagonal(np.asarray(node.scale))


@reads(nir.Flatten)
def _flatten(node: nir.Flatten, dt: float) -> Operation:
    return Flatten(int(node.start_dim), int(node.end_dim))


@reads(nir.Conv1d)
def _conv1d(node: nir.Conv1d, dt: float) -> Operation:
    return _convolution(node, 1)


@reads(nir.Conv2d)
def _conv2d(node: nir.Conv2d, dt: float) -> Operation:
    return _convolution(node, 2)


def _convolution(node: Any, axes: int) -> Operation:
    """padding "same" of an even kernel is one more on the far side: a tap of zero in front makes it symmetric."""
    weight, bias = np.asarray(node.weight), np.asarray(node.bias)
    stride, dilation = _pair(node.stride, axes), _pair(node.dilation, axes)
    if isinstance(node.padding, str) and node.padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(n % 2 and d > 1 for n, d in zip(total, dilation, strict=True)) or set(stride) != {1}:
            what = "padding 'same' with a stride, or of an even dilated kernel, is not symmetric"
            raise misfit("", what, "give the padding as numbers")
        front = [n % 2 for n in total]
        weight = np.pad(weight, [(0, 0), (0, 0), *((n, 0) for n in front)])
        padding = tuple((n + 1) // 2 for n in total)
    else:
        padding = (0,) * axes if isinstance(node.padding, str) else _pair(node.padding, axes)
    return Convolution(weight, bias, stride, padding, dilation, int(node.groups))


@reads(nir.SumPool2d)
def _sum_pool(node: nir.SumPool2d, dt: float) -> Operation:
    return _pool(node, mean=False)


@reads(nir.AvgPool2d)
def _average_pool(node: nir.AvgPool2d, dt: float) -> Operation:
    return _pool(node, mean=True)


def _pool(node: Any, mean: bool) -> Operation:
    kernel, stride, padding = (two(_pair(values, 2)) for values in (node.kernel_size, node.stride, node.padding))
    return Pool(kernel, stride, padding, mean)


@reads(nir.Delay)
def _delay(node: nir.Delay, dt: float) -> Operation:
    """Whole steps, within the rounding of float32."""
    steps = np.asarray(node.delay, np.float64) / dt
    whole = np.rint(steps)
    fits = np.isclose(steps, whole, rtol=1e-6, atol=1e-6) & (whole >= 0) & (whole < 2**31)
    if not fits.all():
        bad = np.atleast_1d(steps)[~np.atleast_1d(fits)]
        what = f"a delay of {bad[0] * dt:g} s is not a whole number of steps of {dt:g} s (below 2^31)"
        raise misfit("", what, "give the dt that the network was made for")
    return Delay(np.asarray(whole, np.int64))


def _pair(value: Any, axes: int) -> tuple[int, ...]:
    numbers = np.atleast_1d(np.asarray(value, np.int64)).tolist()
    return tuple(numbers * axes if len(numbers) == 1 else numbers)


def two(values: tuple[int, ...]) -> tuple[int, int]:
    """A pair of exactly two values.  Raises: ValueError for another number of them."""
    vertical, horizontal = values
    return vertical, horizontal


def misfit(name: str, what: str, remedy: str) -> UnsupportedError:
    """The error that a node cannot be read.  name: "" where the caller adds it."""
    return UnsupportedError("cannot read the graph", [Violation(name, what, remedy)])


def arrays_of(operation: Operation) -> dict[str, NDArray[Any]]:
    """The numbers of an operation, by name."""
    if isinstance(operation, FloatNeuron):
        return dict(operation.params)
    return {k: v for k, v in vars(operation).items() if isinstance(v, np.ndarray)}
