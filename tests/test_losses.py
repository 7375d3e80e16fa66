"""Losses, batch norm and the network factory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import neuro_deploy as nd
from neuro_deploy.errors import InputError


def states(*potentials: list[float]) -> dict[str, nd.nn.States]:
    found = {}
    for i, h in enumerate(potentials):
        tensor = torch.tensor(h).reshape(-1, 1, 1)
        found[f"cf{i}"] = nd.nn.States(torch.zeros_like(tensor), tensor, tensor)
    return found


def test_balance_loss_by_hand() -> None:
    assert nd.nn.balance_loss(states([1.0, -1.0], [2.0, 1.0, -3.0])).item() == 0
    # P = 3, N = 1: ((3 - 1) / 4)^2 = 0.25; all negative: 1; mean of the layers
    torch.testing.assert_close(nd.nn.balance_loss(states([3.0, -1.0])), torch.tensor(0.25))
    torch.testing.assert_close(nd.nn.balance_loss(states([3.0, -1.0], [-2.0, -5.0])), torch.tensor(0.625))
    assert nd.nn.balance_loss(states([0.0, 0.0])).item() == 0


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_balance_loss_lies_between_0_and_1(h: list[float]) -> None:
    value = nd.nn.balance_loss(states(h)).item()
    assert 0 <= value <= 1 + 1e-5
    torch.testing.assert_close(nd.nn.balance_loss(states([*h, *(-x for x in h)])).item(), 0.0, atol=1e-6, rtol=0)


def test_balance_loss_needs_states_and_gives_gradients() -> None:
    with pytest.raises(InputError, match="no states"):
        nd.nn.balance_loss({})
    model = nd.nn.mlp(4, [5], 3, steps=2)
    with nd.nn.observe(model) as seen:
        model(torch.ones(2, 6, 4))
    nd.nn.balance_loss(seen).backward()
    weight = model.get_submodule("fc1").weight
    assert isinstance(weight, Tensor) and weight.grad is not None and weight.grad.any()


def test_rate_cross_entropy_by_hand() -> None:
    spikes = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[2.0, 1.0], [3.0, 0.0]]])
    label = torch.tensor([0, 1])
    rates = torch.tensor([[1.5, 0.5], [1.5, 0.0]])
    want = -torch.log_softmax(4 * rates, 1)[[0, 1], label].mean()
    torch.testing.assert_close(nd.nn.rate_cross_entropy(spikes, label, 4.0), want)
    with pytest.raises(InputError, match="expected spikes"):
        nd.nn.rate_cross_entropy(spikes, label[:1])


def test_the_lowest_index_wins_a_tie() -> None:
    assert nd.nn.decide(torch.tensor([[[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]])).tolist() == [1, 0]


def test_batch_norm_takes_statistics_over_time_and_batch() -> None:
    x = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0)) * 3 + 2
    norm = nd.nn.BatchNorm(3)
    y = norm(x)
    want = (x - x.mean((0, 1))) / torch.sqrt(x.var((0, 1), unbiased=False) + norm.eps)
    torch.testing.assert_close(y, want)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.mean((0, 1)))
    with pytest.raises(InputError, match=r"expected \(T, B, 3, \.\.\.\)"):
        norm(x[0])
    image = torch.randn(5, 7, 3, 4, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    axes = (0, 1, 3, 4)
    mean, variance = (v.view(3, 1, 1) for v in (image.mean(axes), image.var(axes, unbiased=False)))
    torch.testing.assert_close(nd.nn.BatchNorm(3)(image), (image - mean) / torch.sqrt(variance + norm.eps))


def test_mlp_names_its_layers() -> None:
    model = nd.nn.mlp(6, [5, 4], 3, steps=2, neuron="lif", batch_norm=False, neuron_args={"beta": 0.5})
    assert [n for n, _ in model.named_children()] == ["fc1", "lif1", "fc2", "lif2", "fc3", "lif3"]
    assert model(torch.ones(2, 7, 6)).shape == (2, 7, 3)
    names = [n for n, _ in nd.nn.mlp(6, [5], 3).named_children()]
    assert names == ["fc1", "bn1", "cf1", "fc2", "bn2", "cf2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": [0]}, "whole numbers of 1 or more"),
        ({"neuron": "cv"}, "neuron 'cv' is unknown; use one of cf, lif"),
        ({"neuron_args": {"leak": 0.5}}, "neuron_args do not fit CirculateFire.*leak"),
    ],
)
def test_mlp_explains_mistakes(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        nd.nn.mlp(**{"inputs": 4, "hidden": [3], "classes": 2, **options})
