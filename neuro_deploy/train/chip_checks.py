"""What a ChipProgram must be to be trained, and what of it is learned."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import UnsupportedError, Violation
from ..fixed import Registers
from ..program import ChipProgram, Population, Synapse
from ..wiring import Dense, Sparse
from .chip_arithmetic import TITLE
from .chip_neurons import KINDS


def learned(synapse: Synapse) -> bool:
    """True for a synapse with weights of its own; one that passes no linear layer (a skip) is named after its ends."""
    return not synapse.name.startswith(f"{synapse.source}-{synapse.target}")


def constant(program: ChipProgram, population: Population) -> bool:
    """True if its bias is not learned: of a source of constants, and beside a synaptic current.

    There the bias is the neuron's drift; a layer before a current has its own bias as a synapse from such a source.
    """
    fed = any(s.target == population.name for s in program.synapses)
    return not fed or has_current(population, program.registers)


def has_current(population: Population, registers: Registers) -> bool:
    """True for a synaptic current with a memory."""
    return "du" in population.params and bool((population.params["du"] != registers.unity - 1).any())


def source_gain(program: ChipProgram, name: str) -> float:
    """Integer steps per 1.0 of a source: of the encoder, or 1 for spikes."""
    return next((e.numerator / e.denominator for e in program.encoders if e.name == name), 1.0)


def check(program: ChipProgram) -> None:
    """Raises: UnsupportedError with all that keeps a program from being trained."""
    violations = [*_populations(program), *_synapses(program)]
    if len(program.encoders) != 1:
        violations.append(Violation("input", f"{len(program.encoders)} inputs", "one is supported"))
    if violations:
        raise UnsupportedError(TITLE, violations)


def _populations(program: ChipProgram) -> Iterator[Violation]:
    for p in program.populations:
        if p.kind not in KINDS:
            what = f"neurons of kind '{p.kind}' have no gradient here"
            yield Violation(p.name, what, f"use {', '.join(KINDS)}")
        if len(p.shape) != 1:
            yield Violation(p.name, f"has the shape {p.shape}", "flatten it: (N,) is supported")


def _synapses(program: ChipProgram) -> Iterator[Violation]:
    latency = {e.name: 0 for e in program.encoders}
    for p in program.populations:
        for s in program.synapses:
            if s.target != p.name:
                continue
            if not isinstance(s.wiring, (Dense, Sparse)):
                yield Violation(s.name, "is a convolution", "dense layers are supported")
            if s.source not in latency:
                yield Violation(
                    s.name, f"leads back, from {s.source} to {s.target}", "feed-forward networks are supported"
                )
            elif s.delay != p.latency - 1 - latency[s.source]:
                yield Violation(s.name, "has a delay of its own", "networks without delays are supported")
        latency[p.name] = p.latency
