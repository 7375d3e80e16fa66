"""Reading a `.net` file.

Source: lava-dl 0.6.0, `export_hdf5` in lava/lib/dl/slayer/block/base.py (what is written), lava/lib/dl/netx/hdf5.py
(what it means on the chip).  Where the two differ, or the file says what we cannot keep, it is refused:

* `gradedSpike`, a `refDelay` above 1, neurons other than CUBA, a non-zero `weight_exp` (slayer scales current and bias
  by it, netx does not read it), complex weights, `convT`, `unpool`, `concat`;
* what no part of a block reads (HARMLESS aside), and numbers of channels or features that its weights contradict;
* `wgtExp` is Loihi's weight exponent; netx does not read it (slayer's is 0);
* `delay` of a layer: netx delays the layer's input, slayer its output.  Without a bias that is the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import h5py
import numpy as np

from ..errors import FormatError, InputError, UnsupportedError, Violation
from ..files import open_h5
from .blocks import BLOCKS, Chain
from .fields import Fields
from .layers import Net

LONGEST = 1 << 20
WHAT = "a .net file of lava-dl"
REFUSED = {
    "convT": "use a convolution",
    "unpool": "use a convolution",
    "concat": "lava-dl's own netx cannot run it either; make one layer of its parts",
    "dense_comp": "complex weights need resonate-and-fire neurons; train CUBA neurons",
}
"""Types of blocks that are known, and what helps."""
HARMLESS = ("theta", "tauRho", "scaleRho")
"""What older files say of neurons and no chip reads: the threshold and the surrogate gradient of the training."""


def import_net(path: str | os.PathLike[str], input_shape: Sequence[int] | None = None) -> Net:
    """Read a `.net` file.

    input_shape: (C, H, W) or (N,), needed where the file has no input block and begins with a convolution or a pool.
    Raises: FileError; FormatError for a file that is none; UnsupportedError with all layers and values that are broken
    or that cannot be kept.
    """
    given = _shape(input_shape)
    with open_h5(path, WHAT) as handle:
        layers = handle.get("layer")
        if not isinstance(layers, h5py.Group) or not len(layers):
            raise FormatError(f"{path}: not {WHAT} (it has no group 'layer' with layers)")
        found: list[Violation] = []
        chain = Chain(given)
        for index in range(len(layers)):
            group = layers.get(str(index))
            if not isinstance(group, h5py.Group):
                found.append(Violation(f"layer/{index}", "is missing", f"{len(layers)} layers count from 0"))
            else:
                _read(chain, Fields(group, f"layer/{index}", found), index)
        steps = _steps(Fields(handle, "file", found))
    if not chain.layers and not found:
        found.append(Violation("file", "has no layer with neurons", "export the whole network"))
    if found:
        raise UnsupportedError(f"{path}: cannot be imported:", found)
    assert chain.input_shape is not None
    return Net(chain.input_shape, chain.gain, tuple(chain.layers), steps)


def _read(chain: Chain, fields: Fields, index: int) -> None:
    kind = fields.text("type")
    if kind is None:
        return
    if kind not in BLOCKS:
        remedy = REFUSED.get(kind, f"known are {', '.join(BLOCKS)}")
        fields.refuse(f"a block of type '{kind}' is not supported", remedy)
        chain.lose(fields)
        return
    count = len(fields.found)
    if chain.layers and chain.layers[-1].kind == "average":
        fields.refuse("is behind an average block, whose output is no spikes", "let the average be the last layer")
    layer = BLOCKS[kind](chain, fields, f"{kind}{index}")
    if len(fields.found) == count:
        fields.refuse_unread(HARMLESS)
    if len(fields.found) > count:
        chain.lose(fields)
    elif layer is not None:
        chain.layers.append(layer)
        chain.shape = layer.shape


def _steps(fields: Fields) -> int | None:
    simulation = fields.inner("simulation") if fields.has("simulation") else None
    if simulation is None or not simulation.has("tSample"):
        return None
    return simulation.number("tSample", low=1, high=LONGEST)


def _shape(given: Sequence[int] | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    shape = tuple(given)
    if len(shape) not in (1, 3) or not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
        raise InputError(f"input_shape must be (C, H, W) or (N,), positive whole numbers, got {given!r}")
    return tuple(int(n) for n in shape)
