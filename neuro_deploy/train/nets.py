"""Networks: factories that recipes name.  A factory takes `steps` (T) and a recipe's [network.args]; gives a module."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ..errors import InputError
from ..neurons import NEURONS, part


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of a layer over time: statistics of each neuron over T and B.

    Call: (T, B, N) -> (T, B, N).  Arguments as of torch.nn.BatchNorm1d.  Raises: InputError for another shape.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (T, B, N)."""
        if input.ndim != 3 or input.shape[2] != self.num_features:
            raise InputError(f"BatchNorm: expected (T, B, {self.num_features}), got {tuple(input.shape)}")
        return super().forward(input.flatten(0, 1)).view_as(input)


def mlp(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    steps: int | None = None,
    neuron: str = "cf",
    *,
    batch_norm: bool = True,
    neuron_args: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """A fully connected network fc1 - bn1 - cf1 - ... - fcL - bnL - cfL; the last population's spikes decide.

    Call: (T, B, inputs) -> spikes (T, B, classes).  Every linear layer has a bias.
    inputs, hidden, classes: numbers of neurons.   steps: T, for alpha per step (None: one alpha for all steps).
    neuron: a kind of neuron ("cf", "lif").   neuron_args: more arguments of its module, the same in every layer.
    batch_norm: False leaves the bn layers out.   Raises: InputError.
    """
    widths = [inputs, *hidden, classes]
    if any(not isinstance(n, int) or n < 1 for n in widths):
        raise InputError(f"mlp: inputs, hidden and classes must be whole numbers of 1 or more, got {widths}")
    try:
        build = part(neuron, "torch").MODULE
    except KeyError:
        kinds = ", ".join(entry.rpartition(".")[2] for entry in NEURONS)
        raise InputError(f"mlp: neuron '{neuron}' is unknown; use one of {kinds}") from None
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(pairwise(widths), 1):
        layers[f"fc{i}"] = nn.Linear(before, after)
        if batch_norm:
            layers[f"bn{i}"] = BatchNorm(after)
        try:
            layers[f"{neuron}{i}"] = build(steps=steps, **(neuron_args or {}))
        except TypeError as error:
            raise InputError(f"mlp: neuron_args do not fit {build.__name__}: {error}") from None
    return nn.Sequential(layers)
