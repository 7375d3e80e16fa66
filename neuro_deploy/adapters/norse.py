"""Norse 1.1 models as NIR graphs, and back.

With m = dt * tau_mem_inv, x the input, and every potential measured from v_leak, where Norse starts (w = v - v_leak):

    i[t] = (1 - dt * tau_syn_inv) * i[t-1] + x[t]        LIF, LI: the potential takes the current of the same step
    w[t] = (1 - m) * w[t-1] + m * i[t]                   LIFBox, LIBox: i = x
    s[t] = w[t] > v_th - v_leak
    w[t] = v_reset - v_leak where s[t]                   LIFBox with reset_subtract: w[t] - v_th

so a population of kind lif (cf where it subtracts, li without s) with unit gain stands behind a Scale(m).  IAF has
m = 1, no leak, and starts at v_reset.  A trace shows w, not v; an LI gets v_leak back by an Affine behind it.
Source: norse 1.1.0, functional/lif.py, lif_box.py, leaky_integrator*.py, iaf.py, read and probed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError, UnsupportedError, Violation
from ..graph import read_graph
from ..graph.nodes import Dense, Diagonal
from ..neurons.base import FloatNeuron
from . import norse_cell
from .chain import About, Family, Told, build
from .layers import Kept, Scale, module_of, refuse
from .links import Link, Loop, Modules, assemble, links

if TYPE_CHECKING:
    from typing_extensions import Unpack

BACK = "Norse cannot represent the graph"


def from_norse(
    model: nn.Module,
    *,
    input_shape: tuple[int, ...],
    dt: float | None = None,
    layers: Sequence[str] | None = None,
    **told: Unpack[Told],
) -> nir.NIRGraph:
    """A NIR graph with the spikes of a Norse model, of cells (one step a call) or of modules over time.

        graph = nd.from_norse(SequentialState(nn.Linear(784, 100), LIFCell(dt=0.001)), input_shape=(784,))

    model: a Sequential or SequentialState, or any module with `layers`, in eval mode, on any device.
    input_shape: without time and batch.   dt: seconds a step; by default that of the modules, which it must be.
    layers: the submodules in the order in which the data goes through them.
    steps, input_low, input_high, input_quantum, readout: as in `export_nir`.
    A population has its module's name, dots as underscores.
    Spikes are those of Norse, but for a potential that lies within float32 rounding of its threshold.
    Raises: InputError; UnsupportedError with everything that cannot be kept.
    """
    step = _dt_of(model, dt)
    over_time = any(FAMILY.name_of(module) in OVER_TIME for module in model.modules())
    about = About(step, input_shape, **told)
    return build(model, FAMILY, about, layers, leading=2 if over_time else 1)


def _dt_of(model: nn.Module, dt: float | None) -> float:
    """The one dt of all neurons.  Raises: InputError."""
    kept = [name for name, entry in NEURONS.items() if entry.convert is not None]
    found = {name: float(m.dt) for name, m in model.named_modules() if FAMILY.name_of(m) in kept}
    wrong = {name: value for name, value in found.items() if value != (dt if dt is not None else value)}
    if wrong or len(set(found.values())) > 1:
        listed = ", ".join(f"{name} {value!r}" for name, value in (wrong or found).items())
        raise InputError(f"dt: the neurons have another or several ({listed}); a network has one")
    if not found and dt is None:
        raise InputError("dt: the model has no neurons that say it; give dt=")
    return next(iter(found.values()), dt or 0.0)


OVER_TIME = ("LIF", "LI", "IAF", "LIFRecurrent", "Lift")
"""Classes whose input is (T, B, ...)."""
_ADEX = "refused: an exponential of the potential"
_ADAPT = "refused: a threshold that adapts"
_REFRAC = "refused: a refractory time"
_QUADRATIC = "refused: a square of the potential"
_CELL, _TIME = 1, 2


def _refused(how: str, remedy: str, *names: str) -> dict[str, Kept]:
    return {name: Kept(how, None, remedy) for name in names}


NEURONS: Mapping[str, Kept] = MappingProxyType(
    {
        "LIFCell": Kept("exact: lif with a current", norse_cell.lif, leading=_CELL),
        "LIF": Kept("exact: lif with a current", norse_cell.lif, leading=_TIME),
        "LIFRecurrentCell": Kept("exact: lif with a current", norse_cell.recurrent, leading=_CELL),
        "LIFRecurrent": Kept("exact: lif with a current", norse_cell.recurrent, leading=_TIME),
        "LIFBoxCell": Kept("exact: lif (reset_value), cf (reset_subtract)", norse_cell.lif_box, leading=_CELL),
        "LICell": Kept("exact: li with a current", norse_cell.li, leading=_CELL),
        "LI": Kept("exact: li with a current", norse_cell.li, leading=_TIME),
        "LIBoxCell": Kept("exact: li", norse_cell.li_box, leading=_CELL),
        "LILinearCell": Kept("exact: li with a current", norse_cell.li_linear, leading=_CELL),
        "IAFCell": Kept("exact: lif without leak", norse_cell.iaf, leading=_CELL),
        "IAF": Kept("exact: lif without leak", norse_cell.iaf, leading=_TIME),
        **_refused(_ADEX, "use LIF", "LIFAdExCell", "LIFAdEx", "LIFAdExRecurrentCell", "LIFAdExRecurrent"),
        **_refused(_ADEX, "use LIF", "LIFExCell", "LIFEx", "LIFExRecurrentCell", "LIFExRecurrent"),
        **_refused(_ADEX, "use LIF", "LIFAdExRefracCell", "LIFAdExRefracRecurrentCell", "LIFAdExRefracRecurrent"),
        **_refused(_ADAPT, "use LIF", "LSNNCell", "LSNN", "LSNNRecurrentCell", "LSNNRecurrent"),
        **_refused(_REFRAC, "use LIF", "LIFRefracCell", "LIFRefracRecurrentCell", "LIFRefracRecurrent"),
        **_refused(_REFRAC, "use LIF", "LIFMCRefracRecurrentCell"),
        **_refused("refused: several compartments", "use LIFRecurrentCell", "LIFMCRecurrentCell"),
        **_refused("refused: conductances, products of activities", "use LIF", "CobaLIFCell"),
        **_refused("refused: it learns while it runs", "use LIFRecurrentCell", "LIFCorrelation"),
        **_refused(
            _QUADRATIC, "use LIF", "IzhikevichCell", "Izhikevich", "IzhikevichRecurrentCell", "IzhikevichRecurrent"
        ),
    }
)


def _run(module: Any, x: Tensor, leading: int) -> Tensor:
    """What a module sends, its state handed on from step to step."""
    if leading == 2:
        sent: Tensor = module(x)[0]
        return sent
    state, rows = None, []
    for step in x:
        row, state = module(step, state)
        rows.append(row)
    return torch.stack(rows)


FAMILY = Family("norse", NEURONS, {"SequentialState": 0, "Lift": 1}, run=_run)


def to_norse(graph: nir.NIRGraph, *, dt: float | None = None) -> nn.Module:
    """A SequentialState of torch layers and Norse cells with the graph's spikes.

        net, state = nd.to_norse(nd.read_nir("x.nir")), None
        for x_t in x:
            spikes, state = net(x_t, state)

    Chains only.  lif: LIFBoxCell, LIFCell with a current, IAFCell for beta = 1, LIFRecurrentCell where a Linear leads
    in and a Linear leads back; cf: LIFBoxCell with reset_subtract (one round, positive, no current); li: LIBoxCell,
    LICell.  Norse multiplies the input by 1 - beta, so a Scale in front makes up for that where the graph has another
    gain.   dt: seconds a step, if the graph does not say.
    Raises: InputError without Norse; UnsupportedError that names each node that Norse cannot represent.
    """
    try:
        norse = importlib.import_module("norse.torch")
    except ImportError as error:
        raise InputError("Norse is not installed: pip install --no-deps norse==1.1.0 nirtorch") from error
    reading = read_graph(graph, dt)

    def make(rest: Sequence[Link]) -> tuple[int, Modules, Sequence[Loop]]:
        link = _population(rest[1:] or rest)
        if isinstance(rest[0].operation, Dense) and link.loops:
            cell = _recurrent(norse, rest[0].operation, rest[1:], reading.dt)
            return rest.index(link) + 1, [(link.name, cell)], link.loops[:1]
        link = _population(rest)
        if link.neuron is None:
            return 1, [(rest[0].name, module_of(rest[0].operation))], ()
        before = rest[0].operation if isinstance(rest[0].operation, Diagonal) else None
        name = rest[0].name if before is not None else f"{link.name}_gain"
        if link.loops:
            raise refuse("recurrent, and no Linear without bias stands in front", "Norse's recurrent cells hold both")
        wanted = np.asarray(1.0 if before is None else before.scale, np.float64)
        cell, gain = _cell(norse, link.neuron, reading.dt, wanted)
        scale = wanted / gain
        front: Modules = [] if (scale.astype(np.float32) == 1).all() else [(name, Scale(scale))]
        return 1 + (before is not None), [*front, (link.name, cell)], ()

    model = assemble(links(reading, BACK), make, BACK, norse.SequentialState())
    model.stateful_layers = norse.SequentialState(*model.children()).stateful_layers
    return model


def _population(rest: Sequence[Link]) -> Link:
    """The first link, or the one behind it if that is a population and the first its gain."""
    behind = len(rest) > 1 and isinstance(rest[0].operation, Diagonal) and rest[1].neuron is not None
    return rest[1] if behind else rest[0]


def _cell(norse: Any, neuron: FloatNeuron, dt: float, wanted: Any) -> tuple[nn.Module, NDArray[np.float64]]:
    """The cell of a population, and the gain that it gives its input: the wanted one, if its leak allows."""
    params, tensors = neuron.params, _tensors(neuron, dt, wanted)
    if (params["beta"] == 1).all():
        if neuron.kind != "lif" or set(params) != {"beta", "theta"}:
            raise refuse("beta = 1 beside more than a threshold", "Norse's IAF resets to 0, where it starts", "beta")
        return norse.IAFCell(norse.IAFParameters(v_th=tensors["v_th"], v_reset=torch.tensor(0.0)), dt), np.asarray(1.0)
    gain = np.asarray((dt * tensors["tau_mem_inv"]).numpy(), np.float64)
    current = "tau_syn_inv" in tensors
    if neuron.kind == "li":
        parameters = norse.LIParameters if current else norse.LIBoxParameters
        return (norse.LICell if current else norse.LIBoxCell)(parameters(**tensors), dt=dt), gain
    if current:
        return norse.LIFCell(norse.LIFParameters(**tensors), dt=dt), gain
    method = norse.reset_subtract if neuron.kind == "cf" else norse.reset_value
    return norse.LIFBoxCell(norse.LIFBoxParameters(**tensors, reset_method=method), dt=dt), gain


def _recurrent(norse: Any, weights: Dense, rest: Sequence[Link], dt: float) -> nn.Module:
    link = _population(rest)
    neuron, loop = link.neuron, link.loops[0]
    if neuron is None or neuron.kind != "lif" or "beta_syn" not in neuron.params or len(link.loops) > 1:
        raise refuse("recurrent without a current, or by several loops", "Norse has LIFRecurrentCell", link.name)
    back = loop.operation
    if not isinstance(back, Dense) or back.bias is not None or weights.bias is not None or loop.enters != rest[0].name:
        what = "its weights are not two Linear without bias in front of one gain"
        raise refuse(what, "leave the bias out, and let the loop end where the input enters", link.name)
    gain = rest[0].operation.scale if isinstance(rest[0].operation, Diagonal) else np.asarray(1.0)
    tensors = _tensors(neuron, dt, gain)
    share = np.asarray((dt * tensors["tau_mem_inv"]).numpy(), np.float64)
    if (np.asarray(gain / share, np.float32) != 1).any():
        raise refuse("the gain of its input is not 1 - beta", "put 1 - beta there, as Norse does", link.name)
    arrays = [torch.from_numpy(np.array(a, np.float32)) for a in (weights.weight, back.weight)]
    sizes, given = weights.weight.shape[::-1], [nn.Parameter(a) for a in arrays]
    names = {"input_weights": given[0], "recurrent_weights": given[1], "autapses": True}
    cell: nn.Module = norse.LIFRecurrentCell(*sizes, p=norse.LIFParameters(**tensors), dt=dt, **names)
    return cell


def _tensors(neuron: FloatNeuron, dt: float, gain: Any) -> dict[str, Tensor]:
    """Norse's parameters of a population; v_leak is 0, but where a reset takes more than theta."""
    params, found = dict(neuron.params), list[Violation]()
    if "drift" in params:
        found.append(Violation("drift", "is not 0, and Norse starts at v_leak", "put the constant into a bias"))
    tensors = {"tau_mem_inv": _rate(params["beta"], "beta", dt, found, gain)}
    if "beta_syn" in params:
        tensors["tau_syn_inv"] = _rate(params["beta_syn"], "beta_syn", dt, found)
    if "theta" in params:
        tensors |= {
            "v_th": _tensor(params["theta"]),
            "v_reset": _tensor(params.get("v_reset", np.zeros((), np.float32))),
        }
    tensors["v_leak"] = torch.tensor(0.0)
    if neuron.kind == "cf":
        if int(params["circulations"]) != 1 or int(params["circulations_neg"]) or "beta_syn" in params:
            what = "several rounds, signed spikes, or a reset by subtraction beside a current"
            found.append(Violation("", what, "Norse subtracts in LIFBoxCell alone, once a step"))
        if "theta_reset" in params:
            taken, theta = params["theta_reset"], params["theta"]
            rest = taken - theta
            tensors |= {"v_th": _tensor(taken), "v_leak": _tensor(rest)}
            if not np.array_equal(np.float32(taken.astype(np.float64) - rest), np.broadcast_to(theta, np.shape(rest))):
                found.append(Violation("theta_reset", "is not theta + v_leak in float32", "use theta_reset = theta"))
    if found:
        raise UnsupportedError(BACK, found)
    return tensors


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(array))


