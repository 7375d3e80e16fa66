"""What a foreign NIR file would be in each family's reading: leak, gain, reset, and its spikes on the same input."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..backends import simulate
from ..errors import NeuroDeployError
from ..graph import Reading, read_graph
from ..graph.conventions import FAMILIES, Match, read_as, recognise
from ..graph.nodes import Diagonal, Source
from ..neurons.scheme import RESETS
from .summary import ranges

PROBE_STEPS, PROBE_SAMPLES = 40, 4
"""Of the random input, uniform in [0, 1], that shows what a reading does."""
LARGEST = 50_000
"""Networks of more neurons are not run."""


def try_families(graph: nir.NIRGraph) -> list[dict[str, Any]]:
    """Each family with its signs and its readings, those that fit first; [] for a file that says what it is."""
    matches = sorted(recognise(graph), key=lambda match: not match.fits)
    return [
        {
            "family": match.family,
            "title": FAMILIES[match.family].title,
            "fits": match.fits,
            "signs": [{"holds": sign.holds, "text": sign.text} for sign in match.signs],
            "note": FAMILIES[match.family].note,
            "readings": [_reading(graph, match, reset) for reset in _resets(match)],
        }
        for match in matches
    ]


def _resets(match: Match) -> list[str]:
    """The family's own reset, or all where its files do not tell."""
    return [FAMILIES[match.family].reset] if FAMILIES[match.family].reset else list(RESETS)


def _reading(graph: nir.NIRGraph, match: Match, reset: str) -> dict[str, Any]:
    try:
        meant = read_as(graph, match.family, reset=reset)
        reading = read_graph(meant)
        spikes = _spikes(meant, reading)
    except NeuroDeployError as error:
        return {"reset": reset, "problem": " ".join(str(error).split())}
    gains = [n.operation.scale for n in reading.nodes if isinstance(n.operation, Diagonal) and n.name.endswith(".in")]
    return {
        "reset": reset,
        "dt": reading.dt,
        "discretization": reading.scheme.discretization,
        "fires": ">=" if reading.scheme.at_threshold else ">",
        "leak": _span([neuron.params["beta"] for neuron in reading.neurons.values()]),
        "gain": _span(gains) if gains else [1.0, 1.0],
        "spikes": spikes,
    }


def _span(arrays: list[NDArray[Any]]) -> list[float]:
    held = ranges({str(i): array for i, array in enumerate(arrays)})
    return [min(r["low"] for r in held.values()), max(r["high"] for r in held.values())]


def _spikes(graph: nir.NIRGraph, reading: Reading) -> dict[str, int] | None:
    """Population -> its spikes on the probe; None for a network too large to run in passing."""
    if sum(neuron.size for neuron in reading.neurons.values()) > LARGEST:
        return None
    shape = next(n.shape for n in reading.nodes if isinstance(n.operation, Source))
    x = np.random.default_rng(0).uniform(0, 1, (PROBE_STEPS, PROBE_SAMPLES, *shape)).astype(np.float32)
    trace = simulate(graph, x, "reference", ("spikes",))
    return {name: int(np.abs(trace.populations[name].data["spikes"]).sum()) for name in reading.neurons}
