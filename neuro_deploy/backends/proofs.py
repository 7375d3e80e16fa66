"""What proofs of a graph share: random input as the graph tells of it, and the entry in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..graph import read_graph
from ..graph.digest import digest_of
from ..graph.nodes import Source
from ..graph.told import metadata_of
from ..neurons.scheme import METADATA
from ..resources import versions

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


def with_proof(graph: nir.NIRGraph, found: Mapping[str, Mapping[str, Any]], **more: Any) -> nir.NIRGraph:
    """The graph with a proof in its metadata, bound by a digest to what it was made of.

    found: kind of input ("random", "sample") -> what was compared.   more: further entries of our metadata.
    """
    proof = {**found, "versions": versions(), "digest": digest_of(read_graph(graph))}
    entry = {**metadata_of(graph), "proof": proof, **more}
    return nir.NIRGraph(graph.nodes, list(graph.edges), metadata={**graph.metadata, METADATA: entry}, type_check=False)
