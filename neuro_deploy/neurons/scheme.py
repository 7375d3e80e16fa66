"""What a NIR node says of a neuron: leak, gain and drift under a scheme, and our own metadata of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError, Violation

METADATA = "neuro_deploy"
"""Key of our entry in the metadata of a NIR node or graph."""


DISCRETIZATIONS: Mapping[str, str] = MappingProxyType(
    {
        "forward Euler": "leak 1 - dt/tau, input gain dt/tau; as Lava, snnTorch, Norse and SpikingJelly compute",
        "exponential": "leak exp(-dt/tau), input gain 1 - exp(-dt/tau): exact for an input that is constant in a step",
        "exponential, impulses": "leak exp(-dt/tau), input gain dt/tau: exact for an impulse at the end of a step",
    }
)
"""How a time constant becomes a leak and a gain per step: name -> rule.

Of two equations in a row (CubaLIF, CubaLI) each is solved for itself, and the second takes the first one's new value.
"""


RESETS: Mapping[str, str] = MappingProxyType(
    {
        "value": "to v_reset, as NIR says",
        "subtract": "the threshold is subtracted, v = h - theta*s; NIR cannot say that",
        "subtract-late": "the threshold is subtracted after the next leak, h' = beta*h + x - theta*s; as snnTorch does",
        "none": "nothing is taken, v = h, so a neuron fires in every step above its threshold; NIR cannot say that",
    }
)
"""What a spike does to the potential: name -> rule."""


@dataclass(frozen=True)
class Scheme:
    """How the equations of a NIR file become steps, and what NIR itself leaves open.

    dt: seconds a step.   discretization: a key of DISCRETIZATIONS.
    reset: of nodes that fire: a key of RESETS.   rounds: the most spikes in a step, where the reset is not `value`.
    at_threshold: fires at h >= theta, not only above; exact in float32 for the first round, for the k-th within a
    rounding of k*theta.
    Nodes with our own metadata say for themselves what they are.
    """

    dt: float
    discretization: str = "forward Euler"
    reset: str = "value"
    rounds: int = 1
    at_threshold: bool = False

    def told(self) -> dict[str, str]:
        """What was assumed, in words, for a trace's provenance."""
        fires = ">=" if self.at_threshold else ">"
        return {"discretization": self.discretization, "reset": self.reset, "fires": fires, "rounds": str(self.rounds)}

    def leak(self, tau: Any) -> NDArray[np.float64]:
        """What is left after a step, for time constants tau in seconds; 0 where tau is dt in float32."""
        if self.discretization == "forward Euler":
            return leak_per_step(tau, self.dt)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.exp(-self.dt / np.asarray(tau, np.float64)))

    def rate(self, tau: Any) -> NDArray[np.float64]:
        """The gain of an input in a step, for time constants tau in seconds."""
        tau = np.asarray(tau, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.discretization == "exponential":
                return np.asarray(-np.expm1(-self.dt / tau))
            return np.asarray(self.dt / tau)

    def pull(self, tau: Any) -> NDArray[np.float64]:
        """How much of the way to v_leak a potential goes in a step: 1 - leak."""
        if self.discretization == "forward Euler":
            return self.rate(tau)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(-np.expm1(-self.dt / np.asarray(tau, np.float64)))

    def level(self, name: str, theta: Any) -> NDArray[np.float32]:
        """The threshold for `>`: theta, or for neurons that fire at it the float32 before it.

        Raises: UnsupportedError for neurons that would fire at a threshold of 0 or less.
        """
        given: NDArray[np.float32] = np.asarray(theta, np.float32)
        if not self.at_threshold:
            return given
        if np.any(given <= 0):
            what = f"fires at a threshold of {np.min(given):g}, so without input too"
            raise UnsupportedError("cannot read the graph", [Violation(name, what, "give it a threshold above 0")])
        return np.asarray(np.nextafter(given, np.float32(-np.inf)))


def storable(array: NDArray[np.float32]) -> Any:
    """An array as NIR metadata: a 0-d one becomes a numpy scalar, since `nir.write` compresses every array."""
    return array[()] if array.ndim == 0 else np.array(array)


FLOAT32_ROUNDING = 8 * 2.0**-24
"""tau and r are stored in float32: a product of their quotients carries up to this relative error."""


def input_gain(gain: NDArray[Any]) -> NDArray[np.float64] | None:
    """A gain as `NeuronSpec.gain` gives it; one that is 1 in float32 counts as 1."""
    gain = np.asarray(gain, np.float64)
    gain = np.where(np.abs(gain - 1.0) < FLOAT32_ROUNDING, 1.0, gain)
    return None if np.all(gain == 1) else gain


def shape_of(*values: Any) -> tuple[int, ...]:
    """The shape that parameters broadcast to.  Raises: ValueError if they do not."""
    return np.broadcast_shapes(*(np.shape(value) for value in values))


def numbers_of(node: nir.NIRNode) -> dict[str, Any]:
    """Parameters of one number an element that a node has: tau, r, v_threshold, scale, ..."""
    held = {f.name: getattr(node, f.name, None) for f in dataclasses.fields(node) if f.init and f.name != "metadata"}
    return {name: value for name, value in held.items() if value is not None and not isinstance(value, dict)}


def no_time_constant(parameter: str, leak: NDArray[Any]) -> list[Violation]:
    """Why a leak cannot be written as a time constant; [] if it can."""
    if np.any(leak > 1):
        what = f"{np.max(leak):.6g} is above 1, as a time constant below 0 gives it"
        return [Violation(parameter, what, "mend tau, or give the dt that the network was made for")]
    if np.any(leak == 1):
        what = (
            "1 means an infinite time constant (float32 rounds that of 2^25 steps or more to it), which NIR cannot say "
            "beside smaller leaks, a current or a drift"
        )
        return [Violation(parameter, what, "use a leak below 1, or 1 in all neurons, without a current and a drift")]
    return []


def metadata_of(node: Any) -> Mapping[str, Any]:
    """Our entry in a node's or a graph's metadata, or an empty mapping."""
    metadata = getattr(node, "metadata", None)
    told = metadata.get(METADATA) if isinstance(metadata, dict) else None
    return told if isinstance(told, dict) else {}


def told_kind(node: nir.NIRNode) -> str | None:
    """The neuron kind that our metadata of a node names, or None."""
    stored = metadata_of(node)
    return str(stored["kind"]) if "kind" in stored else None


def told_value(name: str, node: nir.NIRNode, key: str, found: NDArray[np.float64]) -> NDArray[np.float32]:
    """A parameter from our metadata of the node, if it agrees with `found`, which the node says; else `found`.

    The metadata has it exactly, the node within the rounding of tau.   Raises: UnsupportedError if they disagree.
    """
    stored = metadata_of(node)
    if key not in stored:
        return np.asarray(found, np.float32)
    told = np.asarray(stored[key], np.float32)
    told = np.broadcast_to(told.reshape(()) if told.size == 1 else told, np.shape(found))
    if not np.allclose(told, found, rtol=1e-5, atol=1e-6):
        what = f"metadata's {key} is not what tau, v_leak and dt give"
        remedy = "give the dt that the file was made with"
        raise UnsupportedError("metadata and nodes disagree", [Violation(name, what, remedy)])
    return told


def drift_of(name: str, node: Any, tau: Any, scheme: Scheme) -> dict[str, NDArray[np.float32]]:
    """The parameter `drift` of a node that leaks towards v_leak; nothing if it is 0."""
    with np.errstate(invalid="ignore"):
        found = np.asarray(node.v_leak * scheme.pull(tau))
    return {"drift": told_value(name, node, "drift", found)} if np.any(found != 0) else {}


def leak_per_step(tau: Any, dt: float) -> NDArray[np.float64]:
    """1 - dt/tau: forward Euler; 0 where tau is dt in float32."""
    with np.errstate(divide="ignore", invalid="ignore"):
        leak = 1.0 - dt / np.asarray(tau, np.float64)
    return np.where(np.abs(leak) < FLOAT32_ROUNDING, 0.0, leak)
