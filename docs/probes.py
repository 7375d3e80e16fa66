"""A small network of each NIR primitive: what docs/tables.py tries."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from neuro_deploy.neurons import FloatNeuron, spec
from neuro_deploy.neurons.scheme import METADATA

DT, STEPS, SAMPLES = 1e-3, 12, 4
Nodes = Mapping[str, Any]
RNG = np.random.default_rng(3)


def uniform(low: float, high: float, *shape: int) -> Any:
    """Random float32 numbers."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def given(*shape: int) -> nir.Input:
    """An Input."""
    return nir.Input({"input": np.array(shape)})


def sent(*shape: int) -> nir.Output:
    """An Output."""
    return nir.Output({"output": np.array(shape)})


def lif(*shape: int) -> nir.LIF:
    """Neurons that fire, with distinct parameters."""
    tau = DT * uniform(1.5, 5, *shape)
    return nir.LIF(tau, tau / DT, uniform(0, 0.1, *shape), uniform(0.3, 0.6, *shape), np.zeros(shape, np.float32))


def fc(targets: int, sources: int) -> nir.Affine:
    """A dense layer."""
    return nir.Affine(uniform(-0.6, 1, targets, sources), uniform(-0.1, 0.1, targets))


def row(*nodes: Any, shape: tuple[int, ...] = (5,), last: tuple[int, ...] = (4,)) -> nir.NIRGraph:
    """Nodes one behind the other, between an Input and an Output."""
    named = {"input": given(*shape), **{f"n{i}": node for i, node in enumerate(nodes)}, "output": sent(*last)}
    return graph(named, list(itertools.pairwise(named)))


def graph(nodes: Nodes, edges: list[tuple[str, str]]) -> nir.NIRGraph:
    """A graph with what compile needs to know."""
    told = {METADATA: {"dt": DT, "steps": STEPS, "input": {"low": 0.0, "high": 1.0, "quantum": 0.125}}}
    return nir.NIRGraph(dict(nodes), edges, metadata=told, type_check=False)


def cuba(kind: Any) -> nir.NIRNode:
    """A neuron with a synaptic current."""
    tau, slow = DT * uniform(1.5, 4, 4), DT * uniform(2, 5, 4)
    common = {"tau_syn": tau, "tau_mem": slow, "r": slow / DT, "v_leak": uniform(0, 0.1, 4), "w_in": tau / DT}
    more = {"v_threshold": uniform(0.4, 0.8, 4), "v_reset": uniform(-0.2, 0.1, 4)} if kind is nir.CubaLIF else {}
    node: nir.NIRNode = kind(**common, **more)
    return node


def nested() -> nir.NIRGraph:
    """A neuron in a graph in a graph."""
    inner = {"a": given(4), "lif": lif(4), "b": sent(4)}
    block: Any = nir.NIRGraph(inner, list(itertools.pairwise(inner)), type_check=False)
    outer = {"a": given(4), "block": block, "b": sent(4)}
    return row(fc(4, 5), nir.NIRGraph(outer, list(itertools.pairwise(outer)), type_check=False))


def looped() -> nir.NIRGraph:
    """A population that feeds itself, by weights and directly."""
    nodes = {"input": given(5), "fc": fc(4, 5), "lif": lif(4), "back": nir.Linear(uniform(-0.5, 0.3, 4, 4))}
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "lif"), ("lif", "output")]
    return graph({**nodes, "output": sent(4)}, edges)


def two_sided() -> nir.NIRGraph:
    """Two Inputs of different shapes, two Outputs."""
    nodes = {"a": given(2, 2), "flat": nir.Flatten({"input": np.array([2, 2])}, 0, -1), "fa": fc(4, 4), "b": given(3)}
    nodes |= {"fb": fc(4, 3), "lif": lif(4), "fc": fc(3, 4), "end": lif(3), "x": sent(4), "y": sent(3)}
    edges = [("a", "flat"), ("flat", "fa"), ("fa", "lif"), ("b", "fb"), ("fb", "lif"), ("lif", "x"), ("lif", "fc")]
    return graph(nodes, [*edges, ("fc", "end"), ("end", "y")])


def circulate() -> nir.NIRGraph:
    """Our circulate-firing neuron, signed."""
    params = {"beta": uniform(0.5, 0.9, 4), "theta": uniform(0.2, 0.3, 4), "theta_neg": uniform(0.2, 0.4, 4)}
    whole = {"circulations": np.float32(3), "circulations_neg": np.float32(2)}
    return row(fc(4, 5), spec("cf").write(FloatNeuron("cf", (4,), {**params, **whole}), DT))


def before_another(integrator: nir.NIRNode) -> nir.NIRGraph:
    """An integrator whose potential goes into a neuron."""
    return row(fc(4, 5), integrator, lif(4))


