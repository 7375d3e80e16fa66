"""A ChipProgram as a NIR graph: float weights that are its integers times a power of two, and its scales as metadata.

`compile` takes the scales from there and finds the same integers.  The unit of a weight, which no executor computes
with, becomes the power of two that is nearest to the one that `compile` chose, so that every weight, threshold and bias
is a float32 exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...errors import UnsupportedError
from ...graph.nesting import unused
from ...neurons import spec
from ...neurons.scheme import METADATA
from ...program import ChipProgram
from ...target import Target
from ...wiring import Conv
from .forms import CONV1D, LINEAR, SCALE, Shape, diagonal_of, image_of, matrix_of, merges
from .names import OUTPUT
from .plan import Layer, Piece, Plan, plan_of, source_gain, weight_unit

TITLE = "cannot export the program"
Floats = NDArray[np.float64]


def graph_of_program(program: ChipProgram, target: Target, told: Mapping[str, Any] | None = None) -> nir.NIRGraph:
    """The NIR graph of a program that can be trained (`checks.checked`).

    target: the program's.   told: more entries of our metadata.
    Raises: UnsupportedError for what NIR cannot hold.
    """
    plan = plan_of(program)
    if plan.problems:
        raise UnsupportedError(TITLE, list(plan.problems))
    return graph_of_plan(plan, target, told)


def graph_of_plan(plan: Plan, target: Target, told: Mapping[str, Any] | None = None) -> nir.NIRGraph:
    """The same, of a plan without problems."""
    draft = _Draft(plan)
    for e in plan.program.encoders:
        draft.nodes |= {name: nir.Input({"input": np.array(shape)}) for name, shape in e.inputs.items()}
    for name, layers in plan.layers.items():
        for layer in layers:
            draft.layer(layer)
        draft.nodes[name] = spec(plan.neurons[name].kind).write(plan.neurons[name], plan.program.dt)
    draft.outputs()
    entry = {**_told(plan.program, target.synapse.weight_bits.value), **(told or {})}
    return nir.NIRGraph(draft.nodes, draft.edges, metadata={METADATA: entry}, type_check=False)


class _Draft:
    """A graph in the making."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.program = plan, plan.program
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.taken = [*plan.layers, *[piece.node for row in plan.layers.values() for x in row for piece in x.pieces]]

    def add(self, name: str, node: nir.NIRNode, source: str) -> str:
        """A node and the edge to it."""
        self.nodes[name] = node
        self.edges.append((source, name))
        return name

    def joined(self, source: str, shape: Shape, wanted: Shape, name: str) -> str:
        """The node that gives the output of `source` in a shape that joins its axes."""
        for first, last in merges(shape, wanted) or []:
            node = nir.Flatten({"input": np.array(shape)}, first, last)
            source = self.add(unused(name, [*self.nodes, *self.taken]), node, source)
            shape = (*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :])
        return source

    def layer(self, layer: Layer) -> None:
        """The nodes of a synapse, and the edges to its target."""
        for index, piece in enumerate(layer.pieces):
            self._piece(layer, piece, layer.offset if index == 0 else None)

    def _piece(self, layer: Layer, piece: Piece, offset: Floats | None) -> None:
        shape = self.program.population(layer.synapse.target).shape
        takes, gives = _shapes(layer, piece, shape)
        source = self.joined(piece.source, piece.given, takes, f"{piece.node}_flat")
        delay = f"{piece.node}_delay"
        if layer.lag and not layer.behind:
            source = self.add(delay, self._delay(takes, layer.lag), source)
        source = self.add(piece.node, self._node(layer, piece, takes, offset), source)
        source = self.joined(source, gives, shape, f"{piece.node}_joined")
        if layer.lag and layer.behind:
            source = self.add(delay, self._delay(shape, layer.lag), source)
        self.edges.append((source, layer.synapse.target))

    def _delay(self, shape: Shape, steps: int) -> nir.NIRNode:
        return nir.Delay(delay=np.full(shape, steps * self.program.dt))

    def _node(self, layer: Layer, piece: Piece, takes: Shape, offset: Floats | None) -> nir.NIRNode:
        s, p = layer.synapse, self.program.population(layer.synapse.target)
        unit = weight_unit(self.program, p)
        gain = 2.0**s.exponent * source_gain(self.program, s.source)
        size = int(np.prod(piece.given))
        if piece.form == SCALE:
            numbers = diagonal_of(s.wiring, piece.start, size)
            assert numbers is not None
            return nir.Scale(scale=(numbers * gain * unit).astype(np.float32).reshape(p.shape))
        if piece.form == LINEAR:
            weight = (matrix_of(s.wiring, piece.start, size) * gain * unit[:, None]).astype(np.float32)
            return nir.Linear(weight=weight) if offset is None else nir.Affine(weight, offset.astype(np.float32))
        assert isinstance(s.wiring, Conv)
        weight = (s.wiring.weight * gain * s.wiring.spread(unit)).astype(np.float32)
        bias = np.zeros(len(weight)) if offset is None else offset.reshape(s.wiring.channels, -1)[:, 0]
        return _convolution(s.wiring, piece.form, takes, weight, bias.astype(np.float32))

    def outputs(self) -> None:
        """An Output behind the readout's population; several, where the decision is that of none."""
        program = self.program
        if program.readout:
            last = [program.readout.population]
        else:
            sources = {s.source for s in program.synapses}
            last = [name for name in self.plan.layers if name not in sources]
            others = [name for name in self.plan.layers if name not in last]
            last += others[::-1][: max(0, 2 - len(last))]
        for name in last:
            node = nir.Output({"output": np.array(program.population(name).shape)})
            self.add(unused(OUTPUT, self.nodes), node, name)


def _shapes(layer: Layer, piece: Piece, shape: Shape) -> tuple[Shape, Shape]:
    """The shapes that a piece's node takes and gives.  shape: the target's."""
    if piece.form == SCALE:
        return shape, shape
    if piece.form == LINEAR:
        return (int(np.prod(piece.given)),), shape
    assert isinstance(layer.synapse.wiring, Conv)
    return image_of(layer.synapse.wiring, piece.form)


def _convolution(
    wiring: Conv, form: str, takes: Shape, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> nir.NIRNode:
    options = (wiring.stride, wiring.padding, wiring.dilation)
    if form == CONV1D:
        return nir.Conv1d(takes[1], weight[:, :, 0], *(pair[1] for pair in options), wiring.groups, bias)
    return nir.Conv2d(takes[1:], weight, *options, wiring.groups, bias)


def _told(program: ChipProgram, weight_bits: int) -> dict[str, Any]:
    encoder = program.encoders[0]
    chip = {
        "target": program.target,
        "weight_bits": weight_bits,
        "encoder": {
            **{
                key: int(getattr(encoder, key)) for key in ("numerator", "denominator", "bits", "low", "high", "offset")
            },
            "signed": int(encoder.signed),
        },
        "unit": {p.name: np.array(weight_unit(program, p)) for p in program.populations},
        "exponent": {s.name: s.exponent for s in program.synapses},
    }
    told: dict[str, Any] = {"schema": 1, "version": __version__, "dt": program.dt, "discretization": "forward Euler"}
    told |= {"steps": program.max_steps, "chip": chip}
    gain = source_gain(program, encoder.name)
    told["input"] = {"low": encoder.low / gain, "high": encoder.high / gain, "quantum": 0.0}
    if program.readout:
        told["readout"] = {k: getattr(program.readout, k) for k in ("population", "rule", "start", "stop")}
    return told
