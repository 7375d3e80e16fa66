"""Which family of tools wrote a file, and what the file means by that family's convention.

NIR holds neither a time step nor a reset by subtraction; each writer has its own.  A family is recognised by what it
makes of a time constant and a gain; where two families fit, both are named, and nothing is chosen.

Sources: the exporters of snnTorch 1.0.0, SpikingJelly 2.0.0, Norse 1.1.0, Sinabs 3.1.3, Rockpool 3.1.0, and lava-dl's
NIR script, by running them and looking at their files.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

from ..errors import InputError
from .told import assume, metadata_of, told_of

Floats = NDArray[np.float64]
CLOSE = 1e-3
"""Relative tolerance of a sign: files hold float32, and some exporters round on their way."""


class Sign(NamedTuple):
    """A reason for or against a family."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Facts:
    """What recognition looks at: the parameters of all neurons of a graph, nested ones too, each float64 (N,).

    tau, r: of nodes with a leak.   integrator_r: of IF and I.
    """

    tau: Floats
    r: Floats
    integrator_r: Floats
    threshold: Floats
    v_reset: Floats
    v_leak: Floats

    @staticmethod
    def of(graph: nir.NIRGraph) -> Facts:
        """Collect them."""
        found: dict[str, list[Floats]] = {name: [] for name in ("tau", "r", "i", "v_threshold", "v_reset", "v_leak")}
        for node in neurons_of(graph):
            tau = getattr(node, "tau", getattr(node, "tau_mem", None))
            shape = np.broadcast_shapes(*(np.shape(v) for v in vars(node).values() if isinstance(v, np.ndarray)))
            pairs = {"tau": tau, "r" if tau is not None else "i": getattr(node, "r", None)}
            pairs |= {name: getattr(node, name, None) for name in ("v_threshold", "v_reset", "v_leak")}
            for name, value in pairs.items():
                if value is not None:
                    found[name].append(np.broadcast_to(np.asarray(value, np.float64), shape).reshape(-1))
        return Facts(*(np.concatenate([np.zeros(0), *values]) for values in found.values()))


def neurons_of(graph: nir.NIRGraph) -> Iterator[Any]:
    """All neurons of a graph, nested ones too, but for those that our metadata explains."""
    for _, node in sorted(graph.nodes.items()):
        if isinstance(node, nir.NIRGraph) and "kind" not in metadata_of(node):
            yield from neurons_of(node)
        elif isinstance(node, (nir.LIF, nir.IF, nir.LI, nir.I, nir.CubaLIF, nir.CubaLI)) and not metadata_of(node):
            yield node


@dataclass(frozen=True)
class Family:
    """A convention.  dt: seconds a step, from the facts; None where the user must say.

    discretization, rounds, fires: as `assume` takes them.   reset: the same; "" where the file cannot tell, and the
    user must.   signs: reasons for and against, of which all must hold.   edit: a node as this family reads it.
    """

    title: str
    dt: Callable[[Facts], float | None]
    discretization: str
    reset: str
    fires: str
    signs: Callable[[Facts], list[Sign]]
    rounds: int = 1
    edit: Callable[[Any], Any] | None = None
    note: str = ""


def _same(values: Floats, wanted: Any) -> bool:
    return bool(values.size) and bool(np.allclose(values, wanted, rtol=CLOSE, atol=0))


