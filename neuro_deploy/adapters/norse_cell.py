"""One population of Norse: its parameters, measured from where the potential starts, and its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import UnsupportedError, Violation
from ..neurons import spec
from ..neurons.base import FloatNeuron
from .layers import TITLE, Fragment, Shape, naming, per_neuron

STEPS = {
    **dict.fromkeys(("LIFCell", "LIF"), "lif_feed_forward"),
    **dict.fromkeys(("LIFRecurrentCell", "LIFRecurrent"), "lif"),
    "LIFBoxCell": "lif_box_feed_forward",
    **dict.fromkeys(("LICell", "LI"), "li_feed_forward"),
    "LIBoxCell": "li_box_feed_forward",
    **dict.fromkeys(("IAFCell", "IAF"), "iaf_feed_forward"),
}
"""Class -> the function of Norse's that is its step, without "_step" or "_adjoint_step" (the same forward)."""


class Cell:
    """The parameters of a population, with what is wrong with them.  start: where the potential begins."""

    def __init__(self, module: Any, shape: Shape, start: str = "v_leak") -> None:
        self.module, self.shape, self.p = module, shape, module.p
        self.violations: list[Violation] = []
        self.start = self.value(start)
        self.violations += _replaced(module)
        for name, value in self.p._asdict().items():
            if torch.is_tensor(value) and value.ndim and value.dtype != torch.float32:
                what = f"is {value.dtype}, and the file holds float32"
                self.violations.append(Violation(name, what, "use float32"))

    def value(self, name: str) -> NDArray[np.float64]:
        """A parameter, () or per neuron."""
        return per_neuron(getattr(self.p, name), self.shape, name).astype(np.float64)

    def share(self, name: str) -> NDArray[np.float64]:
        """dt / tau, rounded as Norse rounds it; in [0, 1]."""
        product = self.module.dt * torch.as_tensor(getattr(self.p, name)).detach().cpu()
        share = np.asarray(product.numpy(), np.float64)
        per_neuron(share, self.shape, name)
        if (share < 0).any() or (share > 1).any():
            what = f"times dt is {share.max():g}, outside [0, 1]"
            self.violations.append(Violation(name, what, "use a dt that is shorter than the time constant"))
        return share

    def threshold(self) -> NDArray[np.float64]:
        """theta, from where the potential starts."""
        theta = self.value("v_th") - self.start
        if (theta <= 0).any():
            what = "is not above the potential at rest"
            self.violations.append(Violation("v_th", what, "use a threshold above v_leak"))
        return theta

    def memory(self, current: bool) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Leaks, and the input's gain m."""
        gain = self.share("tau_mem_inv")
        params = {"beta": per_neuron(1.0 - gain, self.shape, "tau_mem_inv")}
        if current:
            params["beta_syn"] = per_neuron(1.0 - self.share("tau_syn_inv"), self.shape, "tau_syn_inv")
        return params, gain

    def node(self, kind: str, params: Mapping[str, Any]) -> nir.NIRNode:
        """The population.  Raises: UnsupportedError with all that is wrong."""
        if self.violations:
            raise UnsupportedError(TITLE, self.violations)
        kept = {name: per_neuron(value, self.shape, name) for name, value in params.items()}
        with naming(beta="tau_mem_inv", beta_syn="tau_syn_inv"):
            return spec(kind).write(FloatNeuron(kind, self.shape, kept), self.module.dt)


def _replaced(module: Any) -> Iterable[Violation]:
    """The step and the first state of a cell are attributes; what was put in their place is not kept."""
    stem = STEPS.get(type(module).__name__)
    if stem is None:
        return
    step, first = module.activation, getattr(module.state_fallback, "__func__", None)
    name = getattr(step, "__name__", str(step))
    own = (getattr(step, "__module__", None) or "").startswith("norse.")
    if not own or name not in (f"{stem}_step", f"{stem}_adjoint_step"):
        yield Violation("activation", f"is {name}, not that of {type(module).__name__}", "make the cell anew")
    if first is not type(module).initial_state:
        yield Violation("state_fallback", "gives a first state of its own, and NIR has none", "make the cell anew")


