"""One block of a `.net` file each: what it says, checked against the shape before it.

To add a type of block: a function (chain, fields, name) -> Layer | None in BLOCKS.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..fixed import Ints
from ..wiring import Conv, Dense
from .fields import Fields
from .layers import Layer, Neurons
from .neurons import read_neurons

UNIT_GAIN = 64
"""The input block's weight where it has none: 1.0 is 64 weight units, in slayer and netx."""
Shape = tuple[int, ...]


class Chain:
    """What is known so far.  shape: of the layer before; None: nothing, or it was broken."""

    def __init__(self, given: Shape | None) -> None:
        self.given = given
        self.input_shape: Shape | None = None
        self.shape: Shape | None = None
        self.gain: int | None = None
        self.flat = False
        self.layers: list[Layer] = []

    def start(self, fields: Fields, shape: Shape) -> None:
        """The shape of the network's input, which must agree with what the user gave."""
        if self.given is not None and self.given != shape:
            fields.refuse(f"the file's input has shape {shape}, not {self.given}", "leave the input shape out")
        self.input_shape = self.shape = shape

    def lose(self, fields: Fields) -> None:
        """Go on behind a broken layer, with the shape that it says it has."""
        fields = Fields(fields.group, fields.where, [])
        self.shape, self.flat = fields.shape((1, 3)), False
        self.input_shape = self.input_shape or self.shape

    def image(self, fields: Fields, channels: int | None) -> tuple[int, int, int] | None:
        """The shape before a convolution, if it has these channels."""
        if self.input_shape is None and self.given is not None:
            self.start(fields, self.given)
        shape = self.shape
        if self.input_shape is None:
            fields.refuse("the size of its input image is not in the file", "give it: --input-shape C,H,W")
        elif shape is not None and (len(shape) != 3 or self.flat or channels not in (None, shape[0])):
            fields.refuse(f"reads images of {channels} channels, but the layer before has shape {shape}")
        elif shape is not None:
            return shape[0], shape[1], shape[2]
        return None

    def inputs(self, fields: Fields, features: int | None) -> bool:
        """True if the layer before has so many neurons, in a row."""
        if self.input_shape is None and features is not None:
            self.start(fields, self.given or (features,))
        if self.shape is None or features is None:
            return False
        if int(np.prod(self.shape)) != features:
            fields.refuse(f"has weights for {features} inputs, but the layer before has shape {self.shape}")
        elif not self.flat and max(self.shape) != features:
            fields.refuse(f"gets an image {self.shape}", "put a flatten block before it")
        return True


def _input(chain: Chain, fields: Fields, name: str) -> Layer | None:
    """The input's shape; with neurons, the affine map that makes their current."""
    if chain.input_shape is not None:
        fields.refuse("is an input block behind other layers")
    shape = fields.shape((1, 3))
    if shape is not None:
        chain.start(fields, shape)
    if not fields.has("neuron"):
        return None
    gain = fields.number("weight", UNIT_GAIN, -256, 255)
    neurons, exponent = read_neurons(fields, shape, fields.number("bias", 0))
    if exponent:
        fields.refuse(f"wgtExp {exponent} of an input block has no settled meaning", "use wgtExp 0")
    chain.gain = gain
    return None if shape is None or neurons is None else Layer(name, "input", shape, neurons)


def _flatten(chain: Chain, fields: Fields, name: str) -> None:
    """(C, H, W) in C order: what netx makes of its (x, y, channel) by a transposition."""
    shape, before = fields.shape((1, 3)), chain.shape
    if chain.input_shape is None:
        fields.refuse("is the first layer", "export the input block too")
    elif shape is not None and before is not None and np.prod(shape) != np.prod(before):
        fields.refuse(f"has shape {shape}, but the layer before {before}")
    chain.flat = True


