"""Changes that may bring a chip nearer to the float network, from the cheapest on; and which is proposed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir

from ..errors import NeuroDeployError
from ..lower import compile
from ..lower.attempt import GIVEN
from ..program import ChipProgram
from ..target import Target
from .formats import FORMATS, Setting
from .result import Effect, Proposal
from .tally import Bench, Run, program_run, setting_run

MOST = 0.5
"""A proposed change removes this share of the differing spikes, or more."""
FINER = (1, 2, 4)
"""So many bits more of a layer's weights are tried."""


@dataclass(frozen=True, eq=False)
class Idea:
    """A change before it is measured.  run: None where it cannot be measured."""

    what: str
    command: str
    run: Run | None
    possible: bool = True
    why: str = ""

    def proposal(self, effect: Effect | None, chip: Effect) -> Proposal:
        """The change with what was measured.  chip: the run as it is."""
        removes = None if effect is None or not chip.differing else 1 - effect.differing / chip.differing
        return Proposal(self.what, self.command, self.possible, effect, removes, self.why)


def propose(
    graph: nir.NIRGraph, bench: Bench, given: Mapping[str, Any], target: Target, found: Mapping[Any, Effect], worst: str
) -> list[Idea]:
    """The changes to measure, the cheapest first.

    Empty where nothing differs, or where the network was trained in this chip's arithmetic: then the chip's run is what
    was trained, and the float run the approximation.
    given: the arguments of `compile`.   found: of the runs so far.   worst: the layer whose weights cost most.
    """
    if not found["chip"].differing or bench.network.program.report.get("scale") == GIVEN:
        return []
    ideas = list(_programs(graph, bench, given, target, bool(found["alone", "input"].differing)))
    ideas += _finer(bench, worst) if worst else []
    tuned = "training on in the chip's own arithmetic, so that the network learns with these numbers"
    why = "not measured, it is a training run; what it trains is what sim gives, without any difference"
    command = f"neuro_deploy train RECIPE --chip {target.name} --from RUN --out OUT"
    return [
        *ideas,
        Idea(tuned, command, None, True, why),
    ]


def _programs(
    graph: nir.NIRGraph, bench: Bench, given: Mapping[str, Any], target: Target, rounded: bool
) -> Iterator[Idea]:
    """Other programs of the same graph.  rounded: the input's integers cost something."""
    program, limits = bench.network.program, target
    scale, encoder = program.report.get("scale"), program.encoders[0]
    tried: list[tuple[str, str, dict[str, Any]]] = []
    if scale != "calibrated":
        text = "another scale, calibrated on typical input"
        tried.append((text, "--scale calibrated --calibrate INPUT.npz", {"scale": "calibrated", "calibrate": bench.x}))
    if scale != "full":
        tried.append(("another scale, the full precision of the weights", "--scale full", {"scale": "full"}))
    most = limits.synapse.weight_bits.value
    if (given.get("weight_bits") or most) < most:
        tried.append((f"{most} bits for all weights", f"--weight-bits {most}", {"weight_bits": most}))
    bits = limits.input.payload_bits.value
    if bits > encoder.bits and rounded:
        for more in dict.fromkeys((min(bits, encoder.bits + 2), min(bits, encoder.bits + 4))):
            tried.append((f"{more} bits for the input", f"--input-bits {more}", {"input_bits": more}))
    for text, words, changed in tried:
        command = f"neuro_deploy compile FILE.nir --target {target.name} {words} --out FILE.program.h5"
        try:
            other = compile(graph, limits, **{**given, **changed})
        except NeuroDeployError as error:
            yield Idea(text, command, None, False, str(error).splitlines()[0])
            continue
        if other != program:
            yield Idea(text, command, program_run(other), True, _proof(other, program))


def _proof(other: ChipProgram, program: ChipProgram) -> str:
    return "no longer proven not to overflow; sim counts clips" if program.proven and not other.proven else ""


def _finer(bench: Bench, worst: str) -> Iterator[Idea]:
    """Wider weights in the layer that costs most: no program of the target has them, but what they give is measured."""
    network = bench.network
    names = [s.name for s in network.program.synapses if s.target == worst]
    on = Setting.of(tuple(FORMATS), network.layers).on
    for more in FINER:
        setting = Setting(on, {worst: more})
        text = f"{more} more weight bit{'s' * (more > 1)} in {', '.join(names)} (into {worst})"
        why = "weights of one layer cannot be wider on this target: choose another, or split each neuron's inputs"
        yield Idea(text, "", setting_run(network, setting), False, why)


def choose(proposals: Sequence[Proposal], chip: Effect, exact: Effect) -> int | None:
    """The first possible change that removes MOST of the differing spikes; else the last one.

    It must not make the accuracy worse than that of both the chip and the float run.
    """
    if not proposals:
        return None
    for i, p in enumerate(proposals):
        loses = p.effect is not None and (p.effect.correct or 0) < min(chip.correct or 0, exact.correct or 0)
        if p.possible and p.removes is not None and p.removes >= MOST and not loses:
            return i
    return len(proposals) - 1
