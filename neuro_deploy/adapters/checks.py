"""What of a model the chain does not show: modules and parameters that nobody named, shared state, other dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import nir
import numpy as np
import torch
from torch import nn

from ..errors import Violation
from .layers import PASSING, Scale, is_layer
from .norms import Family, Item

BESIDE = (*PASSING, nn.modules.loss._Loss)
"""Modules that change nothing in eval mode, or that stand behind the network."""


def unnamed(model: nn.Module, family: Family, layers: Sequence[str] | None) -> Iterable[Violation]:
    """Modules, parameters and buffers of a model that `layers` leaves out."""
    if layers is None:
        return
    inside = [part for name in layers for part in model.get_submodule(name).modules()]
    known = {id(x) for part in inside for x in (part, *part.parameters(), *part.buffers())}
    found: list[str] = []
    for name, module in model.named_modules():
        known_kind = is_layer(type(module)) or family.name_of(module) in {**family.neurons, **family.layers}
        alone = known_kind or not any(True for _ in module.children())
        below = any(name.startswith(f"{other}.") for other in found)
        if alone and name and id(module) not in known and not below and not isinstance(module, BESIDE):
            found.append(name)
    tensors = [name for name, x in (*model.named_parameters(), *model.named_buffers()) if id(x) not in known]
    found += [name for name in tensors if not any(name.startswith(f"{other}.") for other in found)]
    for name in found:
        yield Violation(name, "is part of the model, but layers= does not name it", "name it, or remove it")


def shared(items: Sequence[Item], family: Family) -> Iterable[Violation]:
    """Neurons that stand twice in the chain: they have one state."""
    seen: dict[int, str] = {}
    for item in items:
        if family.name_of(item.module) in family.neurons and id(item.module) in seen:
            what = f"is the same neurons as {seen[id(item.module)]}, so they share their state"
            yield Violation(item.name, what, "give each place neurons of its own")
        seen[id(item.module)] = item.name


def dtypes(items: Sequence[Item]) -> Iterable[Violation]:
    """Parameters that are not float32 (a 0-d one takes part in float32 arithmetic)."""
    for item in items:
        for name, value in item.module.state_dict().items() if type(item.module) is not Scale else ():
            if value.is_floating_point() and value.ndim and value.dtype != torch.float32:
                what = f"is {value.dtype}, and the file holds float32"
                yield Violation(f"{item.name}.{name}", what, "call model.float() and check its accuracy first")


def finite(node: nir.NIRNode) -> bool:
    """False if one of a node's numbers, or of those inside, is NaN or infinite."""
    if isinstance(node, nir.NIRGraph):
        return all(finite(child) for child in node.nodes.values())
    arrays = [v for v in vars(node).values() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    return all(bool(np.isfinite(a).all()) for a in arrays)
