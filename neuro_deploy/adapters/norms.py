"""A framework's modules as items of a chain, and batch norm folded into the layers before it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion

from ..errors import Violation
from ..train.layers import unseen
from .layers import NORMS, Kept


@dataclass(frozen=True)
class Family:
    """A framework: its top package, its neurons, and its own containers and layers, all by class name.

    containers: name -> leading axes inside (0: those outside); one that is no Sequential wraps a module, which takes
    its name.   layers: name -> the class of torch that it computes as, with all leading axes joined into one.
    run: neurons on (T, B, *shape), from rest, with the leading axes of their own tensors -> what they send.
    reset: puts neurons to rest.   steps, samples: of the run that is the proof.
    """

    package: str
    neurons: Mapping[str, Kept]
    containers: Mapping[str, int] = field(default_factory=dict)
    layers: Mapping[str, type] = field(default_factory=dict)
    run: Callable[[Any, Tensor, int], Tensor] = field(default_factory=lambda: by_steps)
    reset: Callable[[Any], object] = lambda module: None
    steps: int = 16
    samples: int = 4

    def name_of(self, module: nn.Module) -> str | None:
        """The class name of a module of this framework; None for another's, a user's subclass too."""
        kind = type(module)
        return kind.__name__ if kind.__module__.split(".")[0] == self.package else None


@dataclass(frozen=True, eq=False)
class Item:
    """One module of the chain.  leading: axes of its tensors in front of the shape, 1 (batch) or 2 (time, batch)."""

    name: str
    module: nn.Module
    leading: int


def by_steps(module: Any, x: Tensor, leading: int) -> Tensor:
    """What a module sends, called once a step; all at once if its tensors have a time axis.  Of a tuple, the first."""
    if leading == 2:
        return _first(module(x))
    return torch.stack([_first(module(step)) for step in x])


def _first(sent: Tensor | tuple[Tensor, ...]) -> Tensor:
    return sent[0] if isinstance(sent, tuple) else sent


def fold(items: Sequence[Item], family: Family, violations: list[Violation]) -> list[Item]:
    """The chain without batch norm: folded into the layer before it, in float64, then rounded to float32."""
    kept: list[Item] = []
    for item in items:
        if kind_of(item, family) not in NORMS:
            kept.append(item)
            continue
        norm: Any = item.module
        before = kept[-1] if kept else None
        kind = kind_of(before, family) if before is not None else None
        pairs = {nn.Linear: nn.BatchNorm1d, nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d}
        own = family.name_of(norm) is not None
        problems = [
            (norm.training, "is in training mode, where it uses the batch's statistics", "call model.eval()"),
            (norm.running_mean is None, "keeps no running statistics", "set track_running_stats=True"),
            (
                pairs.get(kind or object) is not kind_of(item, family),
                "does not follow a Linear or Conv",
                "put it there",
            ),
            (
                item.leading > 1 and not own,
                "takes the batch axis of (T, B, ...) for its channels",
                "call it step by step",
            ),
        ]
        found = [Violation(item.name, f"{type(norm).__name__} {what}", remedy) for bad, what, remedy in problems if bad]
        violations += found
        if not found and before is not None and not any(True for m in (before.module, norm) for _ in unseen(m)):
            kept[-1] = replace(before, module=_fused(before.module, norm, kind is nn.Linear))
    return kept


def kind_of(item: Item | None, family: Family) -> type:
    """The class of torch that a module computes as."""
    if item is None:
        return object
    return family.layers.get(family.name_of(item.module) or "", type(item.module))


def _fused(layer: nn.Module, norm: nn.Module, linear: bool) -> nn.Module:
    wide: Any = copy.deepcopy(norm).cpu().double()
    if wide.weight is None:
        wide.weight = nn.Parameter(torch.ones_like(wide.running_mean))
        wide.bias = nn.Parameter(torch.zeros_like(wide.running_mean))
    fuse: Any = fusion.fuse_linear_bn_eval if linear else fusion.fuse_conv_bn_eval
    fused: nn.Module = fuse(copy.deepcopy(layer).cpu().double().eval(), wide.eval()).float()
    return fused
