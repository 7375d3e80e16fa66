"""CF, LIF and LI in torch: the equations against scalars in numpy's float32, the surrogate against autograd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import neuro_deploy as nd
from neuro_deploy.errors import InputError
from neuro_deploy.neurons import FloatNeuron, part
from neuro_deploy.neurons.observing import observe
from neuro_deploy.neurons.rounds import _Rounds, rounds
from neuro_deploy.neurons.torch import SURROGATES, Stepper

F = np.float32
STEPS, BATCH, SIZE = 7, 4, 6
KINDS: dict[str, dict[str, Any]] = {
    "positive": {"circulations": 3},
    "signed": {"circulations": 3, "polarity": "signed", "circulations_neg": 2},
    "hard": {"circulations": 1, "reset": "hard"},
    "lif": {"circulations": 1},
}
OPTIONS = {
    "current": ("beta_syn",),
    "reset to a value": ("v_reset",),
    "current, reset to a value": ("beta_syn", "v_reset"),
    "current, drift": ("beta_syn", "drift"),
    "all": ("beta_syn", "v_reset", "drift"),
    "drift": ("drift",),
    "theta_reset": ("theta_reset",),
    "theta_reset, drift": ("theta_reset", "drift"),
    "current, theta_reset, drift": ("beta_syn", "theta_reset", "drift"),
}
HARD = ("reset to a value", "current, reset to a value", "current, drift", "all", "drift")
SOFT = ("drift", "current, drift")
POSITIVE = (*SOFT, "theta_reset", "theta_reset, drift", "current, theta_reset, drift")
WITH_OPTIONS = [
    *((kind, "current") for kind in KINDS),
    *(("hard", name) for name in HARD),
    *(("signed", name) for name in SOFT),
    *((kind, name) for kind in ("positive", "lif") for name in POSITIVE),
]
Numbers = NDArray[np.float32]


def oracle(
    x: Numbers,
    beta: Numbers,
    theta: Numbers,
    theta_neg: Numbers,
    kind: str,
    beta_syn: Numbers | None = None,
    v_reset: Numbers | None = None,
    drift: Numbers | None = None,
    theta_reset: Numbers | None = None,
) -> tuple[dict[str, Numbers], int]:
    """Spikes, v, h, u and how often h lay on a threshold: numpy scalars, each operation rounded to float32."""
    options = KINDS.get(kind, {"circulations": 0})
    up_most, down_most = options["circulations"], options.get("circulations_neg", 0)
    out = {name: np.zeros(x.shape, F) for name in ("spikes", "v", "h") + (("u",) if beta_syn is not None else ())}
    on_threshold = 0
    for b in range(x.shape[1]):
        for n in range(x.shape[2]):
            v, u = F(0), F(0)
            for t in range(x.shape[0]):
                a = x[t, b, n]
                if beta_syn is not None:
                    u = a = F(F(beta_syn[n] * u) + a)
                    out["u"][t, b, n] = u
                p = F(beta[n] * v)
                h = F(p + a)
                if drift is not None:
                    h = F(h + drift[n])
                ups = [F(theta[n] * F(k)) for k in range(1, up_most + 1)]
                downs = [F(theta_neg[n] * F(k)) for k in range(1, down_most + 1)]
                on_threshold += h in ups or -h in downs
                up, down = sum(h > level for level in ups), sum(-h > level for level in downs)
                if kind == "hard":
                    v = (F(0) if v_reset is None else v_reset[n]) if up else h
                else:
                    taken = theta if theta_reset is None else theta_reset
                    v = F(h - F(taken[n] * F(up))) if up else F(h + F(theta_neg[n] * F(down)))
                out["spikes"][t, b, n], out["v"][t, b, n], out["h"][t, b, n] = up - down, v, h
    return out, on_threshold


def module(kind: str, beta: Any, theta: Any, theta_neg: Any, **more: Any) -> nd.nn.CirculateFire:
    if "v_reset" in more or (kind == "hard" and "drift" in more):
        return nd.nn.LIF(beta, theta, reset="hard", **more)
    signed = {"theta_neg": theta_neg} if kind == "signed" else {}
    return nd.nn.CirculateFire(beta, theta, **KINDS[kind], **signed, **more)


def run(model: nn.Module, x: Numbers) -> dict[str, Numbers]:
    with torch.no_grad(), observe(model) as states:
        sent = model(torch.from_numpy(x))
    assert torch.equal(sent, states[""].v if isinstance(model, nd.nn.Integrator) else states[""].spikes)
    return {name: value.numpy() for name, value in states[""]._asdict().items() if value is not None}


def assert_same(got: dict[str, Numbers], want: dict[str, Numbers]) -> None:
    assert list(got) == list(want)
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", [False, True], ids=["any", "on the thresholds"])
def test_equations_per_neuron(kind: str, grid: bool) -> None:
    rng = np.random.default_rng([len(kind), grid])
    if grid:
        beta, theta, theta_neg = (F(rng.choice([0, 0.5, 1], SIZE)), F(rng.choice([0.5, 1], SIZE)), F([0.25] * SIZE))
        x = F(rng.integers(-6, 12, (STEPS, BATCH, SIZE)) / 4)
    else:
        beta, theta, theta_neg = (F(rng.uniform(low, 1, SIZE)) for low in (0.0, 0.3, 0.4))
        x = F(rng.normal(0.5, 1.5, (STEPS, BATCH, SIZE)))
    want, on_threshold = oracle(x, beta, theta, theta_neg, kind)
    assert bool(on_threshold) == grid
    assert want["spikes"].max() == KINDS[kind]["circulations"]
    assert want["spikes"].min() == -KINDS[kind].get("circulations_neg", 0)
    assert_same(run(module(kind, beta, theta, theta_neg), x), want)


def drawn(names: tuple[str, ...], rng: np.random.Generator, grid: bool) -> dict[str, Numbers]:
    """Values of optional parameters, one per neuron, the first theta_reset 0; grid: in quarters."""
    ranges = {"beta_syn": (0, 1), "v_reset": (-1, 0.75), "drift": (-0.75, 0.5), "theta_reset": (0.2, 1.6)}
    draw = {name: rng.uniform(*ranges[name], SIZE) for name in names}
    draw |= {name: values * (np.arange(SIZE) > 0) for name, values in draw.items() if name == "theta_reset"}
    return {name: F(np.rint(values * 4) / 4 if grid else values) for name, values in draw.items()}


@pytest.mark.parametrize("grid", [False, True], ids=["any", "on the thresholds"])
@pytest.mark.parametrize(("kind", "options"), WITH_OPTIONS)
def test_equations_with_options(kind: str, options: str, grid: bool) -> None:
    rng = np.random.default_rng([len(kind), len(options), grid])
    beta, theta, theta_neg = F(rng.choice([0.5, 1], SIZE)), F(rng.choice([0.5, 1], SIZE)), F([0.25] * SIZE)
    x = F(rng.integers(-6, 8, (STEPS, BATCH, SIZE)) / 4)
    if not grid:
        beta, theta, theta_neg = (F(rng.uniform(low, 1, SIZE)) for low in (0.0, 0.3, 0.4))
        x = F(rng.normal(0.3, 1, x.shape))
    more = drawn(OPTIONS[options], rng, grid)
    want, on_threshold = oracle(x, beta, theta, theta_neg, kind, **more)
    assert bool(on_threshold) == grid
    assert want["spikes"].max() == KINDS[kind]["circulations"]
    for name in more:  # every option matters
        less = {key: value for key, value in more.items() if key != name}
        assert not np.array_equal(want["v"], oracle(x, beta, theta, theta_neg, kind, **less)[0]["v"]), name
    assert_same(run(module(kind, beta, theta, theta_neg, **more), x), want)


def test_what_a_round_takes_is_more_and_less_than_the_threshold() -> None:
    """Potentials go below zero by firing, and neurons fire again without input: both sides of theta occur."""
    x = np.full((6, 1, 2), 2.5, F)
    x[3:] = 0
    states = run(nd.nn.CirculateFire(1.0, 1.0, 2, theta_reset=[0.25, 1.75]), x)
    assert states["spikes"][:, 0].T.tolist() == [[2, 2, 2, 2, 2, 2], [2, 1, 2, 0, 0, 0]]
    assert states["v"][:, 0].T.tolist() == [[2.0, 4.0, 6.0, 5.5, 5.0, 4.5], [-1.0, -0.25, -1.25, -1.25, -1.25, -1.25]]


def test_without_reset_the_potential_stays() -> None:
    x = np.full((5, 1, 2), 1.0, F)
    states = run(nd.nn.CirculateFire([1.0, 0.5], 1.25, 3, theta_reset=0.0), x)
    assert states["v"][:, 0].T.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 1.5, 1.75, 1.875, 1.9375]]
    assert states["spikes"][:, 0].T.tolist() == [[0, 1, 2, 3, 3], [0, 1, 1, 1, 1]]
    assert_same({"h": states["h"]}, {"h": states["v"]})


@pytest.mark.parametrize("seed", range(4))
def test_a_reset_after_the_leak(seed: int) -> None:
    """h[t] = beta*h[t-1] + x[t] - theta*s[t-1], snnTorch's default, is theta_reset = theta/beta."""
    rng = np.random.default_rng(seed)
    beta, theta = rng.uniform(0.3, 0.99, SIZE), rng.uniform(0.3, 1.2, SIZE)
    beta, theta = F(beta).astype(np.float64), F(theta).astype(np.float64)
    x = F(rng.normal(0.4, 0.8, (40, 20, SIZE)))
    expected = np.zeros(x.shape)
    for b in range(20):
        for n in range(SIZE):
            h = s = 0.0
            for t in range(40):
                h = beta[n] * h + float(x[t, b, n]) - theta[n] * s
                s = expected[t, b, n] = float(h > theta[n])
    got = run(nd.nn.CirculateFire(beta, theta, 1, theta_reset=theta / beta), x)["spikes"]
    assert 0.2 < expected.mean() < 0.8
    assert not np.array_equal(run(nd.nn.CirculateFire(beta, theta, 1), x)["spikes"], expected)
    np.testing.assert_array_equal(got, expected)


