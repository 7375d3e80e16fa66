"""On which targets a NIR graph compiles, tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import nir

from ..errors import NeuroDeployError, UnsupportedError, Violation
from ..graph import InputRange, Reading
from ..lower import compile
from ..program import ChipProgram
from ..target import target_names

ASSUMED = (
    (InputRange(-1.0, 1.0), "input in [-1, 1], assumed"),
    (InputRange(0.0, 1.0, 1.0), "input of spikes, assumed"),
)
"""What is tried where the file does not say which values its input takes."""


def try_targets(graph: nir.NIRGraph, reading: Reading) -> list[dict[str, Any]]:
    """Each target: name, whether the graph compiles, for which input, how, and what the target cannot do."""
    return [_best(list(_attempts(graph, reading, name))) for name in target_names()]


def _best(attempts: list[dict[str, Any]]) -> dict[str, Any]:
    return next((a for a in attempts if a["compiles"]), attempts[0])


def _attempts(graph: nir.NIRGraph, reading: Reading, target: str) -> Iterator[dict[str, Any]]:
    known = reading.input_range
    tried = ASSUMED if known is None else ((known, f"input in [{known.low:g}, {known.high:g}]"),)
    for given, text in tried:
        found: dict[str, Any] = {"target": target, "compiles": False, "input": text, "how": "", "violations": []}
        try:
            found |= {"compiles": True, "how": _how(compile(graph, target, dt=reading.dt, input_range=given))}
        except UnsupportedError as error:
            found["violations"] = [asdict(v) for v in error.violations or [Violation("graph", error.title)]]
        except NeuroDeployError as error:
            found["violations"] = [asdict(Violation("graph", str(error)))]
        except Exception as error:  # a table must not fail because one of its lines does
            what = f"internal error ({type(error).__name__}: {error}); please report it"
            found["violations"] = [asdict(Violation("graph", what))]
        yield found


def _how(program: ChipProgram) -> str:
    fit = program.report["fit"]
    cores = f"{fit['cores']} core{'s' if fit['cores'] != 1 else ''}"
    proof = "cannot overflow" if program.proven else "registers can overflow"
    return f"{cores}, scale {program.report['scale']}, {proof}"
