"""Sinabs 3.1 (`sinabs.layers`) -> NIR.

    i[t] = alpha_syn * (i[t-1] + x[t])          with tau_syn; else i = x
    h[t] = alpha_mem * v[t-1] + g * i[t]        g = 1 - alpha_mem with norm_input, else 1; IAF: alpha_mem = g = 1
    SingleSpike           s = 1 if h >= theta, else 0
    MaxSpike(N)           s = min(trunc(h / theta), N) where h > 0, else 0
    MultiSpike            the same without N: our K rounds are `circulations`, and what a step needs beyond stays in v
    MembraneSubtract(c)   v = h - c * s         c: theta if None
    MembraneReset(0)      v = 0 where s, else h
    ExpLeak               sends h; no spikes
    ...Recurrent          x[t] + rec_connect(s[t-1]), 0 before the first step

alpha = exp(-1 / tau), tau in steps, or learned itself (train_alphas).  The current's gain alpha_syn * g goes into a
Scale in front: u[t] = alpha_syn * u[t-1] + (alpha_syn * g) * x[t] is g * i[t].
Sinabs pins nir <= 1.0.4 for its own exporter; beside our package install it with `pip install --no-deps`.
Source: sinabs 3.1.3, layers/functional/lif.py, activation/spike_generation.py and reset_mechanism.py.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UnsupportedError, Violation
from ..neurons.base import FloatNeuron
from ..train.layers import unseen
from .chain import About, Family, Told, build
from .layers import TITLE, Fragment, Kept, Shape, layer_node, per_neuron
from .populations import fragment, hard, soft

if TYPE_CHECKING:
    from typing_extensions import Unpack

PACKAGE = "sinabs"


def _own(thing: Any) -> str:
    """The class name of something of Sinabs, an object or a class; "" for another's."""
    kind = thing if isinstance(thing, type) else type(thing)
    return kind.__name__ if kind.__module__.split(".")[0] == PACKAGE else ""


def _rounds(module: Any, circulations: int | None, found: list[Violation]) -> int:
    """Spikes a step at most."""
    how = _own(module.spike_fn)
    most = module.spike_fn.max_num_spikes_per_bin if how == "MaxSpike" else None
    if how == "SingleSpike":
        return 1
    if how not in ("MultiSpike", "MaxSpike"):
        what = f"{getattr(module.spike_fn, '__name__', type(module.spike_fn).__name__)} is not a spike_fn of Sinabs"
        found.append(Violation("spike_fn", what, "use SingleSpike, MultiSpike or MaxSpike"))
    elif most is None and circulations is None:
        what = f"{how} sends any number of spikes a step, and a population here has a largest"
        remedy = "say circulations=K, the most spikes of a neuron in a step, or use MaxSpike(K)"
        found.append(Violation("spike_fn", what, remedy))
    return int(most or circulations or 1)


def _neuron(module: Any, shape: Shape, dt: float, circulations: int | None = None) -> Fragment:
    """LIF, IAF and their relatives; with all that is wrong at once."""
    found: list[Violation] = []
    rounds = _rounds(module, circulations, found)
    reset = _own(module.reset_fn)
    if module.min_v_mem is not None:
        remedy = "set min_v_mem=None and train again"
        found.append(Violation("min_v_mem", "clips the potential from below, which no population here does", remedy))
    if reset == "MembraneReset" and module.reset_fn.reset_value != 0:
        what = f"MembraneReset adds its reset_value {module.reset_fn.reset_value:g} in every step, spike or not"
        found.append(Violation("reset_fn", what, "use MembraneReset() or MembraneSubtract()"))
    elif reset == "MembraneReset" and rounds > 1:
        what = "a reset to zero behind several spikes a step is none of our neurons"
        found.append(Violation("reset_fn", what, "use SingleSpike, or MembraneSubtract()"))
    elif reset not in ("MembraneReset", "MembraneSubtract"):
        what = f"{type(module.reset_fn).__name__} is not a reset_fn of Sinabs"
        found.append(Violation("reset_fn", what, "use MembraneReset or MembraneSubtract"))
    back = _back(module, shape, found) if hasattr(module, "rec_connect") else None
    if found:
        raise UnsupportedError(TITLE, found)
    leaks, gain = _leaks(module, shape)
    theta = per_neuron(module.spike_threshold, shape, "spike_threshold")
    if reset == "MembraneReset":
        neuron = hard(theta, "spike_threshold", **leaks)
    else:
        taken = module.reset_fn.subtract_value
        neuron = soft(theta, "spike_threshold", rounds=rounds, taken=taken, **leaks)
    forward = fragment(neuron, shape, dt, gain, "alpha_mem", "alpha_syn")
    if back is None:
        return forward
    edges = (*forward.edges, ("", "back"), ("back", forward.inputs[0]))
    return replace(forward, nodes={**forward.nodes, "back": back}, edges=edges)


def _leaks(module: Any, shape: Shape) -> tuple[dict[str, Any], Any]:
    """beta and beta_syn, as Sinabs computes them in float32, and the gain of the input or None."""

    def alpha(name: str) -> Any:
        return per_neuron(getattr(module, f"{name}_calculated").detach(), shape, name)

    leaks, gain = {"beta": alpha("alpha_mem")}, np.float32(1.0)
    if module.norm_input:
        gain = np.float32(1.0) - leaks["beta"]
    if module.alpha_syn_calculated is not None:
        leaks["beta_syn"] = alpha("alpha_syn")
        gain = gain * leaks["beta_syn"]
    return leaks, None if np.all(gain == 1) else gain


