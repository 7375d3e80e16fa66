"""LIF in torch.  See neurons/__init__.py for the interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import nn

from ...errors import InputError
from ..base import FloatNeuron
from ..cf.torch import CirculateFire
from ..parameters import FINITE, Parameter, parameter, read_optional, read_parameter, write_optional, write_parameter
from ..torch import DEFAULT_ALPHA


class LIF(CirculateFire):
    """Leaky integrate-and-fire neurons: circulate-firing with one round (K = 1).

        u[t] = beta_syn * u[t-1] + x[t]         only with beta_syn; else u[t] = x[t]
        h[t] = beta * v[t-1] + u[t] (+ drift)   v[-1] = u[-1] = 0
        s[t] = 1 if h[t] > theta, else 0
        v[t] = h[t] - theta * s[t]              reset "soft"
        v[t] = h[t] * (1 - s[t])                reset "hard": to zero
        v[t] = h[t] * (1 - s[t]) + v_reset * s[t]      reset "hard" with v_reset: to that value

    Each operation is rounded to float32 by itself, in the order c = beta_syn * u; u = c + x; p = beta * v; h = p + u;
    h = h + drift; s; then q = theta * s; v = h - q (soft), or n = 1 - s; v = h * n (hard), and with v_reset
    r = v_reset * s; v = v + r.
    Call: x (T, B, *shape) -> spikes (T, B, *shape), 0 or 1 in float32.

    beta: leak, [0, 1].   theta: threshold, > 0.   beta_syn: leak of a synaptic current, [0, 1]; None: no current.
    v_reset: finite, hard reset only; None: 0.   drift: a constant added to the potential, finite.
    All float32, one number or one per neuron (*shape).
    surrogate, alpha, steps, learnable_alpha, learnable_beta, learnable_theta: see SpikingNeuron.
    detach_reset: True keeps gradients out of the reset.
    Raises: InputError.
    """

    def __init__(
        self,
        beta: Parameter = 0.9,
        theta: Parameter = 1.0,
        *,
        reset: Literal["soft", "hard"] = "soft",
        beta_syn: Parameter | None = None,
        v_reset: Parameter | None = None,
        drift: Parameter | None = None,
        surrogate: str = "sigmoid",
        alpha: float | Sequence[float] = DEFAULT_ALPHA,
        steps: int | None = None,
        learnable_alpha: bool = True,
        learnable_beta: bool = False,
        learnable_theta: bool = False,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(
            beta,
            theta,
            1,
            reset=reset,
            beta_syn=beta_syn,
            drift=drift,
            surrogate=surrogate,
            alpha=alpha,
            steps=steps,
            learnable_alpha=learnable_alpha,
            learnable_beta=learnable_beta,
            learnable_theta=learnable_theta,
            detach_reset=detach_reset,
        )
        where = type(self).__name__
        if reset != "hard" and v_reset is not None:
            raise InputError(f"{where}: v_reset needs reset='hard', got {reset!r}")
        self.register_buffer("v_reset", None if v_reset is None else parameter(where, "v_reset", v_reset, FINITE))


MODULE = LIF
OPTIONAL = ("beta_syn", "v_reset", "drift")


def from_neuron(neuron: FloatNeuron) -> LIF:
    """The module of a population, for a float run: its exact float32 parameters, one per neuron."""
    return LIF(
        read_parameter(neuron, "beta"),
        read_parameter(neuron, "theta"),
        reset="hard",
        beta_syn=read_optional(neuron, "beta_syn"),
        v_reset=read_optional(neuron, "v_reset"),
        drift=read_optional(neuron, "drift"),
    )


def to_neuron(module: nn.Module, shape: tuple[int, ...]) -> FloatNeuron | None:
    """The population of a module with hard reset, or None.  A v_reset or drift of 0 is left out: it does nothing.

    shape: of the population.  Raises: InputError if the module's parameters have another.
    """
    if not isinstance(module, CirculateFire) or module.reset != "hard":
        return None
    params = {name: write_parameter(getattr(module, name), name, shape) for name in ("beta", "theta")}
    optional = write_optional(module, OPTIONAL, shape)
    used = {name: value for name, value in optional.items() if name == "beta_syn" or np.any(value != 0)}
    return FloatNeuron("lif", shape, {**params, **used})
