"""Does a program fit the chip, and how much of it does it take?

**Cores.**  Populations do not share cores.  The neurons of one are cut in C order into blocks of equal size (the last
may be smaller), one block a core; it gets the smallest number of cores at which each keeps all of the target's limits.
A better placement may need fewer, so this is an upper bound.  Inputs take no core.  A limit of 0 has no public figure
and is not checked.  Populations are placed from last to first, then again as their output axons need, until all hold.

**Axons.**  A core has an input axon for each connection and source neuron with a synapse in it (weights of zero count),
whatever the delay.  A neuron takes an output axon for each connection and core that its spikes go to.

**Synapse memory** as nengo-loihi 1.1.0 counts it for Loihi 1 (nengo_loihi/block.py, SynapseConfig.bits_per_axon; its
split_blocks.py cuts into equal blocks as well): a core keeps one list a source, in pieces of at most 64 weights; a
piece has 10 bits of head and is rounded up to words of 64 bits.  Weights have the target's width.  Ours, where that
source is silent or differs: a weight of a sparse connection or a kernel carries the index of its neuron, as wide as a
core's neurons need; a core keeps the kernels of its output channels once, in one list an input channel (nengo-loihi
keeps more copies, for the borders of the image, but one axon a pixel, not one a source).  Intel has published no such
layout of Loihi 2: there it is an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import Violation
from ..fixed import Ints
from ..program import ChipProgram
from ..target import Target
from ..wiring import Dense, Wiring
from .cores import blocks_of, counts_into, lists_of

PIECE, HEAD_BITS, WORD_BITS = 64, 10, 64
"""Weights in a piece of a list, bits of its head and of the memory's word.  Source: see above."""
NOTES = (
    "populations do not share cores and are cut into blocks of equal size: an upper bound of cores",
    "synapse memory as nengo-loihi counts it for Loihi 1; a kernel counts once a core",
)
FEWER = "a convolution, sparse weights, or a smaller layer"
RESOURCES = {
    "synapse_memory_bytes": ("bytes of synapse memory", f"give each neuron fewer inputs ({FEWER} before it)"),
    "input_axons": ("input axons", f"give each neuron fewer sources ({FEWER} before it)"),
    "output_axons": ("output axons", f"let each neuron reach fewer cores ({FEWER} behind it)"),
}
"""What a single neuron can have too much of: how it is called, and what helps."""


@dataclass(frozen=True)
class Use:
    """What a core takes; or many, the largest of each, or a core's limits."""

    neurons: int = 0
    synapse_memory_bytes: int = 0
    input_axons: int = 0
    output_axons: int = 0

    @staticmethod
    def of(uses: Sequence[Use], function: Callable[[Iterable[int]], int]) -> Use:
        """sum or max of each resource."""
        return Use(*map(function, zip(*map(astuple, uses), strict=True)))


@dataclass(frozen=True)
class PopulationFit:
    """One population.

    connections: pairs of neurons, weights of zero included.   stored_weights: of the program.   stored_on_cores: the
    same, a kernel counted once a core.   neurons_per_core: the size of its blocks.   bound_by: the limit that fewer
    cores would break ("" for one core).   total: over all its cores.   fullest: the largest that one of them takes.
    """

    name: str
    connections: int
    stored_weights: int
    stored_on_cores: int
    cores: int
    neurons_per_core: int
    bound_by: str
    total: Use
    fullest: Use


