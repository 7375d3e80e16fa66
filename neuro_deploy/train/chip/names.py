"""Names of a program whose file is to be compiled to the same names again.

`compile` names a synapse after the linear nodes on its way, joined by +.  Here each synapse has one such node, BASE, or
one for each Input that it comes from, and before or behind it a Delay where it takes steps:

    [INPUT+] [BASE_delay+] BASE [+BASE_delay] [+INPUT+BASE_part1 ...]

A synapse without weights of its own (a skip, a pool) has the base SOURCE-TARGET.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...graph.compose import ONE
from ...program import ChipProgram, Synapse

OUTPUT = "output"
CONSTANT = ".constant"
"""How `compile` names the synapse that carries constants from a neuron that fires in every step."""
DECOR = re.compile(r"_(delay|part\d+)$")


class Origin(NamedTuple):
    """Where a synapse comes from.

    base: a name for its node; "": it has no weights of its own.   parts: the Inputs of several that it comes from.
    """

    base: str
    parts: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A name that + does not part, and that a file can hold."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "_"


def skip_name(source: str, target: str) -> str:
    """The base of a synapse without weights of its own."""
    return f"{plain(source)}-{plain(target)}"


def learned(synapse: Synapse) -> bool:
    """True for a synapse with weights of its own."""
    skips = (skip_name(synapse.source, synapse.target), f"{synapse.source}-{synapse.target}")
    return not any(segment.startswith(skips) for segment in (*synapse.name.split("+"), synapse.name))


def constants_of(program: ChipProgram) -> frozenset[str]:
    """Populations that nothing drives: they fire in every step, and `compile` makes them anew from biases."""
    driven = {s.target for s in program.synapses}
    return frozenset(p.name for p in program.populations if p.name not in driven)


def origin_of(program: ChipProgram, synapse: Synapse) -> Origin:
    """What a synapse's name tells."""
    inputs = next((e.inputs for e in program.encoders if e.name == synapse.source and e.parts), {})
    segments = synapse.name.split("+")
    parts = tuple(dict.fromkeys(segment for segment in segments if segment in inputs))
    bases = [segment for segment in segments if segment not in parts and not DECOR.search(segment)]
    return Origin("_".join(bases) if learned(synapse) else "", parts)


class Names:
    """New names.

    taken: of all nodes so far.   populations: old name -> new.
    """

    def __init__(self, program: ChipProgram) -> None:
        self.program, self.constants = program, constants_of(program)
        self.taken = {name for e in program.encoders for name in e.inputs}
        self.populations = {
            p.name: self.unused(re.sub("/", "_", p.name) or "_")
            for p in program.populations
            if p.name not in self.constants
        }

    def unused(self, name: str, *endings: str) -> str:
        """The name, made longer by underscores where it, or it with one of the endings, is taken."""
        while any(name + ending in self.taken for ending in ("", *endings)):
            name += "_"
        self.taken.update(name + ending for ending in ("", *endings))
        return name

    def sources(self) -> dict[str, str]:
        """Old name of an encoder or population -> new, once all nodes have their names."""
        found = dict(self.populations)
        for e in self.program.encoders:
            joined = "+".join(sorted(e.inputs))
            found[e.name] = self.unused(joined) if e.parts else e.name
        return {**found, **{name: self.unused(ONE) for name in sorted(self.constants)}}

    def base(self, synapse: Synapse, origin: Origin) -> str:
        """The name of a synapse's node."""
        source = self.populations.get(synapse.source, synapse.source)
        skip = skip_name(source, self.populations[synapse.target])
        name = plain(origin.base) if origin.base else skip
        while origin.base and (name.startswith(skip) or DECOR.search(name)):
            name = f"w_{name}" if name.startswith(skip) else f"{name}_"
        pieces = range(max(1, len(origin.parts)))
        return self.unused(name, *[e for i in pieces for e in (part_ending(i), f"{part_ending(i)}_delay")])


def part_ending(index: int) -> str:
    """What follows the base in the name of the node of one Input of several."""
    return f"_part{index}" if index else ""


def path_name(base: str, parts: Iterable[str], lag: int, behind: bool) -> str:
    """The name that `compile` will give a synapse."""
    segments: list[str] = []
    for index, part in enumerate(parts or ("",)):
        node = base + part_ending(index)
        delay = [f"{node}_delay"] if lag else []
        segments += [*([part] if part else []), *(() if behind else delay), node, *(delay if behind else ())]
    return "+".join(segments)


def constant_name(target: str, one: str, lag: int, several: bool) -> str:
    """The same, of a synapse that carries constants; several: lead to that target."""
    return f"{target}{CONSTANT}[{one}, {lag}]" if several else f"{target}{CONSTANT}"


def origins_of(origins: Mapping[str, Origin] | None, program: ChipProgram) -> dict[str, Origin]:
    """The origin of each synapse by name: what is known of it, or what its name tells; parts in the encoder's order."""
    found = {s.name: (origins or {}).get(s.name) or origin_of(program, s) for s in program.synapses}
    inputs = [name for e in program.encoders for name in e.inputs]
    return {key: Origin(base, tuple(n for n in inputs if n in parts)) for key, (base, parts) in found.items()}
