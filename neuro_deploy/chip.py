"""Into a chip's arithmetic and back: a graph as a trainable module, and what was trained as a file that proves itself.

model = MyNetwork()                                  # modules of torch and nd.nn, trained in float
graph = nd.export_nir(model, dt=0.001, input_shape=(20,), steps=8, input_low=-1.0, input_high=1.0)
chip = nd.to_chip(graph, model, target="loihi2")     # an nn.Module: forward is the chip, backward straight-through
optimizer = torch.optim.AdamW(chip.parameters(), lr=1e-3)
for x, label in batches:                             # x: (T, B, 20), float; it is encoded inside
    optimizer.zero_grad()
    nd.nn.rate_cross_entropy(chip(x), label).backward()
    optimizer.step()
graph = nd.export_nir(chip)                          # proven: compiled, it is the trained program
assert nd.compile(graph, "loihi2", exact=True) == chip.program()
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from .backends import simulate
from .errors import BackendError, TrainingError
from .graph.told import metadata_of
from .lower import compile
from .lower.room import room
from .program import ChipProgram
from .program.data import arrays, plain, sections
from .target import Target, load_target
from .train import Recipe, Result, Run, load_run, train
from .train.chip import Chip
from .train.chip_checks import check
from .train.chip_export import graph_of_program
from .train.datasets import data_of
from .train.export import graph_of
from .train.fold import fold
from .train.recipe import differences
from .train.runs import CHECKPOINT, FLOAT_RUN, claimed, load_chip, open_run

KEPT = ("input", "recipe")
"""Entries of a graph's metadata that stay true."""


def to_chip(
    graph: nir.NIRGraph,
    like: Any = None,
    target: Target | str | os.PathLike[str] = "loihi2",
    *,
    calibrate: NDArray[Any] | None = None,
    max_steps: int | None = None,
) -> Chip:
    """A trainable module that computes what a target will compute, in the scales that `compile` chooses for the graph.

    The arithmetic is the chip's, number by number: encoder, 8-bit weights, integer thresholds, 12-bit leaks rounded
    toward zero at each step, registers.  Where `compile` proves that no register can overflow, training keeps that so.

    graph: a feed-forward network of dense layers and neurons.   like: the model that it was exported from, for its
    surrogates.   calibrate, max_steps: as of `compile`.
    Raises: TargetError; UnsupportedError with all that the target cannot do, or that cannot be trained.
    """
    chip = target if isinstance(target, Target) else load_target(target)
    first = compile(graph, chip, calibrate=calibrate, max_steps=max_steps)
    check(first)
    told = {key: value for key, value in metadata_of(graph).items() if key in KEPT}
    program = compile(graph_of_program(first, chip, told), chip, max_steps=first.max_steps, exact=True)
    return Chip(program, chip, like, room=room(program, chip) if program.proven else None, told=told)


def chip_graph(chip: Chip, metadata: Mapping[str, Any] | None = None) -> nir.NIRGraph:
    """The NIR graph of a trained module, without a proof.  metadata: more to remember."""
    return graph_of_program(chip.program(), chip.target, {**chip.told, **(metadata or {})})


def chip_check(chip: Chip) -> Callable[[nir.NIRGraph, NDArray[Any], str], dict[str, Any]]:
    """A check of a graph that was read back, on an input (T, B, *shape): what was compared.

    Compiled, exactly, the graph must be the trained program; and the module's forward pass must give the spikes and
    potentials that `sim` gives.   Raises (the check): BackendError.
    """
    program = chip.program()

    def check(again: nir.NIRGraph, x: NDArray[Any], which: str) -> dict[str, Any]:
        found = compile(again, chip.target, max_steps=program.max_steps, exact=True)
        if found != program:
            raise BackendError(f"not written: compiled, the file is not the trained program ({_first(found, program)})")
        return {**_compare(chip, program, x), "program": program.digest}

    return check


def _first(one: ChipProgram, other: ChipProgram) -> str:
    """Where two programs differ first, in words."""
    for section, items in sections(one).items():
        for a, b in zip(items, sections(other)[section], strict=False):
            found, wanted = arrays(a), arrays(b)
            same = plain(a) == plain(b) and list(found) == list(wanted)
            if not same or not all(np.array_equal(found[key], wanted[key]) for key in wanted):
                return f"first difference: {a.name}"
    return "another number of populations, another readout or time step"


def _compare(chip: Chip, program: ChipProgram, x: NDArray[Any]) -> dict[str, Any]:
    """What was compared.  Raises: BackendError naming the first population that differs."""
    trace = simulate(program, x, "sim", ("spikes", "v"))
    found, numbers = chip.record(x), 0
    for name, values in found.items():
        for variable in ("spikes", "v"):
            got, wanted = values[variable], trace.aligned(name, variable)
            if not np.array_equal(got, wanted):
                raise BackendError(
                    f"not written: {variable} of {name} differs between training and sim, "
                    f"in {int((got != wanted).sum()):,} of {got.size:,} places"
                )
            numbers += got.size
    fired = {name: int(np.abs(values["spikes"]).sum()) for name, values in found.items() if name in chip.firing()}
    told = {"steps": len(x), "samples": x.shape[1], "numbers": numbers, "spikes": sum(fired.values()), "differences": 0}
    silent = ", ".join(name for name, count in fired.items() if not count)
    return {**told, **({"silent": silent} if silent else {})}


def train_on_chip(settings: Recipe, target: str, out: Path, source: Path | None, resume: bool, **common: Any) -> Result:
    """A training run in a target's arithmetic, with the settings of [chip].

    source: a finished float run; None: out/float, which is trained first by the other settings.
    common: more arguments of `train`.
    Raises: as `train`; TrainingError if `source` is a run of another network or of other data; TargetError and
    UnsupportedError for what the target cannot do.
    """
    load_target(target)
    recipe, floats = settings.on_chip(target), settings.model_copy(update={"chip": settings.chip.in_float()})
    if resume and (out / CHECKPOINT).exists():
        return train(recipe, out, resume=True, model=load_chip(out, recipe, data_of(recipe)), **common)
    with claimed(out):
        open_run(out, resume)
    if source is None:
        source = out / FLOAT_RUN
        train(floats, source, resume=resume, **common)
    return train(recipe, out, resume=resume, model=_start(load_run(source), recipe, source), **common)


def _start(run: Run, recipe: Recipe, source: Path) -> Chip:
    """The network of a float run in the arithmetic that a recipe names."""
    if isinstance(run.model, Chip):
        raise TrainingError(f"{source}: is a run in a chip's arithmetic itself; --from takes a float run")
    mine, theirs = ({"data": r.data.model_dump(), "network": r.network.model_dump()} for r in (recipe, run.recipe))
    if lines := differences(theirs, mine):
        raise TrainingError("\n  ".join([f"{source}: is a run of another recipe than '{recipe.name}':", *lines]))
    data, network = run.data, run.recipe.network
    graph = graph_of(
        fold(run.model),
        dt=network.dt,
        input_shape=data.shape,
        steps=network.steps,
        input_low=data.input_low,
        input_high=data.input_high,
        input_quantum=data.input_quantum,
        metadata={"recipe": recipe.name},
    )
    return to_chip(graph, run.model, recipe.chip.target)
