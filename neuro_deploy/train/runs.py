"""Run directories: what a training run leaves behind, and how it is read again.

    recipe.toml     the recipe, resolved          checkpoint.pt   the newest state, to resume from
    metrics.jsonl   one line an epoch             weights.pt      the trained weights, at the end
    tensorboard/    the same as curves            run.json        final metrics and versions, at the very end

In a chip's arithmetic also

    chip.program.h5 the formats that training keeps (see `chip`)
    float/          the float run before it, where none was named

Everything but metrics and curves is written by atomic rename; weights and checkpoints hold tensors and plain data only.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..errors import NeuroDeployError, TrainingError
from ..files import atomic_write, write_text
from ..program import load_program
from ..target import load_target
from .chip import Chip
from .datasets import Dataset, data_of
from .nets import build
from .recipe import FILE as RECIPE
from .recipe import Recipe, load_recipe

log = logging.getLogger(__name__)

CHECKPOINT, WEIGHTS, METRICS, SUMMARY, CURVES = (
    "checkpoint.pt",
    "weights.pt",
    "metrics.jsonl",
    "run.json",
    "tensorboard",
)
FORMATS, FLOAT_RUN = "chip.program.h5", "float"
PACKAGES = ("torch", "numpy", "lightning-fabric", "scikit-learn")
CHECKPOINT_KEYS = ("recipe", "epoch", "model", "optimizer", "history")

Metrics = Mapping[str, Any]
"""What was measured in an epoch: epoch, loss, train_accuracy, test_accuracy, lr, rates, alpha, potentials (see
`seen.potentials`), gradients (norms, of the last step), seconds; of a Chip also clips, wraps, scaled_back."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training run.  model: in eval mode, on the CPU (a Chip if it was trained so); metrics: the last."""

    recipe: Recipe
    model: nn.Module
    data: Dataset
    metrics: Metrics


def save_tensors(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain data, atomically.  Raises: FileError."""
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        torch.save(dict(state), stream)


def load_tensors(path: Path) -> dict[str, Any]:
    """Read what `save_tensors` wrote; no code is run.  Raises: TrainingError if it is missing or damaged."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path}: is missing; train again in another --out") from None
    except Exception as error:  # torch.load raises nearly anything for a damaged file
        raise TrainingError(f"{path}: cannot be read, or is damaged ({_line(error)}); train again") from error
    if not isinstance(state, dict):
        raise TrainingError(f"{path}: holds a {type(state).__name__}, not tensors by name; train again")
    return state


