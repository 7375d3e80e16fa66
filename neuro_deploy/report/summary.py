"""What `inspect --json` says of a program or a trace: plain JSON types, arrays by their shape and range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program import ChipProgram
from ..program.data import Synapse, arrays, header, plain, sections
from ..trace import Trace


def program_summary(program: ChipProgram) -> dict[str, Any]:
    """A ChipProgram: header, digest, parts with the range of each array, how much of the chip it takes, and what
    `compile` reported."""
    parts = {
        name: [{**plain(item), **_counts(item), **ranges(arrays(item))} for item in items]
        for name, items in sections(program).items()
    }
    report = dict(program.report)
    fit = report.pop("fit", None)
    return {"kind": "program", "digest": program.digest, **header(program), **parts, "fit": fit, "report": report}


def _counts(item: Any) -> dict[str, Any]:
    """What a synapse does not store: its kind, connections, and number of weights."""
    if not isinstance(item, Synapse):
        return {}
    return {"kind": item.kind, "connections": item.wiring.connections, "stored_weights": item.weight.size}


def trace_summary(trace: Trace) -> dict[str, Any]:
    """A trace: who ran it, and per population what was recorded, its range, and the sum of |spikes| over T steps."""
    populations = {}
    for name, recording in trace.populations.items():
        entry = {"shape": list(recording.shape), "latency": recording.latency, **ranges(recording.data)}
        if "spikes" in recording.data:
            entry["total_spikes"] = float(np.abs(trace.aligned(name, "spikes")).sum(dtype=np.float64))
        populations[name] = entry
    told = {name: getattr(trace, name) for name in ("backend", "steps", "batch", "dt", "digest")}
    counters = {name: dict(events) for name, events in trace.counters.items()}
    return {"kind": "trace", "numbers": trace.kind, **told, "populations": populations, "counters": counters}


def ranges(found: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Shape and range of each array."""
    return {
        name: {"shape": list(a.shape), "low": a.min().item(), "high": a.max().item()} if a.size else None
        for name, a in found.items()
    }
