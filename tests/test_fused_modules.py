"""The fused neuron in the modules: the same numbers as step by step, also in training, compiled, watched and forked."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neuro_deploy as nd
from neuro_deploy.errors import InputError
from neuro_deploy.neurons import fused, part
from neuro_deploy.neurons.fused import cpu, op
from neuro_deploy.neurons.observing import observe
from neuro_deploy.neurons.torch import SpikingNeuron, State, Stepper

MODULES: dict[str, Any] = {
    "cf": lambda **o: nd.nn.CirculateFire(0.9, 0.6, 3, **o),
    "signed, current": lambda **o: nd.nn.CirculateFire(
        0.9, [0.6] * 40, 2, polarity="signed", circulations_neg=1, beta_syn=0.5, **o
    ),
    "cf, theta_reset, drift": lambda **o: nd.nn.CirculateFire(0.8, 0.6, 2, theta_reset=0.75, drift=0.125, **o),
    "lif": lambda **o: nd.nn.LIF([0.9] * 40, 0.7, surrogate="arctan", **o),
    "hard, v_reset": lambda **o: nd.nn.LIF(0.9, 0.7, reset="hard", v_reset=-0.25, detach_reset=True, **o),
}
STEPS, BATCH, SIZE = 6, 128, 40


@contextmanager
def step_by_step() -> Iterator[None]:
    """Modules do without the fused neuron."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpikingNeuron, "_call", lambda self, x, state: self._check(x, state))
        yield


@pytest.fixture(autouse=True)
def _count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which implementations ran."""
    ran: list[str] = []
    for name in ("forward", "backward"):
        original = getattr(cpu, name)
        monkeypatch.setattr(cpu, name, lambda *a, f=original, n=name: (ran.append(n), f(*a))[1])
    return ran


def drive(seed: int, size: int = SIZE) -> Tensor:
    return torch.randn(STEPS, BATCH, size, generator=torch.Generator().manual_seed(seed)) + 0.2


def everything(model: nn.Module, x: Tensor, watch: bool) -> dict[str, Tensor]:
    """Spikes, states and gradients, with a loss on spikes, and on v, h and u where they are watched."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    weight = torch.linspace(-1, 1, x.numel()).view_as(x)
    if watch:
        with observe(model) as states:
            s = model(x)
        found = {n: t for n, t in states[""]._asdict().items() if t is not None}
        loss = (s * weight).sum() + sum((t * weight).cos().sum() for n, t in found.items() if n != "spikes")
        loss = loss + 100 * nd.nn.balance_loss(states)
    else:
        s, found = model(x), {}
        loss = (s * weight).sum()
    loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    assert x.grad is not None
    return {"s": s.detach(), "x": x.grad, **grads, **{n: t.detach() for n, t in found.items()}}


@pytest.mark.parametrize("watch", [False, True], ids=["", "watched"])
@pytest.mark.parametrize("name", MODULES)
def test_fused_is_step_by_step(name: str, watch: bool, _count: list[str]) -> None:
    """Spikes, v, h, u, and gradients of x bit for bit; of alpha too, but where two polarities are added."""
    model, x = MODULES[name](alpha=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], steps=STEPS), drive(1)
    got = everything(model, x, watch)
    assert _count == ["forward", "backward"]
    with step_by_step():
        want = everything(model, x, watch)
    assert _count == ["forward", "backward"] and list(got) == list(want)
    assert (want["s"] >= 1).any() and (want["x"] != 0).any()
    for key, value in want.items():
        if key == "raw_alpha" and name.startswith("signed"):
            torch.testing.assert_close(got[key], value, rtol=1e-6, atol=0)
        else:
            assert torch.equal(got[key], value), key


@pytest.mark.parametrize("name", ["cf", "signed, current", "hard, v_reset"])
def test_beta_and_theta_are_learned(name: str, _count: list[str]) -> None:
    """Their gradients, and that they stay in their ranges whatever the optimizer does."""
    model, x = MODULES[name](learnable_beta=True, learnable_theta=True), drive(2)
    learned = {n.split(".")[1] for n, _ in model.named_parameters() if "original" in n}
    assert learned == {"beta", "theta"} | ({"theta_neg"} if name.startswith("signed") else set())
    got = everything(model, x, True)
    with step_by_step():
        want = everything(model, x, True)
    assert _count == ["forward", "backward"]
    for key, value in want.items():
        assert value.count_nonzero() > 0
        torch.testing.assert_close(got[key], value, rtol=2e-5, atol=2e-5 * value.abs().max().item(), msg=key)
    for push in (-30.0, 30.0):
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "original" in n:
                    p.fill_(push)
        assert model.beta.min() >= 0 and model.beta.max() <= 1 and model.theta.min() > 0
    again = MODULES[name](learnable_beta=True, learnable_theta=True)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(x), model(x))