def lif(module: Any, shape: Shape, dt: float) -> Fragment:
    cell = Cell(module, shape)
    params, gain = cell.memory(current=True)
    params |= {"theta": cell.threshold(), **_to_value(cell)}
    return Fragment.row(("", cell.node("lif", params)), gain=gain)


def _to_value(cell: Cell) -> dict[str, Any]:
    reset = cell.value("v_reset") - cell.start
    return {"v_reset": reset} if reset.any() else {}


def lif_box(module: Any, shape: Shape, dt: float) -> Fragment:
    cell = Cell(module, shape)
    params, gain = cell.memory(current=False)
    params["theta"] = cell.threshold()
    method = module.p.reset_method
    name = getattr(method, "__name__", "") if getattr(method, "__module__", "").startswith("norse.") else ""
    if name == "reset_value":
        return Fragment.row(("", cell.node("lif", params | _to_value(cell))), gain=gain)
    if name != "reset_subtract":
        cell.violations.append(Violation("reset_method", f"{method} is not known", "use reset_value or reset_subtract"))
    taken = cell.value("v_th")
    if (taken < 0).any():
        what = "is below 0, and the reset takes it away"
        cell.violations.append(Violation("v_th", what, "measure potentials from v_leak"))
    params |= {"theta_neg": params["theta"], "circulations": 1, "circulations_neg": 0}
    params |= {} if np.array_equal(taken, params["theta"]) else {"theta_reset": taken}
    return Fragment.row(("", cell.node("cf", params)), gain=gain)


def li(module: Any, shape: Shape, dt: float) -> Fragment:
    return _integrator(module, shape, current=True)


def li_box(module: Any, shape: Shape, dt: float) -> Fragment:
    return _integrator(module, shape, current=False)


def _integrator(module: Any, shape: Shape, current: bool) -> Fragment:
    cell = Cell(module, shape)
    params, gain = cell.memory(current)
    if cell.start.ndim or (cell.start.any() and len(shape) != 1):
        what = "other than one number for a row of integrators"
        cell.violations.append(Violation("v_leak", what, "use one v_leak, and add the rest to what stands behind"))
    row = [("", cell.node("li", params))]
    if cell.start.any():
        (n,) = shape
        row.append(("rest", nir.Affine(weight=np.eye(n, dtype=np.float32), bias=np.full(n, cell.start, np.float32))))
    return Fragment.row(*row, gain=gain)


def li_linear(module: Any, shape: Shape, dt: float) -> Fragment:
    inner = _integrator(module, (int(module.hidden_size),), current=True)
    return _behind(module.input_weights, inner, inner.gain)


def iaf(module: Any, shape: Shape, dt: float) -> Fragment:
    cell = Cell(module, shape, start="v_reset")
    return Fragment.row(("", cell.node("lif", {"beta": 1.0, "theta": cell.threshold()})))


def recurrent(module: Any, shape: Shape, dt: float) -> Fragment:
    inner = lif(module, (int(module.hidden_size),), dt)
    whole = _behind(module.input_weights, inner, inner.gain)
    enters = "gain" if "gain" in whole.nodes else ""
    nodes = {**whole.nodes, "recurrent": _linear(module.recurrent_weights)}
    return Fragment(nodes, (*whole.edges, ("", "recurrent"), ("recurrent", enters)), whole.inputs, "", whole.shape)


def _behind(weights: Any, inner: Fragment, gain: Any) -> Fragment:
    """Neurons behind the weights of their input."""
    node = inner.nodes[""]
    shape = tuple(int(n) for n in np.shape(weights.detach())[:1])
    scale = [] if (gain == 1).all() else [("gain", nir.Scale(scale=np.broadcast_to(gain, shape).astype(np.float32)))]
    rest = [(name, other) for name, other in inner.nodes.items() if name]
    return Fragment.row(("input", _linear(weights)), *scale, ("", node), *rest, shape=shape)


def _linear(weights: Any) -> nir.Linear:
    return nir.Linear(weight=weights.detach().cpu().numpy().astype(np.float32))
