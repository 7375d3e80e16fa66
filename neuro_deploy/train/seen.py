"""What a training run shows of each population that fires, beside its rate: h, its balance; and gradients' norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..neurons.torch import SpikingNeuron
from .chip import ChipPopulation

SAMPLES = 256
"""The first of the test set; more show nothing else, and large networks have many potentials."""
BINS = 40
BELOW = 2.0
"""Thresholds below 0 where the histogram begins."""


def potentials(h: Tensor, threshold: float, rounds: int) -> dict[str, Any]:
    """A histogram of h, the potential before firing, and the balance that the loss PNB squares.

    h: (T, B, *shape), in float units.   threshold: the largest of the population's, > 0.   rounds: K.
    Returns low and high, the ends of the histogram, in float units: -2 and K + 1 thresholds; counts: in each of its
    bins of equal width, what lies beyond an end in the first or last; balance: (P - N) / (P + N), in [-1, 1], P and N
    the sums of h's positive and negative parts in absolute value; 0 where all is silent.
    """
    h = h.detach().float()
    low, high = -BELOW * threshold, (rounds + 1) * threshold
    counts = torch.histc(h.clamp(low, high), BINS, low, high)
    size = h.abs().sum(dtype=torch.float64).item()
    balance = h.sum(dtype=torch.float64).item() / size if size else 0.0
    return {"low": low, "high": high, "counts": [int(n) for n in counts.tolist()], "balance": balance}


def level_of(population: SpikingNeuron | ChipPopulation) -> tuple[float, int]:
    """The largest threshold, in float units, and the most rounds through it."""
    if isinstance(population, ChipPopulation):
        return population.threshold()
    return float(population.theta.detach().max()), int(getattr(population, "circulations", 1))


def gradient_norms(model: nn.Module, scale: float) -> dict[str, float]:
    """Name -> the Euclidean norm of its gradient, of each parameter that is learned.  scale: gradients are so often
    what they should be (a loss scale, or 1)."""
    there = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: float(grad.norm()) / scale for name, grad in there.items()}
