"""Hardware targets: strict TOML descriptions in which every number names its source."""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import TargetError
from .files import check_readable
from .fixed import Registers
from .resources import resource_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sourced(_Strict, Generic[T]):
    """A value and where it comes from: a key of the target's `[sources]` table."""

    value: T
    source: str
    note: str = ""


class SpikeLimits(_Strict):
    """Spikes between neurons.  payload_bits: 0 means binary spikes only."""

    payload_bits: Sourced[int]


class InputLimits(_Strict):
    """Spikes from outside.  payload_bits: 0 means binary input only; default_bits: what `compile` takes if not told."""

    payload_bits: Sourced[int]
    default_bits: Sourced[int]


class SynapseLimits(_Strict):
    """Weights: `weight_bits` with a power-of-two exponent; delays in steps beyond the synapse's own one."""

    weight_bits: Sourced[int]
    exponent_min: Sourced[int]
    exponent_max: Sourced[int]
    accumulator_bits: Sourced[int]
    max_delay: Sourced[int]


class StateLimits(_Strict):
    """Registers: potential v, current u (bits), decay factors (bits), the left shift of a synaptic sum into them."""

    v_bits: Sourced[int]
    u_bits: Sourced[int]
    decay_bits: Sourced[int]
    input_shift: Sourced[int]


class ThresholdLimits(_Strict):
    """Threshold = mantissa << shift; one per neuron or one per population."""

    mantissa_bits: Sourced[int]
    shift: Sourced[int]
    granularity: Sourced[Literal["per_neuron", "per_population"]]


class BiasLimits(_Strict):
    """Bias = signed mantissa << exponent, per neuron."""

    mantissa_bits: Sourced[int]
    exponent_bits: Sourced[int]


class NeuronLimits(_Strict):
    """Neuron models.

    max_circulations: the most spikes a neuron can fire in a step (CF's K).   soft_reset: by subtraction.
    reset_to_value: a hard reset to other values than 0.   memoryless: neurons whose potential is new in every step.
    """

    max_circulations: Sourced[int]
    soft_reset: Sourced[bool]
    reset_to_value: Sourced[bool]
    memoryless: Sourced[bool]


class CoreLimits(_Strict):
    """What a core holds, and a chip (cores, stored weights).  Zero: no public figure, not checked; see lower/fit.py."""

    cores: Sourced[int]
    neurons_per_core: Sourced[int]
    synapse_memory_bytes_per_core: Sourced[int]
    input_axons_per_core: Sourced[int]
    output_axons_per_core: Sourced[int]
    synapses_per_chip: Sourced[int]


