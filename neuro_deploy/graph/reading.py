"""What a NIR graph says under a time step: operations in order, joins, shapes, and our metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import nir
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError, UnsupportedError, Violation
from ..neurons import fires, specs
from ..neurons.base import METADATA, FloatNeuron
from ..program import Readout, default_rule
from .nodes import Diagonal, Operation, Shape, Sink, arrays_of, output_shape, read_node

TITLE = "cannot read the graph"


class _Metadata(BaseModel):
    """More entries are somebody else's."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ToldReadout(_Metadata):
    """How the decision is read."""

    population: str
    rule: Literal["spike_count", "last_v", "mean_v"] | None = None
    start: int = Field(default=0, ge=0)
    stop: int = Field(default=0, ge=0)


class ToldInput(_Metadata):
    """The input's range and grid."""

    low: float
    high: float
    quantum: float = Field(default=0.0, ge=0)


class Told(_Metadata):
    """Our metadata of a graph (entry "neuro_deploy"); everything may be missing in a foreign file."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dt: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    input: ToldInput | None = None
    readout: ToldReadout | None = None


@dataclass(frozen=True)
class InputRange:
    """The values that the input takes: low..high, in multiples of quantum (0: unknown, any value)."""

    low: float
    high: float
    quantum: float = 0.0


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    inputs: names of the nodes whose sum it gets.   late: those of them that close a loop: their output of the step
    before arrives; in the first step, what they give when all neurons and inputs are silent (their constants).
    shape: of its output, without time and batch.
    """

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    operation: Operation
    late: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Reading:
    """A graph at a time step of dt seconds: nodes from input to output, and what our metadata says (None: nothing)."""

    dt: float
    nodes: tuple[Node, ...]
    readout: Readout | None
    input_range: InputRange | None
    steps: int | None

    @property
    def neurons(self) -> dict[str, FloatNeuron]:
        """The populations by name."""
        return {n.name: n.operation for n in self.nodes if isinstance(n.operation, FloatNeuron)}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the nodes that feed the graph's outputs."""
        return tuple(source for n in self.nodes if isinstance(n.operation, Sink) for source in n.inputs)


def metadata_of(node: nir.NIRNode) -> Mapping[str, Any]:
    """Our entry in a node's metadata, or an empty mapping."""
    told = node.metadata.get(METADATA) if isinstance(node.metadata, dict) else None
    return told if isinstance(told, dict) else {}


def read_graph(graph: nir.NIRGraph, dt: float | None = None) -> Reading:
    """Read a graph.

    dt: seconds a step; needed if the file does not say, and must agree if it does.
    Raises: InputError if dt is unknown or contradicts the file; UnsupportedError with all nodes that cannot be read.
    """
    told = _told(graph)
    step = _time_step(told.dt, dt)
    violations: list[Violation] = []
    nodes: dict[str, Node] = {}
    for name, sources, late in _order(graph, step):
        try:
            for node in _read(name, graph.nodes[name], sources, step, nodes, graph.nodes):
                nodes[node.name] = replace(node, late=late) if set(late) <= set(node.inputs) else node
        except UnsupportedError as error:
            violations += error.violations
            nodes[name] = Node(name, sources, (), Sink())
            if not isinstance(graph.nodes[name], (nir.Input, nir.Output)):
                break
    violations += [v for n in nodes.values() for v in _finite(n)]
    violations = violations or [v for n in nodes.values() for v in _joins(n, nodes)]
    if violations:
        raise UnsupportedError(TITLE, violations)
    return Reading(step, tuple(nodes.values()), _readout(told.readout, nodes), _range(told.input), told.steps)


def _told(graph: nir.NIRGraph) -> Told:
    """Our metadata of the graph, checked.  Raises: InputError with all problems."""
    try:
        return Told.model_validate(_plain(metadata_of(graph)))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InputError("\n".join(["the file's neuro_deploy metadata is not valid:", *lines])) from error


