"""Relay in float, in NIR (a Threshold in a graph of its own, with our metadata) and as integers."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from ...fixed import Registers
from ..base import (
    FloatNeuron,
    Integers,
    Interval,
    Levels,
    Quantized,
    bias_of,
    bias_ranges,
    register_problems,
    threshold_range,
    whole_units,
)
from ..scheme import METADATA, Scheme


class RelaySpec:
    kind = "relay"

    def read(self, name: str, node: nir.NIRNode, scheme: Scheme) -> FloatNeuron | None:
        if not isinstance(node, nir.NIRGraph) or node.metadata.get(METADATA, {}).get("kind") != "relay":
            return None
        theta = node.nodes["relay"].threshold
        return FloatNeuron("relay", np.shape(theta), {"theta": theta})

    def gain(self, node: nir.NIRNode, scheme: Scheme) -> None:
        return None

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        theta, shape = np.broadcast_to(neuron.params["theta"], neuron.shape), np.array(neuron.shape)
        nodes = {
            "input": nir.Input(input_type={"input": shape}),
            "relay": nir.Threshold(theta.copy()),
            "output": nir.Output(output_type={"output": shape}),
        }
        edges = [("input", "relay"), ("relay", "output")]
        return nir.NIRGraph(nodes, edges, metadata={METADATA: {"kind": "relay"}}, type_check=False)

    def anchor(self, neuron: FloatNeuron) -> Any:
        return neuron.flat("theta")

    def anchor_limit(self, neuron: FloatNeuron, target: Any) -> int:
        return (1 << 17) - 1

    def quantize(self, name: str, neuron: FloatNeuron, unit: Any, target: Any) -> Quantized:
        vth, rounding = whole_units(name, "theta", neuron.flat("theta"), unit, target)
        return Quantized({"vth": vth}, [rounding], [])

    def restore(self, given: Integers) -> FloatNeuron:
        theta = (given.params["vth"] << given.registers.threshold_shift) * given.unit
        return FloatNeuron("relay", given.shape, {"theta": theta.reshape(given.shape)})

    def check(self, params: Any, registers: Registers) -> list[str]:
        return register_problems(params, {"vth": threshold_range(registers), **bias_ranges(registers)})

    def spike_range(self, params: Any) -> tuple[int, int]:
        return 0, 1

    def float_spike_range(self, neuron: FloatNeuron) -> tuple[int, int]:
        return 0, 1

    def levels(self, params: Any, registers: Registers) -> Levels:
        theta = params["vth"] << registers.threshold_shift
        return Levels(theta, np.asarray(1), theta, np.asarray(0))

    def bounds(
        self, params: Any, total: Interval, steps: int, registers: Registers, idle: int = 0
    ) -> dict[str, Interval]:
        bias, shift = bias_of(params), registers.input_shift
        return {"v": Interval((total.low << shift) + bias, (total.high << shift) + bias)}


SPEC = RelaySpec()