class SourcedRange(_Strict):
    """A lowest and a highest published value.

    source, high_source: keys of `[sources]`, of both values or of either ("": the same).
    """

    low: float = Field(ge=0)
    high: float
    source: str
    high_source: str = ""
    note: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The keys that it cites."""
        return tuple(dict.fromkeys(filter(None, (self.source, self.high_source))))

    @model_validator(mode="after")
    def _is_a_range(self) -> SourcedRange:
        if not self.low <= self.high < math.inf:
            raise ValueError(f"low {self.low:g} and high {self.high:g} are no range")
        return self


class MeshCosts(_Strict):
    """Where cores lie: tiles of so many cores, in a grid of columns x rows on a chip."""

    cores_per_tile: Sourced[int]
    columns: Sourced[int]
    rows: Sourced[int]

    @model_validator(mode="after")
    def _has_tiles(self) -> MeshCosts:
        if empty := [name for name, entry in self if entry.value < 1]:
            raise ValueError(f"{', '.join(empty)} must be at least 1")
        return self


class EnergyCosts(_Strict):
    """Energies in pJ.

    synaptic_op: a weight added for a spike.   neuron_update: a neuron's step, whatever happens in it.
    neuron_active, spike: what a step takes beyond that if the neuron is active, and if it fires.
    message: a spike to one core.
    hop_east_west, hop_north_south: a message from one tile to the next.
    """

    synaptic_op: SourcedRange
    neuron_update: SourcedRange
    neuron_active: SourcedRange
    spike: SourcedRange
    message: SourcedRange
    hop_east_west: SourcedRange
    hop_north_south: SourcedRange


class TimeCosts(_Strict):
    """Times in ns; as `EnergyCosts`, and:

    message_out, message_in: a message on the core that sends it and on the one that gets it.
    barrier_tile, barrier_chip: the end of a step, where one tile is in use, and where a whole chip is.
    """

    synaptic_op: SourcedRange
    neuron_update: SourcedRange
    neuron_active: SourcedRange
    spike: SourcedRange
    message_out: SourcedRange
    message_in: SourcedRange
    hop_east_west: SourcedRange
    hop_north_south: SourcedRange
    barrier_tile: SourcedRange
    barrier_chip: SourcedRange


class Costs(_Strict):
    """What operations cost, for estimates (`neuro_deploy.estimates`).

    basis: one sentence on what the numbers are, shown with every estimate.
    graded: "once" if a spike of value k is one message and one operation a synapse, "each" if it is k of them.
    """

    basis: str
    graded: Sourced[Literal["once", "each"]]
    mesh: MeshCosts
    energy: EnergyCosts
    time: TimeCosts

    @property
    def entries(self) -> Iterator[tuple[str, Sourced[Any] | SourcedRange]]:
        """Name and value of every number."""
        yield "costs.graded", self.graded
        for name in ("mesh", "energy", "time"):
            yield from ((f"costs.{name}.{key}", entry) for key, entry in getattr(self, name))


class Target(_Strict):
    """A hardware target.  `sources` maps a key to a citation.   costs: without them nothing can be estimated."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str
    notes: str = ""
    sources: dict[str, str]
    spike: SpikeLimits
    input: InputLimits
    synapse: SynapseLimits
    state: StateLimits
    threshold: ThresholdLimits
    bias: BiasLimits
    neuron: NeuronLimits
    core: CoreLimits
    costs: Costs | None = None

    @property
    def registers(self) -> Registers:
        """The number formats that its arithmetic depends on."""
        return Registers(
            v_bits=self.state.v_bits.value,
            u_bits=self.state.u_bits.value,
            decay_bits=self.state.decay_bits.value,
            input_shift=self.state.input_shift.value,
            threshold_shift=self.threshold.shift.value,
            threshold_bits=self.threshold.mantissa_bits.value,
            bias_bits=self.bias.mantissa_bits.value,
            bias_exponent_bits=self.bias.exponent_bits.value,
        )

    @model_validator(mode="after")
    def _registers_can_be_executed(self) -> Target:
        if problems := self.registers.problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _every_source_is_cited(self) -> Target:
        groups = (self.spike, self.input, self.synapse, self.state, self.threshold, self.bias, self.neuron, self.core)
        for group in groups:
            for field, entry in group:
                if entry.source not in self.sources:
                    raise ValueError(f"{field}: source '{entry.source}' is not in [sources]")
        for field, cost in self.costs.entries if self.costs else ():
            for source in cost.sources if isinstance(cost, SourcedRange) else (cost.source,):
                if source not in self.sources:
                    raise ValueError(f"{field}: source '{source}' is not in [sources]")
        return self


def target_names() -> tuple[str, ...]:
    """Names of the targets that came with this installation, sorted."""
    return tuple(sorted(path.stem for path in resource_dir("hardware").glob("*.toml")))


def target_file(name_or_path: str | os.PathLike[str]) -> Path:
    """The TOML file of a target.  Raises: TargetError for an unknown name (with the nearest ones); FileError."""
    text = str(name_or_path)
    if not text.endswith(".toml"):
        names = target_names()
        if text not in names:
            near = difflib.get_close_matches(text.lower(), names, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}" if near else f"known targets: {', '.join(names)}"
            raise TargetError(f"unknown target '{text}'; {hint}; a path to a .toml file works as well")
        return resource_dir("hardware") / f"{text}.toml"
    return check_readable(Path(text), "a target description (TOML)")


def load_target(name_or_path: str | os.PathLike[str]) -> Target:
    """A target by its name ("loihi2") or from a TOML file.

    Raises: TargetError for an unknown name (with the nearest ones), or for a file that breaks the schema (all
    violations at once); FileError if a file cannot be read.
    """
    path = target_file(name_or_path)
    try:
        return Target.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"{path}: not a TOML file ({error})") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise TargetError("\n".join([f"{path}: not a valid target description:", *lines])) from error
