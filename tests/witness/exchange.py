"""The file between us and the witnesses: LIF networks as plain integers, and what became of them.

A folder holds `cases.json` (names, sizes, exponents, delays) and `cases.npz` (weights, parameters, input spikes); a
witness adds `WITNESS.npz` and `WITNESS.json`.  Nothing but numpy is imported here, so that a witness's own environment
can read this module too.

Row r is the chip's step r: a spike of row r acts in row r + 1 + delay, a bias from row `latency` on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from neuro_deploy.program import ChipProgram

REGISTERS = {"v_bits": 24, "u_bits": 24, "decay_bits": 12, "input_shift": 6, "threshold_shift": 6}
REGISTERS |= {"threshold_bits": 17, "bias_bits": 13, "bias_exponent_bits": 3}
"""Loihi's registers: the only ones that the witnesses have."""
KNOWN = {"du", "dv", "vth", "bias_mant", "bias_exp", "v_reset"}
VARIABLES = ("spikes", "v", "u")
Run = Mapping[tuple[str, str], np.ndarray]
"""(population, variable) -> (rows, N)."""


@dataclass(frozen=True, eq=False)
class Source:
    """An input.  spikes: 0 or 1, (rows, N)."""

    name: str
    spikes: np.ndarray


@dataclass(frozen=True, eq=False)
class Population:
    """LIF neurons that reset to 0.  du, dv, vth (without its shift by 6), bias (with its exponent): int64 (N,)."""

    name: str
    latency: int
    du: np.ndarray
    dv: np.ndarray
    vth: np.ndarray
    bias: np.ndarray

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return len(self.du)

    @property
    def uniform(self) -> bool:
        """True if all neurons have the same du, dv and vth."""
        return all(np.ptp(values) == 0 for values in (self.du, self.dv, self.vth))


@dataclass(frozen=True, eq=False)
class Synapse:
    """Dense synapses.  weight: int64 (N_target, N_source), before `<< exponent`."""

    source: str
    target: str
    exponent: int
    delay: int
    weight: np.ndarray

    @property
    def mode(self) -> str:
        """The sign mode in which a chip stores the weights: excitatory, inhibitory or mixed."""
        if (self.weight >= 0).all():
            return "excitatory"
        return "inhibitory" if (self.weight <= 0).all() else "mixed"


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its input, and the rows that it runs."""

    name: str
    rows: int
    sources: tuple[Source, ...]
    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]

    @property
    def biased(self) -> bool:
        """True if any neuron has a bias."""
        return any(p.bias.any() for p in self.populations)


SECTIONS: Mapping[str, type] = {"sources": Source, "populations": Population, "synapses": Synapse}


def case_of(name: str, program: ChipProgram, x: np.ndarray) -> Case:
    """One sample of a program as a case.  x: (T, 1, *shape), what `simulate` takes.

    Raises: ValueError for what is not LIF with a reset to 0, dense synapses and binary spikes in Loihi's registers.
    """
    if asdict(program.registers) != REGISTERS:
        raise ValueError(f"{name}: the witnesses have Loihi's registers, not {program.registers}")
    rows = x.shape[0] + program.depth
    inputs, _ = program.encode(x)
    sources = tuple(Source(key, _padded(q[:, 0], rows)) for key, q in inputs.items())
    for s in program.synapses:
        if s.kind != "dense":
            raise ValueError(f"{name}: synapse '{s.name}' is {s.kind}, not dense")
    synapses = tuple(
        Synapse(s.source, s.target, s.exponent, s.delay, np.asarray(s.weight, np.int64)) for s in program.synapses
    )
    return Case(name, rows, sources, tuple(_population(name, p) for p in program.populations), synapses)


def _padded(q: np.ndarray, rows: int) -> np.ndarray:
    if not np.isin(q, (0, 1)).all():
        raise ValueError("the witnesses know binary spikes only")
    return np.concatenate([q, np.zeros((rows - len(q), q.shape[1]), q.dtype)]).astype(np.int64)


def _population(case: str, p: Any) -> Population:
    params = {key: np.broadcast_to(np.asarray(value, np.int64), (p.size,)) for key, value in p.params.items()}
    if p.kind != "lif" or set(params) - KNOWN or np.any(params.get("v_reset", 0)):
        raise ValueError(f"{case}: population '{p.name}' is not a LIF with a reset to 0 ({p.kind}: {sorted(params)})")
    bias = params["bias_mant"] << params["bias_exp"]
    return Population(p.name, p.latency, params["du"], params["dv"], params["vth"], bias)


def save_cases(folder: Path, cases: list[Case]) -> None:
    """Write the cases into a folder."""
    arrays: dict[str, np.ndarray] = {}
    head = []
    for n, case in enumerate(cases):
        entry: dict[str, Any] = {"name": case.name, "rows": case.rows}
        for section in SECTIONS:
            entry[section] = []
            for i, item in enumerate(getattr(case, section)):
                values = asdict(item)
                arrays |= {f"{n}/{section}/{i}/{k}": v for k, v in values.items() if isinstance(v, np.ndarray)}
                entry[section].append({k: v for k, v in values.items() if not isinstance(v, np.ndarray)})
        head.append(entry)
    np.savez(folder / "cases.npz", **arrays)
    (folder / "cases.json").write_text(json.dumps(head), encoding="utf-8")


def load_cases(folder: Path) -> list[Case]:
    """Read the cases of a folder."""
    head = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    cases = []
    with np.load(folder / "cases.npz", allow_pickle=False) as archive:
        for n, entry in enumerate(head):
            parts = {
                section: tuple(
                    kind(**values, **_arrays(archive, f"{n}/{section}/{i}/", kind, values))
                    for i, values in enumerate(entry[section])
                )
                for section, kind in SECTIONS.items()
            }
            cases.append(Case(entry["name"], entry["rows"], **parts))
    return cases


def _arrays(archive: Any, prefix: str, kind: type, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {f.name: archive[prefix + f.name] for f in fields(kind) if f.name not in values}


def save_runs(folder: Path, witness: str, runs: Mapping[str, Run], notes: Mapping[str, Any]) -> None:
    """Write what a witness saw, by case, and what it has to say about it (JSON)."""
    arrays = {f"{case}/{p}/{variable}": a for case, run in runs.items() for (p, variable), a in run.items()}
    np.savez(folder / f"{witness}.npz", **arrays)
    (folder / f"{witness}.json").write_text(json.dumps(notes), encoding="utf-8")


def load_runs(folder: Path, witness: str) -> tuple[dict[str, Run], dict[str, Any]]:
    """Read what a witness saw and said."""
    runs: dict[str, dict[tuple[str, str], np.ndarray]] = {}
    with np.load(folder / f"{witness}.npz", allow_pickle=False) as archive:
        for key in archive.files:
            case, name = key.split("/", 1)
            population, variable = name.rsplit("/", 1)
            runs.setdefault(case, {})[population, variable] = archive[key]
    return dict(runs), json.loads((folder / f"{witness}.json").read_text(encoding="utf-8"))


def serve(
    witness: str, run: Callable[[Case], tuple[Run, list[str]]], folder: Path, versions: Mapping[str, str]
) -> None:
    """A witness's whole work: run every case of a folder.

    run: gives the record, and the witness's warnings.
    """
    runs, warnings = {}, {}
    for case in load_cases(folder):
        runs[case.name], said = run(case)
        if said:
            warnings[case.name] = said
    save_runs(folder, witness, runs, {"versions": dict(versions), "warnings": warnings})