def _ratio(facts: Facts) -> Floats:
    """tau / r: dt where r = tau/dt."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([facts.tau / facts.r, 1.0 / facts.integrator_r])


def _constant(facts: Facts, dt: float, who: str) -> list[Sign]:
    ratio = _ratio(facts)
    seen = f"{ratio.min():.4g} .. {ratio.max():.4g}" if ratio.size else "no neurons"
    return [Sign(_same(ratio, dt), f"tau/r ({seen}) is {who}'s fixed dt of {dt:g} s everywhere")]


def _steps_signs(facts: Facts) -> list[Sign]:
    unit = _same(np.concatenate([facts.r, facts.integrator_r]), 1.0)
    least = f"{facts.tau.min():.4g}" if facts.tau.size else "none"
    return [
        Sign(unit, "r is 1 everywhere"),
        Sign(bool((facts.tau >= 0.5).all()), f"the smallest tau ({least}) is a number of steps, not of seconds"),
        Sign(not facts.v_reset.any() and not facts.v_leak.any(), "v_reset and v_leak are 0"),
    ]


def _norse_dt(facts: Facts) -> float:
    """1e-3, as Norse reads; its exporter writes dt*tau for tau, so in files of its own a step is dt*dt."""
    return 1e-6 if facts.tau.size and facts.tau.max() < 1e-3 else 1e-3


def _seconds_signs(facts: Facts) -> list[Sign]:
    largest = f"{facts.tau.max():.4g}" if facts.tau.size else "none"
    written = "  (below 1 ms: its exporter wrote dt*tau, so a step is dt*dt)" if _norse_dt(facts) < 1e-3 else ""
    return [
        Sign(_same(np.concatenate([facts.r, facts.integrator_r]), 1.0), "r is 1 everywhere"),
        Sign(bool((facts.tau < 0.5).all()), f"the largest tau ({largest}) is a number of seconds{written}"),
    ]


def _jelly_dt(facts: Facts) -> float | None:
    """1/r of IF nodes, or tau/r where it is the same everywhere."""
    ratio = _ratio(facts)
    if ratio.size and np.isfinite(ratio).all() and _same(ratio, ratio[0]):
        return float(np.median(ratio))
    return None


def _jelly_signs(facts: Facts) -> list[Sign]:
    decays = _same(facts.r, 1.0) and not facts.integrator_r.size
    dt = _jelly_dt(facts)
    same = bool(facts.v_leak.size == 0 or np.allclose(facts.v_leak, _of_leaky(facts), rtol=CLOSE))
    return [
        Sign(dt is not None or decays, "tau/r and 1/r of IF are one dt everywhere, or r is 1 (a decayed input)"),
        Sign(same, "v_leak is v_reset: its neurons leak towards their reset value"),
    ]


def _of_leaky(facts: Facts) -> Floats:
    """v_reset of the neurons that leak, as many as v_leak."""
    return facts.v_reset[: facts.v_leak.size] if facts.v_reset.size >= facts.v_leak.size else np.full(1, np.nan)


def _rockpool_steps(facts: Facts) -> Floats:
    """dt of each neuron from r = tau * exp(-dt/tau) / dt: x*exp(x) = 1/r with x = dt/tau."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(facts.tau * np.real(lambertw(1.0 / facts.r)))


def _rockpool_dt(facts: Facts) -> float | None:
    steps = _rockpool_steps(facts)
    return float(np.median(steps)) if steps.size and np.isfinite(steps).all() and _same(steps, steps[0]) else None


def _rockpool_signs(facts: Facts) -> list[Sign]:
    found = _rockpool_steps(facts)
    seen = f"{np.nanmin(found):.4g} .. {np.nanmax(found):.4g}" if np.isfinite(found).any() else "none"
    spread = facts.tau.size > 0 and not _same(_ratio(facts), _ratio(facts)[0])
    return [
        Sign(_rockpool_dt(facts) is not None, f"r = tau*exp(-dt/tau)/dt with one dt everywhere (found {seen} s)"),
        Sign(spread, "tau/r is not one number, as it would be with r = tau/dt"),
    ]


def _rockpool_gains(node: Any) -> Any:
    """r and w_in for the gains that Rockpool computes with, whatever its exporter writes.

    Its potential takes input and current whole: a LIF has the gain 1, where the file says exp(-dt/tau); a CubaLIF's
    current loses a step of its leak, the gain exp(-dt/tau_syn).  What it writes for an LI is right.
    """
    if not isinstance(node, (nir.LIF, nir.CubaLIF)):
        return node
    tau = np.asarray(node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau, np.float64)
    dt = np.median(tau * np.real(lambertw(1.0 / np.asarray(node.r, np.float64))))
    node = copy.copy(node)
    node.r = tau / dt
    if isinstance(node, nir.CubaLIF):
        tau_syn = np.asarray(node.tau_syn, np.float64)
        node.w_in = np.exp(-dt / tau_syn) * tau_syn / dt
    return node


