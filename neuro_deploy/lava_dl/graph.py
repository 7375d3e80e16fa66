"""A `.net` file's network as a NIR graph: the same network in float.

    1.0 is one weight unit: weights, thresholds and biases are the file's numbers, all exact in float32
    beta = 1 - vDecay/4096, beta_syn = 1 - iDecay/4096       in our metadata of each node; exact in float32 as well
    a Delay of one step before every layer but the first      slayer's delay_shift, the chip's synapse

The chip rounds leaks toward zero in every step, NIR does not: that is the whole difference to the program.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..errors import InputError, UnsupportedError, Violation
from ..neurons import spec
from ..neurons.base import FloatNeuron
from ..neurons.scheme import METADATA
from ..wiring import Conv, Wiring, to_dense
from .chip import CLAMP, INPUT, by_delay, readout
from .layers import UNITY, Layer, Net

OUTPUT = "output"
Floats = NDArray[np.float32]


class _Graph:
    """Nodes and edges as they come."""

    def __init__(self, dt: float) -> None:
        self.dt = dt
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, node: nir.NIRNode, *sources: str) -> str:
        """A node fed by others; its name."""
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def delay(self, name: str, steps: int, source: str, shape: tuple[int, ...]) -> str:
        """A node that holds its input, of that shape, back."""
        return self.add(name, nir.Delay(delay=np.full(shape, steps * self.dt)), source)


def to_nir(net: Net, dt: float) -> nir.NIRGraph:
    """The network in float32, at dt seconds a step (a .net file does not say it).

    Input: what the program takes, x of an input block or spikes.
    Raises: InputError for dt; UnsupportedError for neurons that NIR cannot hold.
    """
    if not isinstance(dt, (int, float)) or not 0 < dt < np.inf:
        raise InputError(f"dt must be a positive number of seconds, got {dt!r}")
    graph, violations = _Graph(float(dt)), list[Violation]()
    last = graph.add(INPUT, nir.Input(input_type={"input": np.array(net.input_shape)}))
    shape = net.input_shape
    for index, layer in enumerate(net.layers):
        try:
            last = _layer(graph, layer, last, shape, net, first=index == 0)
        except UnsupportedError as error:
            violations += [Violation(layer.name, f"{v.node}: {v.what}", v.remedy) for v in error.violations]
            last = graph.add(layer.name, nir.Scale(np.ones(layer.shape, np.float32)), last)
        shape = layer.shape
    if violations:
        raise UnsupportedError("NIR cannot hold the network:", violations)
    graph.add(OUTPUT, nir.Output(output_type={"output": np.array(shape)}), last)
    return nir.NIRGraph(graph.nodes, graph.edges, metadata={METADATA: _told(net, dt)}, type_check=False)


def _layer(graph: _Graph, layer: Layer, source: str, shape: tuple[int, ...], net: Net, first: bool) -> str:
    """A layer behind `source`, of that shape."""
    if found := _wide(layer):
        raise UnsupportedError("float32 does not hold the network:", found)
    drifts = layer.wiring is None or bool(layer.neurons and layer.neurons.current)
    bias = None if drifts or layer.neurons is None else np.broadcast_to(layer.neurons.bias, layer.shape[:1])
    if layer.wiring is None:
        gain = nir.Scale(np.full(layer.shape, net.gain or 0, np.float32))
        into = [graph.add(f"{layer.name}_synapse", gain, source)]
    else:
        into = _synapses(graph, layer, source, shape, bias, first)
    if layer.recurrent is not None:
        held = graph.delay(f"{layer.name}_back_step", 1, layer.name, layer.shape)
        into.append(graph.add(f"{layer.name}_back", nir.Linear(_scaled(layer, layer.recurrent.weight)), held))
    neuron = _neuron(layer, drifts)
    return graph.add(layer.name, spec(neuron.kind).write(neuron, graph.dt), *into)


def _wide(layer: Layer) -> list[Violation]:
    """Whole numbers beyond 2^24 that float32 would round."""
    neurons = layer.neurons
    numbers = {
        "weight": layer.wiring.weight if layer.wiring is not None else 0,
        "weight_rec": layer.recurrent.weight if layer.recurrent is not None else 0,
        "bias": neurons.bias if neurons is not None else 0,
        "vThMant": neurons.threshold if neurons is not None else 0,
    }
    found = []
    for name, value in numbers.items():
        whole = np.asarray(value, np.int64).reshape(-1)
        wrong = whole[whole.astype(np.float32).astype(np.int64) != whole]
        if wrong.size:
            found.append(Violation(name, f"{wrong[0]} is no float32", "import to --out, which keeps integers"))
    return found


def _synapses(
    graph: _Graph, layer: Layer, source: str, shape: tuple[int, ...], bias: NDArray[np.int64] | None, first: bool
) -> list[str]:
    """The weights, those of each delay apart; the bias stands at the first."""
    assert layer.wiring is not None
    before = source if first else graph.delay(f"{layer.name}_step", 1, source, shape)
    if len(shape) == 3 and not isinstance(layer.wiring, Conv):
        image, shape = shape, (layer.wiring.source_size,)
        flat = nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array(image)})
        before = graph.add(f"{layer.name}_flatten", flat, before)
    found: list[str] = []
    for wiring, steps in by_delay(layer):
        name = f"{layer.name}_synapse" + (f"_{steps}" if layer.delay.ndim else "")
        held = graph.delay(f"{name}_delay", steps, before, shape) if steps else before
        found.append(graph.add(name, _linear(layer, wiring, None if found else bias), held))
    return found


def _linear(layer: Layer, wiring: Wiring, bias: NDArray[np.int64] | None) -> nir.NIRNode:
    offset = None if bias is None else bias.astype(np.float32)
    if isinstance(wiring, Conv):
        weight = _scaled(layer, wiring.weight)
        offset = np.zeros(len(weight), np.float32) if offset is None else offset
        return _conv2d(
            weight, offset, wiring.stride, wiring.padding, wiring.dilation, wiring.groups, wiring.source_shape
        )
    weight = _scaled(layer, to_dense(wiring).weight)
    if layer.neurons is None:
        weight = weight / np.float32(wiring.source_size // layer.size)
    return nir.Linear(weight) if offset is None or not offset.any() else nir.Affine(weight, offset)


def _conv2d(
    weight: Floats,
    bias: Floats,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    shape: tuple[int, ...],
) -> nir.Conv2d:
    return nir.Conv2d(
        input_shape=(shape[1], shape[2]),
        weight=weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )


def _scaled(layer: Layer, weight: NDArray[np.int64]) -> Floats:
    return (weight * 2.0**layer.exponent).astype(np.float32)


def _neuron(layer: Layer, drifts: bool) -> FloatNeuron:
    """drifts: its bias moves the potential itself; else it comes with the weights."""
    neurons = layer.neurons
    if neurons is None:
        return FloatNeuron("li", layer.shape, {"beta": np.asarray(0.0, np.float32)})
    values: dict[str, NDArray[Any]] = {"beta": 1 - neurons.v_decay / UNITY}
    values |= {"theta": neurons.threshold} if neurons.fires else {}
    values |= {"beta_syn": 1 - neurons.i_decay / UNITY} if neurons.current else {}
    values |= {"drift": neurons.bias} if drifts and neurons.bias.any() else {}
    params = {
        name: (layer.each(np.asarray(value)).reshape(layer.shape) if np.ndim(value) else value)
        for name, value in values.items()
    }
    return FloatNeuron("lif" if neurons.fires else "li", layer.shape, params)


def _told(net: Net, dt: float) -> dict[str, object]:
    """Our metadata of the graph."""
    told: dict[str, object] = {"schema": 1, "version": __version__, "dt": float(dt), "discretization": "forward Euler"}
    told |= {"reset": "value", "fires": ">"}
    if net.steps is not None:
        told["steps"] = net.steps
    gain = max(1, abs(net.gain or 0))
    low, high = (np.rint(edge * gain) / gain for edge in CLAMP) if net.gain is not None else (0.0, 1.0)
    told["input"] = {"low": float(low), "high": float(high), "quantum": 1.0 / gain}
    chosen = readout(net)
    told["readout"] = {k: getattr(chosen, k) for k in ("population", "rule", "start", "stop")}
    return told


__all__ = ["to_nir"]
