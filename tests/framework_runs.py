"""Shared by the tests of adapters: a framework's own spikes, and graphs compared field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import neuro_deploy as nd

STEPS, SAMPLES = 60, 8


def inputs(*shape: int, seed: int = 0, low: float = 0.0) -> Tensor:
    """(T, B, *shape), uniform in [low, 1)."""
    return torch.rand(STEPS, SAMPLES, *shape, generator=torch.Generator().manual_seed(seed)) * (1 - low) + low


def run_steps(step: Callable[[Tensor], Any], modules: Mapping[str, nn.Module], x: Tensor) -> dict[str, NDArray[Any]]:
    """What each module returned (the first of a tuple) while `step` ran over x: (T, B, *shape)."""
    seen: dict[str, list[Tensor]] = {name: [] for name in modules}

    def note(name: str) -> Any:
        return lambda _, __, out: seen[name].append(out[0] if isinstance(out, tuple) else out)

    hooks = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    with torch.no_grad():
        for given in x:
            step(given)
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(rows).numpy() for name, rows in seen.items()}


def assert_spikes(graph: nir.NIRGraph, x: Tensor, expected: Mapping[str, NDArray[Any]]) -> None:
    """Reference gives these spikes in every layer and step; each layer fires, and is silent, in some of them."""
    trace = nd.simulate(graph, x.numpy(), "reference")
    for name, spikes in expected.items():
        assert 0.02 < (spikes != 0).mean() < 0.98, f"{name}: {(spikes != 0).mean():.3f} of the steps have a spike"
        mine = trace.populations[name].data["spikes"]
        assert np.array_equal(mine, spikes), f"{name}: {(mine != spikes).sum()} of {spikes.size} differ"


def assert_same(one: nir.NIRNode, other: nir.NIRNode, where: str = "graph") -> None:
    """Two graphs have the same nodes, edges and metadata, bit for bit."""
    assert type(one) is type(other), where
    if isinstance(one, nir.NIRGraph):
        assert list(one.nodes) == list(other.nodes) and one.edges == other.edges, where
        for name in one.nodes:
            assert_same(one.nodes[name], other.nodes[name], f"{where}.{name}")
    for key, value in vars(one).items():
        if key not in ("nodes", "edges"):
            _assert_equal(value, getattr(other, key), f"{where}.{key}")


def _assert_equal(one: Any, other: Any, where: str) -> None:
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            _assert_equal(one[key], other[key], f"{where}[{key}]")
    elif one is None or isinstance(one, str):
        assert one == other, where
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=where)
