"""LIF in torch.  See neurons/__init__.py for the interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from ..base import FloatNeuron
from ..cf.torch import CirculateFire
from ..torch import DEFAULT_ALPHA, Parameter, read_parameter, write_parameter


class LIF(CirculateFire):
    """Leaky integrate-and-fire neurons: circulate-firing with one round (K = 1).

        h[t] = beta * v[t-1] + x[t]             v[-1] = 0
        s[t] = 1 if h[t] > theta, else 0
        v[t] = h[t] - theta * s[t]              reset "soft"
        v[t] = h[t] * (1 - s[t])                reset "hard": to zero

    Each operation is rounded to float32 by itself, in the order p = beta * v; h = p + x; s; then q = theta * s;
    v = h - q (soft), or n = 1 - s; v = h * n (hard).
    Call: x (T, B, *shape) -> spikes (T, B, *shape), 0 or 1 in float32.

    beta: leak, [0, 1].   theta: threshold, > 0.   Both float32, one number or one per neuron (*shape).
    surrogate, alpha, steps, learnable_alpha: see SpikingNeuron.   detach_reset: True keeps gradients out of the reset.
    Raises: InputError.
    """

    def __init__(
        self,
        beta: Parameter = 0.9,
        theta: Parameter = 1.0,
        *,
        reset: Literal["soft", "hard"] = "soft",
        surrogate: str = "sigmoid",
        alpha: float | Sequence[float] = DEFAULT_ALPHA,
        steps: int | None = None,
        learnable_alpha: bool = True,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(
            beta,
            theta,
            1,
            reset=reset,
            surrogate=surrogate,
            alpha=alpha,
            steps=steps,
            learnable_alpha=learnable_alpha,
            detach_reset=detach_reset,
        )


MODULE = LIF


def from_neuron(neuron: FloatNeuron) -> LIF:
    """The module of a population, for a float run: its exact float32 parameters, one per neuron."""
    return LIF(read_parameter(neuron, "beta"), read_parameter(neuron, "theta"), reset="hard")


def to_neuron(module: nn.Module, shape: tuple[int, ...]) -> FloatNeuron | None:
    """The population of a module with hard reset, or None.

    shape: of the population.  Raises: InputError if the module's parameters have another.
    """
    if not isinstance(module, CirculateFire) or module.reset != "hard":
        return None
    params = {name: write_parameter(getattr(module, name), name, shape) for name in ("beta", "theta")}
    return FloatNeuron("lif", shape, params)
