"""One population of SpikingJelly: its parameters, where its state starts, and its nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UnsupportedError, Violation
from ..neurons.base import FloatNeuron
from .layers import TITLE, Fragment, Shape, per_neuron, refuse
from .populations import arrays, fragment, hard, soft

Wide = NDArray[np.float64]


class Cell:
    """The parameters of a population, float64, () or per neuron.

    start: where the potential must begin; by default at v_reset, or at 0 without one.
    Raises: UnsupportedError for a state that starts elsewhere, for a spike that is not 1 at the threshold and above.
    """

    def __init__(self, module: Any, shape: Shape, start: float | None = None) -> None:
        self.module, self.shape = module, shape
        self.soft = module.v_reset is None
        self.reset = np.zeros(()) if self.soft else self.value("v_reset")
        found = [*self._starts(self.reset if start is None else start), *_spikes(module)]
        if getattr(module, "_neuron_precision", None) is not None:
            what = f"{module._neuron_precision} makes its state another number than float32"
            found.append(Violation("_neuron_precision", what, "convert the model without neuron_storage"))
        if found:
            raise UnsupportedError(TITLE, found)

    def value(self, name: str) -> Wide:
        """A parameter.  Raises: UnsupportedError."""
        return wide(self.module, name, self.shape)

    def _starts(self, start: Any) -> list[Violation]:
        """v begins at `start`, every other state at 0."""
        found = []
        for name, value in self.module._memories_rv.items():
            wanted = np.asarray(start if name == "v" else 0.0, np.float32)
            begins = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, np.float32)
            if not np.all(begins == wanted):
                what = f"starts at {begins.flat[0]:g}, not at {wanted.flat[0]:g}, and NIR has no initial state"
                remedy = f"call set_reset_value('{name}', {wanted.flat[0]:g}), and check its accuracy"
                found.append(Violation(name, what, remedy))
        return found

    def threshold(self) -> Wide:
        """Of a potential that is measured from v_reset."""
        theta: Wide = self.value("v_threshold") - self.reset
        return theta

    def rate(self) -> Wide:
        """1 / tau."""
        if hasattr(self.module, "w"):
            return np.asarray(torch.sigmoid(torch.as_tensor(self.value("w"))).numpy(), np.float64)
        return rate(self.module, self.shape)


def wide(module: Any, name: str, shape: Shape) -> Wide:
    """A parameter of a module, float64, () or per neuron.  Raises: UnsupportedError."""
    value = getattr(module, name)
    if isinstance(value, Tensor) and value.ndim and value.is_floating_point() and value.dtype != torch.float32:
        raise refuse(f"is {value.dtype}, and the file holds float32", "use float32", name)
    return per_neuron(value, shape, name, np.float64)


def rate(module: Any, shape: Shape) -> Wide:
    """1 / tau.  Raises: UnsupportedError for a tau below 1 step."""
    tau = wide(module, "tau", shape)
    if (tau < 1).any():
        raise refuse(f"is {tau.min():g}, so a step takes more than the potential away", "use a tau of 1 or more", "tau")
    return np.asarray(1.0 / tau)


def _spikes(module: Any) -> list[Violation]:
    """Nothing if the spike is 1 at 0 and above, 0 below: no smooth or counting kind of surrogate."""
    with torch.no_grad():
        given = torch.tensor([-3.0, -1e-6, 0.0, 1e-6, 0.5, 3.0])
        try:
            if torch.equal(module.surrogate_function(given), (given >= 0).float()):
                return []
        except RuntimeError:  # a probability outside [0, 1]
            pass
    what = f"{type(module.surrogate_function).__name__} does not give 1 at and above the threshold, else 0"
    return [Violation("surrogate_function", what, "call set_spiking_mode(True), or use Sigmoid, ATan, ...")]


def neuron(module: Any, shape: Shape, dt: float, *, leaks: bool) -> Fragment:
    """IFNode, LIFNode, ParametricLIFNode."""
    cell = Cell(module, shape)
    share = cell.rate() if leaks else np.zeros(())
    gain = share if leaks and module.decay_input else None
    theta, beta = cell.threshold(), 1.0 - share
    if cell.soft:
        return fragment(soft(theta, "v_threshold", beta=beta), shape, dt, gain)
    return fragment(hard(theta, "v_threshold - v_reset", beta=beta), shape, dt, gain)


def cuba(module: Any, shape: Shape, dt: float) -> Fragment:
    """CUBALIFNode."""
    cell = Cell(module, shape)
    leaks: dict[str, Any] = {"beta": cell.value("v_decay"), "beta_syn": cell.value("c_decay")}
    if cell.soft:
        kept = soft(cell.threshold(), "v_threshold", **leaks)
    else:
        drift = -(1.0 - leaks["beta"]) * cell.reset
        leaks |= {"drift": drift} if drift.any() else {}
        kept = hard(cell.threshold(), "v_threshold - v_reset", **leaks)
    return fragment(kept, shape, dt, beta="v_decay", beta_syn="c_decay")


def aware(module: Any, shape: Shape, dt: float) -> Fragment:
    """ActivationAwareIFNode: h = v + x fires at h + v_offset >= v_threshold, which is what a spike takes away."""
    cell = Cell(module, shape)

    def spread(name: str) -> Wide:
        value = np.asarray(getattr(module, name).detach().cpu(), np.float64)
        if value.ndim == 0:
            return value
        axis = module.channel_dim + len(shape) if module.channel_dim < 0 else module.channel_dim - 1
        if not 0 <= axis < len(shape) or value.size != shape[axis]:
            what = f"has {value.size} channels along axis {module.channel_dim}, not those of neurons {shape}"
            raise refuse(what, "give one value, or one per channel", name)
        return np.broadcast_to(value.reshape(-1, *(1,) * (len(shape) - axis - 1)), shape)

    fires, takes = spread("v_threshold") - spread("v_offset"), spread("v_threshold")
    if cell.soft:
        return fragment(soft(fires, "v_threshold - v_offset", taken=takes, beta=1.0), shape, dt)
    return fragment(hard(fires - cell.reset, "v_threshold - v_offset - v_reset", beta=1.0), shape, dt)


def simple(module: Any, shape: Shape, dt: float, *, leaks: bool) -> Fragment:
    """SimpleIFNode, SimpleLIFNode: from 0, leaking to v_reset."""
    cell = Cell(module, shape, start=0.0)
    share = cell.rate() if leaks else np.zeros(())
    gain = share if leaks and module.decay_input else None
    beta, theta = 1.0 - share, cell.value("v_threshold")
    if cell.soft:
        if leaks:
            raise refuse("None is not a number to leak to: it cannot run", "give a number", "v_reset")
        return fragment(soft(theta, "v_threshold", beta=beta), shape, dt)
    drift = share * cell.reset
    more = ({"v_reset": cell.reset} if cell.reset.any() else {}) | ({"drift": drift} if drift.any() else {})
    return fragment(hard(theta, "v_threshold", beta=beta, **more), shape, dt, gain)


def integrator(module: Any, shape: Shape, dt: float, *, leaks: bool) -> Fragment:
    """NonSpikingIFNode, NonSpikingLIFNode: h = v + (x - v) / tau; the potential of every step is the output."""
    if module.decode is not None:
        remedy = "set decode=None, and let a readout decide from the potentials"
        raise refuse(f"decode '{module.decode}' joins all steps into one output", remedy, "decode")
    share = rate(module, shape) if leaks else np.zeros(())
    return fragment(FloatNeuron("li", (), arrays({"beta": 1.0 - share})), shape, dt, share if leaks else None)


def run(module: Any, x: Tensor, leading: int) -> Tensor:
    """What neurons send; those that do not spike give a list of steps, and take all steps at once."""
    sent = module(x) if leading == 2 else [module(step) for step in x]
    return torch.stack(list(sent)) if isinstance(sent, (list, tuple)) else sent


def to_rest(module: Any) -> None:
    """Its state before the first step."""
    if hasattr(module, "reset"):
        module.reset()
