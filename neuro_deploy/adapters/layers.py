"""torch layers that have no time: their NIR nodes, and the modules that a graph's linear nodes become again.

    nn.Linear                                 Affine, or Linear without a bias
    nn.Conv1d, nn.Conv2d                      Conv1d, Conv2d (no bias: a bias of zeros)
    nn.AvgPool2d                              AvgPool2d; SumPool2d with divisor_override=1
    nn.Flatten                                Flatten
    Scale (below)                             Scale
    nn.Identity; nn.Dropout* in eval mode     nothing
    nn.BatchNorm* in eval mode                folded into the Linear or Conv before it (see chain.py)

Anything else is refused by name.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import UnsupportedError, Violation
from ..graph.nodes import Convolution, Dense, Diagonal, Flatten, Operation, Pool
from ..train.layers import affine, convolution, flatten, pooling

TITLE = "cannot convert the model"
Shape = tuple[int, ...]
Convert = Callable[[Any, Shape, float], "Fragment"]
PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False)
class Fragment:
    """What one module becomes: NIR nodes and the edges among them.

    nodes: by local name; "" takes the module's name, "gain" becomes MODULE_gain.   edges: in the order of float sums.
    inputs: the nodes that get the module's input.   output: the node that gives its output.
    shape: of the output, without time and batch; (): that of the input.
    gain: float64, of the input; it becomes a Scale in front, joined with that of a Scale module before it.
    """

    nodes: Mapping[str, nir.NIRNode]
    edges: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ("",)
    output: str = ""
    shape: Shape = ()
    gain: NDArray[np.float64] | None = None

    @staticmethod
    def row(*nodes: tuple[str, nir.NIRNode], shape: Shape = (), gain: NDArray[np.float64] | None = None) -> Fragment:
        """Nodes one behind the other."""
        names = [name for name, _ in nodes]
        return Fragment(dict(nodes), tuple(itertools.pairwise(names)), (names[0],), names[-1], shape, gain)


@dataclass(frozen=True)
class Kept:
    """How a framework's class is kept: "exact: ..." with its converter, or "refused: ..." with a remedy.

    leading: the axes that its tensors have in front of the shape, 1 (batch) or 2 (time and batch); 0: either.
    """

    how: str
    convert: Convert | None = field(default=None, repr=False)
    remedy: str = ""
    leading: int = 0


class Scale(nn.Module):
    """y = scale * x, element by element; scale (float64, rounded to x's dtype at the product): () or x's shape."""

    scale: Tensor

    def __init__(self, scale: Any) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float64).clone())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.to(x.dtype)


def refuse(what: str, remedy: str = "", node: str = "") -> UnsupportedError:
    """An error with one violation of the module that is being converted; `node` names its parameter."""
    return UnsupportedError(TITLE, [Violation(node, what, remedy)])


@contextlib.contextmanager
def naming(**names: str) -> Iterator[None]:
    """Errors within name the framework's parameters.   names: ours -> the framework's."""
    try:
        yield
    except UnsupportedError as error:
        found = [Violation(names.get(v.node, v.node), v.what, v.remedy) for v in error.violations]
        raise UnsupportedError(error.title, found) from error


def per_neuron(value: Any, shape: Shape, name: str, dtype: Any = np.float32) -> NDArray[Any]:
    """A parameter as float32, () or of the population's shape; leading axes of 1 (a batch) are dropped.

    value: tensor, array or number.   dtype: another, for arithmetic before it is rounded.
    Raises: UnsupportedError if it does not fit the shape, or holds what is no finite number.
    """
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value, dtype)
    except (TypeError, ValueError) as error:
        raise refuse(f"{value!r} is not a number", "give one value, or one per neuron", name) from error
    if not np.isfinite(array).all():
        raise refuse("holds values that are NaN or infinite", "train again with a smaller learning rate", name)
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    if array.size == 1:
        return array.reshape(())
    try:
        return np.broadcast_to(array, shape).copy()
    except ValueError as error:
        what = f"{name} of shape {array.shape} does not fit neurons of shape {shape}"
        raise refuse(what, "give one value, or one per neuron", name) from error


def scale_node(scale: Any, shape: Shape) -> nir.Scale:
    """A Scale of the population's shape, float32."""
    return nir.Scale(scale=np.broadcast_to(np.asarray(scale, np.float32), shape).copy())


def is_layer(kind: type) -> bool:
    """True for a class of torch that `layer_node` knows."""
    return kind in _LAYERS


def layer_node(module: nn.Module, given: Shape, leading: int = 1, kind: type | None = None) -> nir.NIRNode:
    """The NIR node of a layer.

    given: shape of its input without time and batch.   leading: axes in front of it, 1 (batch) or 2 (time and batch).
    kind: the class of torch that a framework's own subclass computes as; by default the module's class.
    Raises: UnsupportedError.
    """
    convert = _LAYERS.get(kind or type(module))
    if convert is None:
        raise refuse(f"{type(module).__name__} is not a layer that is kept", "use Linear, Conv1d or Conv2d")
    return convert(module, given, leading)


def _linear(module: Any, given: Shape, leading: int) -> nir.NIRNode:
    return affine(module)


def _flatten(module: Any, given: Shape, leading: int) -> nir.NIRNode:
    return flatten(module, given, leading, TITLE)


def _scale(module: Any, given: Shape, leading: int) -> nir.NIRNode:
    return scale_node(per_neuron(module.scale, given, "scale"), given)


def _convolution(module: Any, given: Shape, leading: int) -> nir.NIRNode:
    return convolution(module, given, TITLE)


def _pool(module: Any, given: Shape, leading: int) -> nir.NIRNode:
    return pooling(module, given, TITLE)


_LAYERS: dict[type, Callable[[Any, Shape, int], nir.NIRNode]] = {
    nn.Linear: _linear,
    nn.Flatten: _flatten,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.AvgPool2d: _pool,
    Scale: _scale,
}


def module_of(operation: Operation, leading: int = 1) -> nn.Module:
    """The torch module of a graph's linear operation.  leading: as above.  Raises: UnsupportedError."""
    build = _MODULES.get(type(operation))
    if build is None:
        raise refuse(
            f"{type(operation).__name__} has no module in torch", "leave it out, or run the graph by 'reference'"
        )
    return build(operation, leading)


def _loaded(module: nn.Module, weight: NDArray[Any], bias: NDArray[Any] | None) -> nn.Module:
    arrays = {"weight": weight} | ({} if bias is None else {"bias": bias})
    module.load_state_dict({key: torch.from_numpy(np.array(a, np.float32)) for key, a in arrays.items()})
    return module


def _dense_module(operation: Any, leading: int) -> nn.Module:
    rows, columns = operation.weight.shape
    module = nn.Linear(columns, rows, bias=operation.bias is not None)
    return _loaded(module, operation.weight, operation.bias)


def _convolution_module(operation: Any, leading: int) -> nn.Module:
    weight = operation.weight
    kind: Any = nn.Conv1d if weight.ndim == 3 else nn.Conv2d
    module: nn.Module = kind(
        weight.shape[1] * operation.groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=operation.stride,
        padding=operation.padding,
        dilation=operation.dilation,
        groups=operation.groups,
        bias=operation.bias is not None,
    )
    return _loaded(module, weight, operation.bias)


def _pool_module(operation: Any, leading: int) -> nn.Module:
    divisor = None if operation.mean else 1
    return nn.AvgPool2d(operation.kernel, operation.stride, operation.padding, divisor_override=divisor)


def _flatten_module(operation: Any, leading: int) -> nn.Module:
    end = operation.end + leading if operation.end >= 0 else operation.end
    return nn.Flatten(operation.start + leading, end)


def _scale_module(operation: Any, leading: int) -> nn.Module:
    return Scale(operation.scale)


_MODULES: dict[type, Callable[[Any, int], nn.Module]] = {
    Dense: _dense_module,
    Convolution: _convolution_module,
    Pool: _pool_module,
    Flatten: _flatten_module,
    Diagonal: _scale_module,
}
