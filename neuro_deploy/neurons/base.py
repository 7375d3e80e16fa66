"""What every neuron kind provides, and the pieces that kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import Violation
from ..fixed import Ints
from ..target import Target
from ..trace import frozen

METADATA = "neuro_deploy"
"""Key of our entry in the metadata of a NIR node or graph."""


@dataclass(frozen=True, eq=False)
class FloatNeuron:
    """A population in float: its kind, shape and parameters (float32, scalar () or of the population's shape)."""

    kind: str
    shape: tuple[int, ...]
    params: Mapping[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        params = {k: frozen(np.asarray(v, np.float32)) for k, v in self.params.items()}
        object.__setattr__(self, "params", MappingProxyType(params))

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(np.prod(self.shape, dtype=np.int64))

    def flat(self, name: str) -> NDArray[np.float64]:
        """Parameter `name`, one per neuron: float64 (N,)."""
        return np.broadcast_to(self.params[name], self.shape).reshape(-1).astype(np.float64)


def storable(array: NDArray[np.float32]) -> Any:
    """An array as NIR metadata: a 0-d one becomes a numpy scalar, since `nir.write` compresses every array."""
    return array[()] if array.ndim == 0 else np.array(array)


class Rounding(NamedTuple):
    """What quantizing one parameter cost: max and RMS of |integer value - float value|, in float units."""

    node: str
    parameter: str
    max_error: float
    rms_error: float

    @staticmethod
    def of(node: str, parameter: str, kept: NDArray[Any], wanted: NDArray[Any]) -> Rounding:
        """Compare what was kept with what was wanted."""
        error = np.abs(np.asarray(kept, np.float64) - np.asarray(wanted, np.float64))
        return Rounding(node, parameter, float(error.max(initial=0.0)), float(np.sqrt(np.mean(error**2))))


class Quantized(NamedTuple):
    """A population's integer parameters, what rounding them cost, and what the target cannot do."""

    params: dict[str, Ints]
    roundings: list[Rounding]
    violations: list[Violation]


class Interval(NamedTuple):
    """Smallest and largest value per neuron, int64 (N,)."""

    low: Ints
    high: Ints

    @property
    def magnitude(self) -> Ints:
        """max(|low|, |high|)."""
        largest: Ints = np.maximum(np.abs(self.low), np.abs(self.high))
        return largest


class Step(NamedTuple):
    """One integer step: spikes (B, N), what can be recorded by name, the new state, and counted events by name."""

    spikes: Ints
    values: dict[str, Ints]
    state: dict[str, Ints]
    events: dict[str, int]


class NeuronSpec(Protocol):
    """One neuron kind, as data and pure functions."""

    kind: str

    def read(self, name: str, node: nir.NIRNode, dt: float) -> FloatNeuron | None:
        """The population that a NIR node stands for, or None if the node is not of this kind.

        Raises: UnsupportedError if it is, but cannot be kept exactly, or contradicts its own metadata.
        """

    def drive(self, node: nir.NIRNode, dt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(gain, offset) that the node applies to its input before the neuron's x; None for (1, 0)."""

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        """The NIR node(s) of a population.  Raises: UnsupportedError."""

    def anchor(self, neuron: FloatNeuron) -> NDArray[np.float64]:
        """The parameter that sets a neuron's scale (its threshold): float64 (N,), > 0."""

    def anchor_limit(self, neuron: FloatNeuron, target: Target) -> int:
        """The largest integer that the anchor may become, in weight units."""

    def quantize(self, name: str, neuron: FloatNeuron, anchor_q: Ints, target: Target) -> Quantized:
        """Integer parameters (without the bias), given the integer (N,) that the anchor becomes."""

    def check(self, params: Mapping[str, Ints]) -> list[str]:
        """Problems with integer parameters (a wrong or missing name, a value outside its register); [] if fine."""

    def spike_range(self, params: Mapping[str, Ints]) -> tuple[int, int]:
        """Smallest and largest value that a spike can have."""

    def bounds(self, params: Mapping[str, Ints], total: Interval, steps: int) -> dict[str, Interval]:
        """Register name -> its interval before wrap or clip, for any input sums within `total`, over `steps` steps."""


def bias_of(params: Mapping[str, Ints]) -> Ints:
    """The bias in potential units: bias_mant << bias_exp."""
    return np.asarray(params["bias_mant"] << params["bias_exp"])


def quantize_leak(name: str, beta: NDArray[np.float64], target: Target) -> Quantized:
    """`dv` = round(unity * (1 - beta)) with unity = 2^decay_bits, at most unity - 1; (N,) int64.

    beta = 0 becomes unity - 1, which is exact while |v| < unity (`compile` proves that or refuses).
    """
    unity = 1 << target.state.decay_bits.value
    dv = np.minimum(np.rint(unity * (1.0 - beta)).astype(np.int64), unity - 1)
    kept = np.where(beta == 0, 0.0, 1.0 - dv / unity)
    bad = (beta < 0) | (beta > 1)
    violations = []
    if bad.any():
        violations.append(
            Violation(name, f"beta {beta[bad][0]:.6g} is outside [0, 1]", "retrain with a leak that decays")
        )
    return Quantized({"dv": dv}, [Rounding.of(name, "beta", kept, beta)], violations)


def register_problems(params: Mapping[str, Ints], ranges: Mapping[str, tuple[int, int]]) -> list[str]:
    """Names that are missing or unknown, and values outside [low, high]."""
    problems = [f"parameter '{name}' is missing" for name in ranges if name not in params]
    problems += [f"unknown parameter '{name}'" for name in params if name not in ranges]
    for name, (low, high) in ranges.items():
        if name in params and params[name].size and not (low <= params[name].min() and params[name].max() <= high):
            problems.append(f"{name} in [{params[name].min()}, {params[name].max()}] exceeds [{low}, {high}]")
    return problems


BIAS_RANGES: Mapping[str, tuple[int, int]] = MappingProxyType({"bias_mant": (-4096, 4095), "bias_exp": (0, 7)})
"""Bias mantissa: 13 bits signed; exponent: 3 bits.  Source: lava-nc 0.10.0, PyLifModelBitAcc."""
LEAK_RANGE = (0, 4095)
"""du, dv: 12 bits unsigned.  Source: as above."""
THRESHOLD_RANGE = (1, (1 << 17) - 1)
"""vth: 17 bits unsigned, above zero.  Source: as above."""
