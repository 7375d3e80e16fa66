"""Losses and scores of spiking networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..neurons.observing import States
from .processes import total

EPS = 1e-6


def balance_loss(states: Mapping[str, States], eps: float = EPS) -> Tensor:
    """Positive-negative balance of the potentials (PNB): a tensor () in [0, 1], 0 when they balance.

        P = sum max(h, 0),  N = sum max(-h, 0)   over time, batch and neurons of a layer
        loss = mean over layers of ((P - N) / (P + N + eps))^2

    states: what `observe` saw in a forward pass; leave out what has nothing to balance (integrators).
    eps: > 0, keeps a silent layer at 0.
    Raises: InputError for no states.   Source: our reading of arXiv 2605.27412.
    """
    if not states:
        raise InputError("balance_loss: no states; run the model within `with observe(model) as states:`")
    return balance_of([s.h for s in states.values()], eps)


def balance_of(potentials: Sequence[Tensor], eps: float = EPS) -> Tensor:
    """The same of the potentials h of each layer, (T, B, *shape) each; of the whole batch, where processes share it."""
    sums = total(torch.stack([torch.stack((h.sum(), h.abs().sum())) for h in potentials]))
    return ((sums[:, 0] / (sums[:, 1] + eps)) ** 2).mean()


def spike_count(spikes: Tensor) -> Tensor:
    """The readout's score: spikes (T, B, classes) summed over time, (B, classes)."""
    return spikes.sum(0)


def rate_cross_entropy(spikes: Tensor, label: Tensor, scale: float = 1.0, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of the readout's mean spikes a step: mean over the batch, a tensor ().

        logits = scale * spike_count(spikes) / T

    spikes: (T, B, classes).   label: (B,), int64.   scale: > 0, an inverse temperature.
    smoothing: of the labels, [0, 1).   Raises: InputError for other shapes.
    """
    if spikes.ndim != 3 or label.shape != spikes.shape[1:2]:
        raise InputError(
            f"rate_cross_entropy: expected spikes (T, B, classes) and labels (B,), got {tuple(spikes.shape)} and "
            f"{tuple(label.shape)}"
        )
    return nn.functional.cross_entropy(spike_count(spikes) * (scale / len(spikes)), label, label_smoothing=smoothing)


def decide(spikes: Tensor) -> Tensor:
    """The class with the most spikes, (B,) int64; the lowest index wins a tie."""
    return spike_count(spikes).argmax(1)