def test_firing_at_the_threshold() -> None:
    """theta = nextafter(t, 0) and theta_reset = t: h >= t in float32, to the last bit, and what is left is h - t."""
    t = F([0.25, 0.7, 1.0, 3.1])
    ends = np.stack([np.nextafter(t, F(0)), t, np.nextafter(t, F(9)), t * F(1.5)])[:, None]
    states = run(nd.nn.CirculateFire(0.5, np.nextafter(t, F(0)), 1, theta_reset=t), ends[1:2])
    assert (states["spikes"] == 1).all() and not states["v"].any()
    for h, fires in zip(ends, (0, 1, 1, 1), strict=True):
        states = run(nd.nn.CirculateFire(0.5, np.nextafter(t, F(0)), 1, theta_reset=t), h[None])
        assert (states["spikes"] == fires).all()
        np.testing.assert_array_equal(states["v"], (h - t if fires else h)[None])


@pytest.mark.parametrize("names", [(), ("beta_syn",), ("drift",), ("beta_syn", "drift")])
def test_equations_of_an_integrator(names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(len(names))
    beta, more = F(rng.uniform(0.1, 1, SIZE)), drawn(names, rng, grid=False)
    x = F(rng.normal(0.3, 1, (STEPS, BATCH, SIZE)))
    want, _ = oracle(x, beta, beta, beta, "none", **more)
    assert not want["spikes"].any() and np.abs(want["v"]).max() > 1
    assert_same(run(nd.nn.Integrator(beta, **more), x), want)
    alone = run(nd.nn.Integrator(float(beta[0]), **{name: float(value[0]) for name, value in more.items()}), x)
    np.testing.assert_array_equal(alone["v"][..., 0], want["v"][..., 0])


@pytest.mark.parametrize("more", [{}, {"beta_syn": 0.7}, {"beta_syn": 0.7, "v_reset": -0.3, "drift": 0.1}])
def test_step_by_step_is_the_same(more: dict[str, float]) -> None:
    """The states and, with an alpha for each step, the gradients too."""
    model = nd.nn.LIF(0.8, 0.6, reset="hard", steps=5, alpha=[0.5, 1.0, 2.0, 3.0, 4.0], **more)
    x = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(2)) + 0.3
    found = []
    for way in ("forward", "step"):
        model.zero_grad()
        with observe(model) as states:
            if way == "forward":
                sent = model(x)
            else:
                stepper = Stepper(model, 5)
                sent = torch.stack([stepper.step(drive) for drive in x])
                assert not states
                stepper.finish()
        sent.sum().backward()
        assert model.raw_alpha.grad is not None and sent.any()
        found.append([sent, *(s for s in states[""] if s is not None), model.raw_alpha.grad.clone()])
    assert len(found[0]) == len(found[1]) == 5 + ("beta_syn" in more)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(list(KINDS)),
    st.floats(0, 1, width=32),
    st.floats(0.125, 2, width=32),
    st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=8),
)
def test_equations_scalar_parameters(kind: str, beta: float, theta: float, drive: list[float]) -> None:
    x = F(drive).reshape(-1, 1, 1)
    want, _ = oracle(x, F([beta]), F([theta]), F([theta]), kind)
    assert_same(run(module(kind, beta, theta, theta), x), want)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.integers(1, 40), st.lists(st.integers(-64, 64), min_size=1, max_size=20))
