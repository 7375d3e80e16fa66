"""Fully connected networks, without and with recurrence."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from ..timed import Recurrent
from .parts import Maker, size, whole


def mlp(
    inputs: int | Sequence[int],
    hidden: Sequence[int],
    classes: int,
    steps: int | None = None,
    neuron: str = "cf",
    *,
    batch_norm: bool = True,
    neuron_args: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """A fully connected network fc1 - bn1 - cf1 - ... - fcL - bnL - cfL; the last population's spikes decide.

    Call: (T, B, *inputs) -> spikes (T, B, classes).  Every linear layer has a bias.
    inputs, hidden, classes: numbers of neurons; inputs may be a shape, which is made flat first.
    steps: T, for alpha per step (None: one alpha for all steps).
    neuron: a kind of neuron ("cf", "lif").   neuron_args: more arguments of its module, the same in every layer
        (circulations, beta, theta, reset, ...).
    batch_norm: False leaves the bn layers out.   Raises: InputError.
    """
    make = Maker("mlp", neuron, steps, neuron_args or {}, batch_norm)
    layers = _flat(inputs)
    for i, (before, after) in enumerate(pairwise(_widths("mlp", inputs, hidden, classes)), 1):
        layers.update(make.dense(before, after, i))
    return nn.Sequential(layers)


def recurrent_mlp(
    inputs: int | Sequence[int],
    hidden: Sequence[int],
    classes: int,
    steps: int | None = None,
    neuron: str = "cf",
    *,
    delay: int = 1,
    batch_norm: bool = True,
    neuron_args: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """An mlp whose hidden populations are connected to themselves: fc1 - bn1 - rec1 - ... - fcL - bnL - cfL.

    recI is a `Recurrent` layer with a Linear without a bias; batch norm acts on what comes from below alone.
    delay: steps until spikes come back, >= 1.   The others: see `mlp`.   Raises: InputError.
    """
    make = Maker("recurrent_mlp", neuron, steps, neuron_args or {}, batch_norm)
    layers = _flat(inputs)
    widths = _widths("recurrent_mlp", inputs, hidden, classes)
    for i, (before, after) in enumerate(pairwise(widths), 1):
        unit = make.dense(before, after, i)
        if i < len(widths) - 1:
            population = unit.pop(f"{neuron}{i}")
            unit[f"rec{i}"] = Recurrent(population, nn.Linear(after, after, bias=False), delay)  # type: ignore[arg-type]
        layers.update(unit)
    return nn.Sequential(layers)


def _flat(inputs: int | Sequence[int]) -> OrderedDict[str, nn.Module]:
    """What makes the input flat, if it has a shape of several axes."""
    shaped = isinstance(inputs, Sequence) and len(inputs) > 1
    return OrderedDict({"flat": nn.Flatten(2)} if shaped else {})


def _widths(where: str, inputs: int | Sequence[int], hidden: Sequence[int], classes: int) -> list[int]:
    whole(where, inputs=inputs, hidden=hidden, classes=classes)
    return [inputs if isinstance(inputs, int) else size(inputs), *hidden, classes]
