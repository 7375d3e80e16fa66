"""SpikingJelly 2.0 (`spikingjelly.activation_based`) -> NIR.

Every neuron charges h from v[t-1] and its input x, fires at h >= v_threshold, and resets:

    IFNode               h = v + x
    LIFNode              h = v + (x - (v - r)) / tau          decay_input; else  h = v - (v - r) / tau + x
    ParametricLIFNode    the same with sigmoid(w) for 1 / tau
    CUBALIFNode          c = c_decay * c + x;   h = v_decay * v + c
    ActivationAwareIFNode   as IFNode, but fires at h + v_offset >= v_threshold
    v_reset None         v = h - v_threshold * s;   r = 0;   v[-1] = 0
    v_reset a number     v = v_reset where s, else h;   r = v_reset;   v[-1] = v_reset

A neuron that starts from v_reset is one that starts from 0 if its potential is measured from v_reset: w = v - v_reset
with the threshold v_threshold - v_reset, and for CUBALIFNode, which leaks to 0, a drift of -(1 - v_decay) * v_reset.
So `v` and `h` of our runs are w.  SimpleIFNode and SimpleLIFNode start from 0, whatever v_reset is, and are kept as
they are.  The order of float32 operations is ours: beta * v + x with beta = 1 - 1 / tau, so a spike may differ where h
is within the rounding of the threshold.
Source: spikingjelly 2.0.0, activation_based/neuron and _ops/*/reference.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import nir
from torch import nn

from ..errors import Violation
from . import spikingjelly_cell as cell
from .chain import About, Family, Told, build
from .layers import Kept, Shape

if TYPE_CHECKING:
    from typing_extensions import Unpack

HALF = "its state starts at half a threshold, and NIR has no initial state"
REMEDY = "train IFNode, LIFNode, ParametricLIFNode or CUBALIFNode"


def _refused(why: str, remedy: str = REMEDY) -> Kept:
    return Kept(f"refused: {why}", remedy=remedy)


NOISE = _refused("its potential is noisy")
TABLE = _refused("it spreads its input over K steps by a table of thresholds")
BACK = _refused("a convolution of its own leads its spikes back to the layer")
NEURONS = {
    "IFNode": Kept("exact: lif; cf with reset by subtraction", partial(cell.neuron, leaks=False)),
    "LIFNode": Kept("exact: lif; cf with reset by subtraction", partial(cell.neuron, leaks=True)),
    "ParametricLIFNode": Kept("exact: lif; cf with reset by subtraction", partial(cell.neuron, leaks=True)),
    "CUBALIFNode": Kept("exact: lif with a current; cf with reset by subtraction", cell.cuba),
    "SimpleIFNode": Kept("exact: lif; cf with reset by subtraction", partial(cell.simple, leaks=False)),
    "SimpleLIFNode": Kept("exact: lif", partial(cell.simple, leaks=True)),
    "NonSpikingIFNode": Kept("exact: li, without decode", partial(cell.integrator, leaks=False)),
    "NonSpikingLIFNode": Kept("exact: li, without decode", partial(cell.integrator, leaks=True)),
    "ILIFNode": _refused("it rounds h / v_threshold to nearest: thresholds at k - 1/2, its potential starting between"),
    "HalfThresholdIFNode": _refused(HALF),
    "ActivationAwareIFNode": Kept("exact: lif; cf with reset by subtraction", cell.aware),
    "TernaryIFNode": _refused("it fires at both thresholds, and takes the threshold itself away"),
    "TernaryLIFNode": _refused("it fires at both thresholds, and takes the threshold itself away"),
    "QIFNode": _refused("its leak is quadratic"),
    "EIFNode": _refused("its leak is exponential in the potential"),
    "IzhikevichNode": _refused("its leak is quadratic, with a recovery variable"),
    "AdaptBaseNode": _refused("it has an adaptation variable"),
    "KLIFNode": _refused("its potential goes through a relu"),
    "GatedLIFNode": _refused("its parameters differ from step to step"),
    "ComplementaryLIFNode": _refused("it has a complementary potential"),
    "LIAFNode": _refused("its output is an activation of the potential, no spike"),
    "RAFNode": _refused("it resonates: two coupled variables"),
    "FlexSN": _refused("its step is code of the user's own"),
    "FewSpikeNode": TABLE,
    "HGNode": TABLE,
    "OutlierAwareThresholdNode": TABLE,
    "STBIFNode": _refused("it counts the spikes that it sent"),
    "PSN": _refused("its steps are joined by a matrix, without reset"),
    "MaskedPSN": _refused("its steps are joined by a matrix, without reset"),
    "SlidingPSN": _refused("its steps are joined by weights, without reset"),
    "MPBNBaseNode": _refused("it normalizes its potential"),
    "MPBNLIFNode": _refused("it normalizes its potential"),
    "OTTTLIFNode": _refused("it is for online learning", "copy its parameters into a LIFNode"),
    "SLTTLIFNode": _refused("it is for online learning", "copy its parameters into a LIFNode"),
    "DSRIFNode": _refused("it sends the mean of its spikes, with a learned scale"),
    "DSRLIFNode": _refused("it sends the mean of its spikes, with a learned scale"),
    "ILCBaseNode": BACK,
    "ILCIFNode": BACK,
    "ILCLIFNode": BACK,
    "ILCCUBALIFNode": BACK,
    "NoisyBaseNode": NOISE,
    "NoisyCUBALIFNode": NOISE,
    "NoisyILCBaseNode": NOISE,
    "NoisyILCCUBALIFNode": NOISE,
    "NoisyNonSpikingBaseNode": NOISE,
    "NoisyNonSpikingIFNode": NOISE,
    "BaseNode": _refused("it is abstract"),
    "SimpleBaseNode": _refused("it is abstract"),
    "NonSpikingBaseNode": _refused("it is abstract"),
}
STATEFUL, STATELESS = ("MultiStepContainer",), ("SeqToANNContainer",)
WHOLE = ("NonSpikingIFNode", "NonSpikingLIFNode")
"""Classes that take all steps at once, in either mode."""
LAYERS = {
    "Linear": nn.Linear,
    "Conv1d": nn.Conv1d,
    "Conv2d": nn.Conv2d,
    "AvgPool2d": nn.AvgPool2d,
    "Flatten": nn.Flatten,
    "BatchNorm1d": nn.BatchNorm1d,
    "BatchNorm2d": nn.BatchNorm2d,
    "Dropout": nn.Dropout,
    "Dropout2d": nn.Dropout2d,
}
FAMILY = Family(
    "spikingjelly",
    NEURONS,
    containers=dict.fromkeys((*STATEFUL, *STATELESS), 1),
    layers=LAYERS,
    run=cell.run,
    reset=cell.to_rest,
)


def _in_time(model: nn.Module, leading: int, inside: str = "", name: str = "") -> list[Violation]:
    """SpikingJelly's modules that would take time for batch, or batch for time.

    leading: 2 for a network over (T, B, ...), 1 for one that is called step by step.   inside: the container, or "".
    """
    found = []
    own = FAMILY.name_of(model)
    if own in FAMILY.containers:
        inside = own or ""
    elif own is not None and hasattr(model, "step_mode"):
        wanted = "s" if inside or leading == 1 else "m"
        if own in NEURONS and inside in STATELESS:
            what = f"stands in a {inside}, which gives it time as batch"
            found.append(Violation(name, what, f"put it outside, or into a {STATEFUL[0]}"))
        elif model.step_mode != wanted:
            what = f"its step_mode is '{model.step_mode}' where the network's is '{wanted}'"
            found.append(Violation(name, what, f"call functional.set_step_mode(model, '{wanted}')"))
    for key, child in model.named_children():
        found += _in_time(child, leading, inside, f"{name}.{key}" if name else key)
    return found


def from_spikingjelly(
    model: nn.Module,
    *,
    dt: float,
    input_shape: Shape,
    layers: Sequence[str] | None = None,
    **told: Unpack[Told],
) -> nir.NIRGraph:
    """The NIR graph of a SpikingJelly network: a Sequential of layers and neurons (see NEURONS), in either step mode.

    Layers of `activation_based.layer` and of torch, SeqToANNContainer and MultiStepContainer.  Neurons start at rest,
    as after `functional.reset_net`.
    dt: seconds a step (SpikingJelly counts steps, so it changes no spike).   input_shape: without time and batch.
    layers: names of submodules in order, for a model that is no Sequential.   The others: see `export_nir`.
    Raises: InputError; UnsupportedError with everything that is not kept.
    """
    own = [m for m in model.modules() if FAMILY.name_of(m) is not None]
    leading = 2 if any(getattr(m, "step_mode", "s") == "m" or FAMILY.name_of(m) in WHOLE for m in own) else 1
    about = About(dt, tuple(input_shape), **told)
    return build(model, FAMILY, about, layers, leading, _in_time(model, leading))