def test_error_below_theta_in_the_alexiewicz_norm(signed: bool, theta: int, drive: list[int]) -> None:
    """Without leak and with rounds enough, |sum of (x - theta*s) over any prefix| <= theta (arXiv 2402.07954)."""
    values = F(drive if signed else np.abs(drive)) / 16
    neuron = nd.nn.CirculateFire(1.0, theta / 16, 200, polarity="signed" if signed else "positive")
    spikes = run(neuron, values.reshape(-1, 1, 1))["spikes"].ravel()
    residue = np.cumsum(np.float64(values) - theta / 16 * np.float64(spikes))
    assert np.abs(residue).max() <= theta / 16


def test_too_few_rounds_break_that_bound() -> None:
    spikes = run(nd.nn.CirculateFire(1.0, 1.0, 2), np.full((2, 1, 1), 4, F))["spikes"].ravel()
    assert abs(8 - spikes.sum()) > 1


STEP_FUNCTIONS = {
    "sigmoid": torch.sigmoid,
    "triangle": lambda z: 0.5 + torch.where(z.abs() < 1, z - 0.5 * z * z.abs(), 0.5 * torch.sign(z)),
    "arctan": lambda z: torch.atan(0.5 * math.pi * z) / math.pi + 0.5,
}


class Smooth(_Rounds):
    """The same backward behind the smooth function: what gradcheck can check by finite differences."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, theta: Tensor, alpha: Tensor, circulations: int, surrogate: str) -> Tensor:
        _Rounds.forward(ctx, h, theta, alpha, circulations, surrogate)
        return torch.stack(
            [STEP_FUNCTIONS[surrogate](alpha * (h - k * theta)) for k in range(1, circulations + 1)]
        ).sum(0)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("circulations", [1, 3])
def test_backward_is_the_derivative_of_the_smooth_function(surrogate: str, circulations: int) -> None:
    h = torch.linspace(-2.13, 3.71, 23, dtype=torch.float64, requires_grad=True)
    alpha = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    theta = torch.tensor(0.8, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda h, a: Smooth.apply(h, theta, a, circulations, surrogate), (h, alpha))


def straight_through(x: Tensor, alpha: Tensor, model: nd.nn.CirculateFire) -> Tensor:
    """The same network with hard + smooth - smooth.detach(), all gradients by autograd."""
    step, v, u, out = STEP_FUNCTIONS[model.surrogate], torch.zeros_like(x[0]), torch.zeros_like(x[0]), []

    def count(h: Tensor, theta: Tensor, most: int, a: Tensor) -> Tensor:
        hard = sum((h > k * theta).double() for k in range(1, most + 1))
        smooth = sum((step(a * (h - k * theta)) for k in range(1, most + 1)), torch.zeros_like(h))
        return hard + smooth - smooth.detach()

    for t, drive in enumerate(x):
        u = drive if model.beta_syn is None else model.beta_syn * u + drive
        h = model.beta * v + u + (0 if model.drift is None else model.drift)
        s = count(h, model.theta, model.circulations, alpha[t])
        gone = s.detach() if model.detach_reset else s
        taken = model.theta if model.theta_reset is None else model.theta_reset
        v = h * (1 - gone) if model.reset == "hard" else h - taken * gone
        if getattr(model, "v_reset", None) is not None:
            v = v + model.v_reset * gone
        if model.circulations_neg:
            down = count(-h, model.theta_neg, model.circulations_neg, alpha[t])
            v, s = v + model.theta_neg * (down.detach() if model.detach_reset else down), s - down
        out.append(s)
    return torch.stack(out)


VALUES = {
    "beta_syn": [0.4, 0.7, 0.9],
    "v_reset": [-0.3, 0.2, 0.1],
    "drift": [0.1, -0.2, 0.3],
    "theta_reset": [0.3, 0.0, 1.5],
}
COMBINED = [
    *((kind, ()) for kind in KINDS),
    *((kind, ("beta_syn",)) for kind in KINDS),
    ("hard", ("beta_syn", "v_reset", "drift")),
    ("hard", ("drift",)),
    ("signed", ("drift",)),
    ("lif", ("theta_reset",)),
    ("positive", ("beta_syn", "theta_reset", "drift")),
]


@pytest.mark.parametrize(("kind", "names"), COMBINED)
@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("detach", [False, True])
def test_gradients_through_time(kind: str, names: tuple[str, ...], surrogate: str, detach: bool) -> None:
    rng = torch.Generator().manual_seed(3)
    alphas = [0.7, 1.1, 1.9, 0.4]
    options: dict[str, Any] = {"surrogate": surrogate, "alpha": alphas, "steps": 4, "detach_reset": detach}
    options |= {name: VALUES[name] for name in names}
    model = module(kind, [0.6, 0.9, 1.0], [0.5, 0.8, 1.1], [0.6, 0.7, 0.9], **options).double()
    x = torch.randn(4, 5, 3, generator=rng, dtype=torch.float64) + 0.6
    weight = torch.randn(4, 5, 3, generator=rng, dtype=torch.float64)
    grads = []
    for forward in (lambda x: model(x), lambda x: straight_through(x, model.alpha, model)):
        given_x = x.clone().requires_grad_()
        model.zero_grad()
        (forward(given_x) * weight).sum().backward()
        assert given_x.grad is not None and model.raw_alpha.grad is not None
        grads.append((given_x.grad, model.raw_alpha.grad.clone()))
    torch.testing.assert_close(grads[0], grads[1])
    assert (grads[0][1] != 0).all()


@pytest.mark.parametrize("names", [(), ("beta_syn",), ("drift",), ("beta_syn", "drift")])
def test_gradients_of_an_integrator(names: tuple[str, ...]) -> None:
    model = nd.nn.Integrator([0.6, 0.9, 1.0], **{name: VALUES[name] for name in names}).double()
    x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (x,))
    assert not list(model.parameters())


def test_a_current_in_front_of_the_surrogate_passes_gradcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the smooth function forward too, every gradient through u, h and the reset is a derivative."""
    monkeypatch.setattr("neuro_deploy.neurons.rounds._Rounds", Smooth)
    options: dict[str, Any] = {"beta_syn": [0.4, 0.7], "v_reset": [-0.3, 0.2], "drift": [0.1, -0.2]}
    model = nd.nn.LIF([0.6, 0.9], [0.5, 0.8], reset="hard", alpha=1.3, **options).double()
    x = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64, requires_grad=True)

    def smooth(x: Tensor, raw: Tensor) -> Tensor:
        return torch.func.functional_call(model, {"raw_alpha": raw}, (x,))

    assert torch.autograd.gradcheck(smooth, (x, model.raw_alpha))


