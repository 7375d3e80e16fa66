"""The float run: a torch module rebuilt from a NIR graph, executed in float32.

Loops go step by step, everything else over whole sequences.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import nir
import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BackendError, InputError, UnsupportedError, Violation
from ..graph import Node, Reading, read_graph, read_nir
from ..graph.nodes import Delay, Sink, Source
from ..neurons.base import FloatNeuron
from ..neurons.observing import observe
from ..neurons.torch import Neuron, Stepper
from ..trace import Recording, Trace
from .base import Job
from .reference_modules import MODULES, DelayModule


def _parts(nodes: Sequence[Node]) -> list[tuple[Node, ...]]:
    """The nodes in an order in which all inputs come first: each alone, but those of a loop together."""
    index = {node.name: i for i, node in enumerate(nodes)}
    behind = [0] * len(nodes)  # bit j of behind[i]: a way leads from node j to node i
    before: list[int] = []
    while before != behind:
        before = list(behind)
        for i, node in enumerate(nodes):
            for j in (index[name] for name in node.inputs):
                behind[i] |= behind[j] | 1 << j
    parts: dict[int, list[Node]] = {}
    for i, node in enumerate(nodes):
        first = next((j for j in range(i) if behind[i] >> j & behind[j] >> i & 1), i)
        parts.setdefault(first, []).append(node)
    return [tuple(parts[i]) for i in sorted(parts, key=lambda i: (behind[i] | 1 << i).bit_count())]


def _at_rest(nodes: Sequence[Node], modules: Mapping[str, nn.Module], x: Tensor) -> dict[str, Tensor]:
    """What each node sends while all neurons and inputs are silent: its constants, (B, *shape).

    x: the network's input (T, B, ...).   A loop of linear nodes alone is silent too.
    """
    zeros = {n.name: x.new_zeros((x.shape[1], *n.shape)) for n in nodes}
    silent = [n for n in nodes if isinstance(n.operation, (Source, FloatNeuron)) or _remembers(n)]
    rest = {n.name: zeros[n.name] for n in silent}
    waiting = [n for n in nodes if n.name not in rest]
    while ready := [n for n in waiting if all(name in rest for name in n.inputs)]:
        for node in ready:
            drive = _total([rest[name] for name in node.inputs])
            rest[node.name] = modules[node.name](drive[None])[0]
        waiting = [n for n in waiting if n.name not in rest]
    return {**zeros, **rest}


def _remembers(node: Node) -> bool:
    """True for a Delay of a step or more in all its elements: it sends before it takes."""
    return isinstance(node.operation, Delay) and bool((node.operation.steps >= 1).all())


class _Loop:
    """The nodes of a loop, step by step.

    nodes: in the order of execution.   modules: by node name.   values: (T, B, *shape), what nodes outside sent.
    rest: (B, *shape), what was sent before the first step.   length: T.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        modules: Mapping[str, nn.Module],
        values: Mapping[str, Tensor],
        rest: Mapping[str, Tensor],
        length: int,
    ) -> None:
        self.nodes, self.modules, self.values, self.rest, self.length = nodes, modules, values, rest, length
        self.sent: dict[str, list[Tensor]] = {n.name: [] for n in nodes}
        self.taken: dict[str, list[Tensor]] = {n.name: [] for n in nodes if isinstance(n.operation, Delay)}
        self.steppers = {
            n.name: Stepper(cast(Neuron, modules[n.name]), length)
            for n in nodes
            if isinstance(n.operation, FloatNeuron)
        }

    def run(self) -> dict[str, Tensor]:
        """What each node sent, (T, B, *shape)."""
        early = [n for n in self.nodes if _remembers(n)]
        others = [n for n in self.nodes if n not in early]
        for t in range(self.length):
            for node in early:
                self.sent[node.name].append(self._delayed(node, t))
            for node in others:
                self.sent[node.name].append(self._step(node, t))
            for node in early:
                self.taken[node.name].append(self._gather(node, t))
        for stepper in self.steppers.values():
            stepper.finish()
        return {name: torch.stack(rows) for name, rows in self.sent.items()}

    def _step(self, node: Node, t: int) -> Tensor:
        drive = self._gather(node, t)
        if node.name in self.steppers:
            return self.steppers[node.name].step(drive)
        if node.name in self.taken:
            self.taken[node.name].append(drive)
            return self._delayed(node, t)
        return cast(Tensor, self.modules[node.name](drive[None]))[0]

    def _delayed(self, node: Node, t: int) -> Tensor:
        zero = torch.zeros_like(self.rest[node.name])
        return cast(DelayModule, self.modules[node.name]).at(self.taken[node.name], t, zero)

    def _gather(self, node: Node, t: int) -> Tensor:
        """The sum of a node's inputs at step t; of what is late or still to come, the output of the step before."""
        terms = []
        for name in node.inputs:
            if name in self.sent:
                row = t - 1 if name in node.late or len(self.sent[name]) <= t else t
                terms.append(self.rest[name] if row < 0 else self.sent[name][row])
            else:
                terms.append(self.values[name][t])
        return _total(terms)


