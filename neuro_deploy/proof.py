"""Export that proves itself: what was written is read back, run against the model, and the result kept in the file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from .backends import simulate
from .backends.proofs import SEED, random_input, with_proof
from .backends.reference import NIRModule
from .chip import chip_check, chip_graph
from .errors import BackendError, InputError, UnsupportedError, Violation
from .files import atomic_write, check_input
from .graph import read_graph, read_nir, write_graph, write_nir
from .graph.digest import facts_of
from .graph.misread import Misreading, misreadings
from .graph.readers import EVERYBODY, READERS
from .neurons import fires
from .program import Readout
from .train.chip import Chip
from .train.export import Model, graph_of, nir_names, states_of
from .train.fold import Folded, fold

BESIDE = ("our_metadata", "at_threshold")
"""Rules about what changes no spike but on a tie: what only our metadata says, and > against >=."""
REMEDY = "train what they can read, or name the readers that matter (--readers)"
States = Mapping[str, Mapping[str, NDArray[Any]]]
"""Population -> variable -> (T, B, *shape)."""
Check = Callable[[nir.NIRGraph, NDArray[np.float32], str], dict[str, Any]]
"""(graph read back, input, its name) -> what was compared; raises BackendError for a difference."""


def export_nir(
    model: Model,
    *,
    dt: float | None = None,
    input_shape: tuple[int, ...] | None = None,
    steps: int | None = None,
    input_low: float | None = None,
    input_high: float | None = None,
    input_quantum: float = 0.0,
    readout: Readout | None = None,
    metadata: Mapping[str, Any] | None = None,
    sample: NDArray[Any] | None = None,
    strict: bool = False,
    readers: Sequence[str] = (),
) -> nir.NIRGraph:
    """A NIR graph that holds a model exactly, proven: read back from a file, it gives the model's spikes.

    Batch norm is folded first (see `fold`).  The graph is written, read by our reader and run against the folded model
    on random input and on `sample`: every spike and potential must be equal.  The result, the versions and what other
    readers would lose are in the graph's metadata (`proof`, `lost_by_others`).

    model: a module made of torch's Linear, Flatten and Dropout, and the neurons and layers of neuro_deploy.nn (Conv1d,
        Conv2d, AvgPool2d, SumPool2d, Delay, Recurrent, BatchNorm behind Linear or Conv), joined by +;
        or what `fold` made of them; or what `import_nir` rebuilt or `to_chip` made, which say the following themselves
        (proven of a Chip: compiled, the file is the trained program, and what its forward pass computes is `sim`).
    dt: seconds a step.   input_shape: without time and batch.   steps: the T that it was trained for.
    input_low, input_high, input_quantum: the input's range, and its grid (0: unknown); `compile` needs the range.
    readout: how the decision is read; by default the spike counts of the last population, an integrator's mean
        potential.
    metadata: more to remember, as text and numbers.
    sample: real input (T, B, *input_shape) for the proof.
    strict: refuse what would make another reader compute something else.   readers: those that count; all by default
        (names as in graph/readers.py: "snnTorch", "Norse", "SpikingJelly", "Sinabs", "Rockpool", "nir.read").
    Raises: InputError; UnsupportedError with everything that NIR cannot hold, or (strict) that others would lose;
    BackendError if what was read back does not give the model's numbers.
    """
    if isinstance(model, Chip):
        own = [dt, input_shape, steps, input_low, input_high, input_quantum or None, readout]
        if any(value is not None for value in own):
            raise InputError("a network in a chip's arithmetic says all of that itself; leave those arguments out")
        return _proven(chip_graph(model, metadata), chip_check(model), sample, strict, readers)
    source: Any
    if isinstance(model, NIRModule):
        said = [dt, input_shape, steps, input_low, input_high, input_quantum or None, readout, metadata]
        if any(value is not None for value in said):
            raise InputError("a model that import_nir rebuilt says all of that itself; leave those arguments out")
        graph, source = write_graph(model.reading), model
        names = {key: name for name, key in model.keys.items()}
    else:
        if dt is None or input_shape is None:
            raise InputError("say dt (seconds a step) and input_shape (without time and batch)")
        folded = model if isinstance(model, Folded) else fold(model)
        graph = graph_of(
            folded,
            dt=dt,
            input_shape=input_shape,
            steps=steps,
            input_low=input_low,
            input_high=input_high,
            input_quantum=input_quantum,
            readout=readout,
            metadata=metadata,
        )
        source, names = folded.model, nir_names(folded)

    def run(x: NDArray[np.float32]) -> States:
        return {names[name]: states for name, states in states_of(source, x).items()}

    return prove(graph, run, sample, strict=strict, readers=readers)


def prove(
    graph: nir.NIRGraph,
    run: Callable[[NDArray[np.float32]], States],
    sample: NDArray[Any] | None = None,
    *,
    strict: bool = False,
    readers: Sequence[str] = (),
) -> nir.NIRGraph:
    """The graph with the proof in its metadata, bound to what was proven by a digest.

    run: the model: input (T, B, ...) -> spikes and v of each population.   The others: see `export_nir`.
    Raises: BackendError if the file gives other numbers; UnsupportedError (strict); InputError for a wrong sample.
    """

    def check(again: nir.NIRGraph, x: NDArray[np.float32], which: str) -> dict[str, Any]:
        return _compare(again, run(x), x, which)

    return _proven(graph, check, sample, strict, readers)


def _proven(
    graph: nir.NIRGraph, check: Check, sample: NDArray[Any] | None, strict: bool, readers: Sequence[str]
) -> nir.NIRGraph:
    """The graph with its proof: what `check` found of the file that was read back, for each input."""
    lost = lost_by_others(graph, readers)
    changing = [m for m in lost if m.rule not in BESIDE]
    if strict and changing:
        violations = [Violation(m.node or "the file", f"{m.what} ({', '.join(m.who)})", REMEDY) for m in changing]
        raise UnsupportedError("other readers would lose something, and strict forbids that:", violations)
    inputs = {"random": random_input(graph)}
    if sample is not None:
        check_input(np.asarray(sample), "sample")
        inputs["sample"] = np.asarray(sample, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "unproven.nir"
        write_nir(graph, file)
        again = read_nir(file)
    found = {name: check(again, x, name) for name, x in inputs.items()}
    return with_proof(graph, found, lost_by_others="\n".join(f"{m.node}: {m.what} ({', '.join(m.who)})" for m in lost))


def write_proven(graph: nir.NIRGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph, if what is read back is the same, number by number; else the older file stays.

    Raises: FileError; BackendError naming the first node that differs.
    """
    with atomic_write(path) as unproven:
        write_nir(graph, unproven)
        wanted, got = read_graph(graph), read_graph(read_nir(unproven))
        for one, other in zip_longest(wanted.nodes, got.nodes):
            if not (one and other and facts_of(one) == facts_of(other)):
                name = next(n.name for n in (one, other) if n)
                raise BackendError(f"{path}: not written, because '{name}' read back is not what was proven")
        if (wanted.scheme, wanted.readout, wanted.inputs) != (got.scheme, got.readout, got.inputs):
            raise BackendError(f"{path}: not written, because its metadata read back is not what was proven")


