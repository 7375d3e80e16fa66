"""A model's modules in order -> a NIR graph.

The model is a Sequential (nested too), or any module whose submodules are named in order: code with a time loop of its
own cannot be traced, and its order is only known to its author.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..backends.proofs import with_proof
from ..errors import InputError, UnsupportedError, Violation
from ..graph.nodes import read_node
from ..graph.shapes import output_shape
from ..neurons.scheme import METADATA
from ..program import Readout, default_rule
from ..train.export import INPUT, OUTPUT, check_arguments, told_graph
from ..train.layers import unseen
from . import checks
from .layers import PASSING, TITLE, Fragment, Kept, Scale, Shape, is_layer, layer_node, scale_node
from .norms import Family as Family
from .norms import Item, fold, kind_of
from .populations import silent
from .proof import Stage, prove

REMEDY = "use Linear, Conv1d, Conv2d, AvgPool2d, Flatten, BatchNorm, Dropout and the neurons that are kept"


@dataclass(frozen=True)
class About:
    """What the file is told besides the network; see `export_nir`."""

    dt: float
    input_shape: Shape
    steps: int | None = None
    input_low: float | None = None
    input_high: float | None = None
    input_quantum: float = 0.0
    readout: Readout | None = None


class Told(TypedDict, total=False):
    """The fields of About that a converter takes by name, beside dt and input_shape."""

    steps: int | None
    input_low: float | None
    input_high: float | None
    input_quantum: float
    readout: Readout | None


def build(
    model: nn.Module,
    family: Family,
    about: About,
    layers: Sequence[str] | None = None,
    leading: int = 1,
    found: Sequence[Violation] = (),
) -> nir.NIRGraph:
    """The NIR graph of a chain of modules, proven (see proof.py).

    layers: names of submodules in order; None: the model is a Sequential.   leading: see Item.
    found: what is known to be wrong.
    Raises: InputError; UnsupportedError with everything that is not kept; BackendError if the graph's spikes differ.
    """
    check_arguments(about.dt, about.input_shape, about.input_low, about.input_high)
    given = list(_items(model, family, layers, leading))
    violations = [*found, *unseen(model), *checks.unnamed(model, family, layers), *checks.dtypes(given)]
    items = fold(given, family, violations)
    violations += checks.shared(items, family)
    chain = _Chain(family, about)
    for item in items:
        chain.add(item)
    graph = chain.close(violations)
    entry = prove(graph, model, given, chain.stages, family)
    return with_proof(chain.read_potential(graph), {"random": entry})


def _items(model: nn.Module, family: Family, layers: Sequence[str] | None, leading: int) -> Iterable[Item]:
    """The leaves of the chain in order."""
    if layers is not None:
        for name in layers:
            try:
                module = model.get_submodule(name)
            except AttributeError as error:
                known = ", ".join(n for n, _ in model.named_children())
                raise InputError(f"layers: the model has no submodule '{name}'; it has {known}") from error
            yield from _leaves(name, module, family, leading)
    elif _is_container(model, family):
        yield from _leaves("", model, family, leading)
    else:
        known = ", ".join(n for n, _ in model.named_children())
        raise InputError(
            f"{type(model).__name__} is not a Sequential; name its submodules in order: layers=[...]; it has {known}"
        )


def _is_container(module: nn.Module, family: Family) -> bool:
    return type(module) is nn.Sequential or family.name_of(module) in family.containers


def _leaves(name: str, module: nn.Module, family: Family, leading: int) -> Iterable[Item]:
    if not _is_container(module, family):
        yield Item(name, module, leading)
        return
    inside = family.containers.get(family.name_of(module) or "", 0) or leading
    for key, child in module._modules.items():
        if child is not None:
            whole = name if name and not isinstance(module, nn.Sequential) else f"{name}.{key}" if name else key
            yield from _leaves(whole, child, family, inside)


class _Chain:
    """A graph that grows module by module, and what was wrong."""

    def __init__(self, family: Family, about: About) -> None:
        self.family, self.about = family, about
        self.nodes: dict[str, nir.NIRNode] = {INPUT: nir.Input(input_type={"input": np.array(about.input_shape)})}
        self.edges: list[tuple[str, str]] = []
        self.violations: list[Violation] = []
        self.shape: Shape | None = tuple(about.input_shape)
        self.last, self.population, self.open = INPUT, "", True
        self.scaled: NDArray[np.float64] | None = None
        self.stages: list[Stage] = []

    def add(self, item: Item) -> None:
        """The next module; what is wrong with it is noted, and the shape goes on as far as it is known."""
        if kind_of(item, self.family) in PASSING:
            if item.module.training and float(getattr(item.module, "p", 0.0)):
                self.violations.append(Violation(item.name, "drops values in training mode", "call model.eval()"))
            return
        own = self.family.name_of(item.module)
        kept = self.family.neurons.get(own or "")
        if kept is None and not is_layer(kind_of(item, self.family)):
            what = f"{type(item.module).__name__} is not supported"
            self.violations.append(Violation(item.name, what, REMEDY))
            self.shape = None if self.shape is None else _probe(item, self.shape)
            return
        if kept is not None and kept.leading not in (0, item.leading):
            axes = {1: "(B, ...), one step a call", 2: "(T, B, ...), all steps in one call"}
            what = f"{own} takes {axes[kept.leading]}, and stands where the data is {axes[item.leading]}"
            self.violations.append(Violation(item.name, what, "use the class for the other"))
        if kept is not None and kept.convert is None:
            what = f"{own} is not kept exactly ({kept.how.removeprefix('refused: ')})"
            self.violations.append(Violation(item.name, what, kept.remedy))
            return
        if self.shape is None:
            return
        try:
            self._join(item, kept, self.shape)
        except UnsupportedError as error:
            for v in error.violations:
                place = f"{item.name}.{v.node}" if v.node and v.node != item.name else item.name
                self.violations.append(Violation(place, v.what, v.remedy))
            self.shape = self.shape if kept is not None else None

    def _join(self, item: Item, kept: Kept | None, shape: Shape) -> None:
        if kept is not None and kept.convert is not None:
            fragment = kept.convert(item.module, shape, self.about.dt)
            self.shape = fragment.shape or shape
        else:
            leading = 1 if self.family.name_of(item.module) in self.family.layers else item.leading
            node = layer_node(item.module, shape, leading, kind_of(item, self.family))
            fragment = Fragment({"": node})
            self.shape = output_shape(item.name, read_node(item.name, node, self.about.dt), shape)
        word = re.sub(r"[^A-Za-z0-9_-]", "_", item.name)
        if fragment.gain is not None:
            self._scale(item, f"{word}_gain", fragment.gain, shape)
        names = {local: f"{word}_{local}" if local else word for local in fragment.nodes}
        for local, node in fragment.nodes.items():
            self._put(item, names[local], node)
        self.edges += [(self.last, names[local]) for local in fragment.inputs]
        self.edges += [(names[a], names[b]) for a, b in fragment.edges]
        self.last = names[fragment.output]
        self.scaled = item.module.scale.cpu().numpy() if type(item.module) is Scale else None
        self.open = kept is None
        if kept is not None:
            self.population = word
            done = {INPUT, *(name for stage in self.stages for name in stage.nodes)}
            new = tuple(name for name in self.nodes if name not in done)
            self.stages.append(Stage(item.name, word, self.last, new))

    def _put(self, item: Item, name: str, node: nir.NIRNode) -> None:
        """A node of a module; its name must be free and its numbers finite."""
        if name in {*self.nodes, OUTPUT}:
            what = f"two nodes would have the name {name}"
            self.violations.append(Violation(item.name, what, "rename the module"))
        if not checks.finite(node):
            what = "its parameters hold values that are NaN or infinite"
            self.violations.append(Violation(item.name, what, "train again with a smaller learning rate"))
        self.nodes[name] = node

    def _scale(self, item: Item, name: str, gain: NDArray[np.float64], shape: Shape) -> None:
        """A Scale in front of neurons; one that stands there already is joined with it, in float64."""
        if self.scaled is not None:
            name, gain = self.last, gain * self.scaled
            del self.nodes[name]
            self.last, _ = self.edges.pop()
        node = scale_node(gain, shape)
        if (node.scale != 1).any():
            self._put(item, name, node)
            self.edges.append((self.last, name))
            self.last = name

    def close(self, violations: Sequence[Violation]) -> nir.NIRGraph:
        """The graph with its output and our metadata.  Raises: UnsupportedError with all violations."""
        found = [*violations, *self.violations]
        readout = self.about.readout
        if readout is None and self.open and not found:
            what = "the last module is not a population of neurons, so nothing decides"
            found.append(Violation(OUTPUT, what, "end in neurons, or give readout="))
        if found:
            raise UnsupportedError(TITLE, found)
        self.nodes[OUTPUT] = nir.Output(output_type={"output": np.array(self.shape)})
        self.edges.append((self.last, OUTPUT))
        if readout is None:
            silent = isinstance(self.nodes[self.population], (nir.LI, nir.I, nir.CubaLI))
            readout = Readout(self.population, default_rule(not silent))
        a = self.about
        told = told_graph(a.dt, a.steps, a.input_low, a.input_high, a.input_quantum, readout)
        return nir.NIRGraph(self.nodes, self.edges, metadata={METADATA: told}, type_check=False)

    def read_potential(self, graph: nir.NIRGraph) -> nir.NIRGraph:
        """Last neurons without reset whose potential is read become integrators: their spikes reach nothing."""
        readout = self.about.readout
        if readout is not None and readout.rule != "spike_count" and (readout.population, OUTPUT) in graph.edges:
            name = readout.population
            if [a for a, _ in graph.edges].count(name) == 1:
                graph.nodes[name] = silent(graph.nodes[name], self.about.dt) or graph.nodes[name]
        return graph


def _probe(item: Item, shape: Shape) -> Shape | None:
    """The output shape of a layer of torch that is not kept, so that the modules behind it can be checked too."""
    if not type(item.module).__module__.startswith("torch."):
        return None
    try:
        with torch.no_grad():
            return tuple(
                copy.deepcopy(item.module).cpu()(torch.zeros(*(1,) * item.leading, *shape)).shape[item.leading :]
            )
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError):
        return None
