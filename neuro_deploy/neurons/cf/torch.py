"""CF in torch.  See neurons/__init__.py for the interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from ...errors import InputError
from ..base import FloatNeuron
from ..fused import Form
from ..fused.plain import left
from ..parameters import (
    NOT_NEGATIVE,
    Parameter,
    Positive,
    learned,
    parameter,
    read_optional,
    read_parameter,
    write_optional,
    write_parameter,
)
from ..rounds import rounds
from ..torch import DEFAULT_ALPHA, SpikingNeuron
from .nodes import OPTIONAL


class CirculateFire(SpikingNeuron):
    """Circulate-firing neurons: the potential goes round through the threshold, one spike and one theta a round.

        h[t] = beta * v[t-1] + x[t] (+ drift)                     v[-1] = 0
        s[t] = #{k in 1..K : h[t] > k*theta}                      at most K rounds; a graded spike
        v[t] = h[t] - theta_reset * s[t]                          soft reset: what is left stays, or all (theta_reset 0)
        v[t] = h[t] * (1 - s[t])                                  hard reset (K = 1): to zero

    and with polarity "signed" also the mirror image, s[t] = -#{k in 1..K_neg : -h[t] > k*theta_neg} for h < 0, with
    v[t] = h[t] - theta_neg * s[t].  With beta_syn the input first charges a current, u[t] = beta_syn * u[t-1] + x[t]
    with u[-1] = 0, and the potential takes u[t] instead of x[t].  Order in float32, each operation rounded by itself,
    uncontracted: with beta_syn c = beta_syn * u; u = c + x; x = u; then p = beta * v; h = p + x; with drift
    h = h + drift; the thresholds theta * k; q = theta_reset * s; v = h - q (signed, h < 0: r = theta_neg * |s|;
    v = h + r).
    Backward: see `rounds`; through the reset as well, unless detach_reset.

    Call: x (T, B, *shape) -> spikes (T, B, *shape), whole numbers -K_neg .. K in float32.

    beta: leak, [0, 1].   theta: threshold, > 0.   beta_syn: leak of a synaptic current, [0, 1]; None: no current.
    theta_reset: what one round takes away, >= 0; None: theta.  Soft reset and positive polarity only.  0 is no reset;
        theta / beta is one after the leak, h[t] = beta * h[t-1] + x[t] - theta * s[t-1]; K = 1 with
        theta = nextafter(t, 0) and theta_reset = t fires at h >= t.
    drift: a constant added to the potential, finite.   All float32, one number or one per neuron (*shape).
    circulations: K >= 1.  K = 1 is the LIF neuron.
    polarity: "signed" is odd-symmetric, so nearly linear behind a batch norm, and learns worse there: 91.7-91.8 %
        against 96.0-96.4 % on 8,000 MNIST digits (MLP 784-128-128-10, T=4, K=3; measured by us).
    theta_neg, circulations_neg: of the negative side, signed only; by default those of the positive side.
    reset: "soft", or "hard" with K = 1 and positive polarity.
    surrogate, alpha, steps, learnable_alpha, learnable_beta, learnable_theta: see SpikingNeuron.
    detach_reset: True keeps gradients out of the reset.
    Raises: InputError.
    Source: our reading of arXiv 2605.27412, which is an abstract without equations; the zero-refractory limit of reset
    by subtraction in Moser and Lunglmayr, arXiv 2402.07954.
    """

    theta_neg: Tensor
    theta_reset: Tensor | None
    v_reset: Tensor | None

    def __init__(
        self,
        beta: Parameter = 0.9,
        theta: Parameter = 1.0,
        circulations: int = 3,
        *,
        polarity: Literal["positive", "signed"] = "positive",
        theta_neg: Parameter | None = None,
        circulations_neg: int | None = None,
        reset: Literal["soft", "hard"] = "soft",
        beta_syn: Parameter | None = None,
        theta_reset: Parameter | None = None,
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
            beta_syn=beta_syn,
            drift=drift,
            surrogate=surrogate,
            alpha=alpha,
            steps=steps,
            learnable_alpha=learnable_alpha,
            learnable_beta=learnable_beta,
            learnable_theta=learnable_theta,
        )
        where = type(self).__name__
        problems = _problems(circulations, polarity, theta_neg, circulations_neg, reset)
        if theta_reset is not None and (polarity, reset) != ("positive", "soft"):
            problems.append(f"theta_reset needs polarity='positive' and reset='soft', got {polarity!r} and {reset!r}")
        if problems:
            raise InputError(f"{where}: " + "; ".join(problems))
        self.circulations = circulations
        self.circulations_neg = 0 if polarity == "positive" else circulations_neg or circulations
        mirrored = parameter(where, "theta_neg", self.theta if theta_neg is None else theta_neg)
        self.register_buffer("theta_neg", mirrored, persistent=polarity == "signed")
        if learnable_theta and polarity == "signed":
            learned(self, "theta_neg", Positive())
        taken = None if theta_reset is None else parameter(where, "theta_reset", theta_reset, NOT_NEGATIVE)
        self.register_buffer("theta_reset", taken)
        self.register_buffer("v_reset", None)
        self.reset = reset
        self.detach_reset = detach_reset

    def fire(self, h: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and the potential that is left.  h: (B, *shape); alpha: ()."""
        s = rounds(h, self.theta, alpha, self.circulations, self.surrogate)
        v = left(h, s.detach() if self.detach_reset else s, self.reset == "hard", self)
        if self.circulations_neg:
            down = rounds(-h, self.theta_neg, alpha, self.circulations_neg, self.surrogate)
            v = v + self.theta_neg * (down.detach() if self.detach_reset else down)
            s = s - down
        return s, v

    fused_fire = fire

    def equations(self) -> tuple[Form, dict[str, Any]]:
        """See SpikingNeuron."""
        form = Form(
            self.circulations, self.circulations_neg, self.reset == "hard", self.detach_reset, self.surrogate, False
        )
        values = self.values()
        return form, values if self.circulations_neg else values | {"theta_neg": None}

    def extra_repr(self) -> str:
        """Parameters, for print(module)."""
        return f"K={self.circulations}, K_neg={self.circulations_neg}, reset={self.reset}, {super().extra_repr()}"


