"""Neuron kinds.  To add one: a folder here (or an importable package) and its name in NEURONS.

A kind's folder holds
    spec.py     SPEC: what it is in float and NIR, its integers, its bounds (neurons/base.py: NeuronSpec)
    integer.py  start(), step(): the chip's arithmetic, for backends/sim
    torch.py    MODULE, from_neuron(), to_neuron(): the trainable module, a Neuron or SpikingNeuron (neurons/torch.py)
    chip.py     fire(), firing(): the same in torch with gradients, to be trained (neurons/chip.py); may be missing
    mixed.py    fire(): firing in float64 numbers of any unit, for `explain` (neurons/mixed.py); may be missing
    lava.py     fixed(), floating(): a Body (neurons/lava.py): Lava process and model, from the equations, sharing no
                function with integer.py
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import cast

from .base import FloatNeuron, NeuronSpec

NEURONS: tuple[str, ...] = ("cf", "lif", "li")
"""Names of the kinds: folders beside this file, or dotted paths of packages elsewhere."""


def package(kind: str) -> str:
    """The dotted path of a kind's folder.  Raises: KeyError for an unknown kind."""
    for entry in NEURONS:
        if entry.rpartition(".")[2] == kind:
            return entry if "." in entry else f"{__name__}.{entry}"
    raise KeyError(kind)


def part(kind: str, name: str) -> ModuleType:
    """Module `name` ("spec", "integer", "torch", ...: see above) of a kind, imported now.  Raises: KeyError."""
    return importlib.import_module(f"{package(kind)}.{name}")


def spec(kind: str) -> NeuronSpec:
    """The kind's NeuronSpec.  Raises: KeyError."""
    return cast(NeuronSpec, part(kind, "spec").SPEC)


def specs() -> tuple[NeuronSpec, ...]:
    """All specs, in the order of NEURONS."""
    return tuple(spec(entry.rpartition(".")[2]) for entry in NEURONS)


def fires(neuron: FloatNeuron) -> bool:
    """False for a population that never does: its potential is its output."""
    return spec(neuron.kind).float_spike_range(neuron) != (0, 0)


__all__ = ["NEURONS", "FloatNeuron", "NeuronSpec", "fires", "package", "part", "spec", "specs"]
