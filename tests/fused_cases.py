"""Drawn calls of the fused neuron."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neuro_deploy.neurons.fused import Form, Inputs, Outputs


class Case(NamedTuple):
    """A combination of options.  names: the optional parameters; start: v0 (and u0) are given."""

    form: Form
    names: tuple[str, ...] = ()
    start: bool = False


def form(up: int = 1, down: int = 0, hard: bool = False, detach: bool = False, surrogate: str = "sigmoid") -> Form:
    return Form(up, down, hard, detach, surrogate, False)


CASES = {
    "lif": Case(form()),
    "cf": Case(form(3, surrogate="arctan")),
    "cf, current, theta_reset, drift": Case(form(2), ("beta_syn", "theta_reset", "drift"), True),
    "cf, detached": Case(form(3, detach=True)),
    "many rounds": Case(form(12, surrogate="triangle"), ("drift",)),
    "signed": Case(form(3, 2), ("theta_neg",), True),
    "signed, detached, current": Case(form(2, 3, detach=True, surrogate="arctan"), ("theta_neg", "beta_syn")),
    "hard": Case(form(hard=True, surrogate="triangle"), (), True),
    "hard, all": Case(form(hard=True), ("v_reset", "drift", "beta_syn"), True),
    "hard, detached, v_reset": Case(form(hard=True, detach=True), ("v_reset",)),
}
RANGES = {
    "beta": (0.5, 1.0), "theta": (0.3, 1.0), "theta_neg": (0.3, 0.8), "theta_reset": (0.0, 1.4),
    "v_reset": (-0.5, 0.25), "drift": (-0.3, 0.4), "beta_syn": (0.2, 0.8),
}  # fmt: skip


def draw(
    case: Case, shape: tuple[int, ...], seed: int, *, per_neuron: bool, grid: bool = False, dtype: Any = torch.float32
) -> Inputs:
    """Inputs for x of this shape; grid: quarters, so that potentials lie on thresholds."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(size: tuple[int, ...], low: float, high: float) -> Tensor:
        values = torch.rand(size, generator=generator, dtype=dtype) * (high - low) + low
        return (values * 4).round() / 4 if grid else values

    values = {name: uniform(shape[2:] if per_neuron else (), *RANGES[name]) for name in ("beta", "theta", *case.names)}
    x = uniform(shape, -2.0, 3.0)
    v0 = uniform(shape[1:], -1.0, 1.0) if case.start else None
    u0 = uniform(shape[1:], -1.0, 1.0) if case.start and "beta_syn" in case.names else None
    alpha = torch.rand(shape[0], generator=generator, dtype=dtype) * 2 + 0.5
    rest = {name: values.get(name) for name in Inputs._fields[2:9]}
    return Inputs(x, alpha, v0=v0, u0=u0, **rest)  # type: ignore[arg-type]


def draw_grads(outputs: Outputs, seed: int, which: tuple[bool, ...] = (True, True, True, True)) -> Outputs:
    """Gradients of those outputs that there are."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.randn(t.shape, generator=generator, dtype=t.dtype) if t is not None and wanted else None
        for t, wanted in zip(outputs, which, strict=True)
    ]
    return Outputs(*drawn)