def _dense(chain: Chain, fields: Fields, name: str) -> Layer | None:
    """weight (N, N_in); `dense_rec` has weight_rec (N, N) too."""
    told = fields.shape((1, 3))
    size = None if told is None else int(np.prod(told))
    weight = _matrix(fields, "weight", size)
    kind = fields.text("type") or ""
    back = _matrix(fields, "weight_rec", size) if kind == "dense_rec" else None
    if weight is not None:
        fields.agrees("inFeatures", weight.shape[1])
        fields.agrees("outFeatures", weight.shape[0])
    chain.inputs(fields, None if weight is None else weight.shape[1])
    shape = None if size is None else (size,)
    neurons, exponent = read_neurons(fields, shape, _bias(fields))
    delay = _delay(fields, neurons, size, None if weight is None else weight.shape[1])
    if back is not None and size is not None and back.shape != (size, size):
        fields.refuse(f"weight_rec {back.shape} is not ({size}, {size})")
    if kind == "dense_rec" and delay is not None and delay.any():
        fields.refuse("has delays and recurrent weights", "slayer and netx differ there; train without delays")
    chain.flat = False
    if shape is None or weight is None or neurons is None or delay is None:
        return None
    recurrent = None if back is None else Dense(back)
    return Layer(name, kind, shape, neurons, Dense(weight), recurrent, exponent, delay)


def _matrix(fields: Fields, name: str, size: int | None) -> Ints | None:
    """Weights of a dense layer, also if they stand in one axis."""
    weight = _real(fields, name)
    if weight is None or size is None:
        return None
    rows = size if weight.ndim == 1 else weight.shape[0] if weight.ndim == 2 else 0
    if rows != size or weight.size % size:
        fields.refuse(f"{name} {weight.shape} does not fit {size} neurons")
        return None
    return weight.reshape(size, -1)


def _conv(chain: Chain, fields: Fields, name: str) -> Layer | None:
    """weight (C, C_in / groups, height, width[, 1]) as torch has it; netx flips and turns it for Lava's own order."""
    weight, groups = _kernels(fields), fields.number("groups", 1, 1)
    channels = None if weight is None or groups is None else weight.shape[1] * groups
    if weight is not None and channels is not None:
        fields.agrees("inChannels", channels)
        fields.agrees("outChannels", weight.shape[0])
    image = chain.image(fields, channels)
    return _convolved(chain, fields, name, weight, image, groups or 1)


def _pool(chain: Chain, fields: Fields, name: str) -> Layer | None:
    """One kernel for each channel.

    slayer pools all channels as one tall image, with rows and columns of zeros behind an image that the kernel does not
    divide: where windows then reach into the next channel, it is refused.
    """
    weight, image = _kernels(fields), chain.image(fields, None)
    if weight is None or image is None:
        return _convolved(chain, fields, name, None, None, 1)
    if weight.shape[:2] != (1, 1):
        fields.refuse(f"weight {weight.shape} of a pool is not (1, 1, height, width)")
        return None
    kernel = weight.shape[2:]
    stride, padding, dilation = (fields.pair(*f) for f in (("stride", 1, 1), ("padding", 0, 0), ("dilation", 1, 1)))
    extra = [side % k for side, k in zip(image[1:], kernel, strict=True)]
    if stride and padding and dilation:
        tall = image[1] + extra[0]
        if padding[0] or tall % stride[0] or dilation[0] * (kernel[0] - 1) + 1 > stride[0]:
            what = f"kernel {kernel}, stride {stride} and padding {padding} of a pool on an image {image[1:]}"
            remedy = "use a stride as high as the kernel, which divides the image, and no padding"
            fields.refuse(f"{what} reach into the next channel in slayer", remedy)
        if (extra[0] and dilation[0] > 1) or (extra[1] and dilation[1] > 1):
            fields.refuse("a dilated pool on an image that its kernel does not divide", "use dilation 1")
    weight = np.pad(np.tile(weight, (image[0], 1, 1, 1)), [(0, 0), (0, 0), (extra[0], 0), (extra[1], 0)])
    return _convolved(chain, fields, name, weight, image, image[0], (extra[0], extra[1]))