def _integrator(module: Any, shape: Shape, dt: float) -> Fragment:
    """ExpLeak."""
    if module.min_v_mem is not None:
        remedy = "set min_v_mem=None and train again"
        found = [Violation("min_v_mem", "clips the potential from below, which no population here does", remedy)]
        raise UnsupportedError(TITLE, found)
    leaks, gain = _leaks(module, shape)
    return fragment(FloatNeuron("li", (), leaks), shape, dt, gain, "alpha_mem", "alpha_syn")


def _back(module: Any, shape: Shape, found: list[Violation]) -> nir.NIRNode | None:
    """The node of rec_connect: one Linear or Conv2d without bias, around it what does nothing to these neurons."""
    parts = module.rec_connect.modules() if type(module.rec_connect) is nn.Sequential else [module.rec_connect]
    passing = (nn.Sequential, nn.Identity, *((nn.Flatten,) if len(shape) == 1 else ()))
    left = [part for part in parts if not isinstance(part, passing)]
    if len(left) != 1 or type(left[0]) not in (nn.Linear, nn.Conv2d):
        names = ", ".join(type(part).__name__ for part in left) or "nothing"
        found.append(Violation("rec_connect", f"is made of {names}", "use one Linear or Conv2d, without bias"))
        return None
    layer: Any = left[0]
    bias: Tensor | None = layer.bias
    if bias is not None and bool((bias != 0).any()):
        what = "has a bias, which Sinabs leaves out in the first step, and a synapse here does not"
        found.append(Violation("rec_connect", what, "use bias=False, or add the bias to the layer before"))
        return None
    with torch.no_grad():
        given = tuple(layer(torch.zeros(1, *shape).to(layer.weight)).shape[1:])
    if given != shape:
        found.append(Violation("rec_connect", f"gives {given} for neurons of {shape}", "give one value per neuron"))
        return None
    return layer_node(layer, shape)


def _refused(why: str, remedy: str) -> Kept:
    return Kept(f"refused: {why}", remedy=remedy)


HOW = (
    "exact: cf with MembraneSubtract (MultiSpike: circulations=K; MaxSpike(K): K rounds); "
    "lif with SingleSpike or MaxSpike(1) and MembraneReset()"
)
ADAPTS = _refused("its threshold moves with its spikes", "train LIF neurons")
LIF = Kept(HOW, _neuron)
NEURONS: Mapping[str, Kept] = {
    **dict.fromkeys(("IAF", "IAFSqueeze", "IAFRecurrent", "LIF", "LIFSqueeze", "LIFRecurrent"), LIF),
    **dict.fromkeys(("ExpLeak", "ExpLeakSqueeze"), Kept("exact: li", _integrator)),
    **dict.fromkeys(("ALIF", "ALIFRecurrent"), ADAPTS),
    "StatefulLayer": _refused("it is abstract", "train LIF neurons"),
}


def _run(module: Any, x: Tensor, leading: int) -> Tensor:
    """What neurons send; theirs are (B, T, ...), those of the Squeeze kind (B * T, ...)."""
    turned = x.transpose(0, 1)
    sent: Tensor = module(turned) if leading == 2 else module(turned.flatten(0, 1)).unflatten(0, turned.shape[:2])
    return sent.transpose(0, 1)


FAMILY = Family(PACKAGE, NEURONS, containers={"Repeat": 1}, run=_run, reset=lambda module: module.reset_states())


def _plain(module: nn.Module) -> nn.Module:
    """The module with each SumPool2d of Sinabs in it as the pool of torch that it is; the parameters are shared."""
    name = _own(module)
    if name == "SumPool2d" and not any(True for _ in unseen(module)):
        pool: Any = module
        return nn.AvgPool2d(pool.kernel_size, pool.stride, 0, pool.ceil_mode, divisor_override=1)
    if name in NEURONS:
        return module
    clone = copy.copy(module)
    clone._modules = {key: child if child is None else _plain(child) for key, child in module._modules.items()}
    return clone


def from_sinabs(
    model: nn.Module,
    *,
    dt: float,
    input_shape: Shape,
    circulations: int | None = None,
    layers: Sequence[str] | None = None,
    **told: Unpack[Told],
) -> nir.NIRGraph:
    """The NIR graph of a Sinabs network: a Sequential of layers and neurons (see NEURONS), or a `sinabs.Network`.

    Either its neurons are of the Squeeze kind and all tensors (B * T, ...), or they are (B, T, ...) and layers that
    need one batch axis stand in `sinabs.layers.Repeat`.   Neurons start at rest, as after `sinabs.reset_states`.
    dt: seconds a step (Sinabs counts steps, so it changes no spike).   input_shape: without time and batch.
    circulations: most spikes of a neuron in a step, for MultiSpike.  It is Sinabs' own as long as no neuron sends more;
    1 to 255.   layers: names of submodules in order, for a model that is no Sequential.   The others: see `export_nir`.
    Raises: InputError; UnsupportedError with everything that is not kept.
    """
    inner = getattr(model, "spiking_model", None)
    model = inner if _own(model) == "Network" and isinstance(inner, nn.Module) else model
    spiking = {
        name: replace(kept, convert=partial(_neuron, circulations=circulations)) if kept is LIF else kept
        for name, kept in NEURONS.items()
    }
    squeezed: list[Any] = [m for m in model.modules() if _own(m).endswith("Squeeze")]
    samples = next((m.batch_size for m in squeezed if m.batch_size > 0), FAMILY.samples)
    steps_run = next((m.num_timesteps for m in squeezed if m.num_timesteps > 0), FAMILY.steps)
    family = replace(FAMILY, neurons=spiking, steps=steps_run, samples=samples)
    about = About(dt, tuple(input_shape), **told)
    return build(_plain(model), family, about, layers, 1 if squeezed else 2)
