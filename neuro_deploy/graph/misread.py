"""What other readers of a NIR file would lose or misunderstand, by rules.

To add a rule: a registered function, below or in misread_nodes.py, that yields (node, what, who).  Whom the rules are
about: readers.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from ..neurons.scheme import told_kind
from .misread_nodes import primitives
from .readers import (
    ASSUMED,
    EVERYBODY,
    FIRING,
    JELLY,
    KNOWN,
    LEAKING,
    NORSE,
    ROCKPOOL,
    RULES,
    SINABS,
    SNNTORCH,
    TIMED,
    Found,
    Seen,
    rule,
    walk,
)
from .reading import Reading
from .told import metadata_of


@dataclass(frozen=True)
class Misreading:
    """One thing that somebody else's reader of the file gets wrong.

    node: its name, `outer.inner` in a nested graph; "" for the whole file.   what: what is lost or changed.
    who: the readers.   rule: the name of the rule that found it.
    """

    node: str
    what: str
    who: tuple[str, ...]
    rule: str


def misreadings(graph: nir.NIRGraph, reading: Reading | None) -> tuple[Misreading, ...]:
    """All findings, rule by rule.  reading: what we make of the graph; None if we cannot run it.

    A reader that has no mapping for a node misreads nothing else of it.
    """
    seen = Seen(graph, dict(walk(graph)), reading)
    result = []
    for function in RULES:
        for node, what, who in function(seen):
            readers = who if function is primitives else tuple(w for w in who if _maps(w, seen.nodes.get(node)))
            if readers:
                result.append(Misreading(node, what, readers, function.__name__))
    return tuple(result)


def _maps(reader: str, node: Any) -> bool:
    return node is None or reader not in KNOWN or type(node) in KNOWN[reader]


def _is(values: Any, wanted: Any) -> bool:
    return bool(np.allclose(np.asarray(values, np.float64), wanted, rtol=1e-5, atol=1e-9))


def _span(values: Any) -> str:
    if np.size(values) == 0:
        return "nothing"
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"


@rule
def time_step(seen: Seen) -> Found:
    """The format has none."""
    if next(seen.of(*TIMED), None) is None:
        return
    dt = seen.reading.dt if seen.reading else None
    who = [name for name, assumed in ASSUMED.items() if dt is None or not np.isclose(assumed, dt, rtol=1e-9, atol=0)]
    if who:
        made = f"it was made for {dt:g} s a step" if dt else "nothing else tells it"
        told = ", ".join(f"{name} {ASSUMED[name]:g}" for name in who)
        yield "", f"the format has no dt, and {made}; unless told, other readers assume (in s) {told}", tuple(who)


@rule
def discretization(seen: Seen) -> Found:
    """Forward Euler, or the exact exponential."""
    if seen.reading is None or next(seen.of(*LEAKING), None) is None:
        return
    if seen.reading.scheme.discretization == "forward Euler":
        yield "", "leaks are 1 - dt/tau a step here, exp(-dt/tau) there", (SINABS, ROCKPOOL)
    else:
        yield "", "leaks are exp(-dt/tau) a step here, 1 - dt/tau there", (SNNTORCH, NORSE, JELLY)


@rule
def soft_reset(seen: Seen) -> Found:
    """NIR cannot say it."""
    for name, node in seen.of(nir.NIRGraph, *FIRING):
        if not seen.subtracts(name):
            continue
        how, others = ("never resets", (SINABS, ROCKPOOL)) if seen.keeps(name) else ("resets by subtraction", ())
        if isinstance(node, nir.NIRGraph):
            what = f"{how}: a nested graph of LI, Threshold and Scale with a loop, which they refuse"
            yield name, what, (SNNTORCH, NORSE, JELLY, SINABS)
        else:
            what = f"{how}, which only our metadata says; they reset it"
            yield name, what, (SNNTORCH, NORSE, JELLY, *others)


@rule
def hard_reset(seen: Seen) -> Found:
    """NIR's own reset."""
    for name, _ in seen.of(*FIRING):
        if not seen.subtracts(name):
            yield name, "resets to v_reset; they subtract the threshold, several times a step", (SINABS, ROCKPOOL)


@rule
def reset_value(seen: Seen) -> Found:
    """`v_reset`, since nir 1.0.6."""
    for name, node in seen.of(*FIRING):
        if not _is(node.v_reset, 0):
            yield name, f"v_reset = {_span(node.v_reset)} is ignored: they reset to 0", (SNNTORCH, NORSE)


