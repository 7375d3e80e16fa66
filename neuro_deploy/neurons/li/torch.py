"""LI in torch.  See neurons/__init__.py for the interface."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..base import FloatNeuron
from ..parameters import Parameter, read_optional, read_parameter, write_optional, write_parameter
from ..torch import Neuron, State


class Integrator(Neuron):
    """Leaky integrators that never fire: a readout whose output is the potential.

        u[t] = beta_syn * u[t-1] + x[t]                only with beta_syn; else u[t] = x[t]
        v[t] = h[t] = beta * v[t-1] + u[t] (+ drift)   v[-1] = u[-1] = 0;  s[t] = 0

    Each operation is rounded to float32 by itself, in the order c = beta_syn * u; u = c + x; p = beta * v; v = p + u;
    v = v + drift.  Gradients are those of the equations.
    Call: x (T, B, *shape) -> potentials v (T, B, *shape) in float32.  `observe` sees spikes of zeros.

    beta: leak, [0, 1]; 1 sums without forgetting.   beta_syn: leak of a synaptic current, [0, 1]; None: no current.
    drift: a constant added to the potential, finite.
    All float32, one number or one per neuron (*shape).   Raises: InputError.
    """

    def __init__(
        self, beta: Parameter = 0.9, *, beta_syn: Parameter | None = None, drift: Parameter | None = None
    ) -> None:
        super().__init__(beta, beta_syn, drift)

    def fire(self, h: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """No spikes, and the potential as it is.  h: (B, *shape)."""
        return torch.zeros_like(h), h

    def output(self, s: Tensor, state: State) -> Tensor:
        """The potential, (B, *shape)."""
        return state.v


MODULE = Integrator
OPTIONAL = ("beta_syn", "drift")


def from_neuron(neuron: FloatNeuron) -> Integrator:
    """The module of a population, for a float run: its exact float32 parameters, one per neuron."""
    return Integrator(
        read_parameter(neuron, "beta"),
        beta_syn=read_optional(neuron, "beta_syn"),
        drift=read_optional(neuron, "drift"),
    )


def to_neuron(module: nn.Module, shape: tuple[int, ...]) -> FloatNeuron | None:
    """The population of an Integrator, or None.  A drift of 0 is left out: it does nothing.

    shape: of the population.  Raises: InputError if the module's parameters have another.
    """
    if not isinstance(module, Integrator):
        return None
    optional = write_optional(module, OPTIONAL, shape)
    used = {name: value for name, value in optional.items() if name == "beta_syn" or np.any(value != 0)}
    return FloatNeuron("li", shape, {"beta": write_parameter(module.beta, "beta", shape), **used})
