"""Sinabs without Sinabs: stand-ins of the same qualified names and attributes; the real one is in tests/frameworks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neuro_deploy as nd
from neuro_deploy.adapters import neurons
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.graph.told import metadata_of


class SingleSpike:
    """s = 1 where h >= theta."""


class MultiSpike:
    """s = trunc(h / theta)."""


class MaxSpike:
    """The same, at most so many."""

    def __init__(self, most: int) -> None:
        self.max_num_spikes_per_bin = most


class MembraneSubtract:
    """v = h - c * s."""

    def __init__(self, subtract_value: float | None = None) -> None:
        self.subtract_value = subtract_value


class MembraneReset:
    """v = 0 where s."""

    reset_value = 0.0


class LIF(nn.Module):
    """(B, T, N) by the equations at the top of adapters/sinabs.py."""

    alpha_syn_calculated = None

    def __init__(self, alpha: float, theta: float, spike_fn: Any, reset_fn: Any, norm_input: bool = False) -> None:
        super().__init__()
        self.alpha_mem_calculated, self.spike_threshold = torch.tensor(alpha), torch.tensor(theta)
        self.spike_fn, self.reset_fn, self.norm_input, self.min_v_mem = spike_fn, reset_fn, norm_input, None
        self.v: Tensor | float = 0.0

    def reset_states(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        rows, theta = [], self.spike_threshold
        for given in x.unbind(1):
            h = self.alpha_mem_calculated * self.v + (1 - self.alpha_mem_calculated if self.norm_input else 1) * given
            spikes = torch.where(h > 0, torch.trunc(h / theta), 0.0)
            most = getattr(self.spike_fn, "max_num_spikes_per_bin", 1 if self.spike_fn is SingleSpike else 999)
            spikes = spikes.clamp(max=most)
            taken = getattr(self.reset_fn, "subtract_value", None) or theta
            self.v = h * (spikes == 0) if type(self.reset_fn) is MembraneReset else h - taken * spikes
            rows.append(spikes)
        return torch.stack(rows, dim=1)


for _kind in (SingleSpike, MultiSpike, MaxSpike, MembraneSubtract, MembraneReset, LIF):
    _kind.__module__ = "sinabs.layers"

CASES = {
    "single, subtract": (SingleSpike, MembraneSubtract(0.33), True),
    "single, reset": (SingleSpike, MembraneReset(), True),
    "max 1, reset": (MaxSpike(1), MembraneReset(), True),
    "max 3, subtract": (MaxSpike(3), MembraneSubtract(), True),
    "max 2, reset": (MaxSpike(2), MembraneReset(), False),
    "multi, subtract": (MultiSpike, MembraneSubtract(), True),
    "multi, reset": (MultiSpike, MembraneReset(), False),
}
"""spike_fn, reset_fn, and whether the registry says that they are kept (with circulations)."""


def network(spike_fn: Any, reset_fn: Any, **options: Any) -> nn.Sequential:
    torch.manual_seed(4)
    model = nn.Sequential(OrderedDict(fc=nn.Linear(6, 9), lif=LIF(0.7, 0.4, spike_fn, reset_fn, **options))).eval()
    with torch.no_grad():
        model.fc.weight.mul_(3)
    return model


@pytest.mark.parametrize("norm_input", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_kept_or_refused_as_the_registry_says(case: str, norm_input: bool) -> None:
    spike_fn, reset_fn, kept = CASES[case]
    model = network(spike_fn, reset_fn, norm_input=norm_input)
    about: dict[str, Any] = {"dt": 0.002, "input_shape": (6,), "circulations": 30}
    if not kept:
        with pytest.raises(UnsupportedError, match="a reset to zero behind several spikes"):
            nd.from_sinabs(model, **about)
        return
    graph = nd.from_sinabs(model, **about)
    run = metadata_of(graph)["proof"]["random"]
    assert run["differences"] == 0 and run["spikes"] > 20
    x = torch.rand(40, 8, 6, generator=torch.Generator().manual_seed(1)) * 2 - 0.5
    ours = nd.simulate(graph, x.numpy(), "reference").populations["lif"].data["spikes"]
    with torch.no_grad():
        theirs = model(x.transpose(0, 1)).transpose(0, 1).numpy()
    assert theirs.any() and np.array_equal(ours, theirs)
    how = neurons("sinabs")["LIF"].how
    assert type(reset_fn).__name__ in how and (getattr(spike_fn, "__name__", None) or type(spike_fn).__name__) in how


def test_what_is_refused_is_named() -> None:
    model = network(MultiSpike, MembraneSubtract())
    model.lif.min_v_mem = -1.0
    with pytest.raises(UnsupportedError, match=r"lif\.spike_fn: MultiSpike sends any.*\n.*lif\.min_v_mem: clips"):
        nd.from_sinabs(model, dt=0.002, input_shape=(6,))
    model = network(SingleSpike, MembraneSubtract())
    model.lif.alpha_mem_calculated = torch.tensor(1.2)
    with pytest.raises(UnsupportedError, match=r"lif\.alpha_mem: is a leak of 1\.2, outside"):
        nd.from_sinabs(model, dt=0.002, input_shape=(6,))