def test_alpha_is_a_positive_parameter_per_step() -> None:
    model = nd.nn.CirculateFire(alpha=[0.01, 1.0, 50.0], steps=3)
    torch.testing.assert_close(model.alpha, torch.tensor([0.01, 1.0, 50.0]))
    assert model.raw_alpha.shape == (3,) and nd.nn.LIF().raw_alpha.shape == (1,)
    with torch.no_grad():
        model.raw_alpha -= 40
    assert (model.alpha > 0).all()
    assert not nd.nn.LIF(learnable_alpha=False).raw_alpha.requires_grad


def test_another_number_of_steps() -> None:
    model, x = nd.nn.CirculateFire(steps=4), torch.ones(6, 2, 3)
    with pytest.raises(InputError, match=r"alpha is learned for T = 4 steps, got an input of 6"):
        model(x)
    shared = nd.nn.CirculateFire()(x)
    with torch.no_grad():
        assert torch.equal(model(x), shared)
    assert torch.equal(model.eval()(x), shared)


def test_input_of_other_dtypes_is_computed_in_float32() -> None:
    x = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(0)) * 2
    model = nd.nn.CirculateFire()
    assert torch.equal(model(x.bfloat16()), model(x.bfloat16().float()))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(x), model(x.clone()))
        assert model(x).dtype == torch.float32


