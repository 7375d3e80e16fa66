"""What the architectures are built of."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ...errors import InputError
from ...neurons import NEURONS, part
from ..timed import BatchNorm, Conv1d, Conv2d

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Maker:
    """Makes the populations of a network, and the layers before them.

    where: the architecture, for messages.   neuron: a kind of neuron ("cf", "lif").   steps: T, for alpha per step.
    args: more arguments of its module, the same in every layer.   batch_norm: False leaves it out.
    """

    where: str
    neuron: str
    steps: int | None
    args: Mapping[str, Any] = field(default_factory=dict)
    batch_norm: bool = True

    def population(self, **changed: Any) -> Any:
        """One population.  changed: arguments that are other than in the rest of the network.  Raises: InputError."""
        try:
            build = part(self.neuron, "torch").MODULE
        except KeyError:
            kinds = ", ".join(entry.rpartition(".")[2] for entry in NEURONS)
            raise InputError(f"{self.where}: neuron '{self.neuron}' is unknown; use one of {kinds}") from None
        try:
            return build(**{"steps": self.steps, **self.args, **changed})
        except TypeError as error:
            raise InputError(f"{self.where}: neuron_args do not fit {build.__name__}: {error}") from None

    def dense(self, inputs: int, outputs: int, number: int | str = "") -> OrderedDict[str, nn.Module]:
        """fc - bn - neuron; their names end in `number`."""
        return self._unit("fc", nn.Linear(inputs, outputs), outputs, number)

    def convolution(
        self, shape: Shape, channels: int, number: int | str = "", kernel: int = 3, stride: int = 1
    ) -> OrderedDict[str, nn.Module]:
        """conv - bn - neuron; the image of `shape` (C, L) or (C, H, W) is padded by kernel // 2."""
        kind = Conv1d if len(shape) == 2 else Conv2d
        layer = kind(shape[0], channels, kernel, stride, kernel // 2, bias=not self.batch_norm)
        return self._unit("conv", layer, channels, number)

    def _unit(self, name: str, layer: nn.Module, outputs: int, number: int | str) -> OrderedDict[str, nn.Module]:
        norm = {f"bn{number}": BatchNorm(outputs)} if self.batch_norm else {}
        return OrderedDict({f"{name}{number}": layer, **norm, f"{self.neuron}{number}": self.population()})


def convolved(shape: Shape, channels: int, stride: int = 1) -> Shape:
    """The shape behind `Maker.convolution`, with an odd kernel."""
    return (channels, *(-(-side // stride) for side in shape[1:]))


def whole(where: str, **numbers: Any) -> None:
    """Raise InputError for what is not a whole number of 1 or more, or a sequence of such (`hidden` may be empty)."""
    for name, value in numbers.items():
        values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        bad = any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in values)
        if bad or (not values and name != "hidden"):
            raise InputError(f"{where}: {name} must be whole numbers of 1 or more, got {value!r}")


def image(where: str, inputs: Sequence[int]) -> Shape:
    """The shape of an input with channels: (C, L) or (C, H, W).  Raises: InputError."""
    if not isinstance(inputs, Sequence) or len(inputs) not in (2, 3):
        remedy = "a recipe's data.shape gives samples another shape"
        raise InputError(f"{where}: inputs must be (C, L) or (C, H, W), got {inputs!r}; {remedy}")
    whole(where, inputs=inputs)
    return tuple(inputs)


def size(shape: Sequence[int]) -> int:
    """How many elements a shape has."""
    return math.prod(shape)
