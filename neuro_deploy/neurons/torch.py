"""What torch modules of all neuron kinds share: a step and the loop over it, and the surrogate's sharpness.

Forward passes are exact: every line of an equation is one float32 operation of its own, rounded once, in the order that
the docstring gives, so another implementation of the same operations in the same order agrees bit for bit.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from . import fused
from .fused.surrogate import BUMPS
from .observing import States, watchers
from .parameters import FINITE, INSIDE, LEAK, Leak, Parameter, Positive, learned, parameter

DEFAULT_ALPHA = 4.0
SURROGATES = BUMPS


class State(NamedTuple):
    """What a population keeps from one step to the next: v, and u where there is a current; each (B, *shape)."""

    v: Tensor
    u: Tensor | None = None


class Neuron(nn.Module, ABC):
    """A population of leaky neurons over time; a kind's module derives from it, or from SpikingNeuron, and says `fire`.

        u[t] = beta_syn * u[t-1] + x[t]      only with beta_syn, a synaptic current; else u[t] = x[t]
        h[t] = beta * v[t-1] + u[t]          a product, then a sum, each rounded to float32; v[-1] = u[-1] = 0
        h[t] = h[t] + drift                  only with drift: one more sum
        s[t], v[t] = fire(h[t])

    Call: x (T, B, *shape) -> `output` of each step, (T, B, *shape), in the dtype of the parameters (float32), to which
    x is converted first, under autocast too.  `state`, a State of (B, *shape), with gradients, is what the last step of
    an earlier part of the sequence left (`observe` shows it: State(states.v[-1])); None: zeros.
    beta, beta_syn: leaks, [0, 1].   drift: a constant that moves the potential but not the current, finite; None: none.
    All float32, one number or one per neuron (of the population's shape).
    Raises: InputError.
    """

    beta: Tensor
    beta_syn: Tensor | None
    drift: Tensor | None

    def __init__(self, beta: Parameter, beta_syn: Parameter | None = None, drift: Parameter | None = None) -> None:
        super().__init__()
        where = type(self).__name__
        self.register_buffer("beta", parameter(where, "beta", beta, LEAK))
        self.register_buffer("beta_syn", None if beta_syn is None else parameter(where, "beta_syn", beta_syn, LEAK))
        self.register_buffer("drift", None if drift is None else parameter(where, "drift", drift, FINITE))

    @abstractmethod
    def fire(self, h: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and the potential after firing, from h (B, *shape) and this step's alpha ()."""

    def output(self, s: Tensor, state: State) -> Tensor:
        """What the population sends in a step, (B, *shape): its spikes."""
        return s

    def alphas(self, steps: int) -> Iterator[Tensor]:
        """The surrogate's sharpness in each step, (); 1 for a kind that has none."""
        return itertools.repeat(self.beta.new_ones(()), steps)

    def start(self, x: Tensor) -> State:
        """The state before the first step, zeros like x (B, *shape)."""
        return State(torch.zeros_like(x), None if self.beta_syn is None else torch.zeros_like(x))

    def step(self, x: Tensor, state: State, alpha: Tensor) -> tuple[Tensor, Tensor, State]:
        """s, h and the new state of one step.  x: (B, *shape), in the parameters' dtype; alpha: ()."""
        u = None
        if self.beta_syn is not None:
            x = u = self.beta_syn * cast(Tensor, state.u) + x
        h = self.beta * state.v + x
        if self.drift is not None:
            h = h + self.drift
        s, v = self.fire(h, alpha)
        return s, h, State(v, u)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """The output (T, B, *shape).  state: before the first step.  Raises: InputError for a wrong shape."""
        self._check(x, state)
        stepper = Stepper(self, len(x), state)
        sent = torch.stack([stepper.step(drive) for drive in x.to(self.beta.dtype).unbind(0)])
        stepper.finish()
        return sent

    def _check(self, x: Tensor, state: State | None = None) -> None:
        where = type(self).__name__
        if x.ndim < 2 or len(x) == 0:
            raise InputError(f"{where}: expected an input of shape (T, B, ...) with T >= 1, got {tuple(x.shape)}")
        for name, value in self._values():
            if value.ndim and value.shape != x.shape[2:]:
                raise InputError(
                    f"{where}: {name} has shape {tuple(value.shape)}, but the input's neurons {tuple(x.shape[2:])}"
                )
        if state is not None and (self.beta_syn is None) != (state.u is None):
            raise InputError(f"{where}: a state has a current u where there is a beta_syn, and only there")
        for name, value in () if state is None else state._asdict().items():
            if value is not None and value.shape != x.shape[1:]:
                raise InputError(
                    f"{where}: the state's {name} has shape {tuple(value.shape)}, not {tuple(x.shape[1:])}"
                )

    def _values(self) -> Iterator[tuple[str, Tensor]]:
        """Names and values of the parameters, those that are learned too."""
        there = (*self._buffers.items(), *self._parameters.items())
        yield from ((name, value) for name, value in there if value is not None and name != "raw_alpha")
        yield from ((name, getattr(self, name)) for name in getattr(self, "parametrizations", ()))

    def extra_repr(self) -> str:
        """Parameters, for print(module)."""
        return ", ".join(f"{n}={v.item():g}" if v.ndim == 0 else f"{n}={tuple(v.shape)}" for n, v in self._values())


class Stepper:
    """A population going through time, one step a call, for loops that forward over a whole sequence cannot run.

    stepper = Stepper(neuron, steps=T)
    y = [stepper.step(x) for x in sequence]      # x, y: (B, *shape)
    stepper.finish()                             # tells `observe` what the population did
    """

    def __init__(self, neuron: Neuron, steps: int, state: State | None = None) -> None:
        self._neuron = neuron
        self._alphas = neuron.alphas(steps)
        self._state = state
        self._watchers = watchers()
        self._seen: list[States] = []

    def step(self, x: Tensor) -> Tensor:
        """The population's output of the next step."""
        neuron, x = self._neuron, x.to(self._neuron.beta.dtype)
        state = neuron.start(x) if self._state is None else self._state
        s, h, self._state = neuron.step(x, state, next(self._alphas))
        if self._watchers:
            self._seen.append(States(s, self._state.v, h, self._state.u))
        return neuron.output(s, self._state)

    def finish(self) -> None:
        """Tell the watchers, if there are any."""
        if not self._watchers:
            return
        spikes, v, h, u = zip(*self._seen, strict=True)
        current = None if self._neuron.beta_syn is None else torch.stack(u)
        states = States(torch.stack(spikes), torch.stack(v), torch.stack(h), current)
        for note in self._watchers:
            note(self._neuron, states)


class SpikingNeuron(Neuron):
    """A population that fires at a threshold, with a surrogate gradient; a kind's module says how by `fire`.

    Call: x (T, B, *shape) -> spikes (T, B, *shape), whole numbers; see Neuron for the equations, beta, beta_syn, drift.
    theta: threshold, > 0; float32, one number or one per neuron (of the population's shape).
    surrogate, alpha: the smooth bump that stands for ds/dh in the backward pass, and its sharpness at the start, > 0.
    steps: T.  Then alpha is learned for each time step (TSL-SG), of shape (T,), and training with another T is refused;
        without it one alpha of shape (1,) serves all steps.   learnable_alpha: False keeps alpha as it is.
    learnable_beta, learnable_theta: True learns beta, within (0, 1), as sigmoid(raw), and theta (of signed neurons
        theta_neg too), above 0, as softplus(raw): `parametrizations.beta.original` and so on in the state_dict.
    Raises: InputError.   Source: TSL-SG is our reading of arXiv 2605.27412.
    """

    theta: Tensor
    fused_fire: ClassVar[Callable[..., tuple[Tensor, Tensor]] | None] = None
    _fusible: ClassVar[bool] = False
    """True if a kind fires by the fused neuron's equations, and changes nothing of what is around them."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        around = all(getattr(cls, name) is getattr(SpikingNeuron, name) for name in OVER_TIME)
        cls._fusible = cls.fire is cls.fused_fire and around

    def __init__(
        self,
        beta: Parameter,
        theta: Parameter,
        *,
        beta_syn: Parameter | None = None,
        drift: Parameter | None = None,
        surrogate: str = "sigmoid",
        alpha: float | Sequence[float] = DEFAULT_ALPHA,
        steps: int | None = None,
        learnable_alpha: bool = True,
        learnable_beta: bool = False,
        learnable_theta: bool = False,
    ) -> None:
        super().__init__(beta, beta_syn, drift)
        self.register_buffer("theta", parameter(type(self).__name__, "theta", theta))
        if learnable_beta:
            parameter(type(self).__name__, "a beta that is learned", beta, INSIDE)
            learned(self, "beta", Leak())
        if learnable_theta:
            learned(self, "theta", Positive())
        if surrogate not in SURROGATES:
            raise InputError(f"{type(self).__name__}: surrogate '{surrogate}' is unknown; use {', '.join(SURROGATES)}")
        if steps is not None and steps < 1:
            raise InputError(f"{type(self).__name__}: steps must be 1 or more, got {steps}")
        start = parameter(type(self).__name__, "alpha", alpha).double()
        if start.ndim > 1 or (start.ndim == 1 and len(start) not in (1, steps or 1)):
            raise InputError(f"{type(self).__name__}: alpha has shape {tuple(start.shape)}, expected ({steps or 1},)")
        raw = Positive().right_inverse(start)
        self.surrogate = surrogate
        self.steps = steps
        self.raw_alpha = nn.Parameter(raw.expand(steps or 1).float().clone(), requires_grad=learnable_alpha)

    @property
    def alpha(self) -> Tensor:
        """The surrogate's sharpness, > 0, (T,) or (1,): softplus(raw_alpha)."""
        return nn.functional.softplus(self.raw_alpha)

    def sharpness(self, steps: int) -> Tensor:
        """alpha of each step, (steps,); the last one goes on."""
        alpha = self.alpha
        given = alpha.shape[0]
        if given == steps:
            return alpha
        if given == 1:
            return alpha.expand(steps)
        return torch.cat([alpha[:steps], alpha[-1:].expand(max(0, steps - len(alpha)))])

    def alphas(self, steps: int) -> Iterator[Tensor]:
        """The same, one (), after the other."""
        return iter(self.sharpness(steps).unbind(0))

    def equations(self) -> tuple[fused.Form, Mapping[str, Any]] | None:
        """The population in the fused neuron's terms: the form, and its parameters; None if it has others.

        A kind that has them says so here, and keeps the `fire` that they are true of as `fused_fire`.
        """
        return None

    def values(self) -> dict[str, Tensor | None]:
        """The fused neuron's parameters, by name; None: the population has no such thing."""
        there, learns = self._buffers, (*getattr(self, "parametrizations", ()), *self._parameters)
        return {n: there[n] if n in there else getattr(self, n) if n in learns else None for n in fused.PARAMETERS}

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Spikes (T, B, *shape), by the fused neuron where it knows the equations, else step by step: the same bits.

        Raises: InputError for a wrong shape.
        """
        call = self._call(x, state)
        if call is None:
            return super().forward(x, state)
        looking = watchers()
        s, v, h, u = fused.fire(*call, watch=bool(looking))
        for note in looking:
            note(self, States(cast(Tensor, s), cast(Tensor, v), cast(Tensor, h), u))
        return cast(Tensor, s)

    def _call(self, x: Tensor, state: State | None = None) -> tuple[fused.Inputs, fused.Form] | None:
        """What the fused neuron takes, or None where step by step is the way."""
        self._check(x, state)
        if not self._fusible or self.beta.dtype != torch.float32:
            return None
        found = self.equations()
        if found is None:
            return None
        form, parameters = found
        if any(p is not None and p.requires_grad for name, p in parameters.items() if name not in fused.LEARNED):
            return None
        i = fused.Inputs(x, self.sharpness(len(x)), **parameters, v0=state and state.v, u0=state and state.u)
        mixed = any(t is not None and (t.dtype != i.beta.dtype or t.device != x.device) for t in i[1:])
        return None if mixed else (i, form)

    def _check(self, x: Tensor, state: State | None = None) -> None:
        super()._check(x, state)
        if self.steps not in (None, len(x)) and self.training and torch.is_grad_enabled():
            raise InputError(
                f"{type(self).__name__}: alpha is learned for T = {self.steps} steps, got an input of {len(x)}; train "
                f"with T = {self.steps}, or build the neuron with steps={len(x)}, or steps=None for one alpha"
            )

    def extra_repr(self) -> str:
        """Parameters, for print(module)."""
        return f"{super().extra_repr()}, surrogate={self.surrogate}, steps={self.steps}"


OVER_TIME = ("step", "start", "output", "alphas", "sharpness", "alpha")
"""What a kind must not have changed to be fused."""
