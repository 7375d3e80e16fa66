"""What a Lava run needs, as plain data: no Lava, no arithmetic, one file.

A plan is made by the parent (`backends/lava.py` from a ChipProgram, `backends/lava_float.py` from a NIR graph) and read
by the process that imports Lava (`backends/lava_worker.py`).
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..wiring import WIRINGS, Wiring

FILE = "plan.npz"
ERROR = "error.json"
"""The file in which a process of Lava leaves its last words."""
WITNESSES = "witnesses.json"
"""Population -> whose model judges it."""
MAX_DELAY = 63
"""Lava's DelayDense and DelaySparse take delays of 6 bits."""


@dataclass(frozen=True, eq=False)
class Source:
    """An input.  data: spikes or numbers (T, B, N); zeros follow."""

    name: str
    data: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cell:
    """A population.  params: each () or (N,); bias: (N,), acting from row `latency` on; kept: False: not recorded."""

    name: str
    kind: str
    size: int
    latency: int
    bias: NDArray[Any]
    params: Mapping[str, NDArray[Any]]
    kept: bool = True


@dataclass(frozen=True, eq=False)
class Wire:
    """A synapse.  wiring: as Lava's process of its kind gets it; mode: Lava's sign mode; graded: spikes have a payload.

    A convolution has neither a delay nor an exponent: see backends/lava_wires.py.
    """

    name: str
    source: str
    target: str
    wiring: Wiring
    exponent: int
    delay: int
    graded: bool
    mode: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A run: `batch` samples of `rows` steps each, in one runtime.

    arithmetic: the tag of Lava's process models.   record: variables that are wanted.
    """

    PARTS: ClassVar[Mapping[str, type]] = {"sources": Source, "cells": Cell, "wires": Wire}

    arithmetic: Literal["fixed_pt", "floating_pt"]
    rows: int
    batch: int
    record: tuple[str, ...]
    sources: tuple[Source, ...]
    cells: tuple[Cell, ...]
    wires: tuple[Wire, ...]


def check_plan(plan: Plan) -> None:
    """Raise BackendError for a delay above 63, or for a population that nothing connects with the rest."""
    for wire in plan.wires:
        if wire.delay > MAX_DELAY:
            raise BackendError(
                f"{wire.name}: delay {wire.delay} exceeds {MAX_DELAY}, the most that Lava's synapses have"
            )
    reached = {plan.sources[0].name} if plan.sources else set()
    for _ in plan.cells:
        for wire in plan.wires:
            if wire.source in reached or wire.target in reached:
                reached |= {wire.source, wire.target}
    names = [*(source.name for source in plan.sources), *(cell.name for cell in plan.cells)]
    apart = [name for name in names if name not in reached]
    if apart or not plan.sources:
        raise BackendError(f"Lava runs one connected network, but {', '.join(apart) or 'the input'} is not part of it")


def _flat(part: Source | Cell | Wire) -> dict[str, Any]:
    """The fields of a part; those of its parameters and its wiring as `params.NAME` and `wiring.NAME`."""
    values = {f.name: getattr(part, f.name) for f in fields(part)}
    found = {f"params.{name}": value for name, value in values.pop("params", {}).items()}
    wiring = values.pop("wiring", None)
    if wiring is not None:
        found |= {f"wiring.{f.name}": getattr(wiring, f.name) for f in fields(wiring)} | {"wiring.kind": wiring.kind}
    return values | found


def _part(kind: type, flat: Mapping[str, Any]) -> Any:
    """A part from what `_flat` gave."""
    values: dict[str, Any] = {key: value for key, value in flat.items() if "." not in key}
    inner: dict[str, dict[str, Any]] = {"params": {}, "wiring": {}}
    for key, value in flat.items():
        outer, dot, name = key.partition(".")
        if dot:
            inner[outer][name] = tuple(value) if isinstance(value, list) else value
    if kind is Cell:
        values["params"] = inner["params"]
    if kind is Wire:
        values["wiring"] = WIRINGS[inner["wiring"].pop("kind")](**inner["wiring"])
    return kind(**values)


def save_plan(plan: Plan, folder: Path) -> None:
    """Write the plan into a folder."""
    arrays: dict[str, NDArray[Any]] = {}
    head: dict[str, Any] = {key: getattr(plan, key) for key in ("arithmetic", "rows", "batch", "record")}
    for section in Plan.PARTS:
        flat = [_flat(part) for part in getattr(plan, section)]
        head[section] = [{k: v for k, v in part.items() if not isinstance(v, np.ndarray)} for part in flat]
        for index, part in enumerate(flat):
            arrays |= {f"{section}.{index}.{k}": v for k, v in part.items() if isinstance(v, np.ndarray)}
    np.savez(folder / FILE, head=np.asarray(json.dumps(head)), **arrays)  # type: ignore[arg-type]


def load_plan(folder: Path) -> Plan:
    """Read a plan."""
    with np.load(folder / FILE, allow_pickle=False) as archive:
        head = json.loads(str(archive["head"]))
        parts: dict[str, list[Any]] = {section: [] for section in Plan.PARTS}
        for section, kind in Plan.PARTS.items():
            for index, values in enumerate(head[section]):
                prefix = f"{section}.{index}."
                arrays = {k.removeprefix(prefix): archive[k] for k in archive.files if k.startswith(prefix)}
                parts[section].append(_part(kind, values | arrays))
    sections = {section: tuple(found) for section, found in parts.items()}
    return Plan(**{**head, **sections, "record": tuple(head["record"])})


def record_file(folder: Path, index: int, variable: str) -> Path:
    """Where population `index` records a variable: (rows, B, N)."""
    return folder / f"{index}.{variable}.npy"


def leave_error(folder: Path, error: BaseException, where: str) -> None:
    """Leave an error for the parent; the first one stays."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    words = {"type": type(error).__name__, "text": text, "message": str(error), "where": where}
    draft = folder / f"{ERROR}.{os.getpid()}"
    draft.write_text(json.dumps({**words, "traceback": traceback.format_exc()}), encoding="utf-8")
    try:
        os.link(draft, folder / ERROR)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