def _plain(value: Any) -> Any:
    """Metadata as Python types."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _time_step(stored: float | None, dt: float | None) -> float:
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise InputError(f"dt must be a positive number of seconds, got {dt}")
    if stored is None and dt is None:
        raise InputError("the file does not say its time step, and a guess would change its spikes; give --dt SECONDS")
    if stored is not None and dt is not None and stored != dt:
        raise InputError(f"the file says dt = {stored!r} s, not {dt!r} s; leave --dt out")
    return stored if stored is not None else float(dt or 0)


def _order(graph: nir.NIRGraph, dt: float) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(node, its sources in the file's order, those of them that arrive a step later), from input to output.

    That order is the order of float additions; ties are in alphabetical order.  A loop is cut behind a Delay of a step
    or more, which needs no input of the same step; a loop without one is cut where the input enters it: what comes
    back there arrives one step later (NIR gives a recurrent edge one step).  Where it enters in several places, that
    would be a guess.
    Raises: UnsupportedError.
    """
    incoming: dict[str, list[str]] = {name: [] for name in sorted(graph.nodes)}
    for source, target in ((str(a), str(b)) for a, b in graph.edges):
        if source not in incoming or target not in incoming:
            raise UnsupportedError(
                TITLE, [Violation(f"{source} -> {target}", "an edge to a node that does not exist", "mend the file")]
            )
        if source in incoming[target]:
            raise UnsupportedError(
                TITLE, [Violation(f"{source} -> {target}", "the edge stands twice", "scale it instead")]
            )
        incoming[target].append(source)
    waiting = dict(incoming)
    past = {name: _remembers(graph.nodes[name], dt) for name in incoming}
    done: dict[str, bool] = {}
    order: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    while waiting:
        late: tuple[str, ...] = ()
        ready = next((n for n, sources in waiting.items() if all(s in done for s in sources)), None)
        if ready is None:
            now = {n: [s for s in sources if not past[s]] for n, sources in waiting.items()}
            ready, late = _cut({n: [s for s in sources if s in waiting] for n, sources in now.items()}, now)
        order.append((ready, tuple(waiting.pop(ready)), late))
        done[ready] = True
    return order


