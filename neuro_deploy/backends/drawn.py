"""Random input for proofs: what a graph says of its input, drawn."""

from __future__ import annotations

import nir
import numpy as np
from numpy.typing import NDArray

from ..graph import read_graph
from ..graph.nodes import Source

SEED, SAMPLES, STEPS = 0, 8, 16
"""STEPS: where the graph says none."""


def random_input(graph: nir.NIRGraph, steps: int | None = None, samples: int = SAMPLES) -> NDArray[np.float32]:
    """Uniform input (T, B, *shape) in the range and on the grid that the graph tells, in [-1, 1] by default.

    steps: T; by default what the graph says.   samples: B.
    """
    reading = read_graph(graph)
    known = reading.input_range
    low, high = (known.low, known.high) if known else (-1.0, 1.0)
    shape = next(n.shape for n in reading.nodes if isinstance(n.operation, Source))
    x = np.random.default_rng(SEED).uniform(low, high, (steps or reading.steps or STEPS, samples, *shape))
    if known and known.quantum:
        x = np.clip(np.rint(x / known.quantum) * known.quantum, low, high)
    return x.astype(np.float32)