def _total(terms: Sequence[Tensor]) -> Tensor:
    """Their sum, from the left."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class NIRModule(nn.Module):
    """A network rebuilt from a NIR graph.  Call: (T, B, *input shape) float32 -> (T, B, *output shape).

    A network with several inputs takes {name: tensor}, or one tensor (T, B, N) of them all, flat and in alphabetical
    order of their names; one with several outputs gives {name: tensor}.
    Integrators (kind li) send their potential, other neurons their spikes.  An input that is late (see graph.Node) is
    the source's output of the step before; in the first step, what it sends while all neurons and inputs are silent.
    `reading` is what the graph said; `keys[name]` is the submodule's name of a NIR node (torch forbids dots).
    Raises: UnsupportedError with all nodes whose parameters no neuron can have (a leak outside [0, 1], say).
    """

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading
        self.keys: dict[str, str] = {node.name: f"{i:03d}_{_word(node.name)}" for i, node in enumerate(reading.nodes)}
        violations = []
        for node in reading.nodes:
            try:
                self.add_module(self.keys[node.name], MODULES[type(node.operation)](node.operation))
            except InputError as error:
                violations.append(
                    Violation(node.name, str(error), "mend the file, or give the dt that it was made for")
                )
        if violations:
            raise UnsupportedError("cannot run the graph in float", violations)
        self.parts = _parts(reading.nodes)

    def forward(self, x: Tensor | Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """The outputs.  Raises: InputError for inputs of other names or shapes."""
        x = self._joined(x)
        values: dict[str, Tensor] = {}
        modules = {name: self.get_submodule(key) for name, key in self.keys.items()}
        for node, *rest in self.parts:
            if rest or node.name in node.inputs:
                at_rest = _at_rest(self.reading.nodes, modules, x)
                values |= _Loop((node, *rest), modules, values, at_rest, len(x)).run()
                continue
            given = x if isinstance(node.operation, Source) else _total([values[name] for name in node.inputs])
            values[node.name] = modules[node.name](given)
        sinks = [node.name for node in self.reading.nodes if isinstance(node.operation, Sink)]
        return values[sinks[0]] if len(sinks) == 1 else {name: values[name] for name in sinks}

    def _joined(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        """The input as the one source takes it."""
        source = next(n for n in self.reading.nodes if isinstance(n.operation, Source))
        if isinstance(x, Mapping):
            given = {name: tuple(part.shape[2:]) for name, part in sorted(x.items())}
            if given != dict(self.reading.inputs):
                raise InputError(f"the network takes inputs of shapes {dict(self.reading.inputs)}, got {given}")
            x = torch.cat([x[name].flatten(2) for name in given], dim=2) if len(x) > 1 else next(iter(x.values()))
        if tuple(x.shape[2:]) != source.shape:
            shape = ", ".join(map(str, source.shape))
            raise InputError(f"input '{source.name}': expected shape (T, B, {shape}), got {tuple(x.shape)}")
        return x.float()


def _word(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def import_nir(path_or_graph: str | os.PathLike[str] | nir.NIRGraph, *, dt: float | None = None) -> NIRModule:
    """A torch module that gives the same spikes as the network that was exported, bit for bit in float32.

    dt: seconds a step, if the file does not say.
    Raises: FileError, FormatError, InputError, UnsupportedError.
    """
    graph = path_or_graph if isinstance(path_or_graph, nir.NIRGraph) else read_nir(path_or_graph)
    reading = read_graph(graph, dt)
    if not any(isinstance(n.operation, Sink) for n in reading.nodes):
        raise InputError("the graph has no Output node; put one behind what the network answers")
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
        return Trace(populations, job.steps, reading.dt, self.name, self.kind, provenance=reading.scheme.told())


BACKEND = Reference()