def test_a_learned_neuron_is_exported_as_it_is() -> None:
    model = nd.nn.CirculateFire([0.25, 0.5, 0.75], 0.75, 2, learnable_beta=True, learnable_theta=True)
    neuron = part("cf", "torch").to_neuron(model, (3,))
    np.testing.assert_allclose(neuron.params["beta"], [0.25, 0.5, 0.75], rtol=1e-6)
    x = drive(3, 3)
    assert torch.equal(part("cf", "torch").from_neuron(neuron)(x), model(x))
    with pytest.raises(InputError, match=r"a beta that is learned must be within \(0, 1\), got 1.0"):
        nd.nn.LIF(1.0, learnable_beta=True)
    with pytest.raises(InputError, match=r"beta has shape \(3,\), but the input's neurons \(5,\)"):
        model(torch.ones(2, 2, 5))


def trained(seed: int, kind: str) -> tuple[list[Tensor], Tensor]:
    """Weights after a short training, and the output spikes."""
    torch.manual_seed(seed)
    model = nd.nn.mlp(20, [64, 64], 10, steps=4, neuron=kind)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    x, y = torch.randn(4, 512, 20), torch.randint(0, 10, (512,))
    for i in range(40):
        at = torch.randint(0, 512, (96,))
        with observe(model) as states:
            spikes = model(x[:, at])
        loss = nd.nn.rate_cross_entropy(spikes, y[at]) + (0.1 * nd.nn.balance_loss(states) if i % 2 else 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()], model.eval()(x).detach()


