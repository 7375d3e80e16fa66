"""Sinabs networks with distinct, non-default values in every parameter: `build(name)` gives (network, input, shape).

The input is (B, T, *shape); `squeezed` networks take it as (B * T, *shape).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import sinabs.layers as sl
import torch
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from torch import Tensor, nn

STEPS, BATCH = 50, 8


class Case(NamedTuple):
    """A network and its input.  circulations: what `from_sinabs` is told."""

    network: nn.Module
    x: Tensor
    shape: tuple[int, ...]
    circulations: int | None
    squeezed: bool = False


def _line(low: float, high: float, count: int) -> Tensor:
    return torch.linspace(low, high, count)


def _dense(first: nn.Module, second: nn.Module, gain: float = 1.0, bias: bool = True) -> nn.Module:
    """5 -> 9 -> 4, weights scaled by `gain`, biases positive."""
    network = nn.Sequential(nn.Linear(5, 9, bias=bias), first, nn.Linear(9, 4, bias=bias), second)
    with torch.no_grad():
        for module in (network[0], network[2]):
            module.weight.mul_(gain).add_(0.1)
            if bias:
                module.bias.abs_()
    return network


def _input() -> Tensor:
    return torch.rand(BATCH, STEPS, 5) * 2 - 0.4


def lif_multi() -> Case:
    """Several spikes a step, reset by subtraction, normalized input; one tau per neuron, and one for all."""
    first = sl.LIF(tau_mem=_line(3.0, 9.0, 9), spike_threshold=_line(0.11, 0.31, 9))
    second = sl.LIF(tau_mem=4.5, spike_threshold=torch.tensor(0.23))
    return Case(_dense(first, second), _input(), (5,), 16)


def lif_own() -> Case:
    """What Sinabs' own export says rightly: normalized input, reset by subtraction, no current."""
    first = sl.LIF(tau_mem=_line(3.0, 9.0, 9), spike_threshold=_line(0.11, 0.31, 9))
    second = sl.LIF(tau_mem=_line(2.5, 4.5, 4), spike_threshold=_line(0.2, 0.3, 4))
    return Case(_dense(first, second), _input(), (5,), 16)


def lif_raw() -> Case:
    """The same without normalization: Sinabs' own export is the same file."""
    first = sl.LIF(tau_mem=_line(3.0, 9.0, 9), spike_threshold=_line(0.8, 1.9, 9), norm_input=False)
    second = sl.LIF(tau_mem=_line(2.5, 4.5, 4), spike_threshold=_line(0.9, 1.6, 4), norm_input=False)
    return Case(_dense(first, second), _input(), (5,), 16)


def lif_single() -> Case:
    """One spike a step; what it takes away is not the threshold."""
    first = sl.LIF(3.5, None, torch.tensor(0.21), SingleSpike, MembraneSubtract(subtract_value=0.33))
    second = sl.LIF(5.5, None, torch.tensor(0.17), SingleSpike, MembraneSubtract())
    return Case(_dense(first, second), _input(), (5,), None)


def lif_max() -> Case:
    """At most three, and at most two, spikes a step."""
    first = sl.LIF(3.5, None, _line(0.07, 0.2, 9), MaxSpike(3), MembraneSubtract(subtract_value=0.09))
    second = sl.LIF(6.5, None, torch.tensor(0.06), MaxSpike(2), MembraneSubtract())
    return Case(_dense(first, second), _input(), (5,), None)


def lif_hard() -> Case:
    """Reset to zero."""
    first = sl.LIF(3.5, None, torch.tensor(0.21), SingleSpike, MembraneReset())
    second = sl.LIF(5.5, None, torch.tensor(0.17), MaxSpike(1), MembraneReset())
    return Case(_dense(first, second), _input(), (5,), None)


def lif_current() -> Case:
    """A synaptic current, with and without normalization."""
    first = sl.LIF(3.5, _line(1.5, 4.5, 9), torch.tensor(0.41), MultiSpike)
    second = sl.LIF(2.5, 3.5, torch.tensor(1.7), SingleSpike, norm_input=False)
    return Case(_dense(first, second), _input(), (5,), 12)


def lif_alphas() -> Case:
    """Learned decays instead of time constants."""
    first = sl.LIF(_line(3.0, 9.0, 9), 2.5, torch.tensor(0.41), train_alphas=True)
    second = sl.LIF(4.5, None, torch.tensor(0.23), SingleSpike, train_alphas=True)
    network = _dense(first, second)
    with torch.no_grad():
        first.alpha_mem.add_(_line(-0.05, 0.05, 9))
        second.alpha_mem.sub_(0.125)
    return Case(network, _input(), (5,), 12)


