"""Which of Lava's synapses runs a synapse, so that every weight and every sum stays; no Lava here.

    dense     Dense, DelayDense              8 bits by sign mode; sums in int32, then shifted
    sparse    Sparse, DelaySparse            the same
    conv      Conv                           any weight, w << exponent; sums below 2^31, wrapped to 24 bits
              Sparse, DelaySparse            with a delay or a negative exponent, if no sum can wrap

Source: lava-nc 0.10.0, `lava/proc/{dense,sparse,conv}`; docs/semantics.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..program import Synapse
from ..wiring import Conv, Dense, Sparse, Wiring
from .lava_plan import Wire

CONV_BITS = 24
"""Lava's Conv keeps so many bits of a sum."""
CONV_MOST = 127
"""Lava's Conv keeps kernel, stride, padding, dilation and groups as int8."""


def integer_wire(synapse: Synapse, low: int, high: int) -> Wire:
    """A synapse of a ChipProgram, whose source sends spikes low..high.

    Raises: BackendError for weights or sums that Lava would change.
    """
    wiring, exponent = synapse.wiring, synapse.exponent
    reach = sum_reach(wiring, low, high)
    graded = (low, high) != (0, 1)
    if isinstance(wiring, Conv):
        _check_sum(synapse.name, reach, exponent)
        why = why_not_conv(wiring, synapse.delay, exponent)
        if not why:
            shifted = wiring.with_weight(wiring.weight << exponent)
            return Wire(synapse.name, synapse.source, synapse.target, shifted, 0, 0, graded, "")
        _check_wrap(synapse.name, reach, exponent, why)
    if not isinstance(wiring, Dense):
        wiring = _filled(single(wiring))
    in_int64 = not graded or (synapse.delay > 0 and isinstance(wiring, Dense))
    if in_int64 and exponent < 0 and reach >= 1 << 31:
        raise BackendError(
            f"{synapse.name}: sums up to {reach} exceed 32 bits before they are shifted by {exponent}, and Lava's "
            "delayed synapse would not wrap them; use fewer input bits"
        )
    mode = sign_mode(synapse.name, wiring.weight)
    return Wire(synapse.name, synapse.source, synapse.target, wiring, exponent, synapse.delay, graded, mode)


def float_wire(name: str, source: str, target: str, wiring: Wiring, delay: int) -> Wire:
    """A synapse in float64."""
    if isinstance(wiring, Sparse) or (isinstance(wiring, Conv) and why_not_conv(wiring, delay, 0)):
        wiring = _filled(single(wiring))
    return Wire(name, source, target, wiring, 0, delay, graded=True, mode="")


def single(wiring: Wiring) -> Sparse:
    """A sparse synapse, or the single connections of a convolution.

    Those are counted here from the outputs' side, target by target, and share no code with `Conv.apply`, by which
    `sim` convolves: else a wrong geometry would look right in both.
    """
    if not isinstance(wiring, Conv):
        assert isinstance(wiring, Sparse)
        return wiring
    c_out, per_group, height, width = wiring.weight.shape
    _, image_height, image_width = wiring.source_shape
    o, y, x, c, i, j = np.indices((*wiring.target_shape, per_group, height, width), np.int64).reshape(6, -1)
    row = y * wiring.stride[0] + i * wiring.dilation[0] - wiring.padding[0]
    column = x * wiring.stride[1] + j * wiring.dilation[1] - wiring.padding[1]
    weight = wiring.weight[o, c, i, j]
    there = (row >= 0) & (row < image_height) & (column >= 0) & (column < image_width) & (weight != 0)
    channel = o * wiring.groups // c_out * per_group + c
    sources = (channel * image_height + row) * image_width + column
    targets = (o * wiring.target_shape[1] + y) * wiring.target_shape[2] + x
    shape = (wiring.target_size, wiring.source_size)
    return Sparse.of(targets[there], sources[there], weight[there], shape)


def sign_mode(name: str, weight: NDArray[Any]) -> str:
    """The sign mode in which Lava's Dense and Sparse keep every weight: EXCITATORY, INHIBITORY or MIXED.

    Source: lava-nc 0.10.0, lava/utils/weightutils.py, clip_weights and truncate_weights at 8 bits.
    Raises: BackendError naming the synapse and a weight that Lava would change.
    """
    mixed = (weight % 2 == 0) & (weight >= -256) & (weight <= 254)
    kept = {
        "EXCITATORY": (weight >= 0) & (weight <= 255),
        "INHIBITORY": (weight <= 0) & (weight >= -255),
        "MIXED": mixed,
    }
    for mode, good in kept.items():
        if good.all():
            return mode
    raise BackendError(
        f"{name}: Lava's Dense would change {int((~mixed).sum())} weights, the first {int(weight[~mixed][0])}; weights "
        "of both signs must be even and in [-256, 254], of one sign within 255; compile for 8-bit weights, as of loihi2"
    )


def sum_reach(wiring: Wiring, low: int, high: int) -> int:
    """The largest |sum| that spikes low..high (or none) can give in a target."""
    low, high = min(low, 0), max(high, 0)
    weight = wiring.weight.astype(np.int64)
    least, most = np.minimum(weight * low, weight * high), np.maximum(weight * low, weight * high)
    sums = []
    for part in (least, most):
        if isinstance(wiring, Sparse):
            total = np.zeros(wiring.target_size, np.int64)
            np.add.at(total, wiring.rows, part)
        else:
            total = part.reshape(len(part), -1).sum(axis=1)
        sums.append(int(np.abs(total).max(initial=0)))
    return max(sums)


def why_not_conv(wiring: Conv, delay: int, exponent: int) -> str:
    """Why Lava's Conv cannot run a convolution; "" if it can."""
    if delay or exponent < 0:
        return f"has no delay and no negative exponent (here delay {delay}, exponent {exponent})"
    geometry = (*wiring.weight.shape[2:], *wiring.stride, *wiring.padding, *wiring.dilation, wiring.groups)
    return f"takes no number beyond {CONV_MOST} for its geometry" if max(geometry) > CONV_MOST else ""


def _check_sum(name: str, reach: int, exponent: int) -> None:
    """Raise BackendError for a convolution whose sums, shifted to the left or not, exceed 32 bits."""
    largest = reach << max(0, exponent)
    if largest >= 1 << 31:
        raise BackendError(
            f"{name}: sums up to {largest} exceed 32 bits, and neither Lava's Conv nor its Sparse would wrap them as a "
            "convolution does; use fewer input bits"
        )


def _check_wrap(name: str, reach: int, exponent: int, why: str) -> None:
    """Raise BackendError for a convolution whose sums would wrap to 24 bits, which Sparse does not."""
    largest = reach << exponent if exponent >= 0 else -(-reach >> -exponent)
    if largest >= 1 << (CONV_BITS - 1):
        raise BackendError(
            f"{name}: Lava's Conv {why}, and its Sparse would not wrap sums up to {largest} to {CONV_BITS} bits as a "
            "convolution does; use fewer input bits"
        )


def _filled(wiring: Sparse) -> Sparse:
    """The connections whose weight is not zero: Lava's DelaySparse takes no other."""
    kept = wiring.weight != 0
    if kept.all():
        return wiring
    shape = (wiring.target_size, wiring.source_size)
    return Sparse.of(wiring.rows[kept], wiring.columns[kept], wiring.weight[kept], shape)