def load_weights(model: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    """Put weights into a model.  Raises: TrainingError if they do not fit, or hold NaN or infinity."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise TrainingError(f"{path}: the weights do not fit the recipe's network ({_line(error)})") from error
    if bad := not_finite(model):
        raise TrainingError(f"{path}: NaN or infinity in {', '.join(bad)}; train again")


def not_finite(model: nn.Module) -> list[str]:
    """Names of the parameters and buffers that hold NaN or infinity."""
    return [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """A run directory, which is made if it is absent, for this process alone.

    The claim ends with the process, however it ends.  File systems without locks are used without.
    Raises: TrainingError if another process trains in it, or it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        list(out.iterdir())
    except OSError as error:
        raise TrainingError(
            f"{out}: cannot be a run directory ({os.strerror(error.errno or 0)}); choose another --out"
        ) from error
    with _locked(out):
        yield


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(f"{out}: another process trains in it; wait, or choose another --out") from None
        except OSError as error:
            log.info("%s: cannot be locked (%s)", out, error)
        yield
    finally:
        os.close(handle)


def open_run(out: Path, resume: bool) -> dict[str, Any] | None:
    """The checkpoint of a run directory to go on from, or None to start in it.

    resume: True starts, too, where a run was killed before its first checkpoint.
    Raises: TrainingError if it holds something and `resume` is False, or something else than a run if it is True.
    """
    leftovers = [path for path in out.iterdir() if path.name.startswith(".") and path.suffix == ".tmp"]
    content = [path.name for path in out.iterdir() if path not in leftovers and path.name != FLOAT_RUN]
    if not resume:
        if content:
            raise TrainingError(f"{out}: is not empty; choose another --out, or go on with a run in it by --resume")
        return None
    if CHECKPOINT not in content and any(name != FORMATS for name in content):
        raise TrainingError(f"{out}: holds no {CHECKPOINT} to resume from; leave out --resume to start in an empty one")
    for path in leftovers:
        path.unlink(missing_ok=True)
    if CHECKPOINT not in content:
        return None
    checkpoint = load_tensors(out / CHECKPOINT)
    if missing := [key for key in CHECKPOINT_KEYS if key not in checkpoint]:
        raise TrainingError(f"{out / CHECKPOINT}: lacks {', '.join(missing)}; train again in another --out")
    return checkpoint


def finish(
    out: Path, model: nn.Module, recipe: Recipe, data: Dataset, history: list[Metrics], device: str, processes: int = 1
) -> None:
    """Write the weights, then run.json, which says that the run is whole.  Raises: FileError."""
    save_tensors(out / WEIGHTS, {name: value.detach().cpu() for name, value in model.state_dict().items()})
    summary = {
        "finished": True,
        "recipe": recipe.name,
        "data": {"name": data.name, "digest": data.digest},
        "metrics": history[-1],
        "device": device,
        "processes": processes,
        "versions": {
            "neuro_deploy": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }
    write_text(out / SUMMARY, json.dumps(summary, indent=2) + "\n")


def load_run(run_dir: str | os.PathLike[str]) -> Run:
    """A finished training run: its recipe, its trained model and its data.

    Imports and runs the code that the recipe's `network.factory` names.
    Raises: TrainingError if the directory is not a run, or unfinished, or damaged; RecipeError.
    """
    out = Path(run_dir)
    try:
        summary = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
        metrics = summary["metrics"] if summary["finished"] else None
        digest = summary.get("data", {}).get("digest", "")
    except OSError:
        if (out / CHECKPOINT).exists():
            command = f"neuro_deploy train {out / RECIPE} --out {out} --resume"
            raise TrainingError(f"{out}: the run is not finished; go on with: {command}") from None
        raise TrainingError(f"{out}: is not a run directory; make one by 'neuro_deploy train'") from None
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{out / SUMMARY}: is damaged ({_line(error)}); train again") from error
    try:
        recipe = load_recipe(out / RECIPE)
    except NeuroDeployError as error:
        raise TrainingError(f"{out}: the run's recipe cannot be used: {error}") from error
    data = data_of(recipe)
    if digest and data.digest and digest != data.digest:
        log.warning("%s: was trained on other data (%s) than there is now (%s)", out, digest, data.digest)
    model = load_chip(out, recipe, data) if recipe.chip.target else build(recipe, data)
    load_weights(model, load_tensors(out / WEIGHTS), out / WEIGHTS)
    return Run(recipe, model.eval(), data, metrics or {})


def load_chip(out: Path, recipe: Recipe, data: Dataset) -> Chip:
    """A run's network in a chip's arithmetic, before its training.  Raises: RecipeError, TargetError, FileError."""
    program = load_program(out / FORMATS)
    return Chip(program, load_target(recipe.chip.target), build(recipe, data), told=told_of(recipe, data))


def export_options(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """What a run's network is exported with."""
    return {
        "dt": recipe.network.dt,
        "input_shape": data.shape,
        "steps": recipe.network.steps,
        "input_low": data.input_low,
        "input_high": data.input_high,
        "input_quantum": data.input_quantum,
        "metadata": {"recipe": recipe.name},
    }


def told_of(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """What a run's NIR file says of its input and its origin."""
    known = {"low": data.input_low, "high": data.input_high, "quantum": data.input_quantum}
    return {"input": known, "recipe": recipe.name}


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
