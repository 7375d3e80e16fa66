"""ChipProgram: a network as integers for one target.  Every integer executor consumes it; none rounds again.

Time on the chip: a synapse delivers `1 + delay` steps after the spike.  A population of latency l computes logical
step t in chip step l + t, and its bias acts from chip step l on.  Encoders (the inputs) have latency 0.

Numbers: `weight` holds the weights that act (even in mixed sign mode), so a synapse adds
`(weight @ spikes) * 2^exponent`, summed in int32, to its target; neurons shift that sum by 6 bits into their registers
(docs/semantics.md).  A convolution's sum is wrapped to 24 bits first, as in Lava's Conv.  `unit` is the float value of
one step of v, h or u; no executor computes with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, InputError
from ..fixed import LOIHI, Registers
from ..shown import Shown
from ..trace import frozen
from ..wiring import Dense, Wiring
from .borders import RULES, Encoder, Readout

SCHEMA = 2


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind.  params: integers by name, each a scalar () or one per neuron (N,); see neurons/*."""

    name: str
    kind: str
    shape: tuple[int, ...]
    params: Mapping[str, NDArray[np.int64]]
    latency: int
    unit: NDArray[np.float64]

    def __post_init__(self) -> None:
        params = {k: frozen(np.asarray(v, np.int64)) for k, v in sorted(self.params.items())}
        object.__setattr__(self, "params", MappingProxyType(params))
        object.__setattr__(self, "unit", frozen(np.asarray(self.unit, np.float64)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Population:
        return self

    @property
    def size(self) -> int:
        """Number of neurons N."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Synapse:
    """Connections from one population (or input) to another.

    wiring: the layout with its weights, int32.   exponent: the sum is multiplied by 2^exponent.
    delay: steps beyond the synapse's own one.
    """

    name: str
    source: str
    target: str
    wiring: Wiring
    exponent: int = 0
    delay: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "wiring", self.wiring.with_weight(np.asarray(self.wiring.weight, np.int32)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Synapse:
        return self

    @property
    def kind(self) -> str:
        """The wiring's kind: "dense", "sparse" or "conv"."""
        return self.wiring.kind

    @property
    def weight(self) -> NDArray[np.int32]:
        """The wiring's weights."""
        return self.wiring.weight


def DenseSynapse(name: str, source: str, target: str, weight: Any, exponent: int = 0, delay: int = 0) -> Synapse:
    """A Synapse from all to all.  weight: int32 (N_target, N_source)."""
    return Synapse(name, source, target, Dense(np.asarray(weight, np.int32)), exponent, delay)


@dataclass(frozen=True, eq=False, repr=False)
class ChipProgram(Shown):
    """Integers only, for one target.  Equal by value (`digest`).

    max_steps: the most logical steps that its bounds were computed for; every backend enforces it.
    proven: True if no register can wrap or clip for any input over max_steps steps.
    registers: the target's number formats.
    report: what `compile` did (rounding errors, bounds, remarks); plain JSON, not part of the digest.
    """

    target: str
    dt: float
    max_steps: int
    encoders: tuple[Encoder, ...]
    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]
    readout: Readout | None
    proven: bool
    registers: Registers = LOIHI
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check()

    def __repr__(self) -> str:
        neurons, synapses = sum(p.size for p in self.populations), sum(s.wiring.connections for s in self.synapses)
        proof = "cannot overflow" if self.proven else "overflow not excluded"
        return (
            f"<ChipProgram for {self.target}: {neurons:,} neurons, {synapses:,} synapses, {proof} "
            f"within {self.max_steps:,} steps, digest {self.digest[:12]}>"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> ChipProgram:
        return self

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each Input of the network, as `join_inputs` takes them."""
        return {name: shape for encoder in self.encoders for name, shape in encoder.inputs.items()}

    def population(self, name: str) -> Population:
        """The population of that name.  Raises: KeyError."""
        return {p.name: p for p in self.populations}[name]

    @property
    def depth(self) -> int:
        """Largest latency: the chip runs T + depth steps for T steps of input."""
        return max((p.latency for p in self.populations), default=0)

    def encode(self, x: NDArray[Any]) -> tuple[dict[str, NDArray[np.int32]], dict[str, dict[str, int]]]:
        """Integer input by encoder, (T, B, N), and the counters {encoder: {"clipped": n}}: all rounding of input.

        x: (T, B, *shape).  Raises: InputError for a wrong shape, or a program with several inputs.
        """
        if len(self.encoders) != 1:
            raise InputError(f"the program has {len(self.encoders)} inputs; one is supported")
        q, clipped = self.encoders[0].encode(x)
        name = self.encoders[0].name
        return {name: q.reshape(*q.shape[:2], -1)}, {name: {"clipped": clipped}}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that an executor reads, as hexadecimal text."""
        sha = hashlib.sha256()
        for piece in _canonical(self):
            sha.update(len(piece).to_bytes(8, "little"))
            sha.update(piece)
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChipProgram) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def _check(self) -> None:
        sizes = {e.name: int(np.prod(e.shape, dtype=np.int64)) for e in self.encoders}
        sizes.update({p.name: p.size for p in self.populations})
        problems = []
        if len(sizes) != len(self.encoders) + len(self.populations):
            problems.append("two encoders or populations share a name")
        problems += [
            f"{e.name}: denominator and numerator must be positive"
            for e in self.encoders
            if e.numerator < 1 or e.denominator < 1
        ]
        problems += [f"{e.name}: clips to [{e.low}, {e.high}], beyond {e.format}" for e in self.encoders if not e.sound]
        problems += [
            f"{e.name}: its parts {dict(e.parts)} do not make its shape {e.shape}"
            for e in self.encoders
            if e.parts and (sum(int(np.prod(shape, dtype=np.int64)) for _, shape in e.parts),) != e.shape
        ]
        for p in self.populations:
            problems += [
                f"{p.name}.{key}: shape {value.shape} is neither () nor ({p.size},)"
                for key, value in [*p.params.items(), ("unit", p.unit)]
                if value.shape not in ((), (p.size,))
            ]
            if p.latency < 1:
                problems.append(f"{p.name}: latency {p.latency} is below 1")
        for s in self.synapses:
            if s.source not in sizes or s.target not in sizes or s.target in {e.name for e in self.encoders}:
                problems.append(f"{s.name}: no such source or target ({s.source} -> {s.target})")
            elif s.wiring.problems:
                problems += [f"{s.name}: {text}" for text in s.wiring.problems]
            elif (s.wiring.target_size, s.wiring.source_size) != (sizes[s.target], sizes[s.source]):
                got = (s.wiring.target_size, s.wiring.source_size)
                problems.append(f"{s.name}: weight {got}, expected {(sizes[s.target], sizes[s.source])}")
            if s.delay < 0:
                problems.append(f"{s.name}: delay {s.delay} is negative")
        if self.readout and (self.readout.population not in sizes or self.readout.rule not in RULES):
            problems.append(f"readout: unknown population or rule ({self.readout})")
        problems += self.registers.problems
        if self.max_steps < 1:
            problems.append("max_steps must be at least 1")
        if problems:
            raise FormatError("not a valid ChipProgram:\n  " + "\n  ".join(problems))


def _parts(item: Any) -> dict[str, Any]:
    """The fields of an item; those of a synapse's wiring among them."""
    values = {f.name: getattr(item, f.name) for f in fields(item)}
    wiring = values.pop("wiring", None)
    return values | ({f.name: getattr(wiring, f.name) for f in fields(wiring)} if wiring is not None else {})


def plain(item: Any) -> dict[str, Any]:
    """The scalar fields of an encoder, population, synapse or readout; an encoder's parts only where it has some."""
    values = {k: v for k, v in _parts(item).items() if isinstance(v, (str, int, tuple)) and (k, v) != ("parts", ())}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def arrays(item: Any) -> dict[str, NDArray[Any]]:
    """The array fields, a population's parameters included (as `params/NAME`)."""
    values = _parts(item)
    found = {k: v for k, v in values.items() if isinstance(v, np.ndarray)}
    return found | {f"params/{k}": v for k, v in values.get("params", {}).items()}


def sections(program: ChipProgram) -> dict[str, tuple[Any, ...]]:
    """The lists of a program, by name."""
    return {"encoders": program.encoders, "populations": program.populations, "synapses": program.synapses}


def header(program: ChipProgram) -> dict[str, Any]:
    """What a program says of itself beside its lists, as plain JSON types."""
    return {
        "target": program.target,
        "dt": program.dt,
        "max_steps": program.max_steps,
        "proven": program.proven,
        "registers": asdict(program.registers),
        "readout": plain(program.readout) if program.readout else None,
    }


def _canonical(program: ChipProgram) -> Iterator[bytes]:
    yield json.dumps({"schema": SCHEMA, **header(program)}, sort_keys=True).encode()
    for section, items in sections(program).items():
        for item in items:
            yield f"{section}:{type(item).__name__}:{getattr(item, 'kind', '')}".encode()
            yield json.dumps(plain(item), sort_keys=True).encode()
            for name, array in sorted(arrays(item).items()):
                little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
                yield f"{name}:{little.dtype.str}:{array.shape}".encode()
                yield little.tobytes()
