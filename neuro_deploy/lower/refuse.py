"""What a target cannot do: all of it at once, each with the node, the number, the limit and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import UnsupportedError, Violation
from ..graph import Composed, InputRange
from ..graph.compose import ComposedPopulation
from ..target import Target
from .attempt import GIVEN, Attempt, Options
from .bounds import Reach
from .encoder import input_violations
from .fit import fit_violations

ON_A_GRID = "give input whose grid is known and fits (input_quantum at export), or leave --exact out to accept it"


def _on_grid(gain: float, quantum: float) -> bool:
    """True if an input step is a quantum, so that nothing is rounded."""
    return bool(np.isclose(gain * quantum, 1.0, rtol=1e-9, atol=0))


def refuse(
    network: Composed,
    known: InputRange,
    chip: Target,
    options: Options,
    attempt: Attempt,
    found: Sequence[Violation] = (),
) -> None:
    """Raise UnsupportedError with all violations, if there are any; `found`: those that are known before."""
    violations = [*found]
    violations += [v for i in network.inputs for v in input_violations(i, known, chip)]
    violations += [v for low in attempt.lowered for v in low.violations]
    violations += fit_violations(attempt.program(network, chip, options), chip)
    if not chip.neuron.memoryless.value:
        for population in network.populations:
            violations += _memoryless(population, attempt.reaches[population.name], chip.registers.unity)
    must = options.scale == "proven" or chip.spike.payload_bits.value == 0
    if must and not attempt.proven:
        violations += [v for low in attempt.lowered for v in _overflows(low.population.name, attempt.reaches, options)]
    if options.exact:
        violations += [
            Violation(e.name, f"input is rounded to steps of {e.denominator / e.numerator:.3g}", ON_A_GRID)
            for e in attempt.encoders
            if attempt.how != GIVEN  # what an encoder rounds, training in the chip's arithmetic has rounded as well
            and (known.quantum <= 0 or not _on_grid(e.numerator / e.denominator, known.quantum))
        ]
        violations += [
            Violation(r.node, f"{r.parameter} is rounded by up to {r.max_error:.3g}", "leave --exact out to accept it")
            for low in attempt.lowered
            for r in low.roundings
            if r.max_error > 0
        ]
    if violations:
        raise UnsupportedError(f"the network does not fit {chip.name}:", violations)


def _overflows(name: str, reaches: Mapping[str, Reach], options: Options) -> list[Violation]:
    bound = reaches[name]
    return [
        Violation(
            name,
            f"{reached(bound, register, options.max_steps)}, limit {bound.limit[register]}",
            "fewer inputs or steps (--max-steps), or --scale auto where the target has graded spikes",
        )
        for register in bound.magnitude
        if int(bound.magnitude[register].max(initial=0)) > bound.limit[register]
    ]


def reached(bound: Reach, register: str, steps: int) -> str:
    """How large a register can become, where, and by which input."""
    values = bound.magnitude[register]
    worst = int(values.argmax()) if values.size else 0
    first, second = ("largest", "smallest") if bound.high[register][worst] else ("smallest", "largest")
    return (
        f"register {register} can reach {int(values.max(initial=0))} within {steps} steps, in neuron {worst}, when "
        f"sources with a positive weight send their {first} value and those with a negative weight their {second}"
    )


def _memoryless(population: ComposedPopulation, bound: Reach, unity: int) -> list[Violation]:
    """beta = 0 is the 12-bit leak 4095/4096, exact while |v| < 4096 (design ruling 6)."""
    if "beta" not in population.neuron.params or "v" not in bound.magnitude:
        return []
    most = int(np.where(population.neuron.flat("beta") == 0, bound.magnitude["v"], 0).max(initial=0))
    if most < unity:
        return []
    return [
        Violation(
            population.name,
            f"beta = 0 leaves v >> 12 behind, and |v| can reach {most} (limit {unity - 1})",
            "train with a beta of at least 1/4096, or choose a target with memoryless neurons such as loihi2",
        )
    ]
