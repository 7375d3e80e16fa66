"""Convolutional networks: in a row, and with residual blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from torch import Tensor, nn

from ...errors import InputError
from ..timed import AvgPool2d, SumPool2d
from .parts import Maker, Shape, convolved, image, size, whole

Pooling = Literal["stride", "avg", "sum"]
POOLS: Mapping[str, type[AvgPool2d]] = {"avg": AvgPool2d, "sum": SumPool2d}


def vgg(
    inputs: Sequence[int],
    classes: int,
    channels: Sequence[int] = (16, 32),
    hidden: Sequence[int] = (),
    steps: int | None = None,
    neuron: str = "cf",
    *,
    convolutions: int = 1,
    pooling: Pooling = "stride",
    batch_norm: bool = True,
    neuron_args: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """A convolutional network like VGG: stages of 3 x 3 convolutions, each of half the resolution, then dense layers.

    conv1 - bn1 - cf1 - ... - flat - fc1 - ... ; the last population's spikes decide.
    Call: (T, B, *inputs) -> spikes (T, B, classes).
    inputs: (C, H, W), or (C, L) for convolutions over one axis.   channels: of each stage.
    convolutions: in a stage.   hidden: neurons of the dense layers before the last.
    pooling: "stride" halves the resolution in each stage's last convolution, whose kernel stays shared on the chip;
        "avg" and "sum" by 2 x 2 pools behind it.   The others: see `mlp`.   Raises: InputError.
    Source: Simonyan and Zisserman, arXiv 1409.1556.
    """
    shape = image("vgg", inputs)
    whole("vgg", classes=classes, channels=channels, hidden=hidden, convolutions=convolutions)
    if pooling not in ("stride", *POOLS) or (pooling != "stride" and len(shape) == 2):
        raise InputError(f"vgg: pooling must be 'stride', or 'avg' or 'sum' for images (C, H, W), got {pooling!r}")
    make = Maker("vgg", neuron, steps, neuron_args or {}, batch_norm)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    number = 0
    for stage, wide in enumerate(channels, 1):
        for last in [False] * (convolutions - 1) + [True]:
            number += 1
            stride = 2 if last and pooling == "stride" else 1
            layers.update(make.convolution(shape, wide, number, stride=stride))
            shape = convolved(shape, wide, stride)
        if pooling != "stride":
            layers[f"pool{stage}"] = POOLS[pooling](2)
            shape = (wide, *(side // 2 for side in shape[1:]))
            if min(shape) < 1:
                raise InputError(f"vgg: {len(channels)} stages are too many for an image of {tuple(inputs[1:])}")
    layers["flat"] = nn.Flatten(2)
    width = size(shape)
    for i, after in enumerate([*hidden, classes], number + 1):
        layers.update(make.dense(width, after, i))
        width = after
    return nn.Sequential(layers)


class Residual(nn.Module):
    """y = x + body(x), in spikes; where the body changes the shape, y = shortcut(x) + body(x).

    Call: (T, B, *shape) -> the sum of two populations' spikes, (T, B, *shape of the body's output).
    Source: the spike-element-wise (SEW) ADD of Fang et al., arXiv 2102.04159.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return cast(Tensor, self.shortcut(x)) + cast(Tensor, self.body(x))


def sew_resnet(
    inputs: Sequence[int],
    classes: int,
    channels: Sequence[int] = (16, 32),
    steps: int | None = None,
    neuron: str = "cf",
    *,
    blocks: int = 1,
    batch_norm: bool = True,
    neuron_args: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """A residual network: a convolution (stem), stages of residual blocks that add up spikes, a dense layer.

    Call: (T, B, *inputs) -> spikes (T, B, classes).
    inputs: (C, H, W), or (C, L) for convolutions over one axis.   channels: of each stage; from the second one on, a
    stage halves the resolution in its first block, and there the shortcut is a 1 x 1 convolution with neurons.
    blocks: in a stage, each of two 3 x 3 convolutions.   The others: see `mlp`.   Raises: InputError.
    Source: SEW ResNet of Fang et al., arXiv 2102.04159, with ADD.
    """
    shape = image("sew_resnet", inputs)
    whole("sew_resnet", classes=classes, channels=channels, blocks=blocks)
    make = Maker("sew_resnet", neuron, steps, neuron_args or {}, batch_norm)
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(make.convolution(shape, channels[0])))
    shape = convolved(shape, channels[0])
    for stage, wide in enumerate(channels, 1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            layers[f"stage{stage}_{block}"] = _block(make, shape, wide, stride)
            shape = convolved(shape, wide, stride)
    layers["flat"] = nn.Flatten(2)
    layers["head"] = nn.Sequential(make.dense(size(shape), classes))
    return nn.Sequential(layers)


def _block(make: Maker, shape: Shape, channels: int, stride: int) -> Residual:
    first = make.convolution(shape, channels, 1, stride=stride)
    body = nn.Sequential(OrderedDict({**first, **make.convolution(convolved(shape, channels, stride), channels, 2)}))
    if stride == 1 and shape[0] == channels:
        return Residual(body)
    return Residual(body, nn.Sequential(make.convolution(shape, channels, kernel=1, stride=stride)))