def _real(fields: Fields, name: str) -> Ints | None:
    """Weights, not the two parts of complex ones."""
    if fields.holds_group(name):
        fields.refuse(f"complex weights ({name}/real, {name}/imag) are not supported", "train CUBA neurons")
        return None
    return fields.whole(name)


def _kernels(fields: Fields) -> Ints | None:
    weight = _real(fields, "weight")
    if weight is not None and (weight.ndim not in (4, 5) or weight.shape[4:] not in ((), (1,))):
        fields.refuse(f"weight {weight.shape} is not (out, in, height, width, 1)")
        return None
    if weight is not None:
        fields.agrees("kernelSize", *weight.shape[2:4])
    return None if weight is None else weight.reshape(weight.shape[:4])


def _convolved(
    chain: Chain,
    fields: Fields,
    name: str,
    weight: Ints | None,
    image: tuple[int, int, int] | None,
    groups: int,
    extra: tuple[int, int] = (0, 0),
) -> Layer | None:
    """A layer of kernels.  extra: rows and columns of zeros behind the image, and as many in front of the kernel."""
    told = fields.shape((3,))
    stride, padding, dilation = (fields.pair(*f) for f in (("stride", 1, 1), ("padding", 0, 0), ("dilation", 1, 1)))
    neurons, exponent = read_neurons(fields, told, _bias(fields))
    delay = _delay(fields, neurons, None if told is None else told[0], 0)
    if weight is None or image is None or stride is None or padding is None or dilation is None:
        return None
    wide = (padding[0] + extra[0], padding[1] + extra[1])
    wiring = Conv(weight, image, stride, wide, dilation, groups)
    if wiring.problems:
        fields.refuse("; ".join(wiring.problems))
    elif told is not None and told != wiring.target_shape:
        fields.refuse(f"has shape {told}, but its kernel gives {wiring.target_shape}")
    elif told is not None and neurons is not None and delay is not None:
        return Layer(name, fields.text("type") or "", told, neurons, wiring, None, exponent, delay)
    return None


def _average(chain: Chain, fields: Fields, name: str) -> Layer | None:
    """The mean of each group of neighbouring neurons, by sums that nothing is kept of."""
    told, before = fields.shape((1, 3)), chain.shape
    if told is None or before is None:
        return None
    groups, size = int(np.prod(told)), int(np.prod(before))
    if not chain.layers or size % groups:
        fields.refuse(f"cannot share out {size} neurons among {groups} groups")
        return None
    weight = np.repeat(np.eye(groups, dtype=np.int64), size // groups, axis=1)
    return Layer(name, "average", (groups,), None, Dense(weight))


def _bias(fields: Fields) -> Ints | None:
    return fields.whole("bias", 0)


def _delay(fields: Fields, neurons: Neurons | None, rows: int | None, columns: int | None) -> Ints | None:
    """Delays () or one per neuron (channel), per input, or per weight; netx's rule.  columns: 0 for a convolution."""
    delay = fields.whole("delay", 0, low=0)
    if delay is None or rows is None or columns is None:
        return None
    delay = delay.reshape(()) if delay.size == 1 else delay
    if columns and delay.shape == (columns,) and columns != rows:
        delay = np.tile(delay, (rows, 1))
    if delay.shape not in ((), (rows,), (rows, columns or None)):
        fields.refuse(f"delay {delay.shape} fits neither {rows} neurons nor their {columns} inputs")
        return None
    late = np.broadcast_to(delay if delay.ndim < 2 else delay.max(axis=1), (rows,)) > 0
    if neurons is not None and (np.broadcast_to(neurons.bias, (rows,))[late] != 0).any():
        what = "neurons with a delay have a bias: slayer delays their output, netx their input but not the bias"
        fields.refuse(what, "train without the delay, or without the bias (norm=None)")
    return delay


BLOCKS: dict[str, Callable[[Chain, Fields, str], Layer | None]] = {
    "input": _input,
    "flatten": _flatten,
    "dense": _dense,
    "dense_rec": _dense,
    "conv": _conv,
    "pool": _pool,
    "average": _average,
}
"""Type of block -> its reader."""
