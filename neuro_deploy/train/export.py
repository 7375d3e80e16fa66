"""From a torch model to a NIR graph of standard nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import __version__
from ..errors import InputError, UnsupportedError, Violation
from ..neurons import part, spec, specs
from ..neurons.observing import observe
from ..neurons.scheme import METADATA
from ..neurons.torch import SpikingNeuron
from ..program import Readout, default_rule
from .fold import Folded
from .layers import affine, convolution, flatten, kind_of, pooling
from .timed import AvgPool2d, Conv1d, Conv2d, Delay, SumPool2d
from .tracing import LAYERS, REMEDY, TITLE, neuron_modules

Model = nn.Module | Folded
INPUT, OUTPUT = "input", "output"
Shape = tuple[int, ...]
RESERVED = (
    *("schema", "version", "dt", "discretization", "reset", "fires", "rounds", "family", "kind"),
    *("steps", "input", "readout", "proof", "lost_by_others", "chip"),
)
"""Our own keys of the graph's metadata."""


def graph_of(
    folded: Folded,
    *,
    dt: float,
    input_shape: tuple[int, ...],
    steps: int | None = None,
    input_low: float | None = None,
    input_high: float | None = None,
    input_quantum: float = 0.0,
    readout: Readout | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> nir.NIRGraph:
    """A NIR graph that holds a folded model exactly, in standard nodes.

    The arguments are those of `neuro_deploy.proof.export_nir`, which proves it.
    Raises: InputError; UnsupportedError with everything that NIR cannot hold.
    """
    check_arguments(dt, input_shape, input_low, input_high)
    if taken := [key for key in metadata or {} if key in RESERVED]:
        raise InputError(f"metadata must not hold {', '.join(taken)}; those are arguments, or set by export")
    _check_layers(folded)
    shapes = _shapes(folded, input_shape, steps or 1)
    names = nir_names(folded)
    nodes: dict[str, nir.NIRNode] = {INPUT: nir.Input(input_type={"input": np.array(input_shape)})}
    edges: list[tuple[str, str]] = []
    violations: list[Violation] = []
    for layer in folded.layers:
        try:
            given = shapes.get(layer.inputs[0], ()) if layer.inputs else ()
            nodes[names[layer.name]] = _node(layer.module, given, shapes.get(layer.name, ()), dt)
        except UnsupportedError as error:
            violations += [Violation(layer.name, f"{v.node}: {v.what}", v.remedy) for v in error.violations]
        edges += [(names[source], names[layer.name]) for source in layer.inputs]
    last = folded.outputs
    if not last:
        violations.append(Violation(OUTPUT, "the model returns nothing that was traced", REMEDY))
    if len(last) > 1 and readout is None:
        what = f"the sum of {', '.join(last)}: its decision is not that of one population"
        violations.append(Violation(OUTPUT, what, "end in one spiking population, or give readout="))
    doubled = sorted({edge for edge in edges if edges.count(edge) > 1})
    violations += [Violation(f"{a} -> {b}", "the same value is added twice", "scale it instead") for a, b in doubled]
    if violations:
        raise UnsupportedError(TITLE, violations)
    nodes[OUTPUT] = nir.Output(output_type={"output": np.array(shapes[last[0]])})
    edges += [(names[source], OUTPUT) for source in last]
    modules = {layer.name: layer.module for layer in folded.layers}
    chosen = readout or Readout(names[last[0]], default_rule(isinstance(modules[last[0]], SpikingNeuron)))
    told = told_graph(dt, steps, input_low, input_high, input_quantum, chosen) | dict(metadata or {})
    return nir.NIRGraph(nodes, edges, metadata={METADATA: told}, type_check=False)


def told_graph(
    dt: float,
    steps: int | None,
    input_low: float | None,
    input_high: float | None,
    input_quantum: float,
    readout: Readout,
) -> dict[str, Any]:
    """Our metadata of a graph (see `neuro_deploy.proof.export_nir` for the arguments)."""
    told: dict[str, Any] = {"schema": 1, "version": __version__, "dt": dt, "discretization": "forward Euler"}
    told |= {"reset": "value", "fires": ">"}
    if steps is not None:
        told["steps"] = steps
    if input_low is not None and input_high is not None:
        told["input"] = {"low": float(input_low), "high": float(input_high), "quantum": float(input_quantum)}
    told["readout"] = {k: getattr(readout, k) for k in ("population", "rule", "start", "stop")}
    return told


def states_of(model: nn.Module, x: NDArray[np.float32]) -> dict[str, dict[str, NDArray[Any]]]:
    """Module name -> {"spikes", "v"}, (T, B, *shape), of every neuron module, from one forward pass over x."""
    with torch.no_grad(), observe(model) as seen:
        model(torch.from_numpy(x))
    return {name: {"spikes": s.spikes.numpy(), "v": s.v.numpy()} for name, s in seen.items()}


def nir_names(folded: Folded) -> dict[str, str]:
    """Module names as NIR names: dots become underscores, since torch's own containers forbid dots on the way back."""
    names = {INPUT: INPUT}
    for layer in folded.layers:
        names[layer.name] = re.sub(r"[^A-Za-z0-9_-]", "_", layer.name)
    clash = sorted(n for n in set(names.values()) if list(names.values()).count(n) > 1 or n == OUTPUT)
    if clash:
        violations = [Violation(n, "two nodes would have this name", "rename the module") for n in clash]
        raise UnsupportedError(TITLE, violations)
    return names


def _shapes(folded: Folded, input_shape: tuple[int, ...], steps: int) -> dict[str, tuple[int, ...]]:
    """Each layer's output shape without time and batch, seen on an input of zeros.

    Raises: InputError if the model does not accept the shape.
    """
    shapes: dict[str, tuple[int, ...]] = {INPUT: input_shape}

    def note(name: str) -> Any:
        def hook(module: nn.Module, given: Any, result: torch.Tensor) -> None:
            if isinstance(result, torch.Tensor):
                shapes[name] = tuple(result.shape[2:])

        return hook

    hooks = [layer.module.register_forward_hook(note(layer.name)) for layer in folded.layers]
    try:
        with torch.no_grad(), observe(folded.model) as seen:
            folded.model(torch.zeros(steps, 1, *input_shape))
    except (RuntimeError, IndexError, ValueError) as error:
        raise InputError(f"the model does not accept an input of shape (T, B, *{input_shape}): {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    shapes |= {name: tuple(states.spikes.shape[2:]) for name, states in seen.items()}
    delays = [layer for layer in folded.layers if isinstance(layer.module, Delay)]
    return shapes | {layer.name: shapes[layer.inputs[0]] for layer in delays}


def check_arguments(dt: float, input_shape: tuple[int, ...], input_low: float | None, input_high: float | None) -> None:
    """Raise InputError for arguments of an export that cannot be right."""
    if not isinstance(dt, (int, float)) or not (np.isfinite(dt) and dt > 0):
        raise InputError(f"dt must be a positive number of seconds, got {dt!r}")
    if not isinstance(input_shape, (tuple, list)) or not all(isinstance(n, int) and n > 0 for n in input_shape):
        raise InputError(f"input_shape must be a tuple of whole numbers without time and batch, got {input_shape!r}")
    if (input_low is None) != (input_high is None):
        raise InputError("give both input_low and input_high, or neither")


def _check_layers(folded: Folded) -> None:
    """Raise UnsupportedError for every layer that NIR, or we, do not know, and for weights that are not finite."""
    neurons, violations = neuron_modules(), []
    for layer in folded.layers:
        kind = kind_of(layer.module)
        if isinstance(layer.module, (*neurons, *LAYERS)) and kind not in (*neurons, *LAYERS):
            base = "a neuron" if isinstance(layer.module, neurons) else "a layer"
            what = f"{kind.__name__} derives from {base}, and may behave in its own way"
            violations.append(Violation(layer.name, what, "make it a neuron kind (docs/design.md, section 5)"))
        elif kind not in neurons and kind not in _NODES:
            what, remedy = UNSUPPORTED.get(kind, ("is not supported", REMEDY))
            violations.append(Violation(layer.name, f"{kind.__name__} {what}", remedy))
        for name, weights in layer.module.named_parameters():
            if bad := int((~torch.isfinite(weights)).sum()):
                what = f"{name} holds {bad} values that are NaN or infinite"
                violations.append(Violation(layer.name, what, "train again with a smaller learning rate"))
    if violations:
        raise UnsupportedError(TITLE, violations)


def _node(module: nn.Module, given: Shape, shape: Shape, dt: float) -> nir.NIRNode:
    if isinstance(module, neuron_modules()):
        for kind in specs():
            neuron = part(kind.kind, "torch").to_neuron(module, shape)
            if neuron is not None:
                return spec(neuron.kind).write(neuron, dt)
    return _NODES[type(module)](module, given, dt)


def _linear(module: Any, given: Shape, dt: float) -> nir.NIRNode:
    return affine(module)


def _flatten(module: Any, given: Shape, dt: float) -> nir.NIRNode:
    return flatten(module, given, 2, TITLE)


def _convolution(module: Any, given: Shape, dt: float) -> nir.NIRNode:
    return convolution(module, given, TITLE)


def _pool(module: Any, given: Shape, dt: float) -> nir.NIRNode:
    return pooling(module, given, TITLE)


def _delay(module: Any, given: Shape, dt: float) -> nir.NIRNode:
    return nir.Delay(delay=np.full(given, module.steps * dt))


_NODES: Mapping[type, Callable[[Any, Shape, float], nir.NIRNode]] = MappingProxyType(
    {
        nn.Linear: _linear,
        nn.Flatten: _flatten,
        Conv1d: _convolution,
        Conv2d: _convolution,
        AvgPool2d: _pool,
        SumPool2d: _pool,
        Delay: _delay,
    }
)
"""Layers that are no neurons: (module, shape of its input without time and batch, dt) -> node."""

TIMELESS = (nn.Conv1d, nn.Conv2d, nn.AvgPool2d)
MAXIMA = (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)
FORGETFUL = (nn.RNN, nn.LSTM, nn.GRU)
UNSUPPORTED: Mapping[type, tuple[str, str]] = MappingProxyType(
    {
        **{k: ("takes no time axis", f"use neuro_deploy.nn.{k.__name__}, for (T, B, C, ...)") for k in TIMELESS},
        **dict.fromkeys(MAXIMA, ("has no node in NIR", "use AvgPool2d or SumPool2d of neuro_deploy.nn, or a stride")),
        **dict.fromkeys(FORGETFUL, ("is not supported", "use neuro_deploy.nn.Recurrent")),
        nn.LayerNorm: ("needs the mean of each sample, which no node of NIR gives", "use neuro_deploy.nn.BatchNorm"),
        nn.MultiheadAttention: ("multiplies and divides", "use neuro_deploy.nn.TokenAttention"),
    }
)
"""Modules of torch that are often met: what is wrong with them, and what helps."""