def _rate(leak: NDArray[np.float32], name: str, dt: float, found: list[Violation], gain: Any = None) -> Tensor:
    """1 / tau: a float64 number, or float32 per neuron, such that 1 - dt / tau is the leak, in float32.

    gain: dt / tau itself, if it fits; the leak alone has lost its last bits.
    """
    share = 1.0 - leak.astype(np.float64)
    if gain is not None and np.all(np.float32(1.0 - np.asarray(gain, np.float64)) == leak):
        share = np.broadcast_to(np.asarray(gain, np.float64), np.broadcast_shapes(np.shape(gain), leak.shape))
    if leak.ndim == 0 and np.all(share == share.flat[0]):
        return torch.tensor(share.flat[0].item() / dt, dtype=torch.float64)
    first = (share / dt).astype(np.float32)
    best = first.copy()
    for ulps in (-3, -2, -1, 1, 2, 3, 0):
        near = (first.view(np.int32) + ulps).view(np.float32)
        best = np.where(_product(dt, near) == share.astype(np.float32), near, best)
    kept = np.float32(1.0 - _product(dt, best).astype(np.float64)) == leak
    if not kept.all():
        what = f"{np.broadcast_to(leak, kept.shape)[~kept][0]!r} is not 1 - dt / tau for any float32 1 / tau"
        found.append(Violation(name, what, "use one leak for all neurons, or leaks of at least 0.5"))
    return torch.from_numpy(best)


def _product(dt: float, rate: NDArray[np.float32]) -> NDArray[np.float32]:
    """dt / tau as Norse computes it."""
    product: NDArray[np.float32] = (dt * torch.from_numpy(rate)).numpy()
    return product
