"""Relay in float, in NIR (a Threshold with our metadata) and as integers."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from ..base import (
    BIAS_RANGES,
    METADATA,
    THRESHOLD_RANGE,
    FloatNeuron,
    Interval,
    Quantized,
    bias_of,
    register_problems,
)


class RelaySpec:
    kind = "relay"

    def read(self, name: str, node: nir.NIRNode, dt: float) -> FloatNeuron | None:
        if not isinstance(node, nir.Threshold) or node.metadata.get(METADATA, {}).get("kind") != "relay":
            return None
        return FloatNeuron("relay", np.shape(node.threshold), {"theta": node.threshold})

    def drive(self, node: nir.NIRNode, dt: float) -> None:
        return None

    def write(self, neuron: FloatNeuron, dt: float) -> nir.NIRNode:
        theta = np.broadcast_to(neuron.params["theta"], neuron.shape)
        return nir.Threshold(theta.copy(), metadata={METADATA: {"kind": "relay"}})

    def anchor(self, neuron: FloatNeuron) -> Any:
        return neuron.flat("theta")

    def anchor_limit(self, neuron: FloatNeuron, target: Any) -> int:
        return (1 << 17) - 1

    def quantize(self, name: str, neuron: FloatNeuron, anchor_q: Any, target: Any) -> Quantized:
        return Quantized({"vth": anchor_q}, [], [])

    def check(self, params: Any) -> list[str]:
        return register_problems(params, {"vth": THRESHOLD_RANGE, **BIAS_RANGES})

    def spike_range(self, params: Any) -> tuple[int, int]:
        return 0, 1

    def bounds(self, params: Any, total: Interval, steps: int) -> dict[str, Interval]:
        bias = bias_of(params)
        return {"v": Interval((total.low << 6) + bias, (total.high << 6) + bias)}


SPEC = RelaySpec()