def li() -> nir.LI:
    """An integrator that leaks."""
    return nir.LI(DT * uniform(2, 5, 4), uniform(2, 5, 4), uniform(0, 0.1, 4))


def integrator() -> nir.I:
    """An integrator that does not."""
    return nir.I(np.full(4, 1 / DT, np.float32))


Edge = tuple[str, str]


@dataclass(frozen=True)
class Probe:
    """A network of a primitive.  at: populations that must do something.   through: edges whose zeros must be seen."""

    make: Callable[[], nir.NIRGraph]
    at: tuple[str, ...]
    through: tuple[Edge, ...] = ()


def before_neurons(make: Callable[[], nir.NIRGraph]) -> Probe:
    """A primitive `n0` with neurons `n1` behind it."""
    return Probe(make, ("n1",), (("n0", "n1"),))


IMAGE: dict[str, Any] = {"shape": (2, 5, 4)}
PROBES: dict[str, Probe] = {
    "Affine": before_neurons(lambda: row(fc(4, 5), lif(4))),
    "Linear": before_neurons(lambda: row(nir.Linear(uniform(-0.4, 1, 4, 5)), lif(4))),
    "Scale": before_neurons(lambda: row(nir.Scale(uniform(0.5, 1.5, 5)), lif(5), last=(5,))),
    "Conv1d": before_neurons(
        lambda: row(
            nir.Conv1d(6, uniform(-0.5, 1, 4, 1, 3), 2, 1, 1, 2, uniform(0, 0.1, 4)),
            lif(4, 3),
            shape=(2, 6),
            last=(4, 3),
        ),
    ),
    "Conv2d": before_neurons(
        lambda: row(
            nir.Conv2d((5, 4), uniform(-0.5, 1, 4, 1, 3, 2), (2, 1), (1, 1), (1, 2), 2, uniform(0, 0.1, 4)),
            lif(4, 3, 4),
            **IMAGE,
            last=(4, 3, 4),
        ),
    ),
    "SumPool2d": before_neurons(
        lambda: row(
            nir.SumPool2d(np.array([2, 2]), np.array([2, 1]), np.array([1, 0])), lif(2, 3, 3), **IMAGE, last=(2, 3, 3)
        ),
    ),
    "AvgPool2d": before_neurons(
        lambda: row(
            nir.AvgPool2d(np.array([2, 2]), np.array([2, 1]), np.array([1, 0])), lif(2, 3, 3), **IMAGE, last=(2, 3, 3)
        ),
    ),
    "Flatten": Probe(
        lambda: row(nir.Flatten({"input": np.array([2, 5, 4])}, 0, -1), fc(4, 40), lif(4), **IMAGE),
        ("n2",),
        (("n0", "n1"),),
    ),
    "Delay": Probe(lambda: row(nir.Delay(DT * np.array([0, 1, 2, 3, 1])), fc(4, 5), lif(4)), ("n2",), (("n0", "n1"),)),
    "I": Probe(lambda: row(fc(4, 5), lif(4), fc(4, 4), integrator()), ("n3",)),
    "IF": Probe(
        lambda: row(fc(4, 5), nir.IF(np.full(4, 1 / DT, np.float32), uniform(0.5, 1, 4), uniform(-0.2, 0.1, 4))),
        ("n1",),
    ),
    "LI": Probe(lambda: row(fc(4, 5), lif(4), fc(4, 4), li()), ("n3",)),
    "LIF": Probe(lambda: row(fc(4, 5), lif(4)), ("n1",)),
    "CubaLI": Probe(lambda: row(fc(4, 5), lif(4), fc(4, 4), cuba(nir.CubaLI)), ("n3",)),
    "CubaLIF": Probe(lambda: row(fc(4, 5), cuba(nir.CubaLIF)), ("n1",)),
    "Threshold": Probe(
        lambda: row(fc(4, 5), nir.Threshold(uniform(0.3, 0.6, 4)), fc(4, 4), lif(4)), ("n1", "n3"), (("n1", "n2"),)
    ),
    "Input, Output: several": Probe(two_sided, ("lif", "end"), (("a", "flat"), ("b", "fb"))),
    "NIRGraph: nested": Probe(nested, ("n1.block.lif",), (("n0", "n1"),)),
    "NIRGraph: our circulate-firing neuron": Probe(circulate, ("n1",)),
    "edges: recurrent, self loops": Probe(looped, ("lif",), (("back", "lif"), ("lif", "lif"))),
    "I before another neuron": Probe(lambda: before_another(integrator()), ("n1", "n2"), (("n1", "n2"),)),
    "LI before another neuron": Probe(lambda: before_another(li()), ("n1", "n2"), (("n1", "n2"),)),
    "CubaLI before another neuron": Probe(lambda: before_another(cuba(nir.CubaLI)), ("n1", "n2"), (("n1", "n2"),)),
}