def test_lif_is_cf_with_one_round() -> None:
    x = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(1)) * 2
    assert torch.equal(nd.nn.LIF(0.8, 0.7)(x), nd.nn.CirculateFire(0.8, 0.7, 1)(x))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nd.nn.CirculateFire(beta=1.5), r"beta must be within \[0, 1\], got 1.5"),
        (lambda: nd.nn.CirculateFire(beta=[0.5, math.nan]), r"beta must be within \[0, 1\], got nan"),
        (lambda: nd.nn.CirculateFire(theta=0.0), "theta must be finite and above 0, got 0.0"),
        (lambda: nd.nn.CirculateFire(theta=math.inf), "theta must be finite and above 0, got inf"),
        (lambda: nd.nn.CirculateFire(theta=[]), "theta must be finite and above 0, got nothing"),
        (lambda: nd.nn.CirculateFire(circulations=0), "circulations must be a whole number of 1 or more, got 0"),
        (lambda: nd.nn.CirculateFire(circulations=2.5), "circulations must be a whole number of 1 or more, got 2.5"),
        (lambda: nd.nn.CirculateFire(reset="hard"), "reset='hard' needs circulations=1"),
        (lambda: nd.nn.CirculateFire(reset="none"), "reset must be 'soft' or 'hard', got 'none'"),
        (lambda: nd.nn.CirculateFire(polarity="both"), "polarity must be 'positive' or 'signed', got 'both'"),
        (lambda: nd.nn.CirculateFire(theta_neg=1.0), "need polarity='signed'"),
        (lambda: nd.nn.CirculateFire(polarity="signed", theta_neg=-1.0), "theta_neg must be finite and above 0"),
        (lambda: nd.nn.LIF(surrogate="box"), "surrogate 'box' is unknown; use sigmoid, triangle, arctan"),
        (lambda: nd.nn.LIF(alpha=0.0), "alpha must be finite and above 0"),
        (lambda: nd.nn.LIF(alpha=[1.0, 2.0], steps=3), r"alpha has shape \(2,\), expected \(3,\)"),
        (lambda: nd.nn.LIF(steps=0), "steps must be 1 or more, got 0"),
        (lambda: nd.nn.LIF([0.5, 0.5])(torch.ones(2, 3, 4)), r"beta has shape \(2,\), but the input's neurons \(4,\)"),
        (lambda: nd.nn.LIF(beta_syn=-0.5), r"beta_syn must be within \[0, 1\], got -0.5"),
        (lambda: nd.nn.Integrator(beta_syn=1.5), r"beta_syn must be within \[0, 1\], got 1.5"),
        (lambda: nd.nn.LIF(v_reset=0.5), "v_reset needs reset='hard', got 'soft'"),
        (lambda: nd.nn.LIF(reset="hard", v_reset=math.inf), "v_reset must be finite, got inf"),
        (lambda: nd.nn.LIF(reset="hard", drift=math.inf), "LIF: drift must be finite, got inf"),
        (lambda: nd.nn.CirculateFire(drift=math.nan), "CirculateFire: drift must be finite, got nan"),
        (lambda: nd.nn.Integrator(drift=math.nan), "drift must be finite, got nan"),
        (lambda: nd.nn.CirculateFire(theta_reset=-0.5), "theta_reset must be finite and 0 or more, got -0.5"),
        (lambda: nd.nn.CirculateFire(theta_reset=1.0, polarity="signed"), "theta_reset needs polarity='positive'"),
        (lambda: nd.nn.CirculateFire(1.0, 1.0, 1, theta_reset=1.0, reset="hard"), "and reset='soft', got 'positive'"),
        (lambda: nd.nn.CirculateFire(theta_reset=[1.0, 2.0])(torch.ones(2, 3, 4)), r"theta_reset has shape \(2,\)"),
        (lambda: nd.nn.Integrator(beta_syn=[0.5, 0.5])(torch.ones(2, 3, 4)), r"beta_syn has shape \(2,\)"),
        (lambda: nd.nn.LIF()(torch.ones(4)), r"expected an input of shape \(T, B, ...\)"),
    ],
)
def test_mistakes_are_explained(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.parametrize(("kind", "names"), COMBINED)
def test_to_and_from_a_float_neuron(kind: str, names: tuple[str, ...]) -> None:
    beta, theta, theta_neg = F([[0.25, 0.5, 0.75]]), F([[0.9, 1.1, 1.3]]), F([[0.8, 1.2, 1.4]])
    more = {name: F([VALUES[name]]) for name in names}
    model = module(kind, beta, theta, theta_neg, **more)
    found = {name: part(name, "torch").to_neuron(model, (1, 3)) for name in ("cf", "lif", "li")}
    neuron = found.pop("lif" if kind == "hard" else "cf")
    assert isinstance(neuron, FloatNeuron) and neuron.shape == (1, 3)
    assert not any(found.values())
    expected = {"beta": beta, "theta": theta, **more} | ({"theta_neg": theta_neg} if kind == "signed" else {})
    for name, values in expected.items():
        np.testing.assert_array_equal(neuron.params[name], values, err_msg=name)
    if kind == "signed":
        assert (neuron.params["circulations"], neuron.params["circulations_neg"]) == (3, 2)
    own = {"theta_neg", "circulations", "circulations_neg"} if kind != "hard" else set()
    assert set(neuron.params) == {"beta", "theta", *names} | own
    x = np.random.default_rng(0).normal(0.5, 1.5, (5, 4, 1, 3)).astype(F)
    assert_same(run(part(neuron.kind, "torch").from_neuron(neuron), x), run(model, x))
    with pytest.raises(InputError, match="has shape"):
        part(neuron.kind, "torch").to_neuron(model, (3,))


@pytest.mark.parametrize("names", [(), ("beta_syn",), ("drift",), ("beta_syn", "drift")])
def test_an_integrator_to_and_from_a_float_neuron(names: tuple[str, ...]) -> None:
    more = {name: F([VALUES[name]]) for name in names}
    model = nd.nn.Integrator(F([[0.25, 0.5, 1.0]]), **more)
    assert not any(part(kind, "torch").to_neuron(model, (1, 3)) for kind in ("cf", "lif"))
    neuron = part("li", "torch").to_neuron(model, (1, 3))
    assert list(neuron.params) == ["beta", *names] and neuron.kind == "li" and neuron.shape == (1, 3)
    for name, values in more.items():
        np.testing.assert_array_equal(neuron.params[name], values, err_msg=name)
    x = np.random.default_rng(0).normal(0.5, 1.5, (5, 4, 1, 3)).astype(F)
    assert_same(run(part("li", "torch").from_neuron(neuron), x), run(model, x))
    with pytest.raises(InputError, match="has shape"):
        part("li", "torch").to_neuron(model, (3,))


def test_what_does_nothing_is_not_stored() -> None:
    lif = nd.nn.LIF(reset="hard", beta_syn=0.0, v_reset=0.0, drift=[0.0, -0.0])
    assert set(part("lif", "torch").to_neuron(lif, (2,)).params) == {"beta", "theta", "beta_syn"}
    li = nd.nn.Integrator(beta_syn=0.5, drift=0.0)
    assert set(part("li", "torch").to_neuron(li, (2,)).params) == {"beta", "beta_syn"}
    cf = nd.nn.CirculateFire(theta=[0.5, 0.75], theta_reset=[0.5, 0.75], drift=0.0)
    assert not {"theta_reset", "drift"} & set(part("cf", "torch").to_neuron(cf, (2,)).params)
    one = nd.nn.CirculateFire(theta=[0.5, 0.75], theta_reset=0.5, drift=[0.0, 0.5])
    assert {"theta_reset", "drift"} <= set(part("cf", "torch").to_neuron(one, (2,)).params)
    x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(6)) * 2
    assert torch.equal(cf(x), nd.nn.CirculateFire(theta=[0.5, 0.75])(x))
    assert torch.equal(lif(x), nd.nn.LIF(reset="hard")(x)) and lif(x).any()


