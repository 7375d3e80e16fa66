"""The numbers in a file that show who wrote it: facts about its neurons, and each family's signs and time step.

Sources: as conventions.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

from ..neurons.scheme import numbers_of
from .told import metadata_of

Floats = NDArray[np.float64]
STEP = {"snntorch": 1e-4, "spikingjelly": 1e-4, "norse": 1e-3, "sinabs": 1.0, "lava-dl": 1e-4}
"""Seconds a step that a family takes, if not told otherwise; Sinabs counts in steps."""
CLOSE = 1e-3
"""Relative tolerance of a sign: files hold float32, and some exporters round on their way."""


class Sign(NamedTuple):
    """A reason for or against a family."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Facts:
    """What recognition looks at: the parameters of all neurons of a graph, nested ones too, each float64 (N,).

    tau, r: of nodes with a leak.   integrator_r: of IF and I.   rest: where SpikingJelly's neurons leak to, one for
    each v_leak: v_reset of a LIF, 0 for a CubaLIF, NaN for what it does not write.
    """

    tau: Floats
    r: Floats
    integrator_r: Floats
    threshold: Floats
    v_reset: Floats
    v_leak: Floats
    rest: Floats

    @staticmethod
    def of(graph: nir.NIRGraph) -> Facts:
        """Collect them."""
        found: dict[str, list[Floats]] = {
            name: [] for name in ("tau", "r", "i", "v_threshold", "v_reset", "v_leak", "rest")
        }
        for node in neurons_of(graph):
            tau = getattr(node, "tau", getattr(node, "tau_mem", None))
            shape = np.broadcast_shapes(*(np.shape(value) for value in numbers_of(node).values()))
            pairs = {"tau": tau, "r" if tau is not None else "i": getattr(node, "r", None)}
            pairs |= {name: getattr(node, name, None) for name in ("v_threshold", "v_reset", "v_leak")}
            pairs["rest"] = _rest(node)
            for name, value in pairs.items():
                if value is not None:
                    found[name].append(np.broadcast_to(np.asarray(value, np.float64), shape).reshape(-1))
        return Facts(*(np.concatenate([np.zeros(0), *values]) for values in found.values()))


def _rest(node: Any) -> Any:
    if not hasattr(node, "v_leak"):
        return None
    if isinstance(node, nir.LIF):
        return 0.0 if node.v_reset is None else node.v_reset
    return 0.0 if isinstance(node, nir.CubaLIF) else np.nan


def neurons_of(graph: nir.NIRGraph) -> Iterator[Any]:
    """All neurons of a graph, nested ones too, but for those that our metadata explains."""
    for _, node in sorted(graph.nodes.items()):
        if isinstance(node, nir.NIRGraph) and "kind" not in metadata_of(node):
            yield from neurons_of(node)
        elif isinstance(node, (nir.LIF, nir.IF, nir.LI, nir.I, nir.CubaLIF, nir.CubaLI)) and not metadata_of(node):
            yield node


def _same(values: Floats, wanted: Any) -> bool:
    return bool(values.size) and bool(np.allclose(values, wanted, rtol=CLOSE, atol=0))


def _one(values: Floats) -> float | None:
    """The one number that all are, or None."""
    return float(np.median(values)) if np.isfinite(values).all() and values.size and _same(values, values[0]) else None


def _ratio(facts: Facts) -> Floats:
    """tau / r: dt where r = tau/dt."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([facts.tau / facts.r, 1.0 / facts.integrator_r])


def _constant(facts: Facts, dt: float, who: str) -> list[Sign]:
    ratio = _ratio(facts)
    seen = f"{ratio.min():.4g} .. {ratio.max():.4g}" if ratio.size else "no neurons"
    return [Sign(_same(ratio, dt), f"tau/r ({seen}) is {who}'s fixed dt of {dt:g} s everywhere")]


def snntorch_signs(facts: Facts) -> list[Sign]:
    """Of snnTorch's exporter."""
    still = Sign(not facts.v_reset.any() and not facts.v_leak.any(), "v_reset and v_leak are 0")
    return [*_constant(facts, STEP["snntorch"], "snnTorch"), still]


