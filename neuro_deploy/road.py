"""The road as functions: train, export with its proof, verify, demo.  Each stage writes files and checks itself."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
from numpy.typing import NDArray

from .backends import simulate
from .backends.base import Progress, quiet
from .comparison import Verdict, judge
from .errors import BackendError, FileError, InputError, RecipeError
from .files import atomic_write, read_input, write_npz, write_text
from .graph import read_graph, read_nir, write_nir
from .lower import compile
from .program import ChipProgram, save_program
from .trace import Trace, save_trace

if TYPE_CHECKING:
    from .train import Run
    from .train.fold import Folded

PACKAGES = ("neuro_deploy", "torch", "nir", "numpy", "lava-nc", "h5py")
MOST_LAVA_SAMPLES = 1000
"""Lava runs the whole input, but not more samples than this unless told (about 1 ms a sample and step)."""
TEST_INPUT = "test.npz"
RUN_RECIPE = "recipe.toml"
DEMO_MARKER = ".neuro_deploy_demo"

Starter = Callable[[str], Progress]
"""Called with a stage's title; gives that stage's progress callback."""


def silent(title: str) -> Progress:
    """A Starter that shows nothing."""
    return quiet


def versions() -> dict[str, str]:
    """Python's and the packages' versions."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


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
    """A training run that ended.  accuracy: on the test set; test_input: an .npz with the test set."""

    name: str
    accuracy: float
    seconds: float
    test_input: Path


@dataclass(frozen=True, eq=False)
class Exported:
    """A network in a file, proven.  spikes: spike counts compared; changed: those that folding batch norm changed."""

    graph: nir.NIRGraph
    spikes: int
    changed: int


@dataclass(frozen=True, eq=False)
class Verified:
    """Everything that `verify` made."""

    program: ChipProgram
    reference: Trace
    sim: Trace
    lava: Trace | None
    verdict: Verdict
    stages: Sequence[tuple[str, float]]


def train_run(
    recipe: str,
    out: Path,
    *,
    device: str = "auto",
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: Progress = quiet,
    on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
) -> Trained:
    """Train by a recipe and put the test set beside the weights.

    recipe: a name or a TOML file; "" with resume: the run's own.
    Raises: RecipeError, TrainingError, FileError.
    """
    from .train import load_run, train

    if resume and not recipe:
        recipe = str(out / RUN_RECIPE)
    elif not recipe:
        raise RecipeError("which recipe?  'neuro_deploy models' lists those that are here; a .toml file works as well")
    begin = time.perf_counter()
    result = train(
        recipe,
        out,
        device=device,
        overrides=overrides,
        resume=resume,
        progress=progress,
        on_epoch=on_epoch or (lambda metrics: None),
    )
    run = load_run(out)
    x, label = run.data.test_input(run.recipe.network.steps)
    write_npz(out / TEST_INPUT, input=x, label=label)
    return Trained(run.recipe.name, result.test_accuracy, time.perf_counter() - begin, out / TEST_INPUT)


def export_run(run_dir: Path, path: Path) -> Exported:
    """Export a run to NIR and prove the file: read back, it gives the folded model's spikes and potentials.

    The model with its batch norm, the folded float32 model and the file run on the whole test set.  The last two must
    agree in every spike and potential; what folding changed is counted.
    Raises: TrainingError, UnsupportedError, FileError; BackendError if the file does not give the same numbers.
    """
    from .train import load_run
    from .train.export import export_folded
    from .train.fold import fold

    run = load_run(run_dir)
    recipe, data = run.recipe, run.data
    folded = fold(run.model)
    graph = export_folded(
        folded,
        dt=recipe.network.dt,
        input_shape=data.shape,
        steps=recipe.network.steps,
        input_low=data.input_low,
        input_high=data.input_high,
        input_quantum=data.input_quantum,
        readout=None,
        metadata={"recipe": recipe.name},
    )
    with atomic_write(path) as unproven:
        write_nir(graph, unproven)
        total, changed = _prove_export(unproven, path, run, folded)
    return Exported(graph, total, changed)


def _prove_export(file: Path, path: Path, run: Run, folded: Folded) -> tuple[int, int]:
    """Spike counts compared, and those that folding changed.  Raises: BackendError if the file gives other numbers."""
    from .train.export import states_of

    x, _ = run.data.test_input(run.recipe.network.steps)
    trained, kept = states_of(run.model, x), states_of(folded.model, x)
    total, changed = 0, 0
    read = simulate(read_nir(file), x, "reference", ("spikes", "v"))
    for (name, before), after in zip(trained.items(), kept.values(), strict=True):
        again = read.populations[name.replace(".", "_")].data
        if not (np.array_equal(after["spikes"], again["spikes"]) and np.array_equal(after["v"], again["v"])):
            raise BackendError(f"{path}: not written, because '{name}' read back does not give the model's spikes")
        total += before["spikes"].size
        changed += int((before["spikes"] != after["spikes"]).sum())
    return total, changed