def test_a_soft_lif_with_a_drift_is_a_cf_neuron() -> None:
    lif, x = nd.nn.LIF(drift=0.25), torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(7))
    neuron = part("cf", "torch").to_neuron(lif, (2,))
    assert neuron.params["drift"] == 0.25 and neuron.params["circulations"] == 1
    assert torch.equal(part("cf", "torch").from_neuron(neuron)(x), lif(x)) and lif(x).any()
    assert not torch.equal(nd.nn.LIF()(x), lif(x))


def test_no_new_option_leaves_the_weights_file_as_it_was() -> None:
    assert list(nd.nn.LIF(reset="hard").state_dict()) == ["raw_alpha", "beta", "theta"]
    assert list(nd.nn.CirculateFire(polarity="signed").state_dict()) == ["raw_alpha", "beta", "theta", "theta_neg"]
    options = {"beta_syn": 0.5, "theta_reset": 0.5, "drift": 0.5}
    assert set(options) <= set(nd.nn.CirculateFire(**options).state_dict())


def test_other_modules_are_no_neurons() -> None:
    for kind in ("cf", "lif", "li"):
        assert part(kind, "torch").to_neuron(nn.Linear(2, 2), (2,)) is None


def test_observe_leaves_nothing_behind() -> None:
    model, other = nd.nn.mlp(3, [4], 2, steps=2), nd.nn.LIF()
    x = torch.ones(2, 1, 3)
    with observe(model) as outer:
        with observe(model) as inner:
            model(x)
            other(x)
        assert list(inner) == list(outer) == ["cf1", "cf2"]
    assert outer["cf2"].h.shape == (2, 1, 2) and outer["cf2"].h.requires_grad
    before = dict(outer)
    model(x)
    assert outer == before
    with pytest.raises(InputError), observe(model):
        model(torch.ones(3, 1, 3))


def test_gradient_of_the_threshold() -> None:
    theta = torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)
    h = torch.tensor([[0.5, 1.0], [1.5, 3.5]], dtype=torch.float64)
    assert rounds(h, theta, torch.tensor(2.0), 3, "sigmoid").tolist() == [[0, 1], [1, 3]]
    assert torch.autograd.gradcheck(lambda th: Smooth.apply(h, th, torch.tensor(2.0), 3, "sigmoid"), (theta,))
