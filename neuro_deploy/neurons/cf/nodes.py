"""CF as standard NIR nodes, and back.

A nested NIRGraph, exact for forward Euler at the dt that its metadata names:

    input -> membrane -> threshold_1 .. threshold_K -> spikes -> output
                ^                                        |
                +--------------- reset <-----------------+

`membrane` is an LI (or, for beta = 1, an I) with unit gain, whose state is h, and v_leak = drift*tau/dt;
`threshold_k` fires at h > k*theta; `spikes` is a Scale(1) that sums them; `reset` is a Scale(-beta*theta_reset), of
zeros where theta_reset is 0, and NIR's recurrent edge has one step of delay:
h[t] = beta*h[t-1] + x[t] + drift - beta*theta_reset*s[t-1], which is beta*v[t-1] + x[t] + drift.  Signed polarity adds
the mirror image (`negate`, `threshold_neg_k`, `spikes_neg`: a Scale(-1) that sums them, `reset_neg`).  A synaptic
current is an LI (or I) `current` with unit gain between input and membrane.  The metadata holds the exact parameters;
the reader rebuilds the nodes from it and refuses a graph that differs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedError, Violation
from ..base import FloatNeuron
from ..lif import nodes as lif
from ..scheme import METADATA, Scheme, no_time_constant, numbers_of, shape_of, storable, told_kind

PARAMETERS = ("beta", "theta", "theta_neg", "circulations", "circulations_neg")
OPTIONAL = ("beta_syn", "theta_reset", "drift")


def _membrane(beta: NDArray[np.float64], drift: NDArray[np.float64], dt: float) -> nir.NIRNode:
    if np.all(beta == 1):
        return nir.I(r=np.full(beta.shape, 1.0 / dt, np.float32))
    tau = dt / (1.0 - beta)
    v_leak = (drift * tau / dt).astype(np.float32)
    return nir.LI(tau=tau.astype(np.float32), r=(tau / dt).astype(np.float32), v_leak=v_leak)


def _violations(params: Mapping[str, NDArray[np.float32]]) -> list[Violation]:
    """What these nodes cannot say."""
    found = []
    for name in ("beta", "beta_syn"):
        leak = params.get(name, np.zeros((), np.float32))
        if np.any(leak > 1):
            found += no_time_constant(name, leak)
        elif np.any(leak == 1) and not np.all(leak == 1):
            what = "mixes 1 (an integrator) and smaller values"
            found.append(Violation(name, what, "split the population in two"))
    if np.all(params["beta"] == 1) and np.any(params.get("drift", np.float32(0)) != 0):
        what = "beside beta = 1 cannot be said: nir.I has no v_leak"
        found.append(Violation("drift", what, "use a leak below 1, or add the constant to the input"))
    if "theta_reset" in params and not np.all(params["theta_reset"] >= 0):
        what = f"{np.min(params['theta_reset']):g} is not 0 or more"
        found.append(Violation("theta_reset", what, "take something away in each round, or nothing"))
    if "theta_reset" in params and params["circulations_neg"] > 0:
        what = "beside signed spikes has no meaning"
        found.append(Violation("theta_reset", what, "use positive polarity, or no theta_reset"))
    return found


def write(neuron: FloatNeuron, dt: float) -> nir.NIRGraph:
    """The nested graph of a CF population.  dt: seconds.  Raises: UnsupportedError."""
    shape = neuron.shape
    if violations := _violations(neuron.params):
        raise UnsupportedError("cannot write a CF population to NIR", violations)

    def full(name: str) -> NDArray[np.float64]:
        return np.broadcast_to(neuron.params[name], shape).astype(np.float64)

    def scale(values: NDArray[np.float64]) -> nir.Scale:
        return nir.Scale(scale=values.astype(np.float32))

    beta, one, none = full("beta"), np.ones(shape), np.zeros(shape)
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input(input_type={"input": np.array(shape)}),
        "membrane": _membrane(beta, full("drift") if "drift" in neuron.params else none, dt),
        "spikes": scale(one),
        "reset": scale(0.0 - beta * full("theta_reset" if "theta_reset" in neuron.params else "theta")),
        "output": nir.Output(output_type={"output": np.array(shape)}),
    }
    edges = [("spikes", "reset"), ("reset", "membrane"), ("spikes", "output")]
    if "beta_syn" in neuron.params:
        nodes["current"] = _membrane(full("beta_syn"), none, dt)
    way = [name for name in ("input", "current", "membrane") if name in nodes]
    edges += itertools.pairwise(way)
    for k in range(1, int(neuron.params["circulations"]) + 1):
        nodes[f"threshold_{k}"] = nir.Threshold(threshold=(k * full("theta")).astype(np.float32))
        edges += [("membrane", f"threshold_{k}"), (f"threshold_{k}", "spikes")]
    if int(neuron.params["circulations_neg"]):
        nodes["negate"] = scale(-one)
        nodes["spikes_neg"] = scale(-one)
        nodes["reset_neg"] = scale(-beta * full("theta_neg"))
        edges += [
            ("membrane", "negate"),
            ("spikes_neg", "reset_neg"),
            ("reset_neg", "membrane"),
            ("spikes_neg", "output"),
        ]
    for k in range(1, int(neuron.params["circulations_neg"]) + 1):
        nodes[f"threshold_neg_{k}"] = nir.Threshold(threshold=(k * full("theta_neg")).astype(np.float32))
        edges += [("negate", f"threshold_neg_{k}"), (f"threshold_neg_{k}", "spikes_neg")]
    metadata: dict[str, Any] = {"kind": "cf", "dt": dt}
    metadata.update({name: storable(neuron.params[name]) for name in (*PARAMETERS, *OPTIONAL) if name in neuron.params})
    return nir.NIRGraph(nodes, edges, metadata={METADATA: metadata}, type_check=False)


def read(name: str, node: nir.NIRNode, scheme: Scheme) -> FloatNeuron | None:
    """The population that a nested graph with our metadata stands for, or a node that resets by subtraction or not
    at all, or None.

    Raises: UnsupportedError if the nodes are not what the metadata says at this dt.
    """
    if type(node) in lif.FIRING and told_kind(node) is None and scheme.reset != "value":
        return _foreign(name, node, scheme)
    if not isinstance(node, nir.NIRGraph) or not isinstance(node.metadata, dict):
        return None
    told = node.metadata.get(METADATA)
    if not isinstance(told, dict) or told.get("kind") != "cf":
        return None
    missing = [key for key in (*PARAMETERS, "dt") if key not in told]
    if missing or "input" not in node.nodes:
        raise _mismatch(name, f"the metadata or the nodes lack {', '.join(missing) or 'an input'}")
    if scheme.discretization != "forward Euler":
        raise _mismatch(name, f"it is exact for forward Euler only, and the file says {scheme.discretization}")
    if float(told["dt"]) != scheme.dt:
        raise _mismatch(name, f"it was written for dt = {float(told['dt'])!r} s, not {scheme.dt!r} s")
    shape = tuple(int(n) for n in node.nodes["input"].input_type["input"])
    neuron = FloatNeuron("cf", shape, {key: np.asarray(told[key]) for key in (*PARAMETERS, *OPTIONAL) if key in told})
    expected = write(neuron, scheme.dt)
    if sorted(map(tuple, node.edges)) != sorted(expected.edges) or set(node.nodes) != set(expected.nodes):
        raise _mismatch(name, "its nodes or edges are not those of a CF neuron")
    for key, want in expected.nodes.items():
        if not _same(node.nodes[key], want):
            raise _mismatch(name, f"node '{key}' is not what the metadata says")
    return neuron


def _foreign(name: str, node: Any, scheme: Scheme) -> FloatNeuron:
    """A node that NIR lets reset to v_reset, and whose file means a reset by subtraction, or none."""
    if node.v_reset is not None and np.any(np.asarray(node.v_reset) != 0):
        meant = "no reset" if scheme.reset == "none" else "a reset by subtraction"
        what = f"v_reset {np.ravel(node.v_reset)[0]:g} beside {meant}, which needs none"
        raise UnsupportedError("cannot read the graph", [Violation(name, what, "read it with the reset 'value'")])
    params: dict[str, Any] = dict(lif.parameters(name, node, scheme))
    exact = np.asarray(node.v_threshold, np.float32)
    if scheme.reset == "none":
        params["theta_reset"] = np.zeros(())
    elif scheme.reset == "subtract-late":
        if not np.all(params["beta"] > 0):
            least = np.min(params["beta"])
            what, remedy = "beta = 0 forgets what a late reset would subtract from", "read it with the reset 'subtract'"
            if least < 0:
                what = f"its time constant gives a leak of {least:g} a step, below 0"
                remedy = "mend tau, or give the dt that the file was made for"
            raise UnsupportedError("cannot read the graph", [Violation(name, what, remedy)])
        params["theta_reset"] = exact / params["beta"]
    elif scheme.at_threshold:
        params["theta_reset"] = exact
    params |= {"circulations": np.float32(scheme.rounds), "circulations_neg": np.float32(0), "theta_neg": exact}
    return FloatNeuron("cf", shape_of(*params.values(), *numbers_of(node).values()), params)


def _mismatch(name: str, what: str) -> UnsupportedError:
    remedy = "export the network again; metadata and nodes must say the same"
    return UnsupportedError("metadata and nodes disagree", [Violation(name, what, remedy)])


def _same(one: nir.NIRNode, other: nir.NIRNode) -> bool:
    if type(one) is not type(other):
        return False
    held, wanted = numbers_of(one), numbers_of(other)
    return held.keys() == wanted.keys() and all(np.array_equal(held[name], wanted[name]) for name in wanted)
