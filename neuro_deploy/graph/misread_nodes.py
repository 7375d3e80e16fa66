"""Rules of misread.py about what readers refuse or skip: nodes, shapes, borders, loops."""

from __future__ import annotations

import copy

import nir
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..neurons.scheme import numbers_of
from .readers import FIRING, JELLY, KNOWN, NORSE, SINABS, SNNTORCH, STOCK, TIMED, Found, Seen, graphs_of, rule


@rule
def primitives(seen: Seen) -> Found:
    """Nodes that a reader has no mapping for."""
    for name, node in seen.nodes.items():
        lacking = [reader for reader, known in KNOWN.items() if type(node) not in known]
        refusing = tuple(reader for reader in lacking if reader in (SNNTORCH, JELLY))
        skipping = tuple(reader for reader in lacking if reader in (NORSE, SINABS))
        if refusing:
            yield name, f"{type(node).__name__} is refused", refusing
        if skipping:
            yield name, f"{type(node).__name__} has no mapping: it is skipped without a word", skipping


@rule
def per_neuron(seen: Seen) -> Found:
    """Parameters that differ within a population."""
    for name, node in seen.of(*FIRING):
        held = {key: np.asarray(value) for key, value in numbers_of(node).items()}
        varying = [key for key, values in held.items() if values.size and np.ptp(values) > 0]
        if varying:
            yield name, f"{', '.join(varying)} differ between its neurons, which is refused", (JELLY,)
        if "v_threshold" in varying:
            yield name, "v_threshold differs between its neurons, which is refused", (SNNTORCH,)


@rule
def scalars(seen: Seen) -> Found:
    """Parameters of shape ()."""
    for name, node in seen.of(*TIMED, nir.Threshold, nir.Scale):
        if any(np.size(told) == 0 for told in (node.input_type or {}).values()):
            yield name, "one number for all neurons gives it no shape, and the type check fails", (STOCK,)


@rule
def grouped_convolution(seen: Seen) -> Found:
    """Input channels are taken to be `weight.shape[1]`."""
    for name, node in seen.of(nir.Conv1d, nir.Conv2d):
        if int(node.groups) != 1 and np.ndim(node.weight) > 2:
            who = (STOCK, SNNTORCH, NORSE, JELLY)
            channels = int(node.weight.shape[1])
            what = f"{int(node.groups)} groups: its input is taken to have {channels} channels, and refused"
            yield name, what, who if node.input_shape is not None else who[1:]


@rule
def kernel_shape(seen: Seen) -> Found:
    """Both sides of the output are computed from the kernel's height."""
    shapes = {n.name: n.shape for n in seen.reading.nodes} if seen.reading else {}
    for name, node in seen.of(nir.Conv2d):
        if np.ndim(node.weight) != 4:
            continue
        height, width = node.weight.shape[2:]
        taken = (node.output_type or {}).get("output")
        right = name in shapes and taken is not None and shapes[name] == tuple(int(n) for n in taken)
        if height != width and not right:
            yield name, f"a kernel of {height} x {width} gives it a wrong shape, and the type check fails", (STOCK,)


@rule
def type_check(seen: Seen) -> Found:
    """What else stock nir's type check does not let pass."""
    known = (*scalars(seen), *kernel_shape(seen), *grouped_convolution(seen))
    if any(STOCK in who for _, _, who in known):
        return
    try:
        copied = _shallow(seen.graph)
        copied.infer_types()
        copied.check_types()
    except Exception as error:  # whatever stock nir raises: it is what its users will see
        yield "", f"the type check fails: {str(error) or type(error).__name__}", (STOCK,)


def _shallow(graph: nir.NIRGraph) -> nir.NIRGraph:
    """A graph whose check changes nothing of the caller's; arrays are shared."""
    nodes = {k: _shallow(n) if isinstance(n, nir.NIRGraph) else copy.copy(n) for k, n in graph.nodes.items()}
    return nir.NIRGraph(nodes, [(str(a), str(b)) for a, b in graph.edges], type_check=False)


@rule
def loops(seen: Seen) -> Found:
    """Recurrent edges, in nested graphs too."""
    for prefix, graph in graphs_of(seen.graph):
        inside = [f"{prefix}{name}" for name in _looped(graph)]
        if inside:
            what = f"a loop ({', '.join(inside)}): how late it comes back depends on the order of the nodes in the file"
            yield inside[0], what, (SNNTORCH, NORSE, JELLY)


def _looped(graph: nir.NIRGraph) -> list[str]:
    """The nodes of a graph that its edges lead back to."""
    names = [str(name) for name in graph.nodes]
    place = {name: i for i, name in enumerate(names)}
    edges = {(place[str(a)], place[str(b)]) for a, b in graph.edges if {str(a), str(b)} <= place.keys()}
    sources, targets = np.array(sorted(edges), np.int64).reshape(-1, 2).T
    matrix = coo_matrix((np.ones(len(edges)), (sources, targets)), shape=(len(names), len(names)))
    _, part = connected_components(matrix, connection="strong")
    sizes = np.bincount(part, minlength=1)
    return [n for i, n in enumerate(names) if sizes[part[i]] > 1 or (i, i) in edges]


@rule
def borders(seen: Seen) -> Found:
    """Several Inputs or Outputs."""
    for kind in (nir.Input, nir.Output):
        names = [name for name, node in seen.graph.nodes.items() if type(node) is kind]
        if len(names) > 1:
            what = f"{len(names)} {kind.__name__}s ({', '.join(names)}): they take one"
            yield names[1], what, (SNNTORCH, NORSE, JELLY)


@rule
def pool_padding(seen: Seen) -> Found:
    """nirtorch's SumPool2d has none."""
    for name, node in seen.of(nir.SumPool2d):
        if np.any(np.asarray(node.padding) != 0):
            yield name, "the padding of a SumPool2d is dropped", (SNNTORCH, NORSE, JELLY, SINABS)
