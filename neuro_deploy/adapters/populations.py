"""Populations of frameworks whose neurons fire at their threshold: h >= theta, where ours fire above it.

In float32 both are the same for theta' = nextafter(theta, 0), the number just below: h > theta' is h >= theta.  Reset
by subtraction still takes theta away (`theta_reset` of the kind cf), one spike or K rounds of it:

    s = #{k in 1..K : h > k * theta'},   v = h - theta_reset * s

For K > 1 the product k * theta' is rounded to float32, as is the quotient h / theta of the frameworks that count
spikes: s is theirs unless h lies within one rounding of k * theta, k >= 3, without being equal to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError, Violation
from ..neurons import spec
from ..neurons.base import FloatNeuron
from ..neurons.scheme import Scheme
from .layers import TITLE, Fragment, Shape, naming, refuse, scale_node

Array = NDArray[np.float32]


def at_least(theta: Any, name: str) -> Array:
    """theta', float32, so that h > theta' is h >= theta.  name: for the message.

    Raises: UnsupportedError for a theta that is not above 0.
    """
    value = np.asarray(theta, np.float32)
    if not (value > 0).all():
        raise refuse(f"is {value.min():g}, not above 0, so neurons fire at rest", "train with a larger one", name)
    below: Array = np.nextafter(value, np.float32(0))
    return below


def arrays(values: Mapping[str, Any]) -> dict[str, Array]:
    """Parameters as float32 arrays."""
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def hard(theta: Any, name: str, **params: Any) -> FloatNeuron:
    """Neurons of kind lif that fire at h >= theta, without their shape.   params: of the kind, beside theta."""
    return FloatNeuron("lif", (), {"theta": at_least(theta, name), **arrays(params)})


def soft(theta: Any, name: str, *, rounds: int = 1, taken: Any = None, **params: Any) -> FloatNeuron:
    """Neurons of kind cf that fire at h >= theta, up to `rounds` times a step, without their shape.

    taken: what a spike takes away; None: theta.   params: of the kind, beside theta.
    """
    below = at_least(theta, name)
    fixed = {"circulations": rounds, "circulations_neg": 0, "theta_reset": theta if taken is None else taken}
    return FloatNeuron("cf", (), {"theta": below, "theta_neg": below, **arrays(fixed), **arrays(params)})


def fragment(
    neuron: FloatNeuron, shape: Shape, dt: float, gain: Any = None, beta: str = "beta", beta_syn: str = "beta_syn"
) -> Fragment:
    """The nodes of a population of this shape, behind a Scale by `gain` unless that is None.

    beta, beta_syn: the framework's names of these leaks, for messages.
    Raises: UnsupportedError for what its nodes cannot say, and for leaks outside [0, 1].
    """
    with naming(beta=beta, beta_syn=beta_syn):
        leaks = {name: neuron.params[name] for name in ("beta", "beta_syn") if name in neuron.params}
        out = {name: leak[(leak < 0) | (leak > 1)] for name, leak in leaks.items()}
        found = [
            Violation(n, f"is a leak of {v[0]:g}, outside [0, 1]", "train within") for n, v in out.items() if v.size
        ]
        if found:
            raise UnsupportedError(TITLE, found)
        node = spec(neuron.kind).write(FloatNeuron(neuron.kind, shape, neuron.params), dt)
    if gain is None:
        return Fragment({"": node})
    return Fragment.row(("gain", scale_node(gain, shape)), ("", node))


def silent(node: nir.NIRNode, dt: float) -> nir.NIRNode | None:
    """The integrators that neurons without reset are where nobody needs their spikes: the same u and v.

    None for other nodes, and for an infinite time constant beside a current, which the nodes of `li` cannot say.
    """
    neuron = spec("cf").read("", node, Scheme(dt))
    if neuron is None or not neuron.keeps:
        return None
    kept = {name: value for name, value in neuron.params.items() if name in ("beta", "beta_syn", "drift")}
    try:
        return spec("li").write(FloatNeuron("li", neuron.shape, kept), dt)
    except UnsupportedError:
        return None
