"""The equations of the fused neuron, and what a call of it consists of.

For t = 0 .. T-1, element by element, each operation rounded by itself, in this order (R: theta_reset, or theta):

    u[t] = beta_syn * u[t-1] + x[t]         only with beta_syn; else u[t] = x[t]
    h[t] = beta * v[t-1] + u[t]
    h[t] = h[t] + drift                     only with drift
    up   = #{k in 1..K : h[t] > theta * k}               down = #{k in 1..K_neg : -h[t] > theta_neg * k}
    v[t] = h[t] - R * up                    soft; then, only with K_neg, v[t] = v[t] + theta_neg * down
    v[t] = h[t] * (1 - up)                  hard; then, only with v_reset, v[t] = v[t] + v_reset * up
    s[t] = up - down

Backward, with F' the surrogate's bump, a = alpha[t], z[k] = h - theta * k, all sums over k = 1..K from the first on:

    dup/dh = a * sum F'(a*z[k])    dup/dalpha = sum z[k] * F'(a*z[k])    dup/dtheta = -a * sum k * F'(a*z[k])

    a*z[k] in the unit of the bump (surrogate.py) is (a * unit) * (h - theta * k).

and likewise for down with -h, theta_neg, K_neg.  detach: up and down are constants where they reset v.  smooth: up and
down are the sums of F itself, of which all this is the derivative; for tests in float64.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Form(NamedTuple):
    """Which equations.  surrogate: a key of surrogate.BUMPS."""

    circulations: int
    circulations_neg: int
    hard: bool
    detach: bool
    surrogate: str
    smooth: bool


class Inputs(NamedTuple):
    """What goes in.  x: (T, B, *shape), of any float dtype; alpha: (T,); parameters: () or shape; v0, u0: (B, *shape).

    All but x have one dtype, in which everything is computed, and are on x's device.  None: the option is off;
    v0, u0: zeros.
    """

    x: Tensor
    alpha: Tensor
    beta: Tensor
    theta: Tensor
    theta_neg: Tensor | None
    theta_reset: Tensor | None
    v_reset: Tensor | None
    drift: Tensor | None
    beta_syn: Tensor | None
    v0: Tensor | None
    u0: Tensor | None


LEARNED = ("x", "alpha", "beta", "theta", "theta_neg", "v0", "u0")
"""The inputs that have gradients."""


PARAMETERS = Inputs._fields[2:9]
"""The inputs that belong to neurons, in the order of the kernels."""


class Outputs(NamedTuple):
    """s, and v, h, u where they are asked for (u: and there is a current): (T, B, *shape).  Also gradients of them."""

    s: Tensor | None
    v: Tensor | None
    h: Tensor | None
    u: Tensor | None


class Sums(NamedTuple):
    """Gradients before they are added up: x, v0, u0 as they are; alpha (T,), the rest (B, *shape), in float64.

    None: not asked for.
    """

    x: Tensor | None
    alpha: Tensor | None
    beta: Tensor | None
    theta: Tensor | None
    theta_neg: Tensor | None
    v0: Tensor | None
    u0: Tensor | None
