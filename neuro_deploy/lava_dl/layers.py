"""What a `.net` file describes: a chain of layers, all numbers as the file has them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints
from ..trace import frozen
from ..wiring import Dense, Wiring

UNITY = 4096
"""A decay of this much keeps nothing.  Source: lava-nc 0.10.0, lava/proc/lif/models.py, 12 bits."""
SILENT = 1 << 17
"""A threshold mantissa from which on no potential of 24 bits can exceed mantissa << 6: the neuron never fires."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """CUBA neurons.  int64, () or one per channel (C,).

    i_decay: 1 .. 4096, what the current loses in a step, of 4096.   v_decay: 0 .. 4096, the potential.
    threshold: vThMant >= 1, in weight units.   bias: in weight units, added to the potential in every step.
    """

    i_decay: Ints
    v_decay: Ints
    threshold: Ints
    bias: Ints

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            object.__setattr__(self, name, frozen(np.asarray(getattr(self, name), np.int64)))

    @property
    def fires(self) -> bool:
        """False if no potential can exceed the threshold: an integrator."""
        return bool((self.threshold < SILENT).any())

    @property
    def current(self) -> bool:
        """True if the synaptic current has a memory."""
        return bool((self.i_decay < UNITY).any())


@dataclass(frozen=True, eq=False)
class Layer:
    """A population and the synapses into it.

    kind: the block's type in the file.   shape: (C, H, W) or (N,).   neurons: None for an `average` block.
    wiring: integer weights from the layer before; None for the input block, which gets the input itself.
    recurrent: weights from itself, or None.   exponent: wgtExp, weights count times 2^exponent.
    delay: int64, () or one per target channel (C,), or one per weight: steps beyond the synapse's own one.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    neurons: Neurons | None
    wiring: Wiring | None = None
    recurrent: Dense | None = None
    exponent: int = 0
    delay: Ints = field(default_factory=lambda: np.zeros((), np.int64))

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(np.prod(self.shape, dtype=np.int64))

    def each(self, values: NDArray[Any]) -> NDArray[Any]:
        """values () or (C,) for each neuron, (N,)."""
        return np.repeat(np.broadcast_to(values, self.shape[:1]), self.size // self.shape[0])


@dataclass(frozen=True, eq=False)
class Net:
    """A network.

    input_shape: of its input, (C, H, W) or (N,).   gain: the input block's weight, its current is round(gain * x) +
    bias in weight units; None without an input block: the input is spikes.
    layers: from input to output, each fed by the one before.   steps: the file's tSample, or None.
    """

    input_shape: tuple[int, ...]
    gain: int | None
    layers: tuple[Layer, ...]
    steps: int | None