def _script_signs(facts: Facts) -> list[Sign]:
    grid = facts.threshold * 64
    whole = bool(grid.size) and bool(np.allclose(grid, np.rint(grid), atol=1e-3))
    return [*_constant(facts, 1e-4, "the script"), Sign(whole, "thresholds are multiples of 1/64")]


def _nothing_read(node: Any) -> Any:
    """r, v_reset and w_in as Norse's importer takes them: it does not look at them."""
    node = copy.copy(node)
    for name, value in (("r", 1.0), ("v_reset", 0.0), ("w_in", 1.0)):
        if getattr(node, name, None) is not None:
            setattr(node, name, np.full(np.shape(getattr(node, name)), value, np.float32))
    return node


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "snntorch": Family(
            "snnTorch",
            lambda facts: 1e-4,
            "forward Euler",
            "",
            ">",
            lambda facts: [
                *_constant(facts, 1e-4, "snnTorch"),
                Sign(not facts.v_reset.any() and not facts.v_leak.any(), "v_reset and v_leak are 0"),
            ],
            note="it exports reset_mechanism subtract, zero and none alike: subtract (with reset_delay=True) is "
            "subtract-late, none is none, zero is value (with reset_delay=False, in Leaky with either)",
        ),
        "spikingjelly": Family(
            "SpikingJelly",
            _jelly_dt,
            "forward Euler",
            "value",
            ">=",
            _jelly_signs,
            note="it refuses to export soft resets",
        ),
        "norse": Family(
            "Norse",
            _norse_dt,
            "forward Euler",
            "value",
            ">",
            _seconds_signs,
            edit=_nothing_read,
            note="its reader looks neither at r, w_in nor at v_reset; its exporter loses v_reset, the reset and the "
            "current's gain: convert the model by nd.from_norse instead",
        ),
        "sinabs": Family(
            "Sinabs",
            lambda facts: 1.0,
            "exponential",
            "subtract",
            ">=",
            _steps_signs,
            rounds=16,
            note="several spikes a step: 16 at most unless --rounds says another number",
        ),
        "rockpool": Family(
            "Rockpool",
            _rockpool_dt,
            "exponential, impulses",
            "subtract",
            ">=",
            _rockpool_signs,
            rounds=16,
            edit=_rockpool_gains,
            note="its exporter drops biases and recurrent weights of neurons; several spikes a step: 16 at most unless "
            "--rounds says another number",
        ),
        "lava-dl": Family("lava-dl's NIR script", lambda facts: 1e-4, "forward Euler", "value", ">", _script_signs),
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

    Raises: InputError for an unknown family, or where neither file nor family say what must be said.
    """
    if family not in FAMILIES:
        raise InputError(f"--as {family}: unknown; known are {', '.join(FAMILIES)}")
    rule = FAMILIES[family]
    step = dt if dt is not None else rule.dt(Facts.of(graph))
    if step is None:
        raise InputError(
            f"{rule.title} files do not tell their time step, and this one's numbers do not; give --dt SECONDS"
        )
    if not (reset or rule.reset) and any(isinstance(n, (nir.LIF, nir.IF, nir.CubaLIF)) for n in neurons_of(graph)):
        raise InputError(f"{rule.title} files do not tell the reset ({rule.note}); give --reset")
    edited = _edited(graph, rule.edit) if rule.edit else graph
    several = rule.rounds if (reset or rule.reset) == "subtract" else None
    return assume(
        edited,
        dt=step,
        discretization=discretization or rule.discretization,
        reset=reset or rule.reset or None,
        rounds=rounds or several,
        fires=fires or rule.fires,
        family=family,
    )


def _edited(graph: nir.NIRGraph, edit: Callable[[Any], Any]) -> nir.NIRGraph:
    known = {id(node) for node in neurons_of(graph)}
    nodes: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        inner = isinstance(node, nir.NIRGraph) and "kind" not in metadata_of(node)
        nodes[name] = _edited(node, edit) if inner else edit(node) if id(node) in known else node
    return nir.NIRGraph(nodes, list(graph.edges), metadata=dict(graph.metadata), type_check=False)