def _cut(needed: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> tuple[str, tuple[str, ...]]:
    """The node of a loop that comes first, and those of its sources that arrive a step later.

    now: a node's sources that must be of the same step (what a Delay of a step or more sends is not); needed: those of
    them that are still waited for.
    Raises: UnsupportedError for a loop that can be cut in more than one place.
    """
    free = next((name for name, sources in needed.items() if not sources), None)
    if free is not None:
        return free, ()
    loop = _loop(needed)
    entered = [name for name in loop if any(s not in loop for s in now[name])]
    if len(entered) > 1:
        what = f"a loop that is entered in {len(entered)} places ({', '.join(entered)})"
        remedy = "say which connection takes a step: put a nir.Delay of one step on it"
        raise UnsupportedError(TITLE, [Violation(" -> ".join(loop), what, remedy)])
    first = (entered or loop)[0]
    return first, tuple(s for s in needed[first] if s in loop)


def _remembers(node: nir.NIRNode, dt: float) -> bool:
    """True for a Delay of at least a step in all its elements."""
    return isinstance(node, nir.Delay) and bool((np.asarray(node.delay) > dt / 2).all())


def _loop(needed: Mapping[str, Sequence[str]]) -> list[str]:
    """All nodes of a loop (a strongly connected part) that waits for nothing but itself, in alphabetical order."""

    def before(name: str) -> dict[str, None]:
        found: dict[str, None] = {}
        path = [name]
        while path:
            for source in needed[path.pop()]:
                if source not in found:
                    found[source] = None
                    path.append(source)
        return found

    reach = {name: before(name) for name in needed}
    first = min((name for name in needed if name in reach[name]), key=lambda n: (len(reach[n]), n))
    return sorted(reach[first])


def _joins(node: Node, nodes: Mapping[str, Node]) -> Iterable[Violation]:
    """Inputs of different shapes, once all are known."""
    shapes = sorted({nodes[s].shape for s in node.inputs})
    if len(shapes) > 1:
        yield Violation(node.name, f"its inputs have different shapes {shapes}", "mend the file")


def _read(
    name: str,
    node: nir.NIRNode,
    sources: tuple[str, ...],
    dt: float,
    nodes: Mapping[str, Node],
    taken: Iterable[str],
) -> Iterable[Node]:
    """The node, and before it a Diagonal for a neuron whose input has a gain or an offset.  taken: names in use."""
    shapes = sorted({nodes[s].shape for s in sources if s in nodes})
    if len(shapes) > 1:
        raise UnsupportedError(TITLE, [Violation(name, f"its inputs have different shapes {shapes}", "mend the file")])
    shape = shapes[0] if shapes else _declared(node) if sources else None
    for kind in specs():
        try:
            neuron = kind.read(name, node, dt)
            drive = kind.drive(node, dt) if neuron is not None else None
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            what = f"its parameters or its metadata cannot be understood ({error})"
            raise UnsupportedError(TITLE, [Violation(name, what, "mend the file")]) from error
        if neuron is None:
            continue
        if drive is not None:
            if not all(np.isfinite(values).all() for values in drive):
                what = "tau, r or v_leak give an input gain or offset that is NaN or infinite"
                raise UnsupportedError(TITLE, [Violation(name, what, "mend the file")])
            before, port = Diagonal(*drive), unused(f"{name}.in", taken)
            yield Node(port, sources, output_shape(name, before, shape), before)
            sources = (port,)
        shape = output_shape(name, neuron, shape)
        yield Node(name, sources, shape, replace(neuron, shape=shape))
        return
    operation = read_node(name, node, dt)
    yield Node(name, sources, output_shape(name, operation, shape), operation)


def unused(name: str, taken: Iterable[str]) -> str:
    """The name, or one made longer by underscores that is not taken."""
    names = set(taken)
    while name in names:
        name += "_"
    return name


def _declared(node: nir.NIRNode) -> Shape | None:
    """The input shape that a node itself knows."""
    told = next(iter((node.input_type or {}).values()), None)
    return None if told is None else tuple(int(n) for n in np.atleast_1d(told))


def _finite(node: Node) -> Iterable[Violation]:
    for key, array in arrays_of(node.operation).items():
        bad = int((~np.isfinite(array)).sum()) if array.dtype.kind == "f" else 0
        if bad or array.dtype.kind not in "fiub":
            what = f"{key} holds {bad} values that are NaN or infinite" if bad else f"{key} has dtype {array.dtype}"
            yield Violation(node.name, what, "mend the training run or the file")


def _readout(stored: ToldReadout | None, nodes: Mapping[str, Node]) -> Readout | None:
    """As the metadata says; by default the last population's spike counts, or an integrator's mean potential.

    Raises: UnsupportedError for metadata that names no population, spikes of one that never fires, or no step.
    """
    outputs = [s for n in nodes.values() if isinstance(n.operation, Sink) for s in n.inputs]
    told = stored or ToldReadout(population=outputs[0] if len(outputs) == 1 else "")
    node = nodes.get(told.population)
    if node is None or not isinstance(node.operation, FloatNeuron):
        if stored is None:
            return None
        known = ", ".join(n.name for n in nodes.values() if isinstance(n.operation, FloatNeuron))
        raise _no_readout(stored, "is no population", f"name one of {known}")
    rule = told.rule or default_rule(fires(node.operation))
    if rule == "spike_count" and not fires(node.operation):
        raise _no_readout(told, "never fires, so its spikes decide nothing", "read it by last_v or mean_v")
    if told.stop and told.stop <= told.start:
        raise _no_readout(told, f"is read in steps {told.start} .. {told.stop - 1}: none", "let stop be above start")
    return Readout(told.population, rule, told.start, told.stop)


def _no_readout(told: ToldReadout, what: str, remedy: str) -> UnsupportedError:
    return UnsupportedError(TITLE, [Violation(f"readout '{told.population}'", what, remedy)])


def _range(stored: ToldInput | None) -> InputRange | None:
    return InputRange(stored.low, stored.high, stored.quantum) if stored else None
