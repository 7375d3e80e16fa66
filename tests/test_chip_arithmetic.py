"""The pieces of training in a chip's arithmetic, against numpy, Python's integers and the float neurons' gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neuro_deploy as nd
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.fixed import LOIHI, decay_toward_zero
from neuro_deploy.neurons.chip import Dynamics, decay, population
from neuro_deploy.train.chip.arithmetic import (
    accumulates_exactly,
    mantissas,
    quantize,
    quantize_bias,
)
from neuro_deploy.train.chip.sums import Exactly, synaptic_sum
from neuro_deploy.train.chip.wires import wire_of
from neuro_deploy.wiring import Dense


def test_the_leak_is_exact_up_to_2_to_the_23() -> None:
    """Design ruling 8: drawn over the whole register, where float32 and int32 products are wrong."""
    rng = np.random.default_rng(8)
    edges = [s * (2**k + d) for k in range(24) for d in (-1, 0, 1) for s in (-1, 1)]
    v = np.concatenate([rng.integers(-(2**23), 2**23 + 1, 200_000), edges])
    factor = rng.integers(0, 4097, len(v))
    got = decay(torch.from_numpy(v), torch.from_numpy(factor), 12).numpy()
    assert np.array_equal(got, decay_toward_zero(v, factor))
    for i in range(0, len(v), 997):
        assert got[i] == (abs(int(v[i])) * int(factor[i]) // 4096) * (1 if v[i] > 0 else -1)
    single = np.trunc(v.astype(np.float32) * factor.astype(np.float32) / np.float32(4096))
    assert (single != got).mean() > 0.01
    assert ((v * factor) >> 12 != got).mean() > 0.4


def test_weights_are_rounded_clipped_and_pass_gradients() -> None:
    size = torch.tensor([[0.5], [0.25]], dtype=torch.float64)
    w = torch.tensor([[0.4, -1.6, 1.5, 200.0], [-0.3, 0.6, -99.0, 63.5]], requires_grad=True)
    q = quantize(w, size, 2, 254)
    assert q.tolist() == [[0, -4, 4, 254], [-2, 2, -254, 254]]
    q.sum().backward()
    assert w.grad is not None and w.grad.tolist() == [[2, 2, 2, 2], [4, 4, 0, 4]]
    (-quantize(w, size, 2, 254).sum()).backward()  # type: ignore[no-untyped-call]
    assert w.grad.tolist() == [[0, 0, 0, 2], [0, 0, -4, 0]]  # beyond the clip only gradients that lead back in


def test_biases_are_the_ones_that_compile_makes() -> None:
    rng = np.random.default_rng(0)
    edges = np.array([4095, 4095.5, 4095.6, 4096, 8190, 8191, 524160.0, 524200, -4095.6, -8191.2, 0.5, -0.5, 0])
    wanted = np.concatenate([rng.uniform(-6000, 6000, 2000), rng.uniform(-5e5, 5e5, 2000), edges])
    b = torch.from_numpy(wanted)
    q = quantize_bias(b, torch.ones_like(b), LOIHI)
    mantissa, exponent = mantissas(q, LOIHI)
    assert torch.equal(mantissa * 2.0**exponent, q)
    assert mantissa.abs().max() == 4095 and exponent.max() == 7
    smaller = exponent > 0
    assert bool(((q / 2.0 ** (exponent - 1)).abs()[smaller] > 4095).all())
    assert bool(((q - b).abs() <= 2.0 ** (exponent - 1) + 40 * (b.abs() > 524160)).all())
    toward, less = mantissas(b, LOIHI, toward_zero=True)
    assert bool(((toward * 2.0**less).abs() <= b.abs()).all())


def test_sums_take_the_dtype_in_which_they_are_exact() -> None:
    assert accumulates_exactly("fc", (1 << 24) - 1, 256) is torch.float32
    assert accumulates_exactly("fc", 1000, 257) is torch.float64
    assert accumulates_exactly("fc", 1 << 24, 1) is torch.float64
    assert accumulates_exactly("fc", (1 << 53) - 1, 1) is torch.float64
    with pytest.raises(UnsupportedError, match="fc: a synaptic sum can reach 9007199254740992, which no float"):
        accumulates_exactly("fc", 1 << 53, 1)


@pytest.mark.parametrize("exponent", [-3, 0, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_are_exact(exponent: int, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(1)
    s, q = rng.integers(-255, 256, (3, 5, 200)), 2 * rng.integers(-127, 128, (7, 200))
    q[0], s[0, 0] = 254, 255
    how = Exactly(dtype, exponent, wraps=False, most=0)
    got, _ = synaptic_sum(torch.from_numpy(s).float(), torch.from_numpy(q).double(), wire_of(Dense(q)), how)
    wanted = s @ q.T
    assert np.array_equal(got.numpy(), wanted << exponent if exponent >= 0 else wanted >> -exponent)
    assert abs(wanted).max() == 254 * 255 * 200 < 1 << 24


SIZE = 2.0**-10
"""Float value of a register step."""
EXACT = {"beta": 0.5, "theta": 8 * 64 * SIZE}
CASES: dict[str, tuple[nn.Module, dict[str, int]]] = {
    "cf": (nd.nn.CirculateFire(circulations=3, alpha=2.0, **EXACT), {"rounds": 3}),
    "triangle": (nd.nn.CirculateFire(circulations=2, surrogate="triangle", alpha=1.0, **EXACT), {"rounds": 2}),
    "detached": (nd.nn.CirculateFire(circulations=3, detach_reset=True, **EXACT), {"rounds": 3}),
    "signed": (
        nd.nn.CirculateFire(circulations=3, polarity="signed", theta_neg=4 * 64 * SIZE, circulations_neg=2, **EXACT),
        {"rounds": 3, "vth_neg": 4, "rounds_neg": 2},
    ),
    "taken": (
        nd.nn.CirculateFire(circulations=3, theta_reset=320 * SIZE, surrogate="arctan", **EXACT),
        {"rounds": 3, "theta_reset": 320},
    ),
    "current": (nd.nn.CirculateFire(circulations=3, beta_syn=0.5, **EXACT), {"rounds": 3, "du": 2047}),
    "lif": (nd.nn.LIF(reset="hard", **EXACT), {"du": 4095}),
    "lif to a value": (nd.nn.LIF(reset="hard", v_reset=-128 * SIZE, **EXACT), {"du": 4095, "v_reset": -128}),
    "lif detached": (nd.nn.LIF(reset="hard", detach_reset=True, beta_syn=0.5, **EXACT), {"du": 2047}),
    "li": (nd.nn.Integrator(0.5, beta_syn=0.5), {"du": 2047}),
}


def dynamics_of(module: Any, more: dict[str, int]) -> Dynamics:
    kind = "li" if isinstance(module, nd.nn.Integrator) else "lif" if module.reset == "hard" else "cf"
    given = {"dv": 2048, **more}
    if kind != "li":
        given["vth"] = 8
    if kind == "cf":
        given = {"vth_neg": 8, "rounds_neg": 0, **given}
    params = {name: torch.tensor(value) for name, value in given.items()}
    surrogate, detached = getattr(module, "surrogate", "sigmoid"), getattr(module, "detach_reset", False)
    return Dynamics(kind, params, LOIHI, torch.full((6,), SIZE), surrogate, detached, fires=kind != "li")


@pytest.mark.parametrize("name", list(CASES))
def test_gradients_are_those_of_the_float_neuron(name: str) -> None:
    """Where no leak rounds, float and integers agree in every number, and so must their gradients."""
    module, more = CASES[name]
    rng, steps = np.random.default_rng(4), 5
    a = torch.from_numpy(rng.integers(-12, 24, (steps, 4, 6)).astype(np.float64))
    cotangent = torch.from_numpy(rng.normal(size=(steps, 4, 6)).astype(np.float32))
    tilt = torch.from_numpy(rng.normal(size=(steps, 4, 6)).astype(np.float32))
    weight, bias = 64 * SIZE, torch.from_numpy(rng.integers(-3, 4, 6) * 64.0)
    whole, offset = a.clone().requires_grad_(), bias.clone().requires_grad_()
    alpha = torch.full((steps,), 4.0) if name == "li" else module.alpha.detach().expand(steps).clone()
    alpha.requires_grad_()
    x = (a * weight).float().requires_grad_()
    b = (bias * SIZE).float().requires_grad_()
    drift: Tensor = b if "beta_syn" not in dict(module.named_buffers()) or module.beta_syn is None else b * 0
    if module.beta_syn is not None:
        offset.data.zero_()
    (sent, level, *_), _ = population(whole, offset, alpha, dynamics_of(module, more))
    with nd.nn.observe(module) as seen:
        wanted = module(x + drift)
    assert torch.equal(sent, wanted) and torch.equal(level, seen[""].h)
    if name != "li":
        assert wanted.any()
    (sent * cotangent + level * tilt).sum().backward()  # type: ignore[no-untyped-call]
    (wanted * cotangent + seen[""].h * tilt).sum().backward()  # type: ignore[no-untyped-call]
    assert whole.grad is not None and x.grad is not None and offset.grad is not None and b.grad is not None
    assert torch.allclose(whole.grad.float(), x.grad * weight, rtol=1e-4, atol=1e-6)
    if module.beta_syn is None:
        assert torch.allclose(offset.grad.float(), b.grad * SIZE, rtol=1e-4, atol=1e-6)
    if name != "li":
        module.zero_grad()
        assert alpha.grad is not None and torch.isfinite(alpha.grad).all()


def test_alpha_gets_the_float_neurons_gradient() -> None:
    steps = 5
    module = nd.nn.CirculateFire(circulations=3, steps=steps, alpha=2.0, **EXACT)
    a = torch.from_numpy(np.random.default_rng(4).integers(-12, 24, (steps, 4, 6)).astype(np.float64))
    alpha = module.alpha
    alpha.retain_grad()
    (sent, *_), _ = population(a, torch.zeros(6).double(), alpha, dynamics_of(module, {"rounds": 3}))
    (sent * torch.arange(6)).sum().backward()  # type: ignore[no-untyped-call]
    assert module.raw_alpha.grad is not None
    got = module.raw_alpha.grad.clone()
    module.zero_grad()
    (module((a * 64 * SIZE).float()) * torch.arange(6)).sum().backward()
    assert torch.allclose(got, module.raw_alpha.grad, rtol=1e-4, atol=1e-6) and bool(got.any())