def sinabs_signs(facts: Facts) -> list[Sign]:
    """Of Sinabs."""
    unit = _same(np.concatenate([facts.r, facts.integrator_r]), 1.0)
    least = f"{facts.tau.min():.4g}" if facts.tau.size else "none"
    return [
        Sign(unit, "r is 1 everywhere"),
        Sign(bool((facts.tau >= 0.5).all()), f"the smallest tau ({least}) is a number of steps, not of seconds"),
        Sign(not facts.v_reset.any() and not facts.v_leak.any(), "v_reset and v_leak are 0"),
    ]


def norse_dt(facts: Facts) -> float:
    """As Norse reads; its exporter writes dt*tau for tau, so in files of its own a step is dt*dt."""
    dt = STEP["norse"]
    return dt * dt if facts.tau.size and facts.tau.max() < dt else dt


def norse_signs(facts: Facts) -> list[Sign]:
    """Of Norse's exporter, and of files that its reader takes as they are."""
    largest = f"{facts.tau.max():.4g}" if facts.tau.size else "none"
    written = "  (below 1 ms: its exporter wrote dt*tau, so a step is dt*dt)" if norse_dt(facts) < STEP["norse"] else ""
    return [
        Sign(_same(np.concatenate([facts.r, facts.integrator_r]), 1.0), "r is 1 everywhere"),
        Sign(bool((facts.tau < 0.5).all()), f"the largest tau ({largest}) is a number of seconds{written}"),
    ]


def _spikingjelly_steps(facts: Facts) -> Floats:
    """dt by each neuron that tells: tau/r, and 1/r of IF; r = 1 is an input that decays, and tells nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        told = ~np.isclose(facts.r, 1.0, rtol=CLOSE, atol=0)
        return np.concatenate([facts.tau[told] / facts.r[told], 1.0 / facts.integrator_r])


def spikingjelly_dt(facts: Facts) -> float | None:
    """The one dt of all neurons that tell."""
    return _one(_spikingjelly_steps(facts))


def spikingjelly_signs(facts: Facts) -> list[Sign]:
    """Of SpikingJelly's exporter."""
    dt = spikingjelly_dt(facts)
    fitting = not _spikingjelly_steps(facts).size or (dt is not None and bool((facts.tau >= dt * (1 - CLOSE)).all()))
    rests = bool(np.allclose(facts.v_leak, facts.rest, rtol=CLOSE))
    return [
        Sign(
            fitting, "tau/r and 1/r of IF are one dt everywhere, and no tau is below it; r = 1 (a decayed input) beside"
        ),
        Sign(rests, "v_leak is v_reset, or 0 beside a current: its neurons leak towards where they start"),
    ]


def _rockpool_steps(facts: Facts) -> Floats:
    """dt of each neuron from r = tau * exp(-dt/tau) / dt: x*exp(x) = 1/r with x = dt/tau."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(facts.tau * np.real(lambertw(1.0 / facts.r)))


def rockpool_dt(facts: Facts) -> float | None:
    """The one dt of all neurons."""
    return _one(_rockpool_steps(facts))


def rockpool_signs(facts: Facts) -> list[Sign]:
    """Of Rockpool's exporter."""
    found = _rockpool_steps(facts)
    seen = f"{np.nanmin(found):.4g} .. {np.nanmax(found):.4g}" if np.isfinite(found).any() else "none"
    spread = facts.tau.size > 0 and not _same(_ratio(facts), _ratio(facts)[0])
    return [
        Sign(rockpool_dt(facts) is not None, f"r = tau*exp(-dt/tau)/dt with one dt everywhere (found {seen} s)"),
        Sign(spread, "tau/r is not one number, as it would be with r = tau/dt"),
    ]


def script_signs(facts: Facts) -> list[Sign]:
    """Of lava-dl's NIR script."""
    grid = facts.threshold * 64
    whole = bool(grid.size) and bool(np.allclose(grid, np.rint(grid), atol=1e-3))
    return [*_constant(facts, STEP["lava-dl"], "the script"), Sign(whole, "thresholds are multiples of 1/64")]
