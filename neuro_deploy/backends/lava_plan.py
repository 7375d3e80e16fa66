"""What a Lava run needs, as plain data: no Lava, no arithmetic, one file.

A plan is made by the parent (`backends/lava.py` from a ChipProgram, `backends/lava_float.py` from a NIR graph) and read
by the process that imports Lava (`backends/lava_worker.py`).
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError

FILE = "plan.npz"
ERROR = "error.json"
"""The file in which a process of Lava leaves its last words."""
WITNESSES = "witnesses.json"
"""Population -> whose model judges it."""
MAX_DELAY = 63
"""Lava's DelayDense takes delays of 6 bits."""


@dataclass(frozen=True, eq=False)
class Source:
    """An input.  data: spikes or numbers (T, B, N); zeros follow."""

    name: str
    data: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Cell:
    """A population.  params: each () or (N,); bias: (N,), acting from row `latency` on."""

    name: str
    kind: str
    size: int
    latency: int
    bias: NDArray[Any]
    params: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Wire:
    """A synapse.  weight: (N_target, N_source); mode: Lava's sign mode; graded: spikes have a payload."""

    name: str
    source: str
    target: str
    weight: NDArray[Any]
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


def sign_mode(name: str, weight: NDArray[Any]) -> str:
    """The sign mode in which Lava's fixed-point Dense keeps every weight: EXCITATORY, INHIBITORY or MIXED.

    Source: lava-nc 0.10.0, lava/utils/weightutils.py, clip_weights and truncate_weights at 8 bits.
    Raises: BackendError naming the synapse and a weight that Lava would change.
    """
    mixed = (weight % 2 == 0) & (weight >= -256) & (weight <= 254)
    kept = {
        "EXCITATORY": (weight >= 0) & (weight <= 255),
        "INHIBITORY": (weight <= 0) & (weight >= -255),
        "MIXED": mixed,
    }
    for mode, good in kept.items():
        if good.all():
            return mode
    raise BackendError(
        f"{name}: Lava's Dense would change {int((~mixed).sum())} weights, the first {int(weight[~mixed][0])}; weights "
        "of both signs must be even and in [-256, 254], of one sign within 255; compile for 8-bit weights, as of loihi2"
    )


def check_plan(plan: Plan) -> None:
    """Raise BackendError for a delay above 63, or for a population that nothing connects with the rest."""
    for wire in plan.wires:
        if wire.delay > MAX_DELAY:
            raise BackendError(f"{wire.name}: delay {wire.delay} exceeds {MAX_DELAY}, the most that Lava's Dense has")
    reached = {plan.sources[0].name} if plan.sources else set()
    for _ in plan.cells:
        for wire in plan.wires:
            if wire.source in reached or wire.target in reached:
                reached |= {wire.source, wire.target}
    names = [*(source.name for source in plan.sources), *(cell.name for cell in plan.cells)]
    apart = [name for name in names if name not in reached]
    if apart or not plan.sources:
        raise BackendError(f"Lava runs one connected network, but {', '.join(apart) or 'the input'} is not part of it")


def save_plan(plan: Plan, folder: Path) -> None:
    """Write the plan into a folder."""
    arrays: dict[str, NDArray[Any]] = {}
    head: dict[str, Any] = {key: getattr(plan, key) for key in ("arithmetic", "rows", "batch", "record")}
    for section in Plan.PARTS:
        head[section] = []
        for index, part in enumerate(getattr(plan, section)):
            values = {f.name: getattr(part, f.name) for f in fields(part)}
            params = {f"params.{k}": v for k, v in values.pop("params", {}).items()}
            for key, value in [*values.items(), *params.items()]:
                if isinstance(value, np.ndarray):
                    arrays[f"{section}.{index}.{key}"] = value
            head[section].append({k: v for k, v in values.items() if not isinstance(v, np.ndarray)})
    np.savez(folder / FILE, head=np.asarray(json.dumps(head)), **arrays)  # type: ignore[arg-type]


def load_plan(folder: Path) -> Plan:
    """Read a plan."""
    with np.load(folder / FILE, allow_pickle=False) as archive:
        head = json.loads(str(archive["head"]))
        plain = Plan(**{**head, "record": tuple(head["record"]), "sources": (), "cells": (), "wires": ()})
        parts: dict[str, list[Any]] = {section: [] for section in Plan.PARTS}
        for section, kind in Plan.PARTS.items():
            for index, values in enumerate(head[section]):
                prefix = f"{section}.{index}."
                arrays = {k.removeprefix(prefix): archive[k] for k in archive.files if k.startswith(prefix)}
                params = {k.removeprefix("params."): v for k, v in arrays.items() if k.startswith("params.")}
                arrays = {k: v for k, v in arrays.items() if not k.startswith("params.")}
                parts[section].append(kind(**values, **arrays, **({"params": params} if kind is Cell else {})))
        return replace(plain, sources=tuple(parts["sources"]), cells=tuple(parts["cells"]), wires=tuple(parts["wires"]))


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