def _problems(
    circulations: int, polarity: str, theta_neg: Parameter | None, circulations_neg: int | None, reset: str
) -> list[str]:
    found = []
    for name, value in (("circulations", circulations), ("circulations_neg", circulations_neg)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            found.append(f"{name} must be a whole number of 1 or more, got {value!r}")
    if polarity not in ("positive", "signed"):
        found.append(f"polarity must be 'positive' or 'signed', got {polarity!r}")
    if polarity == "positive" and (theta_neg is not None or circulations_neg is not None):
        found.append("theta_neg and circulations_neg need polarity='signed'")
    if reset not in ("soft", "hard"):
        found.append(f"reset must be 'soft' or 'hard', got {reset!r}")
    if reset == "hard" and (circulations != 1 or polarity != "positive"):
        found.append(
            f"reset='hard' needs circulations=1 and polarity='positive', got {circulations!r} and {polarity!r}; "
            "a reset to zero leaves nothing for a second round"
        )
    return found


MODULE = CirculateFire


def from_neuron(neuron: FloatNeuron) -> CirculateFire:
    """The module of a population, for a float run: its exact float32 parameters, one per neuron."""
    down = int(neuron.params["circulations_neg"])
    return CirculateFire(
        read_parameter(neuron, "beta"),
        read_parameter(neuron, "theta"),
        int(neuron.params["circulations"]),
        polarity="signed" if down else "positive",
        theta_neg=read_parameter(neuron, "theta_neg") if down else None,
        circulations_neg=down or None,
        beta_syn=read_optional(neuron, "beta_syn"),
        theta_reset=read_optional(neuron, "theta_reset"),
        drift=read_optional(neuron, "drift"),
    )


def to_neuron(module: nn.Module, shape: tuple[int, ...]) -> FloatNeuron | None:
    """The population of a module with soft reset (a soft LIF too: K = 1), or None.

    A drift of 0, or a theta_reset that is theta, is left out: it does nothing.
    shape: of the population.  Raises: InputError if the module's parameters have another.
    """
    if not isinstance(module, CirculateFire) or module.reset != "soft":
        return None
    params = {name: write_parameter(getattr(module, name), name, shape) for name in ("beta", "theta", "theta_neg")}
    whole = {name: np.float32(getattr(module, name)) for name in ("circulations", "circulations_neg")}
    params |= {name: np.asarray(value) for name, value in whole.items()}
    optional = write_optional(module, OPTIONAL, shape)
    idle = {"theta_reset": params["theta"], "drift": np.float32(0)}
    used = {name: value for name, value in optional.items() if name not in idle or np.any(value != idle[name])}
    return FloatNeuron("cf", shape, {**params, **used})
