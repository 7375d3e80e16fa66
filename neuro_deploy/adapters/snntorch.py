"""snnTorch 1.0 models as NIR graphs, and back.

With h the potential that fires, s = h > theta, x the input, beta and alpha clamped to [0, 1]:

    reset "zero"                    h[t] = beta * h[t-1] * (1 - s[t-1]) + x[t]              kind lif
    reset "subtract", delayed       h[t] = beta * h[t-1] + x[t] - theta * s[t-1]            kind cf, K = 1,
                                                                              theta_reset = theta / beta
    reset "none"                    h[t] = beta * h[t-1] + x[t]                             kind cf, K = 1,
                                                                              theta_reset = 0

snnTorch subtracts theta from what has decayed already, so the reset takes theta / beta of the potential before it.
Two combinations are not these equations and are refused: reset "zero" one step late (the default reset_delay) in every
class but Leaky, which throws away the next step's input too; and "subtract" with reset_delay=False, where a potential
that is still above theta after its reset raises the next step's threshold to 2 * theta.
A model is taken at rest: potentials, currents and spikes are 0 before the first step.
Source: snntorch 1.0.0, _neurons/*.py, read and probed.
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
from ..graph.nodes import Convolution, Dense, Diagonal
from ..neurons.base import FloatNeuron
from .chain import About, Family, Told, build
from .layers import TITLE, Fragment, Kept, Shape, module_of, per_neuron, refuse, scale_node
from .links import Link, Loop, Modules, assemble, links
from .snntorch_cell import Cell

if TYPE_CHECKING:
    from typing_extensions import Unpack

BACK = "snnTorch cannot represent the graph"


def from_snntorch(
    model: nn.Module,
    *,
    dt: float,
    input_shape: tuple[int, ...],
    layers: Sequence[str] | None = None,
    **told: Unpack[Told],
) -> nir.NIRGraph:
    """A NIR graph with the spikes of a snnTorch model; what snnTorch's own export drops (the reset) is kept.

        graph = nd.from_snntorch(net, dt=1e-3, input_shape=(784,), layers=["fc1", "lif1", "fc2", "lif2"])

    model: in eval mode, on any device.   dt: seconds a step (snnTorch has none).   input_shape: without time and batch.
    layers: the submodules in the order in which the data goes through them; not needed for a Sequential.
    steps, input_low, input_high, input_quantum, readout: as in `export_nir`.
    A population has its module's name, dots as underscores.  The last one with reset "none" whose potential is read
    (readout=Readout("NAME", "last_v") or "mean_v") becomes integrators, kind li, without its spikes.
    Spikes are those of snnTorch, but for a potential that lies within float32 rounding of its threshold.
    Raises: InputError; UnsupportedError with everything that cannot be kept.
    """
    about = About(dt, input_shape, **told)
    return build(model, FAMILY, about, layers)


def _leaky(module: Any, shape: Shape, dt: float) -> Fragment:
    return Cell(module, shape, dt, _clamped(module.beta), zero_late=True).fragment()


def _rleaky(module: Any, shape: Shape, dt: float) -> Fragment:
    return Cell(module, shape, dt, _clamped(module.beta), recurrent=True).fragment()


def _synaptic(module: Any, shape: Shape, dt: float) -> Fragment:
    return Cell(module, shape, dt, _clamped(module.beta), _clamped(module.alpha)).fragment()


def _rsynaptic(module: Any, shape: Shape, dt: float) -> Fragment:
    if not module.reset_delay:
        raise refuse("snnTorch 1.0.0 itself cannot run RSynaptic with it", "use reset_delay=True", "reset_delay")
    return Cell(module, shape, dt, _clamped(module.beta), _clamped(module.alpha), recurrent=True).fragment()


def _lapicque(module: Any, shape: Shape, dt: float) -> Fragment:
    """h[t] = (1 - time_step / (R*C)) * h[t-1] + (time_step / C) * x[t]."""
    step, r, c = (np.asarray(getattr(module, key).detach().cpu(), np.float64) for key in ("time_step", "R", "C"))
    return Cell(module, shape, dt, 1.0 - step / (r * c), gain=step / c).fragment()


def _alpha(module: Any, shape: Shape, dt: float) -> Fragment:
    """Without reset: two integrators of the input, s = tau * (exc - inh) > theta."""
    cell = Cell(module, shape, dt, _clamped(module.beta), _clamped(module.alpha))
    violations = cell.problems(skip=("reset",))
    if cell.reset != 2:
        what = "the reset also throws away the input of the step after a spike, or mixes the two currents"
        violations.append(Violation("reset_mechanism", what, "train with reset_mechanism='none', or with Synaptic"))
    if violations:
        raise UnsupportedError(TITLE, violations)
    alpha, beta = (torch.as_tensor(value, dtype=torch.float32) for value in (cell.beta_syn, cell.beta))
    height = torch.log(alpha) / (torch.log(beta) - torch.log(alpha)) + 1
    nodes = {
        "exc": cell.integrator(cell.beta_syn),
        "inh": cell.integrator(cell.beta),
        "minus": scale_node(-1.0, shape),
        "height": scale_node(per_neuron(height, shape, "alpha"), shape),
        "": cell.threshold(),
    }
    edges = (("exc", "height"), ("inh", "minus"), ("minus", "height"), ("height", ""))
    return cell.graded(Fragment(nodes, edges, ("exc", "inh")))


def _clamped(leak: Tensor) -> NDArray[np.float32]:
    return leak.detach().cpu().float().clamp(0, 1).numpy()


_TWO = "cf (subtract, none; subtract of beta = 0: lif and a loop)"
_THREE = f"{_TWO}, lif (zero)"
_GATES = "refused: an LSTM's gates are products of activities"
_PARALLEL = "use Leaky, step by step"
NEURONS: Mapping[str, Kept] = MappingProxyType(
    {
        "Leaky": Kept(f"exact: {_THREE}; not subtract with reset_delay=False", _leaky),
        "RLeaky": Kept(f"exact: {_THREE}; zero with reset_delay=False, subtract with True", _rleaky),
        "Synaptic": Kept(f"exact: {_THREE}; zero with reset_delay=False, subtract with True", _synaptic),
        "RSynaptic": Kept(f"exact: {_TWO}, with reset_delay=True; not zero", _rsynaptic),
        "Lapicque": Kept(f"exact: {_TWO}; not zero", _lapicque),
        "Alpha": Kept("exact: two li + threshold (none); not zero, not subtract", _alpha),
        "DeltaLeaky": Kept("refused: it fires when its potential changes, in both directions", None, "use Leaky"),
        "StateLeaky": Kept("refused: one convolution over the whole sequence, rounded otherwise", None, _PARALLEL),
        "LinearLeaky": Kept("refused: one convolution over the whole sequence, rounded otherwise", None, _PARALLEL),
        "LeakyParallel": Kept("refused: its potential passes a ReLU, so it cannot be negative", None, _PARALLEL),
        "AssociativeLeaky": Kept("refused: products of activities", None, "use Leaky"),
        "SLSTM": Kept(_GATES, None, "use RSynaptic"),
        "SConv2dLSTM": Kept(_GATES, None, "use RLeaky with conv2d_channels"),
        "GradedSpikes": Kept("refused: its weights lie along the batch axis", None, "use graded_spikes_factor"),
    }
)
FAMILY = Family("snntorch", NEURONS, reset=lambda module: module.reset_mem())


def to_snntorch(graph: nir.NIRGraph, *, dt: float | None = None) -> nn.Module:
    """A Sequential of torch layers and snnTorch neurons (`init_hidden=True`) with the graph's spikes.

        net = nd.to_snntorch(nd.read_nir("x.nir"))
        spikes = torch.stack([net(x[t]) for t in range(len(x))])     # snntorch.utils.reset(net) before the next input

    Chains only, with one linear node back to a population where it is recurrent.  lif: reset "zero" to 0, without
    drift; cf: one round, positive, that takes theta after the leak (theta_reset = theta / beta) or nothing; li: with
    a Threshold behind it.   dt: seconds a step, if the graph does not say; snnTorch has none.
    Raises: InputError without snnTorch; UnsupportedError that names each node that snnTorch cannot represent.
    """
    try:
        snn = importlib.import_module("snntorch")
    except ImportError as error:
        raise InputError("snnTorch is not installed: pip install --no-deps snntorch==1.0.0") from error

    def make(rest: Sequence[Link]) -> tuple[int, Modules, Sequence[Loop]]:
        if rest[0].neuron is None:
            return 1, [(rest[0].name, module_of(rest[0].operation))], ()
        link, membrane = (rest[1], rest[0]) if _membrane_and_threshold(rest) else (rest[0], None)
        module, held = _module(snn, link, membrane)
        return 2 if membrane else 1, [(link.name, module)], held

    return assemble(links(read_graph(graph, dt), BACK), make, BACK, nn.Sequential())


def _membrane_and_threshold(rest: Sequence[Link]) -> bool:
    """True for an integrator and, behind it, neurons without memory."""
    first, second = rest[0].neuron, rest[1].neuron if len(rest) > 1 else None
    if first is None or second is None or (first.kind, second.kind) != ("li", "lif"):
        return False
    return not rest[0].loops and set(second.params) == {"beta", "theta"} and not second.params["beta"].any()


def _module(snn: Any, link: Link, membrane: Link | None = None) -> tuple[nn.Module, list[Loop]]:
    """The snnTorch neurons of a population, and the loops in them; with a membrane of its own, those without reset."""
    neuron = link.neuron
    assert neuron is not None
    params, loops = dict(neuron.params), list(link.loops)
    reset, violations = "none", list[Violation]()
    late = [loop for loop in loops if _resets(loop, link)]
    if membrane is not None and membrane.neuron is not None:
        memory = dict(membrane.neuron.params)
        memory = {"beta": params["beta"], "beta_syn": memory["beta"]} if late else memory
        params = {**memory, "theta": params["theta"]}
    if late:
        reset, loops = "subtract", [loop for loop in loops if loop not in late]
    elif neuron.kind == "cf":
        reset = "none" if neuron.keeps else "subtract"
        violations += _soft(neuron)
    elif neuron.kind == "lif" and membrane is None:
        reset = "zero"
    elif neuron.kind == "li":
        what = "an integrator without a Threshold behind it"
        violations.append(Violation("", what, "snnTorch's neurons all fire: put a Threshold behind it"))
    for name in ("v_reset", "drift"):
        if name in params:
            violations.append(Violation(name, "is not 0, and snnTorch has none", "shift the potential so that it is 0"))
    recurrent = _recurrent(neuron.shape, loops, (membrane or link).name, violations)
    if recurrent and "beta_syn" in params and reset == "zero":
        what = "recurrent neurons with a current and a reset to zero"
        violations.append(Violation("", what, "snnTorch 1.0.0 cannot run RSynaptic with reset_delay=False"))
    if violations:
        raise UnsupportedError(BACK, violations)
    given = {key: torch.from_numpy(np.array(params[key])) for key in ("beta", "beta_syn", "theta") if key in params}
    names = {"beta": "beta", "beta_syn": "alpha", "theta": "threshold"}
    options: dict[str, Any] = {names[key]: value for key, value in given.items()}
    options |= {"reset_mechanism": reset, "reset_delay": reset != "zero", "init_hidden": True}
    kind = ("R" if recurrent else "") + ("Synaptic" if "beta_syn" in params else "Leaky")
    module: nn.Module = getattr(snn, kind)(**options, **recurrent)
    if recurrent and recurrent["all_to_all"]:
        module.recurrent = module_of(loops[0].operation)
    return module, [*late, *loops[:1]]


def _resets(loop: Loop, link: Link) -> bool:
    """True for a loop that takes theta from neurons without memory, one step after they fired."""
    neuron = link.neuron
    if neuron is None or not isinstance(loop.operation, Diagonal) or loop.enters != link.name:
        return False
    scale = np.broadcast_to(loop.operation.scale, neuron.shape)
    return not neuron.params["beta"].any() and np.array_equal(
        scale, -np.broadcast_to(neuron.params["theta"], neuron.shape)
    )


def _soft(neuron: FloatNeuron) -> list[Violation]:
    """What of a cf population is neither snnTorch's reset by subtraction, nor none."""
    params, found = neuron.params, list[Violation]()
    if int(params["circulations"]) != 1 or int(params["circulations_neg"]) != 0:
        found.append(Violation("circulations", "several rounds or signed spikes", "snnTorch fires once a step"))
    taken, beta = params.get("theta_reset", params["theta"]), params["beta"]
    with np.errstate(divide="ignore"):
        late = (params["theta"].astype(np.float64) / beta).astype(np.float32)
    same = np.array_equal(np.broadcast_to(taken, neuron.shape), np.broadcast_to(late, neuron.shape))
    if not (same or neuron.keeps):
        what = "a round takes theta before the leak, snnTorch after it"
        found.append(Violation("theta_reset", what, "use theta_reset = theta / beta, a hard reset, or beta = 1"))
    return found


def _recurrent(shape: Shape, loops: Sequence[Loop], entry: str, violations: list[Violation]) -> dict[str, Any]:
    """Arguments of a recurrent class; {} without loops."""
    if not loops:
        return {}
    if len(loops) > 1:
        violations.append(Violation("", f"{len(loops)} loops ({', '.join(x.name for x in loops)})", "join them in one"))
        return {}
    loop = loops[0]
    if loop.enters != entry:
        what = f"its spikes come back through a gain ({loop.enters})"
        violations.append(Violation(loop.name, what, "put the gain into the weights"))
    if isinstance(loop.operation, Diagonal):
        scale = per_neuron(loop.operation.scale, shape, loop.name)
        return {"all_to_all": False, "V": torch.from_numpy(np.array(scale)), "learn_recurrent": False}
    if isinstance(loop.operation, Dense):
        return {"all_to_all": True, "linear_features": shape[0]}
    if isinstance(loop.operation, Convolution):
        return {"all_to_all": True, "conv2d_channels": shape[0], "kernel_size": loop.operation.weight.shape[2:]}
    violations.append(Violation(loop.name, f"{type(loop.operation).__name__} in a loop", "use Linear, Conv2d or Scale"))
    return {}
