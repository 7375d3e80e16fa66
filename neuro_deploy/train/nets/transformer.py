"""A spiking transformer whose attention needs additions and thresholds only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...neurons.cf.torch import CirculateFire
from ..timed import BatchNorm, Conv1d
from .convolutional import Residual
from .parts import Maker, Shape, convolved, image, size, whole


def _fixed(weight: Tensor, bias: Tensor | None = None) -> Conv1d:
    """A 1 x 1 convolution that is not trained.  weight: (C_out, C_in); bias: (C_out,)."""
    layer = Conv1d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    layer.weight = nn.Parameter(weight[:, :, None].clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return layer


def _membership(channels: int, heads: int) -> Tensor:
    """1 where a channel belongs to a head, (heads, channels)."""
    return torch.eye(heads).repeat_interleave(channels // heads, dim=1)


class Gate(nn.Module):
    """Graded spikes k that pass where a binary mask m is 1: coincidence, by a memoryless population on a sum.

        s = #{j in 1..K : k + K * m + 0.5 - K > j}, which is k * m for whole k in 0..K and m in {0, 1}

    Call: k (T, B, C, N), m (T, B, heads, N) -> (T, B, C, N).  A head's mask gates C / heads channels.  The sum is half
    a threshold away from every threshold, so rounding on a chip changes nothing.

    circulations: K, the largest k.   options: steps, surrogate, alpha, learnable_alpha of the population.
    Raises: InputError.
    """

    def __init__(self, channels: int, heads: int, circulations: int, **options: Any) -> None:
        super().__init__()
        bias = torch.full((channels,), 0.5 - circulations)
        self.spread = _fixed(circulations * _membership(channels, heads).T, bias)
        self.neuron = CirculateFire(0.0, 1.0, circulations, **options)

    def forward(self, k: Tensor, m: Tensor) -> Tensor:
        """k * m."""
        return cast(Tensor, self.neuron(k + self.spread(m)))


class TokenAttention(nn.Module):
    """Attention by coincidence: Q says which tokens count, K what they say.

        q, k = neurons(bn(W x))                       1 x 1 convolutions over the tokens
        m    = neurons(bn(sum of q over a head's channels)) in {0, 1}, one for each head and token
        y    = neurons(bn(W (k * m)))                 k * m by `Gate`

    Call: x (T, B, C, N) -> spikes (T, B, C, N), C channels of N tokens.  No product of two activations,
    no softmax: linear in the number of tokens.  Channels mix within a token; what mixes tokens are convolutions around.
    make: of the populations.   channels: C.   heads: of as many channels each.   Raises: InputError.
    Source: token attention of QKFormer (Zhou et al., arXiv 2403.16552); gating by a threshold is ours.
    """

    def __init__(self, make: Maker, channels: int, heads: int) -> None:
        super().__init__()
        like = make.population()
        if not isinstance(like, CirculateFire) or like.circulations_neg:
            raise InputError(f"{make.where}: attention needs neurons 'cf' or 'lif' of positive polarity")
        if channels % heads:
            raise InputError(f"{make.where}: {channels} channels cannot be split into {heads} heads")
        shape = (channels, 1)
        self.q = nn.Sequential(make.convolution(shape, channels, kernel=1))
        self.k = nn.Sequential(make.convolution(shape, channels, kernel=1))
        self.total = _fixed(_membership(channels, heads))
        self.norm = BatchNorm(heads) if make.batch_norm else nn.Identity()
        self.mask = make.population(**({"circulations": 1} if like.circulations > 1 else {}))
        given = {key: make.args[key] for key in ("surrogate", "alpha", "learnable_alpha") if key in make.args}
        self.gate = Gate(channels, heads, like.circulations, steps=make.steps, **given)
        self.out = nn.Sequential(make.convolution(shape, channels, kernel=1))

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of each token."""
        mask = self.mask(self.norm(self.total(self.q(x))))
        return cast(Tensor, self.out(self.gate(self.k(x), mask)))


def spiking_transformer(
    inputs: Sequence[int],
    classes: int,
    channels: int = 32,
    depth: int = 1,
    heads: int = 4,
    steps: int | None = None,
    neuron: str = "cf",
    *,
    halvings: int = 1,
    mlp_ratio: int = 2,
    batch_norm: bool = True,
    neuron_args: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """A spiking transformer: convolutions make tokens, blocks of attention and two dense layers add up spikes.

    Call: (T, B, *inputs) -> spikes (T, B, classes).
    inputs: (C, H, W), or (C, L).   channels: of a token.   depth: blocks.   heads: of the attention.
    halvings: convolutions that halve the resolution; a token stands for 2^halvings pixels a side.
    mlp_ratio: hidden channels of a block's dense layers, in channels.   The others: see `mlp`, with positive polarity.
    Raises: InputError.
    Source: patch splitting and relative position by convolutions as in Spikformer (Zhou et al., arXiv 2209.15425),
    attention as in QKFormer (see `TokenAttention`), residuals as in SEW ResNet (see `Residual`).
    """
    shape = image("spiking_transformer", inputs)
    numbers = {"classes": classes, "channels": channels, "depth": depth, "heads": heads}
    whole("spiking_transformer", **numbers, halvings=halvings, mlp_ratio=mlp_ratio)
    make = Maker("spiking_transformer", neuron, steps, neuron_args or {}, batch_norm)
    layers, shape = _tokens(make, shape, channels, halvings)
    if len(shape) == 3:
        layers["tokens"] = nn.Flatten(3)
    for i in range(1, depth + 1):
        layers[f"attention{i}"] = Residual(TokenAttention(make, channels, heads))
        layers[f"mlp{i}"] = Residual(_dense(make, channels, mlp_ratio * channels))
    layers["flat"] = nn.Flatten(2)
    layers["head"] = nn.Sequential(make.dense(size(shape), classes))
    return nn.Sequential(layers)


def _tokens(make: Maker, shape: Shape, channels: int, halvings: int) -> tuple[OrderedDict[str, nn.Module], Shape]:
    """Convolutions from pixels to tokens, the last of them for the position, and the shape behind them."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(1, halvings + 1):
        wide = max(1, channels >> (halvings - i))
        layers[f"embed{i}"] = nn.Sequential(make.convolution(shape, wide, stride=2))
        shape = convolved(shape, wide, 2)
    layers["position"] = Residual(nn.Sequential(make.convolution(shape, channels)))
    return layers, shape


def _dense(make: Maker, channels: int, hidden: int) -> nn.Sequential:
    first = make.convolution((channels, 1), hidden, 1, kernel=1)
    return nn.Sequential(OrderedDict({**first, **make.convolution((hidden, 1), channels, 2, kernel=1)}))