@rule
def leak_voltage(seen: Seen) -> Found:
    """`v_leak`, where the potential goes without input."""
    for name, node in seen.of(*LEAKING):
        if not _is(node.v_leak, 0):
            yield name, f"v_leak = {_span(node.v_leak)} is refused", (SNNTORCH, SINABS)
            if type(node) is nir.CubaLIF:
                yield name, f"v_leak = {_span(node.v_leak)} is added to the current as well", (NORSE,)
    for name, node in seen.of(nir.LIF, nir.CubaLIF):
        wanted = node.v_reset if type(node) is nir.LIF else 0.0
        if not _is(node.v_leak, wanted):
            yield name, f"v_leak = {_span(node.v_leak)} is refused: it must be {_span(wanted)}", (JELLY,)


@rule
def start(seen: Seen) -> Found:
    """NIR does not say where a potential starts; ours starts at 0."""
    for name, node in seen.of(*LEAKING):
        if not _is(node.v_leak, 0):
            yield name, f"its potential starts at v_leak = {_span(node.v_leak)}, not at 0", (NORSE,)
    for name, node in seen.of(*FIRING):
        if not _is(node.v_reset, 0):
            yield name, f"its potential starts at v_reset = {_span(node.v_reset)}, not at 0", (JELLY,)


@rule
def resistance(seen: Seen) -> Found:
    """`r`, the gain of the input."""
    dt = seen.reading.dt if seen.reading else None
    for name, node in seen.of(nir.LIF, nir.IF):
        if type(node) is nir.LIF and not _is(node.r, 1):
            yield name, f"r = {_span(node.r)} is ignored: its input counts as for r = 1", (NORSE, SINABS)
        if dt is None:
            continue
        if type(node) is nir.IF and not _is(node.r, 1.0 / dt):
            yield name, f"r = {_span(node.r)} is ignored: it takes its input whole, as for r = 1 / dt", (NORSE, SINABS)
        allowed = (1.0, node.tau / dt) if type(node) is nir.LIF else (1.0 / dt,)
        if not any(_is(node.r, value) for value in allowed):
            text = "1 or tau / dt" if type(node) is nir.LIF else "1 / dt"
            yield name, f"r = {_span(node.r)} is refused: it must be {text}", (JELLY,)
    for name, node in seen.of(nir.LI):
        if not _is(node.r, 1):
            yield name, f"r = {_span(node.r)} is refused: it must be 1", (SINABS,)
    for name, node in seen.of(nir.CubaLIF):
        step = {SNNTORCH: ASSUMED[SNNTORCH], JELLY: dt}
        who = tuple(reader for reader, taken in step.items() if taken and not _is(node.r, node.tau_mem / taken))
        if who:
            yield name, f"r = {_span(node.r)} is refused: it must be tau_mem / dt, for the dt that they take", who


@rule
def integrators(seen: Seen) -> Found:
    """IF: a neuron without a leak."""
    for name, node in seen.of(nir.IF):
        if _is(node.r, 1):
            yield name, "has no leak, and is read as a neuron that keeps 0.9 a step", (SNNTORCH,)
        else:
            yield name, f"r = {_span(node.r)} is refused: it must be 1", (SNNTORCH,)


@rule
def at_threshold(seen: Seen) -> Found:
    """Firing is strict in NIR."""
    equal = seen.reading is not None and seen.reading.scheme.at_threshold
    for name, node in seen.of(*FIRING):
        if equal and told_kind(node) is None:
            yield name, "fires at h >= threshold here, at h > threshold there", (SNNTORCH, NORSE)
        else:
            yield name, "fires at h > threshold here, at h >= threshold there", (JELLY, SINABS, ROCKPOOL)


@rule
def our_metadata(seen: Seen) -> Found:
    """What only our metadata says."""
    if seen.reading is None:
        return
    told, known = metadata_of(seen.graph), seen.reading.input_range
    if known is not None:
        grid = f" in steps of {known.quantum:g}" if known.quantum else ""
        what = f"its input takes numbers in [{known.low:g}, {known.high:g}]{grid}, not spikes"
        if (known.low, known.high, known.quantum) != (0.0, 1.0, 1.0):
            yield "", f"{what}; only our metadata says so", (EVERYBODY,)
    if "readout" in told and seen.reading.readout is not None:
        r = seen.reading.readout
        yield r.population, f"the decision is its {r.rule}; only our metadata says so", (EVERYBODY,)
