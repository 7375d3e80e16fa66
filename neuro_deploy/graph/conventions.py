"""Which family of tools wrote a file, and what the file means by that family's convention.

NIR holds neither a time step nor a reset by subtraction; each writer has its own.  A family is recognised by what it
makes of a time constant and a gain (signs.py); where two families fit, both are named, and nothing is chosen.

Sources: the exporters and importers of snnTorch 1.0.0, SpikingJelly 2.0.0, Norse 1.1.0, Sinabs 3.1.3, Rockpool 3.1.0,
and lava-dl's NIR script, by running them and looking at their files.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import nir
import numpy as np

from ..errors import InputError, UnsupportedError, Violation
from . import signs
from .signs import Facts, Sign, neurons_of
from .told import assume, metadata_of, told_of

FIRING = (nir.LIF, nir.IF, nir.CubaLIF)


@dataclass(frozen=True)
class Family:
    """A convention.  dt: seconds a step, from the facts; None where the user must say.

    discretization, rounds, fires: as `assume` takes them.   reset: the same; "" where the file cannot tell, and the
    user must.   signs: reasons for and against, of which all must hold.   edit: a node as this family reads it, from
    the node, dt and the reset; raises UnsupportedError with what it cannot be.   told: the numbers of its files tell
    dt, so another one contradicts them.
    """

    title: str
    dt: Callable[[Facts], float | None]
    discretization: str
    reset: str
    fires: str
    signs: Callable[[Facts], list[Sign]]
    rounds: int = 1
    edit: Callable[[Any, float, str], Any] | None = None
    told: bool = False
    note: str = ""


def _with(node: Any, **values: Any) -> Any:
    """The node with other parameters, float32 in the shape that the node has."""
    node = copy.copy(node)
    for name, value in values.items():
        before = getattr(node, name)
        shape = np.broadcast_shapes(np.shape(value), np.shape(before)) if before is not None else np.shape(value)
        setattr(node, name, np.broadcast_to(np.asarray(value, np.float32), shape).copy())
    return node


def _measured(node: Any, origin: Any) -> Any:
    """A node whose potential starts at `origin`, as one whose potential, measured from there, starts at 0."""
    origin = np.asarray(origin, np.float64)
    if not origin.any():
        return node
    shifted = {name: getattr(node, name, None) for name in ("v_threshold", "v_reset", "v_leak")}
    return _with(node, **{name: value - origin for name, value in shifted.items() if value is not None})


def _snntorch(node: Any, dt: float, reset: str) -> Any:
    """v_reset is ignored; an IF is written by nobody there, and read as a Leaky that loses its state."""
    if isinstance(node, nir.IF):
        what = "snnTorch writes no IF, and reads one as a leaky neuron that forgets its potential"
        raise UnsupportedError("", [Violation("", what, "say --dt and --reset instead of --as")])
    return _with(node, v_reset=0.0 * np.asarray(node.v_threshold)) if isinstance(node, FIRING) else node


def _spikingjelly(node: Any, dt: float, reset: str) -> Any:
    """Potentials start at v_reset: measured from there."""
    if reset != "value" or not isinstance(node, FIRING) or node.v_reset is None:
        return node
    return _measured(node, node.v_reset)


def _norse(node: Any, dt: float, reset: str) -> Any:
    """r of LIF and v_reset are not looked at, an IF takes its input whole, and potentials start at v_leak.

    They are measured from there; a CubaLIF's current leaks to v_leak as well, which moves its potential by r*v_leak.
    """
    if isinstance(node, nir.LI):
        if np.any(np.asarray(node.v_leak) != 0):
            what = "v_leak is not 0: Norse's potential starts there, and an LI sends its potential"
            raise UnsupportedError("", [Violation("", what, "convert the model by nd.from_norse instead")])
        return _with(node, r=1.0)
    if not isinstance(node, FIRING):
        return node
    node = _with(node, v_reset=0.0 * np.asarray(node.v_threshold))
    if isinstance(node, nir.IF):
        return _with(node, r=1.0 / dt)
    start = np.asarray(node.v_leak, np.float64)
    if isinstance(node, nir.LIF):
        return _measured(_with(node, r=1.0), start)
    node = _measured(node, start)
    return _with(node, v_leak=np.asarray(node.r, np.float64) * start) if start.any() else node


def _rockpool(node: Any, dt: float, reset: str) -> Any:
    """r and w_in for the gains that Rockpool computes with, whatever its exporter writes.

    Its potential takes input and current whole: a LIF has the gain 1, where the file says exp(-dt/tau); a CubaLIF's
    current loses a step of its leak, the gain exp(-dt/tau_syn).  What it writes for an LI is right.
    """
    if isinstance(node, nir.LIF):
        return _with(node, r=np.asarray(node.tau, np.float64) / dt)
    if not isinstance(node, nir.CubaLIF):
        return node
    tau_syn = np.asarray(node.tau_syn, np.float64)
    r = np.asarray(node.tau_mem, np.float64) / dt
    return _with(node, r=r, w_in=np.exp(-dt / tau_syn) * tau_syn / dt)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "snntorch": Family(
            "snnTorch",
            lambda facts: signs.STEP["snntorch"],
            "forward Euler",
            "",
            ">",
            signs.snntorch_signs,
            edit=_snntorch,
            note="it exports reset_mechanism subtract, zero and none alike: subtract (with reset_delay=True) is "
            "subtract-late, none is none, zero is value (with reset_delay=False, in Leaky with either); its reader "
            "takes every file for value, to 0",
        ),
        "spikingjelly": Family(
            "SpikingJelly",
            signs.spikingjelly_dt,
            "forward Euler",
            "value",
            ">=",
            signs.spikingjelly_signs,
            edit=_spikingjelly,
            told=True,
            note="it refuses to export soft resets; potentials are measured from v_reset, where they start",
        ),
        "norse": Family(
            "Norse",
            signs.norse_dt,
            "forward Euler",
            "value",
            ">",
            signs.norse_signs,
            edit=_norse,
            note="its reader looks neither at r of LIF and IF (an IF takes its input whole) nor at v_reset; potentials "
            "are measured from v_leak, where they start; its exporter loses v_reset, the reset and the current's gain: "
            "convert the model by nd.from_norse instead",
        ),
        "sinabs": Family(
            "Sinabs",
            lambda facts: signs.STEP["sinabs"],
            "exponential",
            "subtract",
            ">=",
            signs.sinabs_signs,
            rounds=16,
            note="several spikes a step: 16 at most unless --rounds says another number",
        ),
        "rockpool": Family(
            "Rockpool",
            signs.rockpool_dt,
            "exponential, impulses",
            "subtract",
            ">=",
            signs.rockpool_signs,
            rounds=16,
            edit=_rockpool,
            told=True,
            note="its exporter drops biases and recurrent weights of neurons; several spikes a step: 16 at most unless "
            "--rounds says another number",
        ),
        "lava-dl": Family(
            "lava-dl's NIR script",
            lambda facts: signs.STEP["lava-dl"],
            "forward Euler",
            "value",
            ">",
            signs.script_signs,
        ),
    }
)
"""Name -> convention."""


class Match(NamedTuple):
    """How well a family fits.  fits: all signs hold."""

    family: str
    fits: bool
    signs: tuple[Sign, ...]


def recognise(graph: nir.NIRGraph) -> tuple[Match, ...]:
    """How well each family fits a foreign file; () for one that our metadata explains, or one without neurons."""
    told = told_of(graph)
    facts = Facts.of(graph)
    if told.dt is not None or not (facts.tau.size or facts.integrator_r.size):
        return ()
    found = [(name, tuple(family.signs(facts))) for name, family in FAMILIES.items()]
    return tuple(Match(name, all(s.holds for s in signs), signs) for name, signs in found)


def read_as(
    graph: nir.NIRGraph,
    family: str,
    *,
    dt: float | None = None,
    reset: str | None = None,
    rounds: int | None = None,
    discretization: str | None = None,
    fires: str | None = None,
) -> nir.NIRGraph:
    """The graph as a family means it; what is given wins over the family's convention.

    Raises: InputError for an unknown family, a file that says its time step, or where neither file nor family say what
    must be said; UnsupportedError with all nodes that cannot be read as the family does.
    """
    if family not in FAMILIES:
        raise InputError(f"--as {family}: unknown; known are {', '.join(FAMILIES)}")
    told = told_of(graph)
    if told.dt is not None:
        raise InputError(f"the file already says its time step (dt = {told.dt!r} s) and needs no --as; leave --as out")
    rule = FAMILIES[family]
    step = _step(graph, rule, dt)
    meant = reset or told.reset or rule.reset
    if not meant and any(isinstance(n, FIRING) for n in neurons_of(graph)):
        raise InputError(f"{rule.title} files do not tell the reset ({rule.note}); give --reset")
    made = assume(
        graph,
        dt=step,
        discretization=discretization or rule.discretization,
        reset=meant or None,
        rounds=rounds or (rule.rounds if meant == "subtract" else None),
        fires=fires or rule.fires,
        family=family,
    )
    check_rounds(made, rounds)
    return _edited(made, rule, step, meant) if rule.edit else made


def _step(graph: nir.NIRGraph, rule: Family, dt: float | None) -> float:
    """Seconds a step.  Raises: InputError where nothing tells, or dt contradicts the file's numbers."""
    found = rule.dt(Facts.of(graph))
    if dt is None and found is None:
        raise InputError(
            f"{rule.title} files do not tell their time step, and this one's numbers do not; give --dt SECONDS"
        )
    if rule.told and dt is not None and found is not None and not np.isclose(dt, found, rtol=signs.CLOSE, atol=0):
        raise InputError(f"--dt {dt:g}: the numbers of this {rule.title} file say {found:.6g} s; leave --dt out")
    return dt if dt is not None else float(found or 0)