@dataclass(frozen=True)
class Fit:
    """A program on a target.

    limits: of a core; cores_per_chip, synapses_per_chip: of a chip; 0: no public figure.
    chips: enough for the cores, and for the weights that they store (0: no public figure).
    """

    target: str
    populations: tuple[PopulationFit, ...]
    limits: Use
    cores_per_chip: int
    synapses_per_chip: int
    chips: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the sums over all populations, and what the numbers mean."""
        counts = ("cores", "connections", "stored_weights", "stored_on_cores")
        sums = {name: sum(getattr(p, name) for p in self.populations) for name in counts}
        total = asdict(Use.of([p.total for p in self.populations], sum)) if self.populations else asdict(Use())
        listed = {"populations": [asdict(p) for p in self.populations], "notes": list(NOTES)}
        return asdict(self) | listed | sums | {"total": total}


def fit(program: ChipProgram, target: Target) -> Fit:
    """Neurons, synapse memory, axons, cores and chips that a program takes; see the top of this file.

    A limit that a single neuron breaks (`fit_violations`) does not count for the cores of its population.
    """
    chip, plan = target.core, _Plan(program, target)
    populations = tuple(plan.population(p.name) for p in program.populations)
    cores, stored = sum(p.cores for p in populations), sum(p.stored_on_cores for p in populations)
    needs = ((cores, chip.cores.value), (stored, chip.synapses_per_chip.value))
    chips = max((-(-need // limit) for need, limit in needs if limit), default=0)
    return Fit(target.name, populations, plan.limits, chip.cores.value, chip.synapses_per_chip.value, chips)


def fit_violations(program: ChipProgram, target: Target) -> list[Violation]:
    """Every resource of which a single neuron needs more than a core has.  Several chips are no violation."""
    return _Plan(program, target).violations


class _Link(NamedTuple):
    """A synapse of the program, as cores see it.  entry_bits: of one weight in a list."""

    source: str
    target: str
    wiring: Wiring
    entry_bits: int

    def core(self, block: slice) -> tuple[int, int, int]:
        """(weights kept, bytes of synapse memory, input axons) of a core with the target's neurons `block`."""
        counts = counts_into(self.wiring, block)
        lists = lists_of(self.wiring, block, counts)
        full, rest = np.divmod(lists, PIECE)
        words = full * self._words(np.asarray(PIECE)) + np.where(rest > 0, self._words(rest), 0)
        return int(lists.sum()), int(words.sum()) * WORD_BITS // 8, int(np.count_nonzero(counts))

    def _words(self, weights: Ints) -> Ints:
        return np.asarray(-(-(weights * self.entry_bits + HEAD_BITS) // WORD_BITS))


class _Plan:
    """How a program's populations are cut.

    sizes: name -> neurons a core.   broken: name -> the limits that a neuron breaks on its own, with the violation.
    """

    def __init__(self, program: ChipProgram, target: Target) -> None:
        core, bits = target.core, target.synapse.weight_bits.value
        sourced = (core.neurons_per_core, core.synapse_memory_bytes_per_core, core.input_axons_per_core)
        self.limits = Use(*(entry.value for entry in (*sourced, core.output_axons_per_core)))
        self.target = target.name
        self.neurons = {p.name: p.size for p in program.populations}
        index = max(0, (self.limits.neurons or max(self.neurons.values(), default=1)) - 1).bit_length()
        self.links = [
            _Link(s.source, s.target, s.wiring, bits if isinstance(s.wiring, Dense) else bits + index)
            for s in program.synapses
        ]
        self.into = {name: [k for k in self.links if k.target == name] for name in self.neurons}
        self.sizes = {name: max(1, min(n, self.limits.neurons or n)) for name, n in self.neurons.items()}
        self.bound_by = {name: "neurons" if self.cores(name) > 1 else "" for name in self.neurons}
        self.broken: dict[str, dict[str, Violation]] = {name: {} for name in self.neurons}
        self._place()

    @property
    def violations(self) -> list[Violation]:
        return [violation for found in self.broken.values() for violation in found.values()]

    def cores(self, name: str) -> int:
        """How many cores the population takes."""
        return -(-self.neurons[name] // self.sizes[name])

    def population(self, name: str) -> PopulationFit:
        """What a population takes, as it is cut."""
        outputs, into = self._outputs(name), self.into[name]
        used = [self._core(name, block, outputs) for block in blocks_of(self.neurons[name], self.sizes[name])]
        uses = [use for use, _ in used] or [Use()]
        return PopulationFit(
            name=name,
            connections=sum(k.wiring.connections for k in into),
            stored_weights=sum(k.wiring.weight.size for k in into),
            stored_on_cores=sum(kept for _, kept in used),
            cores=len(used),
            neurons_per_core=self.sizes[name],
            bound_by=self.bound_by[name],
            total=Use.of(uses, sum),
            fullest=Use.of(uses, max),
        )

    def _core(self, name: str, block: slice, outputs: Ints) -> tuple[Use, int]:
        """What one core takes, and how many weights it keeps."""
        parts = [k.core(block) for k in self.into[name]] or [(0, 0, 0)]
        kept, memory, axons = (sum(column) for column in zip(*parts, strict=True))
        return Use(block.stop - block.start, memory, axons, int(outputs[block].sum())), kept

    def _outputs(self, name: str) -> Ints:
        """Output axons of each neuron, (N,)."""
        total = np.zeros(self.neurons[name], np.int64)
        for link in self.links:
            if link.source == name and isinstance(link.wiring, Dense):
                total += self.cores(link.target)
            elif link.source == name:
                for block in blocks_of(self.neurons[link.target], self.sizes[link.target]):
                    total += counts_into(link.wiring, block) > 0
        return total

    def _place(self) -> None:
        """Cut every population until all limits hold: more cores of a target are more output axons of its source."""
        for name in reversed(self.neurons):
            self._shrink(name, np.zeros(self.neurons[name], np.int64))
        settled = not self.limits.output_axons
        while not settled:
            before = dict(self.sizes)
            for name in reversed(self.neurons):
                self._shrink(name, self._outputs(name))
            settled = before == self.sizes

    def _shrink(self, name: str, outputs: Ints) -> None:
        """Give the population the smallest number of cores, no fewer than now, at which its limits hold."""
        bound_by, suspect = self.bound_by[name], 0
        for size in _sizes(self.neurons[name], self.sizes[name]):
            over, suspect = self._over(name, size, outputs, suspect)
            if not over:
                self.sizes[name], self.bound_by[name] = size, bound_by
                return
            bound_by = over
        self._break(name, outputs)
        self._shrink(name, outputs)

    def _over(self, name: str, size: int, outputs: Ints, suspect: int) -> tuple[str, int]:
        """The first limit that blocks of this size break ("": none), and the first neuron of that block.

        suspect: a neuron whose block is looked at first.
        """
        blocks = blocks_of(self.neurons[name], size)
        sums = np.add.reduceat(outputs, [block.start for block in blocks]) if blocks else outputs
        if 0 < self.limits.output_axons < sums.max(initial=0) and "output_axons" not in self.broken[name]:
            return "output_axons", suspect
        for block in [*blocks[suspect // size :][:1], *blocks]:
            for resource, value in asdict(self._core(name, block, outputs)[0]).items():
                limit = getattr(self.limits, resource)
                if limit and value > limit and resource not in self.broken[name]:
                    return resource, block.start
        return "", suspect

    def _break(self, name: str, outputs: Ints) -> None:
        """Note which limits single neurons break: these do not count from now on."""
        alone = [self._core(name, block, outputs)[0] for block in blocks_of(self.neurons[name], 1)]
        for resource, (text, remedy) in RESOURCES.items():
            values = np.array([getattr(use, resource) for use in alone])
            limit, worst = getattr(self.limits, resource), int(values.argmax())
            if not limit or values[worst] <= limit or resource in self.broken[name]:
                continue
            also = f"{int((values > limit).sum()):,} of {len(values):,} neurons need too many"
            what = (
                f"neuron {worst} alone needs {values[worst]:,} {text}, a core of {self.target} has {limit:,} ({also})"
            )
            self.broken[name][resource] = Violation(name, what, f"{remedy}, or choose another target")


def _sizes(neurons: int, most: int) -> Iterator[int]:
    """The block sizes up to `most` that equal blocks can have, from large to small: one for each number of cores."""
    size = most
    while size:
        size = max(1, -(-neurons // max(1, -(-neurons // size))))
        yield size
        size -= 1