def lost_by_others(graph: nir.NIRGraph, readers: Sequence[str] = ()) -> tuple[Misreading, ...]:
    """What other readers would lose of a graph of ours.  readers: those that count; () for all.

    Raises: InputError for an unknown reader.
    """
    known = {name.lower(): name for name in READERS}
    if unknown := [name for name in readers if name.lower() not in known]:
        raise InputError(f"unknown reader {', '.join(unknown)}; known are {', '.join(READERS)}")
    wanted = [known[name.lower()] for name in readers] or [*READERS, EVERYBODY]
    found = misreadings(graph, read_graph(graph))
    kept = [replace(m, who=tuple(w for w in m.who if w in wanted)) for m in found]
    return tuple(m for m in kept if m.who)


def _compare(graph: nir.NIRGraph, wanted: States, x: NDArray[np.float32], which: str) -> dict[str, Any]:
    """What was compared.  Raises: BackendError for the first population that differs, naming the first place."""
    trace = simulate(graph, x, "reference", ("spikes", "v"))
    neurons, numbers, fired, silent = read_graph(graph).neurons, 0, 0, []
    for name, states in wanted.items():
        for variable, values in states.items():
            got = trace.populations[name].data[variable]
            if not np.array_equal(values, got):
                t, b, *where = np.argwhere(values != got)[0].tolist()
                place = f"step {t}, sample {b}, neuron {tuple(where)}"
                pair = f"{values[(t, b, *where)]!r} in the model, {got[(t, b, *where)]!r} in the file"
                raise BackendError(
                    f"not written: read back, {name} does not give the model's {variable} ({place}: {pair})"
                )
            numbers += values.size
        fired += int(np.abs(states["spikes"]).sum())
        if fires(neurons[name]) and not states["spikes"].any():
            silent.append(name)
    entry: dict[str, Any] = {
        "steps": len(x),
        "samples": x.shape[1],
        "numbers": numbers,
        "spikes": fired,
        "differences": 0,
    }
    if which == "random":
        entry["seed"] = SEED
    return {**entry, **({"silent": ", ".join(silent)} if silent else {})}