@pytest.mark.parametrize("kind", ["cf", "lif"])
def test_a_seed_trains_to_the_same_spikes(kind: str, _count: list[str]) -> None:
    with torch.random.fork_rng():
        got = trained(5, kind)
        assert len(_count) > 100
        with step_by_step():
            want = trained(5, kind)
        other = trained(6, kind)
    assert all(torch.equal(a, b) for a, b in zip(got[0], want[0], strict=True))
    assert torch.equal(got[1], want[1]) and got[1].any() and not torch.equal(got[1], other[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, where inductor is imported
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_models(backend: str, _count: list[str]) -> None:
    if backend == "inductor" and sys.platform != "linux":
        pytest.skip("inductor needs a C++ compiler")
    model, x = MODULES["cf"](steps=STEPS), drive(4)
    want = everything(model, x, False)
    torch._dynamo.reset()
    model.compile(backend=backend, fullgraph=True)
    _count.clear()
    got = everything(model, x, False)
    assert _count == ["forward", "backward"]
    assert all(torch.equal(got[key], want[key]) for key in want)
    with observe(model) as states:
        model(x)
    assert torch.equal(states[""].spikes, want["s"])
    torch._dynamo.reset()


def test_autocast(_count: list[str]) -> None:
    layer, model = nn.Linear(SIZE, SIZE), MODULES["cf"]()
    with torch.autocast("cpu", torch.bfloat16):
        x = layer(drive(5))
        s = model(x)
    assert x.dtype == torch.bfloat16 and s.dtype == torch.float32 and s.any() and _count == ["forward"]
    s.sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.any()
    with step_by_step():
        assert torch.equal(model(x.float()), s)


class Late(nd.nn.LIF):
    """Fires by another rule."""

    def fire(self, h: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        s, v = super().fire(h - 0.5, alpha)
        return s, v


def test_what_the_kernels_do_not_serve_goes_step_by_step(_count: list[str]) -> None:
    x = drive(6)
    stepper = Stepper(Late(), STEPS)
    assert torch.equal(Late()(x), torch.stack([stepper.step(step) for step in x]))
    nd.nn.LIF().double()(x)
    model = nd.nn.CirculateFire(drift=0.125)
    model.drift.requires_grad_()
    model(x).sum().backward()
    assert model.drift.grad is not None and not _count
    i = fused.Inputs(x[:1, :2], torch.ones(1), torch.tensor(0.5), torch.tensor(1.0), *[None] * 7)
    odd = fused.Form(17, 0, False, False, "triangle", False)
    assert op.choose(i, odd) == "plain" and op.choose(i._replace(x=x), odd) == "cpu"


def test_training_of_few_neurons_does_not_depend_on_what_ran_before() -> None:
    """Learned beta and theta too, whose gradients are sums: below the size from which kernels are worth it."""

    def weights() -> list[Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = nn.Sequential(nn.Linear(12, 9), nd.nn.CirculateFire(learnable_beta=True, learnable_theta=True))
            optimizer = torch.optim.Adam(model.parameters(), 0.05)
            x, y = torch.randn(5, 16, 12), torch.rand(16, 9) * 3
            for _ in range(60):
                optimizer.zero_grad()
                (model(x).mean(0) - y).square().mean().backward()
                optimizer.step()
            return [p.detach().clone() for p in model.parameters()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op, "_met", lambda i, form: False)
        want = weights()
        patch.setattr(op, "_met", lambda i, form: True)
        got = weights()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("name", ["cf", "signed, current", "hard, v_reset"])
def test_a_sequence_in_two_parts(name: str) -> None:
    """The second goes on where the first ended, gradients too."""
    model, x = MODULES[name](), drive(8)
    whole, parts = x.clone().requires_grad_(), x.clone().requires_grad_()
    want = model(whole)
    with observe(model) as states:
        first = model(parts[:2])
        seen = states[""]
        second = model(parts[2:], State(seen.v[-1], None if seen.u is None else seen.u[-1]))
    assert torch.equal(torch.cat([first, second]), want) and second.any()
    weight = torch.linspace(-1, 1, x.numel()).view_as(x)
    (want * weight).sum().backward()
    (torch.cat([first, second]) * weight).sum().backward()
    assert whole.grad is not None and torch.equal(whole.grad, parts.grad)
    for bad in (State(x[0, :, 1:]), State(x[0, 1:]), State(x[0], x[0]) if seen.u is None else State(x[0])):
        with pytest.raises(InputError, match="state"):
            model(x, bad)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_trace_computes() -> None:
    model, x = MODULES["lif"](), drive(9)
    with torch.no_grad():
        traced = torch.jit.trace(model, x)
        assert torch.equal(traced(-x), model(-x)) and not torch.equal(model(x), model(-x))


def test_parameters_of_several_dtypes_go_step_by_step(_count: list[str]) -> None:
    model, x = MODULES["cf"](), drive(10)
    want = model(x)
    _count.clear()
    model.theta = model.theta.double()
    assert torch.equal(model(x).float(), want) and not _count
    for p in model.parameters():
        p.data = p.data.bfloat16()
    model(x.requires_grad_()).sum().backward()
    assert not _count


def test_learned_neurons_are_exported_as_they_are() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 40), MODULES["cf"](learnable_beta=True, learnable_theta=True)).eval()
    x = torch.rand(4, 8, 6)
    graph = nd.export_nir(model, dt=0.001, input_shape=(6,), steps=4, input_low=0.0, input_high=1.0)
    got = nd.simulate(graph, x.numpy(), backend="reference")
    assert np.array_equal(got.aligned(list(got.populations)[-1], "spikes"), model(x).detach().numpy())
    remove = torch.nn.utils.parametrize.remove_parametrizations
    want = model(x)
    for name in ("beta", "theta"):
        remove(model[1], name)
    assert torch.equal(model(x), want) and want.any()


def _child(x: Any, pipe: Any) -> None:
    torch.set_num_threads(2)
    with torch.no_grad():
        pipe.send(nd.nn.LIF(0.9, 0.7)(torch.from_numpy(x)).numpy())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_children_after_threads(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child does not wait for its parent's threads, which it does not have."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    x = drive(7, 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    want = nd.nn.LIF(0.9, 0.7)(x)
    assert want.any()
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(x.numpy(), theirs))
    child.start()
    theirs.close()
    try:
        assert ours.poll(60), "the child hangs"
        assert np.array_equal(ours.recv(), want.detach().numpy())
    finally:
        child.join(10)
        if child.is_alive():
            child.kill()
