"""The road as functions: train, export with its proof, verify.  Each stage writes files and checks itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
from numpy.typing import NDArray

from .backends import simulate
from .backends.base import Progress, quiet
from .comparison import Verdict, judge
from .errors import InputError, RecipeError
from .estimates import Estimate, estimate
from .explanation import Explanation
from .files import NetworkInput, write_npz
from .graph.misread import Misreading
from .lower import asked_of, compile
from .neurons import spec
from .program import ChipProgram
from .target import load_target
from .trace import VARIABLES, Trace

MOST_LAVA_SAMPLES = 1000
"""Lava runs the whole input, but not more samples than this unless told (about 1 ms a sample and step)."""
TEST_INPUT = "test.npz"
RUN_RECIPE = "recipe.toml"

Starter = Callable[[str], Progress]
"""Called with a stage's title; gives that stage's progress callback."""


def silent(title: str) -> Progress:
    """A Starter that shows nothing."""
    return quiet


@dataclass
class Clock:
    """Stages and their seconds, in order."""

    stages: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        begin = time.perf_counter()
        yield
        self.stages.append((name, time.perf_counter() - begin))


@dataclass(frozen=True)
class Trained:
    """A training run that ended.  accuracy: on what `measured` names; test_input: an .npz with that set.

    measured: "test", or "validation" where the recipe's data.measure puts that in the test set's place.

    metrics: of the last epoch.
    """

    name: str
    accuracy: float
    seconds: float
    test_input: Path
    metrics: Mapping[str, Any]
    measured: str


@dataclass(frozen=True, eq=False)
class Exported:
    """A network in a file, proven.  spikes: spike counts compared; changed: those that folding batch norm changed.

    lost: what other readers of the file would lose.   program: of a network trained in a chip's arithmetic, the digest
    of the program that it is (nothing is folded then, and the graph's metadata say what was compared).
    """

    graph: nir.NIRGraph
    spikes: int
    changed: int
    lost: tuple[Misreading, ...]
    program: str = ""


@dataclass(frozen=True, eq=False)
class Verified:
    """Everything that `verify` made.  estimate: of the chip's energy and time; None if the target has no costs."""

    program: ChipProgram
    reference: Trace
    sim: Trace
    lava: Trace | None
    verdict: Verdict
    stages: Sequence[tuple[str, float]]
    estimate: Estimate | None = None


def train_run(
    recipe: str,
    out: Path,
    *,
    device: str = "auto",
    devices: int | None = None,
    checkpoint_seconds: float | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    chip: str = "",
    source: Path | None = None,
    progress: Progress = quiet,
    on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
) -> Trained:
    """Train by a recipe and put the test set beside the weights.

    device, devices, checkpoint_seconds, resume: as of `train`.
    recipe: a name or a TOML file; "" with resume: the run's own.
    chip: a target; then training goes on in its arithmetic from the float run `source`, or from a float run in
    out/float, which is trained first; with the settings of the recipe's [chip].
    Raises: RecipeError, TrainingError, FileError; TargetError, UnsupportedError for what the target cannot do.
    """
    from .chip import train_on_chip
    from .train import load_recipe, load_run, train

    if resume and not recipe:
        recipe = str(out / RUN_RECIPE)
    elif not recipe:
        raise RecipeError("which recipe?  'neuro_deploy models' lists those that are here; a .toml file works as well")
    begin = time.perf_counter()
    told = on_epoch or (lambda metrics: None)
    common: dict[str, Any] = {"device": device, "devices": devices, "progress": progress, "on_epoch": told}
    if checkpoint_seconds is not None:
        common["checkpoint_seconds"] = checkpoint_seconds
    settings = load_recipe(recipe, overrides)
    if target := chip or settings.chip.target:
        if source is not None:
            _refuse_float_settings(overrides)
        result = train_on_chip(settings, target, out, source, resume, **common)
    elif source is not None:
        raise RecipeError("--from needs --chip TARGET: it names the float run to go on from")
    else:
        result = train(settings, out, resume=resume, **common)
    run = load_run(out)
    x, label = run.data.test_input(run.recipe.network.steps)
    write_npz(out / TEST_INPUT, input=x, label=label)
    spent, measured = time.perf_counter() - begin, run.recipe.data.measure
    return Trained(run.recipe.name, result.test_accuracy, spent, out / TEST_INPUT, run.metrics, measured)


def _refuse_float_settings(overrides: Sequence[str]) -> None:
    """Raise RecipeError for what would change the float run that is finished already."""
    keys = [text.partition("=")[0].strip().rpartition(".") for text in overrides]
    if "precision" in (last for table, _, last in keys if table == "training"):
        raise RecipeError("training.precision: a chip's arithmetic is exact, in float32 and float64; leave it out")
    if found := [last for table, _, last in keys if table == "training" and last in ("epochs", "lr", "schedule")]:
        names = ", ".join(f"chip.{last}" for last in found)
        raise RecipeError(f"training.{found[0]} is not of the training on the chip; set {names}")


def export_run(run_dir: Path, path: Path, *, strict: bool = False, readers: Sequence[str] = ()) -> Exported:
    """Export a run to NIR and prove the file: read back, it gives the folded model's spikes and potentials.

    The model with its batch norm, the folded float32 model and the file run on the whole test set, and the last two on
    random input too.  These must agree in every spike and potential; what folding changed is counted.  Of a run in a
    chip's arithmetic, the file must compile to the trained program, and the run's forward pass must equal `sim`.
    strict, readers: as in `export_nir`.
    Raises: TrainingError, UnsupportedError, FileError; BackendError if the file does not give the same numbers.
    """
    from .proof import export_nir, lost_by_others, write_proven
    from .train import load_run
    from .train.chip import Chip
    from .train.export import states_of
    from .train.fold import fold
    from .train.runs import export_options

    run = load_run(run_dir)
    recipe, data = run.recipe, run.data
    x, _ = data.test_input(recipe.network.steps)
    if isinstance(run.model, Chip):
        graph = export_nir(run.model, sample=x, strict=strict, readers=readers)
        write_proven(graph, path)
        return Exported(graph, 0, 0, lost_by_others(graph, readers), run.model.program().digest)
    folded = fold(run.model)
    graph = export_nir(folded, **export_options(recipe, data), sample=x, strict=strict, readers=readers)
    write_proven(graph, path)
    trained, kept = states_of(run.model, x), states_of(folded.model, x)
    pairs = list(zip(trained.values(), kept.values(), strict=True))
    total = sum(before["spikes"].size for before, _ in pairs)
    changed = sum(int((before["spikes"] != after["spikes"]).sum()) for before, after in pairs)
    return Exported(graph, total, changed, lost_by_others(graph, readers))


def compile_for(
    graph: nir.NIRGraph, target: str, x: NetworkInput, options: Mapping[str, Any]
) -> tuple[ChipProgram, NDArray[Any]]:
    """The program for runs of as many steps as an input has, and the input as one array.

    options: more arguments of `compile`.  The input is the typical one too where the network does not say its range.
    """
    given, joined = asked_of(graph, x, options)
    return compile(graph, target, **given), joined


def verify_graph(
    graph: nir.NIRGraph,
    target: str,
    x: NetworkInput,
    label: NDArray[Any] | None = None,
    *,
    lava_samples: int = MOST_LAVA_SAMPLES,
    options: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    start: Starter = silent,
) -> Verified:
    """Compile, run in float, in sim and (for the first lava_samples samples; 0: not at all) in Lava, and judge.

    x: (T, B, ...), or that of each of several inputs by name.   options: more arguments of `compile`.
    Raises: InputError, UnsupportedError, BackendError.
    """
    if lava_samples < 0:
        raise InputError(f"--lava-samples must be 0 or more, got {lava_samples}")
    clock, dt = Clock(), (options or {}).get("dt")
    with clock.stage("compile"):
        program, x = compile_for(graph, target, x, options or {})
    with clock.stage("reference"):
        reference = simulate(graph, x, "reference", VARIABLES, dt=dt, progress=start("reference"))
    with clock.stage("sim"):
        sim = simulate(program, x, "sim", VARIABLES, progress=start("sim"))
    lava = None
    if lava_samples:
        count = min(lava_samples, x.shape[1])
        with clock.stage("lava"):
            lava = simulate(program, x, "lava", VARIABLES, count, timeout=timeout, progress=start("lava"))
    with clock.stage("compare"):
        verdict = judge(
            sim,
            lava=lava,
            reference=reference,
            readout=program.readout,
            labels=label,
            witnesses=_witnesses(lava),
            silent=[p.name for p in program.populations if spec(p.kind).spike_range(p.params) == (0, 0)],
        )
    chip = load_target(target)
    with clock.stage("estimate"):
        estimated = estimate(program, sim, chip) if chip.costs else None
    return Verified(program, reference, sim, lava, verdict, clock.stages, estimated)


def _witnesses(lava: Trace | None) -> dict[str, str]:
    """Population -> whose model in Lava judged it."""
    told = lava.provenance if lava is not None else {}
    return {key.removeprefix("witness "): text for key, text in told.items() if key.startswith("witness ")}


def write_verdict(
    path: Path,
    result: Verified,
    *,
    title: str,
    command: str,
    graph: nir.NIRGraph | None = None,
    files: Sequence[Path] = (),
    explained: Explanation | None = None,
) -> None:
    """The HTML report of a verification.  Raises: FileError.

    graph: the network, to be drawn.   files: of which the report gives the digests.   explained: see `explain`.
    """
    from .report import provenance, write_report

    other = result.lava if result.lava is not None else result.reference
    write_report(
        path,
        title=title,
        result=result.verdict,
        a=result.sim,
        b=other,
        program=result.program,
        stages=result.stages,
        estimate=result.estimate,
        graph=graph,
        explained=explained,
        provenance=provenance(command, files) | {"target": result.program.target},
    )
