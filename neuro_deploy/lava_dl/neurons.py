"""The `neuron` group of a block: CUBA neurons, and by name what we cannot keep."""

from __future__ import annotations

import numpy as np

from ..fixed import Ints
from .fields import Fields
from .layers import SILENT, UNITY, Neurons

CUBA = ("CUBA", "LOIHI")
"""Names of current-based LIF neurons with a reset to zero; LOIHI in older files."""
OTHERS = {
    "SDNN": "sigma-delta",
    "ALIF": "adaptive-threshold (ALIF)",
    "RF_PHASE": "resonate-and-fire",
    "RF_IZHIKEVICH": "resonate-and-fire (Izhikevich)",
    "ADRF_PHASE": "adaptive resonate-and-fire",
    "ADRF_IZHIKEVICH": "adaptive resonate-and-fire (Izhikevich)",
}


def read_neurons(fields: Fields, shape: tuple[int, ...] | None, bias: Ints | int | None) -> tuple[Neurons | None, int]:
    """The neurons of a block and its weights' exponent; (None, 0) where something is wrong.

    shape: of the population.   bias: in weight units, what the block says.
    """
    group = fields.inner("neuron") if fields.has("neuron") else None
    if fields.has("neuron") and group is None:
        return None, 0
    if group is None:
        return _integrator(fields, shape, bias), 0
    kind = group.text("type")
    if kind is not None and kind not in CUBA:
        group.refuse(f"{OTHERS.get(kind, kind)} neurons are not supported", "train CUBA neurons")
    if kind not in CUBA:
        return None, 0
    exponent = group.number("wgtExp", 0, -8, 7)
    _refuse_extras(group)
    count = len(fields.found)
    values = [
        _channels(group, name, group.whole(name, None, low, high), shape)
        for name, low, high in (("iDecay", 0, UNITY), ("vDecay", 0, UNITY), ("vThMant", 1, float(1 << 23)))
    ]
    biases = _channels(fields, "bias", None if bias is None else np.asarray(bias), shape)
    i_decay, v_decay, threshold = values
    if len(fields.found) > count or i_decay is None or v_decay is None or threshold is None or biases is None:
        return None, 0
    silent = threshold >= SILENT
    if silent.any() and not silent.all():
        group.refuse("some thresholds can be reached and others never", "split the layer")
    if (i_decay == 0).any():
        if silent.all() and (v_decay == UNITY).all() and not i_decay.any() and not biases.any():
            return Neurons(np.asarray(UNITY), np.asarray(0), threshold, biases), exponent or 0
        what = "iDecay 0 is a current that nothing takes away; du has no value for it"
        group.refuse(what, "train with a current_decay of at least 1/4096")
    return Neurons(i_decay, v_decay, threshold, biases), exponent or 0


def _integrator(fields: Fields, shape: tuple[int, ...] | None, bias: Ints | int | None) -> Neurons | None:
    """Without a group: netx takes a current that keeps everything and a potential that keeps nothing, never firing.

    The potential is the sum of all input: the same as of a potential that keeps everything and a current that does not.
    """
    if bias is not None and np.any(bias):
        fields.refuse("has a bias but no neurons", "export it with neurons (dynamics=True)")
    return None if shape is None else Neurons(*map(np.asarray, (UNITY, 0, SILENT, 0)))


def _refuse_extras(group: Fields) -> None:
    refractory, graded = group.number("refDelay", 1), group.number("gradedSpike", 0)
    scale = group.whole("weight_exp", 0)
    if refractory not in (None, 1):
        group.refuse(f"refDelay {refractory}: only 1, no refractory time, can be kept", "train with a ref_delay of 1")
    if graded:
        group.refuse("gradedSpike: spikes that carry the potential cannot be kept", "train with graded_spike=False")
    if scale is not None and scale.any():
        what = f"weight_exp {int(scale.reshape(-1)[0])}: slayer scales current and bias by it, netx does not read it"
        group.refuse(what, "train with norm=MeanOnlyBatchNorm, or without norm")


def _channels(fields: Fields, name: str, value: Ints | None, shape: tuple[int, ...] | None) -> Ints | None:
    """() or (C,), which netx broadcasts."""
    if value is None or shape is None:
        return None
    if value.size == 1:
        return value.reshape(())
    if value.shape == shape[:1]:
        return value
    fields.refuse(f"{name} has shape {value.shape}, one number or one per channel ({shape[0]}) was expected")
    return None
