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
from .backends.reference import NIRModule
from .errors import BackendError, TrainingError
from .graph import compose, read_graph
from .graph.told import metadata_of
from .lower import compile
from .lower.room import room
from .program import ChipProgram
from .program.data import arrays, plain, sections
from .target import Target, load_target
from .train import Recipe, Result, Run, load_run, train
from .train.chip import Chip, fixed_in, neurons_of
from .train.chip.checks import checked
from .train.chip.export import graph_of_plan, graph_of_program
from .train.chip.origin import connections, first_difference, origins_in
from .train.chip.plan import without_idle
from .train.datasets import data_of
from .train.export import graph_of
from .train.fold import fold
from .train.recipe import differences
from .train.runs import CHECKPOINT, FLOAT_RUN, claimed, export_options, load_chip, open_run

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

    Learned are biases and the weights of each synapse, that is, of the linear nodes between two populations, composed
    as `compile` does it.  A weight of exactly 0 is no connection and stays 0; skips, pools and layers that `like` does
    not learn (no parameter requires a gradient) stay as they are.

    graph: any that `compile` maps to the target.   like: for the surrogates, the model that it was exported from, the
    module that `import_nir` made, or neurons by the populations' names.   calibrate, max_steps: as of `compile`.
    Raises: TargetError; UnsupportedError with all that the target cannot do, or that cannot be trained; InputError for
    a name in `like` that no population has.
    """
    chip, like = target if isinstance(target, Target) else load_target(target), _by_name(like)
    first = without_idle(compile(graph, chip, calibrate=calibrate, max_steps=max_steps))
    reading = read_graph(graph)
    network = compose(reading)
    origins = origins_in(reading, network, fixed_in(like))
    plan = checked(first, origins)
    told = {key: value for key, value in metadata_of(graph).items() if key in KEPT}
    program = compile(graph_of_plan(plan, chip, told), chip, max_steps=first.max_steps, exact=True)
    if other := first_difference(first, plan, program):
        raise BackendError(f"the program cannot be written without a change ({other}); this is a fault of neuro_deploy")
    floats = {plan.names[s.name]: s.wiring for s in network.synapses if s.name in plan.names}
    layers = [layer for row in checked(program).layers.values() for layer in row]
    connected = {layer.synapse.name: connections(layer, floats[layer.synapse.name]) for layer in layers}
    modules = {plan.sources.get(name, name): module for name, module in neurons_of(like).items()}
    room_of = room(program, chip) if program.proven else None
    return Chip(program, chip, modules, room=room_of, told=told, connected=connected)


def _by_name(like: Any) -> Any:
    """The modules that `import_nir` made by the names of their nodes; anything else as it is."""
    return {name: like.get_submodule(key) for name, key in like.keys.items()} if isinstance(like, NIRModule) else like


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
    trace, seen = simulate(program, x, "sim", ("spikes", "v")), chip.record(x)
    found, numbers = {p.name: values for p in program.populations if (values := seen[p.name])}, 0
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
    graph = graph_of(fold(run.model), **export_options(recipe, run.data))
    return to_chip(graph, run.model, recipe.chip.target)
