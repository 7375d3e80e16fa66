"""A torch network as named modules and who feeds whom, by torch.fx."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn

from ..errors import UnsupportedError, Violation
from ..neurons import NEURONS, part
from .timed import AvgPool2d, BatchNorm, Conv1d, Conv2d, Delay, Recurrent, SumPool2d

TITLE = "cannot export the model"
REMEDY = (
    "build it of Linear, Flatten, Dropout and the neurons and layers of neuro_deploy.nn (Conv1d, Conv2d, BatchNorm, "
    "AvgPool2d, SumPool2d, Delay, Recurrent), joined by +"
)
ADDITIONS = (operator.add, operator.iadd, torch.add)
FOREIGN = ("snntorch", "norse", "spikingjelly", "sinabs")
"""Packages whose models have adapters."""
PASSING = (nn.Identity, nn.Dropout)
LAYERS = (BatchNorm, Conv1d, Conv2d, AvgPool2d, SumPool2d, Delay, Recurrent)
"""Our own layers: leaves of the trace."""
INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("mul", "__mul__", "mul_"), "gate spikes by neuro_deploy.nn.Gate; scale weights"),
        **dict.fromkeys(
            ("matmul", "bmm", "einsum", "softmax"), "use neuro_deploy.nn.TokenAttention: additions, thresholds"
        ),
        **dict.fromkeys(("flatten", "view", "reshape"), "use torch.nn.Flatten(2)"),
        **dict.fromkeys(("cat", "concat", "stack"), "give each part a layer of its own, and add what they give"),
        **dict.fromkeys(("mean", "sum"), "use AvgPool2d or SumPool2d of neuro_deploy.nn, or a convolution of ones"),
        **dict.fromkeys(("sub", "__sub__"), "add, and let the weights have the sign"),
    }
)
"""What to use instead of a function or a method that NIR has no node for."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One module of a model.  inputs: names of the layers (or "input") whose sum it gets."""

    name: str
    module: nn.Module
    inputs: tuple[str, ...]


def neuron_modules() -> tuple[type, ...]:
    """The module classes of all neuron kinds."""
    return tuple(part(entry.rpartition(".")[2], "torch").MODULE for entry in NEURONS)


class _Tracer(fx.Tracer):
    """Neurons, our layers and torch's own are leaves; containers are traced through."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaves = (*neuron_modules(), *LAYERS, nn.modules.batchnorm._BatchNorm)
        return isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)


class _Trace:
    """The layers so far, the terms of each node's sum, and what was wrong."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        self.sums: dict[fx.Node, tuple[str, ...]] = {}
        self.layers: list[Layer] = []
        self.outputs: tuple[str, ...] = ()
        self.called: dict[str, None] = {}
        self.violations: list[Violation] = []

    def refuse(self, name: str, what: str, remedy: str) -> None:
        self.violations.append(Violation(name, what, remedy))

    def add(self, node: fx.Node) -> None:
        """The next node of the trace."""
        terms = [self.sums.get(given, ()) for given in node.all_input_nodes]
        if node.op == "placeholder":
            self.sums[node] = ("input",)
        elif node.op == "output":
            self.outputs = tuple(name for term in terms for name in term)
        elif node.op == "call_function" and node.target in ADDITIONS and len(terms) == 2 and not node.kwargs:
            self.sums[node] = _joined(terms[0], terms[1])
            if not self.sums[node] and all(terms):
                what = f"adds two sums, ({' + '.join(terms[0])}) + ({' + '.join(terms[1])})"
                remedy = "add one after the other: float sums depend on their order, and NIR keeps one order per node"
                self.refuse(node.name, what, remedy)
        elif node.op == "call_module":
            self.sums[node] = self._call(str(node.target), tuple(name for term in terms for name in term))
        else:
            name = getattr(node.target, "__name__", str(node.target))
            self.refuse(node.name, f"'{name}' is not a module or an addition", INSTEAD.get(name, REMEDY))

    def _call(self, name: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        """What a module sends."""
        if name in self.called:
            self.refuse(name, "is called twice", "give each call a module of its own")
        self.called[name] = None
        module = self.modules[name]
        if isinstance(module, PASSING):
            return sources
        if type(module) is Recurrent:
            return self._loop(name, module, sources)
        self.layers.append(Layer(name, module, sources))
        return (name,)

    def _loop(self, name: str, module: Recurrent, sources: tuple[str, ...]) -> tuple[str, ...]:
        """A population and its connection to itself; NIR gives a recurrent edge one step, more need a Delay."""
        neuron, back, delay = f"{name}.neuron", f"{name}.back", f"{name}.delay"
        late = neuron
        if module.delay.steps > 1:
            self.layers.append(Layer(delay, module.delay, (neuron,)))
            late = delay
        self.layers += [Layer(back, module.back, (late,)), Layer(neuron, module.neuron, (*sources, back))]
        return (neuron,)


def layers_of(model: nn.Module) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The model's modules in order, and the names of those that make the output.

    Raises: UnsupportedError for anything but modules and additions, all of it at once.
    """
    try:
        graph = _Tracer().trace(model)
    except (fx.proxy.TraceError, TypeError, RuntimeError, AssertionError) as error:
        foreign = dict.fromkeys(f for m in model.modules() if (f := type(m).__module__.partition(".")[0]) in FOREIGN)
        remedy = "".join(f"it holds neurons of {name}: use nd.from_{name}; or " for name in foreign) + REMEDY
        violation = Violation(type(model).__name__, f"its forward cannot be traced ({error})", remedy)
        raise UnsupportedError(TITLE, [violation]) from error
    trace = _Trace(model)
    nodes: Any = graph.nodes
    for node in nodes:
        trace.add(node)
    placeholders = [n for n in nodes if n.op == "placeholder"]
    if len(placeholders) != 1:
        trace.refuse(type(model).__name__, f"takes {len(placeholders)} inputs", "one is supported")
    if trace.violations:
        raise UnsupportedError(TITLE, trace.violations)
    return tuple(trace.layers), trace.outputs


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The terms of a sum in the order of its float additions, from the left; () where it has none."""
    if len(other) == 1:
        return (*one, *other)
    return (*other, *one) if len(one) == 1 else ()
