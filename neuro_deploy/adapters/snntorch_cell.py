"""One population of snnTorch: its parameters, its reset, what of it is kept, and its nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nir
import numpy as np
import torch

from ..errors import UnsupportedError, Violation
from ..neurons import spec
from ..neurons.base import FloatNeuron
from .layers import TITLE, Fragment, Shape, layer_node, naming, per_neuron, scale_node

RESETS = {"_base_sub": 0, "_base_zero": 1, "_base_int": 2}
"""snnTorch's update function -> its number of the reset mechanism."""


class Cell:
    """One population of snnTorch: its parameters, its reset, and what of it is not kept.

    beta, beta_syn: leaks, () or per neuron.   gain: of the input.   recurrent: the module feeds back its spikes.
    zero_late: a reset to zero one step late keeps that step's input.
    """

    def __init__(
        self,
        module: Any,
        shape: Shape,
        dt: float,
        beta: Any,
        beta_syn: Any = None,
        *,
        gain: Any = None,
        recurrent: bool = False,
        zero_late: bool = False,
    ) -> None:
        self.module, self.shape, self.dt = module, shape, dt
        self.beta = per_neuron(beta, shape, "beta")
        self.beta_syn = None if beta_syn is None else per_neuron(beta_syn, shape, "alpha")
        self.gain = None if gain is None else np.asarray(gain, np.float64)
        self.theta = per_neuron(module.threshold, shape, "threshold")
        self.factor = per_neuron(module.graded_spikes_factor, shape, "graded_spikes_factor")
        self.recurrent, self.zero_late = recurrent, zero_late
        self.reset = int(module.reset_mechanism_val)
        self.late = bool(getattr(module, "reset_delay", True))

    def problems(self, skip: tuple[str, ...] = ()) -> list[Violation]:
        """What is not kept, without the checks named in `skip`."""
        found = [
            (self.module.inhibition, "inhibition", "lets only the highest potential fire", "train without inhibition"),
            (self.module.state_quant, "state_quant", "quantizes the state", "train without it; compile quantizes"),
            (
                not _fires_above(self.module.spike_grad),
                "spike_grad",
                "does not fire exactly above threshold",
                "use atan",
            ),
            (bool((self.theta <= 0).any()), "threshold", "is not above 0", "train with positive thresholds"),
            (bool((self.beta < 0).any()), "beta", "1 - time_step / (R * C) is negative", "use a smaller time_step"),
            (
                RESETS.get(self.module.state_function.__name__) != self.reset,
                "reset_mechanism",
                "was changed after the module was made, and snnTorch goes on with the old one in part",
                "make the module with the reset mechanism that it shall have",
            ),
        ]
        if "reset" not in skip:
            found += [
                (
                    self.reset == 1 and self.late and not self.zero_late,
                    "reset_delay",
                    "a reset to zero that comes one step late also throws away that step's input",
                    "train with reset_delay=False" if hasattr(self.module, "reset_delay") else "train with Leaky",
                ),
                (
                    self.reset == 0 and not self.late,
                    "reset_delay",
                    "False with reset 'subtract' doubles the threshold after a potential above 2 * threshold",
                    "train with reset_delay=True",
                ),
                (
                    self.reset == 0 and bool((self.beta == 0).any() and (self.beta > 0).any()),
                    "beta",
                    "mixes 0 and larger values under reset 'subtract'",
                    "split the population in two",
                ),
            ]
        return [Violation(node, what, remedy) for bad, node, what, remedy in found if bad]

    def fragment(self) -> Fragment:
        """The nodes: [membrane] -> neurons -> [factor], and the loops."""
        violations = self.problems()
        if violations:
            raise UnsupportedError(TITLE, violations)
        row: list[tuple[str, nir.NIRNode]] = []
        if self.forgets and self.beta_syn is not None:
            row.append(("membrane", self.integrator(self.beta_syn)))
        enters = row[0][0] if row else ""
        with naming(beta_syn="alpha"):
            main = Fragment.row(*row, ("", self.neurons()), gain=self.gain)
        if self.forgets:
            main = _with_loop(main, "", "reset", scale_node(-self.theta, self.shape), "")
        main = self.graded(main)
        if self.recurrent:
            main = _with_loop(main, main.output, "recurrent", self._weights(), enters)
        return main

    @property
    def forgets(self) -> bool:
        """No memory but the reset of the step before: h[t] = x[t] - theta * s[t-1]; x may be a current."""
        return self.reset == 0 and not self.beta.any()

    def neurons(self) -> nir.NIRNode:
        """The node that fires."""
        if self.forgets:
            return self.threshold()
        current = {} if self.beta_syn is None else {"beta_syn": self.beta_syn}
        params = {"beta": self.beta, "theta": self.theta, **current}
        if self.reset == 1:
            return spec("lif").write(FloatNeuron("lif", self.shape, params), self.dt)
        taken = np.zeros(()) if self.reset == 2 else self.theta.astype(np.float64) / self.beta
        whole = {"theta_neg": self.theta, "circulations": np.asarray(1), "circulations_neg": np.asarray(0)}
        extra = {} if self.reset == 0 and (self.beta == 1).all() else {"theta_reset": taken.astype(np.float32)}
        return spec("cf").write(FloatNeuron("cf", self.shape, {**params, **whole, **extra}), self.dt)

    def threshold(self) -> nir.NIRNode:
        """Neurons without memory."""
        return nir.Threshold(threshold=np.broadcast_to(self.theta, self.shape).copy())

    def integrator(self, beta: Any) -> nir.NIRNode:
        """Neurons that never fire."""
        return spec("li").write(FloatNeuron("li", self.shape, {"beta": beta}), self.dt)

    def graded(self, main: Fragment) -> Fragment:
        """With a Scale behind the neurons, if their spikes have another size than 1."""
        if (self.factor == 1).all():
            return main
        nodes = {**main.nodes, "factor": scale_node(self.factor, self.shape)}
        return replace(main, nodes=nodes, edges=(*main.edges, (main.output, "factor")), output="factor")

    def _weights(self) -> nir.NIRNode:
        if self.module.all_to_all:
            return layer_node(self.module.recurrent, self.shape)
        return scale_node(per_neuron(self.module.recurrent.V, self.shape, "V"), self.shape)


def _with_loop(main: Fragment, source: str, name: str, node: nir.NIRNode, enters: str) -> Fragment:
    edges = (*main.edges, (source, name), (name, enters))
    return replace(main, nodes={**main.nodes, name: node}, edges=edges)


def _fires_above(spike_grad: Any) -> bool:
    """True if the forward pass of a surrogate is the step function, 1 above 0 and 0 elsewhere, on a grid."""
    sizes = torch.logspace(-30, 10, 161)
    x = torch.cat([-sizes, torch.zeros(1), sizes])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return bool(torch.equal(spike_grad(x), (x > 0).float()))
