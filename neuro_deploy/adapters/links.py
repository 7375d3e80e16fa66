"""A NIR graph as a chain of links, for the way back to a framework's modules."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from ..errors import UnsupportedError, Violation
from ..graph import Node, Reading
from ..graph.nodes import Operation, Passing, Sink, Source
from ..neurons.base import FloatNeuron

ONE_BY_ONE = "a chain of modules has one input and one output each; run it by 'reference'"


@dataclass(frozen=True, eq=False)
class Loop:
    """A linear node through which a population's spikes come back one step later, into the link `enters`."""

    name: str
    operation: Operation
    enters: str


@dataclass(frozen=True, eq=False)
class Link:
    """One node of the chain.  loops: those that start at it."""

    name: str
    operation: Operation
    loops: tuple[Loop, ...] = ()

    @property
    def neuron(self) -> FloatNeuron | None:
        """The population, or None for another operation."""
        return self.operation if isinstance(self.operation, FloatNeuron) else None


def links(reading: Reading, title: str) -> list[Link]:
    """The graph's nodes from input to output, without both.

    Raises: UnsupportedError (with this title) for branches, joins, and loops that are not a population's own,
    through one linear node.
    """
    loops = {n.name: n for n in reading.nodes if _closes(n, reading)}
    chain: list[Link] = []
    violations: list[Violation] = []
    last = ""
    for node in reading.nodes:
        if node.name in loops:
            continue
        if isinstance(node.operation, Source):
            last = last or node.name
            continue
        sources = tuple(s for s in node.inputs if s not in loops)
        if sources != (last,):
            what = f"gets {', '.join(sources) or 'nothing'}, not {last} alone"
            violations.append(Violation(node.name, what, ONE_BY_ONE))
        last = node.name
        if not isinstance(node.operation, (Sink, Passing)):
            chain.append(Link(node.name, node.operation, tuple(_loops_of(node, loops, reading))))
    populations = {n.name for n in reading.nodes if isinstance(n.operation, FloatNeuron)}
    violations += [v for n in loops.values() for v in _misfits(n, reading, populations)]
    if violations:
        raise UnsupportedError(title, violations)
    return chain


def _takers(name: str, reading: Reading) -> list[Node]:
    return [n for n in reading.nodes if name in n.inputs]


def _closes(node: Node, reading: Reading) -> bool:
    takers = _takers(node.name, reading)
    return bool(takers) and all(node.name in n.late for n in takers) and not isinstance(node.operation, FloatNeuron)


def _loops_of(node: Node, loops: dict[str, Node], reading: Reading) -> Iterable[Loop]:
    for name, loop in loops.items():
        if loop.inputs == (node.name,):
            yield Loop(name, loop.operation, _takers(name, reading)[0].name)


def _misfits(loop: Node, reading: Reading, populations: Container[str]) -> Iterable[Violation]:
    if len(loop.inputs) != 1 or len(_takers(loop.name, reading)) != 1 or loop.late:
        yield Violation(loop.name, "joins or branches inside a loop", ONE_BY_ONE)
    elif loop.inputs[0] not in populations:
        what = f"comes back from {loop.inputs[0]}, which is no population"
        remedy = "let the loop start at the neurons: multiply both weights, or put a factor of spikes into the weights"
        yield Violation(loop.name, what, remedy)


Modules = list[tuple[str, nn.Module]]
Make = Callable[[Sequence[Link]], tuple[int, Modules, Sequence[Loop]]]


def assemble(chain: Sequence[Link], make: Make, title: str, model: nn.Module) -> nn.Module:
    """The model, with the modules that `make` builds of the first links it is given.

    make: says of how many links, and which of their loops the modules hold: all of them.

    Raises: UnsupportedError (with this title) with everything that `make` refused, each by its node.
    """
    violations, at = list[Violation](), 0
    built: Modules = []
    while at < len(chain):
        try:
            used, modules, held = make(chain[at:])
            assert {x.name for x in held} == {x.name for link in chain[at : at + used] for x in link.loops}
            built += modules
            at += used
        except UnsupportedError as error:
            violations += [Violation(chain[at].name, _what(v), v.remedy) for v in error.violations]
            at += 1
    if violations:
        raise UnsupportedError(title, violations)
    for name, module in built:
        model.add_module(name.replace(".", "_"), module)
    return model.eval()


def _what(violation: Violation) -> str:
    return f"{violation.node}: {violation.what}" if violation.node else violation.what