def verify_graph(
    graph: nir.NIRGraph,
    target: str,
    x: NDArray[Any],
    label: NDArray[Any] | None = None,
    *,
    lava_samples: int = MOST_LAVA_SAMPLES,
    options: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    start: Starter = silent,
) -> Verified:
    """Compile, run in float, in sim and (for the first lava_samples samples; 0: not at all) in Lava, and judge.

    options: more arguments of `compile`.
    Raises: InputError, UnsupportedError, BackendError.
    """
    if lava_samples < 0:
        raise InputError(f"--lava-samples must be 0 or more, got {lava_samples}")
    clock, dt = Clock(), (options or {}).get("dt")
    with clock.stage("compile"):
        calibrate = None if read_graph(graph, dt).input_range else x
        program = compile(graph, target, calibrate=calibrate, max_steps=len(x), **(options or {}))
    with clock.stage("reference"):
        reference = simulate(graph, x, "reference", ("spikes", "v", "h", "u"), dt=dt, progress=start("reference"))
    with clock.stage("sim"):
        sim = simulate(program, x, "sim", ("spikes", "v", "h", "u"), progress=start("sim"))
    lava = None
    if lava_samples:
        count = min(lava_samples, x.shape[1])
        with clock.stage("lava"):
            lava = simulate(
                program, x, "lava", ("spikes", "v", "h", "u"), count, timeout=timeout, progress=start("lava")
            )
    with clock.stage("compare"):
        verdict = judge(
            sim,
            lava=lava,
            reference=reference,
            readout=program.readout,
            labels=label,
            witnesses=_witnesses(lava),
        )
    return Verified(program, reference, sim, lava, verdict, clock.stages)


def _witnesses(lava: Trace | None) -> dict[str, str]:
    """Population -> whose model in Lava judged it."""
    told = lava.provenance if lava is not None else {}
    return {key.removeprefix("witness "): text for key, text in told.items() if key.startswith("witness ")}


def write_verdict(path: Path, result: Verified, *, title: str, command: str) -> None:
    """The HTML report of a verification.  Raises: FileError."""
    from .report import write_report

    other = result.lava if result.lava is not None else result.reference
    write_report(
        path,
        title=title,
        result=result.verdict,
        a=result.sim,
        b=other,
        program=result.program,
        stages=result.stages,
        provenance={"command": command, "target": result.program.target, **versions()},
    )


def _clear_demo(out: Path, ours: Sequence[Path]) -> None:
    """Remove an earlier demo's files.  Raises: FileError if `out` holds anything else."""
    try:
        found = sorted(out.iterdir()) if out.exists() else []
    except OSError as error:
        raise FileError(f"{out}: is not a folder that can be read; choose another --out") from error
    strange = [path.name for path in found if path not in ours]
    if strange or (found and out / DEMO_MARKER not in found):
        named = ", ".join(strange[:3]) or "files"
        raise FileError(f"{out}: is not empty ({named} are not of an earlier demo); choose another --out")
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@dataclass(frozen=True, eq=False)
class Demonstrated:
    """What `demo` did.  files: what each is -> its path."""

    trained: Trained
    exported: Exported
    verified: Verified
    stages: Sequence[tuple[str, float]]
    files: Mapping[str, Path]


def demo(
    out: Path, *, recipe: str = "digits_mlp", lava_samples: int = MOST_LAVA_SAMPLES, start: Starter = silent
) -> Demonstrated:
    """The whole road on real digits: train, export, compile, simulate three ways, compare, report.

    out: a folder that does not exist, is empty, or was written by an earlier demo (which is replaced).
    Raises: FileError, and whatever a stage raises.
    """
    marker = out / DEMO_MARKER
    clock = Clock()
    files = {
        "training run": out / "run",
        "network (NIR)": out / "digits.nir",
        "chip program": out / "digits.program.h5",
        "test input": out / "run" / TEST_INPUT,
        "trace of the float run": out / "float.trace.h5",
        "trace of sim": out / "sim.trace.h5",
        "trace of Lava": out / "lava.trace.h5",
        "report": out / "report.html",
    }
    _clear_demo(out, (marker, *files.values()))
    write_text(marker, "Written by 'neuro_deploy demo'; the next demo replaces its files here.\n")
    with clock.stage("train"):
        trained = train_run(recipe, files["training run"], progress=start("training"))
    with clock.stage("export, read back, check"):
        exported = export_run(files["training run"], files["network (NIR)"])
    x, label = read_input(files["test input"])
    graph = read_nir(files["network (NIR)"])
    verified = verify_graph(graph, "loihi2", x, label, lava_samples=lava_samples, start=start)
    clock.stages.extend(verified.stages)
    with clock.stage("write files and report"):
        save_program(verified.program, files["chip program"])
        runs = {"float run": verified.reference, "sim": verified.sim, "Lava": verified.lava}
        for name, trace in runs.items():
            if trace is not None:
                save_trace(trace, files[f"trace of {'the ' if name == 'float run' else ''}{name}"])
        write_verdict(files["report"], verified, title="Digits, end to end", command="neuro_deploy demo")
    return Demonstrated(trained, exported, verified, clock.stages, files)