def check_rounds(graph: nir.NIRGraph, rounds: int | None) -> None:
    """Raise InputError for a number of rounds that the graph's reset has no use for."""
    reset = told_of(graph).reset or "value"
    if rounds is not None and reset == "value":
        raise InputError(
            f"--rounds {rounds}: a reset to a value has one spike a step; give --reset subtract, or no --rounds"
        )


def _edited(graph: nir.NIRGraph, rule: Family, dt: float, reset: str) -> nir.NIRGraph:
    known = {id(node) for node in neurons_of(graph)}
    violations: list[Violation] = []

    def edited(part: nir.NIRGraph, prefix: str) -> nir.NIRGraph:
        nodes: dict[str, Any] = {}
        for name, node in part.nodes.items():
            nodes[name] = node
            if isinstance(node, nir.NIRGraph) and "kind" not in metadata_of(node):
                nodes[name] = edited(node, f"{prefix}{name}.")
            elif id(node) in known and rule.edit is not None:
                try:
                    nodes[name] = rule.edit(node, dt, reset)
                except UnsupportedError as error:
                    violations.extend(Violation(f"{prefix}{name}", v.what, v.remedy) for v in error.violations)
        return nir.NIRGraph(nodes, list(part.edges), metadata=dict(part.metadata), type_check=False)

    made = edited(graph, "")
    if violations:
        raise UnsupportedError(f"cannot read the graph as {rule.title} does", violations)
    return made
