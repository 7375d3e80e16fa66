"""The number formats of a chip that can be switched on one by one, and which are on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "input": "the input as integers of the encoder's payload, rounded and clipped",
        "payload": "spikes cut to what a spike's payload carries",
        "weights": "weights as whole multiples of a weight unit",
        "bias": "biases as mantissa and exponent",
        "sums": "a synapse's sum shifted right, rounded down, and wrapped at the accumulator's width",
        "leak": "the leak as a whole number of steps, its product rounded toward zero in each step",
        "thresholds": "thresholds and reset values as whole numbers",
        "potential": "potential and current as whole numbers in registers that clip and wrap",
    }
)
"""Name -> what it does to the numbers."""


@dataclass(frozen=True)
class Setting:
    """Which formats are on where.

    on: pairs (format, layer); the layer of a synapse's formats is its target, that of the input the encoder.
    finer: layer -> so many bits more than it has its weights have (where "weights" is on).
    """

    on: frozenset[tuple[str, str]] = frozenset()
    finer: Mapping[str, int] = field(default_factory=dict)

    def has(self, name: str, layer: str) -> bool:
        """True if the format is on in the layer."""
        return (name, layer) in self.on

    @staticmethod
    def of(names: tuple[str, ...], layers: tuple[str, ...]) -> Setting:
        """These formats in these layers."""
        return Setting(frozenset((name, layer) for name in names for layer in layers))
