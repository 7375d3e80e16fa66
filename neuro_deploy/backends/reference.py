"""The float run: a torch module rebuilt from a NIR graph, executed step by step in float32."""

from __future__ import annotations

import os
from typing import Any, Literal

import nir
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import BackendError, InputError
from ..graph import Node, Reading, read_graph, read_nir
from ..graph.nodes import Dense, Diagonal, Flatten, Sink, Source
from ..neurons import part
from ..neurons.base import FloatNeuron
from ..neurons.torch import observe
from ..trace import Recording, Trace
from .base import Job


class _Dense(nn.Module):
    """y = x @ weight.T + bias, as torch.nn.Linear computes it."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, operation: Dense) -> None:
        super().__init__()
        self.register_buffer("weight", _tensor(operation.weight))
        self.register_buffer("bias", None if operation.bias is None else _tensor(operation.bias))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class _Diagonal(nn.Module):
    """y = scale * x + offset."""

    scale: Tensor
    offset: Tensor | None

    def __init__(self, operation: Diagonal) -> None:
        super().__init__()
        self.register_buffer("scale", _tensor(operation.scale))
        self.register_buffer("offset", None if operation.offset is None else _tensor(operation.offset))

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.scale
        return y if self.offset is None else y + self.offset


class _Flatten(nn.Module):
    """Join axes; time and batch stay."""

    def __init__(self, operation: Flatten) -> None:
        super().__init__()
        self.start = operation.start + 2
        self.end = operation.end + 2 if operation.end >= 0 else operation.end

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start, self.end)


def _neuron(operation: FloatNeuron) -> nn.Module:
    module: nn.Module = part(operation.kind, "torch").from_neuron(operation)
    return module


def _identity(operation: Source | Sink) -> nn.Module:
    return nn.Identity()


_MODULES: dict[type, Any] = {
    Source: _identity,
    Sink: _identity,
    Dense: _Dense,
    Diagonal: _Diagonal,
    Flatten: _Flatten,
    FloatNeuron: _neuron,
}


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


class NIRModule(nn.Module):
    """A network rebuilt from a NIR graph.  Call: (T, B, *input shape) float32 -> (T, B, *output shape).

    `reading` is what the graph said; `key(name)` is the submodule's name of a NIR node (torch forbids dots).
    """

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading
        self.keys: dict[str, str] = {node.name: f"{i:03d}_{_word(node.name)}" for i, node in enumerate(reading.nodes)}
        for node in reading.nodes:
            self.add_module(self.keys[node.name], _MODULES[type(node.operation)](node.operation))

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Tensor] = {}
        result = x
        for node in self.reading.nodes:
            values[node.name] = self.get_submodule(self.keys[node.name])(self._gather(node, values, x))
            if isinstance(node.operation, Sink):
                result = values[node.name]
        return result

    def _gather(self, node: Node, values: dict[str, Tensor], x: Tensor) -> Tensor:
        if isinstance(node.operation, Source):
            return x
        total = values[node.inputs[0]]
        for name in node.inputs[1:]:
            total = total + values[name]
        return total


def _word(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def import_nir(path_or_graph: str | os.PathLike[str] | nir.NIRGraph, *, dt: float | None = None) -> NIRModule:
    """A torch module that gives the same spikes as the network that was exported, bit for bit in float32.

    dt: seconds a step, if the file does not say.
    Raises: FileError, FormatError, InputError, UnsupportedError.
    """
    graph = path_or_graph if isinstance(path_or_graph, nir.NIRGraph) else read_nir(path_or_graph)
    reading = read_graph(graph, dt)
    for kind, what in ((Source, "input"), (Sink, "output")):
        count = sum(isinstance(n.operation, kind) for n in reading.nodes)
        if count != 1:
            raise InputError(f"the graph has {count} {what} nodes; one is supported")
    return NIRModule(reading).eval()


class Reference:
    """The backend "reference"."""

    name = "reference"
    consumes: Literal["graph"] = "graph"
    kind: Literal["float"] = "float"

    def run(self, source: nir.NIRGraph, job: Job) -> Trace:
        """Run a graph in float32.  Raises: InputError, UnsupportedError, BackendError (a non-finite potential)."""
        model = import_nir(source, dt=job.dt)
        reading = model.reading
        given = next(n for n in reading.nodes if isinstance(n.operation, Source))
        if job.x.shape[2:] != given.shape:
            raise InputError(
                f"input '{given.name}': expected shape (T, B, {', '.join(map(str, given.shape))}), got {job.x.shape}"
            )
        x = torch.from_numpy(np.ascontiguousarray(job.x, np.float32))
        with torch.no_grad(), observe(model) as states:
            model(x)
        job.progress(job.steps, job.steps)
        populations = {given.name: Recording(given.shape, 0, np.asarray(1.0), {"spikes": x.numpy()})}
        for name, neuron in reading.neurons.items():
            seen = states[model.keys[name]]
            data = {k: getattr(seen, k).numpy() for k in job.record if getattr(seen, k, None) is not None}
            if not bool(torch.isfinite(seen.h).all() and torch.isfinite(seen.v).all()):
                raise BackendError(f"{name}: the potential became NaN or infinite; check weights and input")
            if "spikes" in data:
                data["spikes"] = data["spikes"].astype(np.int32)
            populations[name] = Recording(neuron.shape, 0, np.asarray(1.0), data)
        return Trace(populations, job.steps, reading.dt, self.name, self.kind)


BACKEND = Reference()