def iaf() -> Case:
    """No leak; the second with a current."""
    first = sl.IAF(_line(0.3, 0.7, 9), MultiSpike)
    second = sl.IAF(torch.tensor(1.3), SingleSpike, MembraneSubtract(1.9), tau_syn=2.5)
    return Case(_dense(first, second), _input(), (5,), 8)


def iaf_own() -> Case:
    """The same without a current, as Sinabs' own export says it."""
    first, second = sl.IAF(_line(0.3, 0.7, 9)), sl.IAF(_line(0.8, 1.1, 4))
    return Case(_dense(first, second), _input(), (5,), 8)


def exp_leak() -> Case:
    """Its potential is the output."""
    first = sl.LIF(3.5, None, torch.tensor(0.31), SingleSpike)
    second = sl.ExpLeak(tau_mem=_line(2.5, 5.5, 4), norm_input=True)
    return Case(_dense(first, second), _input(), (5,), None)


def recurrent() -> Case:
    """Spikes come back through weights, one step later."""
    first = sl.LIFRecurrent(_line(3.0, 9.0, 9), nn.Linear(9, 9, bias=False), None, torch.tensor(0.16), MultiSpike)
    second = sl.IAFRecurrent(nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False)), torch.tensor(1.1), SingleSpike)
    return Case(_dense(first, second), _input(), (5,), 16)


def conv_squeezed() -> Case:
    """Convolution, sum pooling, flatten; time and batch are one axis."""
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=(2, 1), padding=(1, 0), bias=False),
        sl.IAFSqueeze(batch_size=BATCH, spike_threshold=torch.tensor(0.3)),
        sl.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(18, 4),
        sl.LIFSqueeze(
            batch_size=BATCH, tau_mem=3.5, spike_threshold=torch.tensor(0.2), spike_fn=SingleSpike, norm_input=False
        ),
    )
    with torch.no_grad():
        network[4].weight.add_(0.1)
    return Case(network, torch.rand(BATCH, STEPS, 2, 8, 9) - 0.2, (2, 8, 9), 8, squeezed=True)


def ties() -> Case:
    """Sums that meet k * theta exactly: all numbers are multiples of 1/8, and leaks are 1 or 1/2."""
    first = sl.IAF(torch.tensor(0.75), MultiSpike)
    second = sl.LIF(1.0, None, torch.tensor(0.5), MultiSpike, train_alphas=True, norm_input=False)
    network = _dense(first, second, bias=False)
    with torch.no_grad():
        second.alpha_mem.fill_(0.5)
        for module in (network[0], network[2]):
            module.weight.copy_(torch.randint(-3, 6, module.weight.shape) / 8)
    return Case(network, torch.randint(0, 3, (BATCH, STEPS, 5)).float(), (5,), 40)


CASES: dict[str, Callable[[], Case]] = {
    builder.__name__: builder
    for builder in (
        lif_multi,
        lif_own,
        lif_raw,
        lif_single,
        lif_max,
        lif_hard,
        lif_current,
        lif_alphas,
        iaf,
        iaf_own,
        exp_leak,
        recurrent,
        conv_squeezed,
        ties,
    )
}


def alif() -> nn.Module:
    """An adaptive threshold."""
    return _dense(sl.ALIF(3.5, 6.5), sl.ALIFRecurrent(3.5, 6.5, nn.Linear(4, 4)))


def several() -> nn.Module:
    """One thing in each layer that we cannot keep."""
    first = sl.LIF(3.5, None, torch.tensor(0.5), MultiSpike, MembraneReset(), min_v_mem=-0.5)
    second = sl.LIFRecurrent(3.5, nn.Linear(4, 4), None, torch.tensor(0.5), SingleSpike, MembraneReset(0.2))
    return _dense(first, second)


def unlimited() -> nn.Module:
    """Several spikes a step, without a bound."""
    return _dense(sl.LIF(3.5), sl.IAF(spike_fn=MaxSpike()))


REFUSED: dict[str, Callable[[], nn.Module]] = {f.__name__: f for f in (alif, several, unlimited)}


def build(name: str) -> Case:
    """A case, the same whenever and wherever it is built."""
    torch.manual_seed(sorted(CASES).index(name))
    return CASES[name]()
