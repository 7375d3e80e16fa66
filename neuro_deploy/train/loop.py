"""The training loop: the same seed gives the same weights, on one device or several, also after an interruption."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import RecipeError, TrainingError
from ..program import save_program
from .chip import Chip
from .datasets import Dataset, data_of
from .desk import CHECKPOINT_SECONDS, Desk, quiet
from .helpers import open_processes
from .nets import build
from .passes import evaluate, firing, settled, train_epoch
from .processes import Processes, accelerator, launched
from .recipe import Recipe, load_recipe
from .runs import CHECKPOINT, FORMATS, Metrics, claimed, load_chip, not_finite, open_run
from .session import Position, Session, check_recipe, own_random_numbers, restore, start, threads
from .shared_norm import shared_norm

log = logging.getLogger(__name__)

REMEDY = "try a smaller training.lr or training.alpha_lr in a new run"


@dataclass(frozen=True, eq=False)
class Result:
    """A training run that ended.  history: the metrics of every epoch."""

    run_dir: Path
    recipe: Recipe
    history: Sequence[Metrics]

    @property
    def test_accuracy(self) -> float:
        """Of the final weights on the test set, [0, 1]."""
        return float(self.history[-1]["test_accuracy"])


def train(
    recipe: Recipe | str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    device: str = "auto",
    devices: int | None = None,
    processes: Processes | None = None,
    resume: bool = False,
    overrides: Sequence[str] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Callable[[int, int], None] = quiet,
    on_epoch: Callable[[Metrics], None] = quiet,
    model: nn.Module | None = None,
) -> Result:
    """Train a network by a recipe and leave a run directory (see `runs`).

    recipe: a name, a TOML file, or a Recipe.   out_dir: absent or empty, unless `resume`.
    device: "auto" (a GPU if there is one), "cpu" or "cuda".   overrides: "section.key=value", as in `load_recipe`.
    devices: GPUs, or processes on CPUs, that share each batch; None: those of torchrun, those that the run was begun
        with, or one.  With more than one a script must keep its own work under `if __name__ == "__main__":`.  Under
        torchrun every process calls this, and rank 0's arguments count.
    processes: what `open_processes` gave, to be used for several runs; then `device` and `devices` do not count.
    resume: go on with the run in out_dir; begin where it was killed before it began.
    checkpoint_seconds: the longest time of training, beside that of a step, that a kill can cost; >= 0.
    model: the network to start from; by default the recipe's, untrained.
    progress: called after every step of the optimizer with (batches done, batches in all).
    on_epoch: called with an epoch's metrics.
    The weights are those after the last epoch; the test set is measured every epoch, but decides nothing.
    The order of samples and all random numbers of a step follow from the recipe's seed and the step: on one machine the
    same recipe on the same number of devices gives the same weights bit for bit, resumed or not (on a GPU: as far as
    its libraries repeat sums); on another number, but for the order of float32 sums (and but for Dropout's masks).
    Raises: RecipeError, FileError; TrainingError if it cannot start or go on, was interrupted
        (TrainingInterruptedError), or diverged.
    """
    mine = launched()
    if mine is not None and mine.rank > 0:
        return _follow(device, devices)
    if isinstance(recipe, Recipe):
        if overrides:
            raise RecipeError("overrides need a recipe's name or file; change a Recipe with model_copy instead")
    else:
        recipe = load_recipe(recipe, overrides)
    accelerator(device)
    data, out = data_of(recipe), Path(out_dir)
    network = model or build(recipe, data)
    with claimed(out):
        checkpoint = open_run(out, resume)
        if checkpoint:
            check_recipe(checkpoint, recipe, data, out / CHECKPOINT)
            devices = _as_begun(checkpoint, devices, mine or processes)
        elif isinstance(network, Chip):
            save_program(network.frozen, out / FORMATS)
        sent = None if isinstance(network, Chip) else model
        with nullcontext(processes) if processes else open_processes(device, devices) as together:
            together.give(partial(_job, recipe, out, sent, checkpoint))
            return _run(recipe, data, network, checkpoint, together, Desk(out, checkpoint_seconds, progress, on_epoch))


def _follow(device: str, devices: int | None) -> Result:
    """A process of torchrun's that is not rank 0 does what rank 0 is about to do."""
    with open_processes(device, devices) as processes:
        job = processes.take()
        if job is None:
            raise TrainingError("rank 0 has no training run to share")
        result = job(processes)
        assert isinstance(result, Result)
        return result


def _as_begun(checkpoint: Mapping[str, Any], devices: int | None, there: Processes | None) -> int | None:
    """The number of devices to go on with; a warning if it is another than before."""
    before = int(checkpoint.get("processes", 1))
    if there is None and devices is None:
        return before
    now = (devices or 1) if there is None else there.count
    if now != before:
        log.warning("goes on with %d process(es), begun with %d: sums are rounded differently from here", now, before)
    return devices


def _job(
    recipe: Recipe, out: Path, model: nn.Module | None, checkpoint: Mapping[str, Any] | None, processes: Processes
) -> Result:
    """What the other ranks do of a run; they get weights and all other numbers of the network from rank 0."""
    data = data_of(recipe)
    if model is None:
        model = load_chip(out, recipe, data) if recipe.chip.target else build(recipe, data)
    return _run(recipe, data, model, checkpoint, processes, Desk(out))


def _run(
    recipe: Recipe,
    data: Dataset,
    model: nn.Module,
    checkpoint: Mapping[str, Any] | None,
    processes: Processes,
    desk: Desk,
) -> Result:
    """A run from the beginning, or from a checkpoint, to its end."""
    own = threads(recipe.training.threads or processes.threads)
    with own, shared_norm(model, processes):
        session = start(recipe, data, processes, model)
        with own_random_numbers(session) as seed, settled(session):
            position = restore(session, checkpoint, desk.out / CHECKPOINT) if checkpoint else Position()
            with desk.opened(session, position):
                position = _epochs(session, position, seed, desk)
        _check_agreement(session)
    desk.close(session, position)
    processes.wait()
    return Result(desk.out, recipe, position.history)


def _check_agreement(session: Session) -> None:
    """Raise TrainingError if processes have come to different weights."""
    total = hashlib.sha256()
    for value in session.model.parameters():
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    digests = session.processes.gather(total.hexdigest())
    if other := [str(rank) for rank, digest in enumerate(digests) if digest != digests[0]]:
        raise TrainingError(
            f"process {', '.join(other)}: other weights than process 0; does the network change its weights itself?"
        )


def _epochs(session: Session, position: Position, seed: Callable[[int, int], None], desk: Desk) -> Position:
    """Train and measure to the last epoch."""
    while len(position.history) < session.recipe.training.epochs:
        metrics = _epoch(session, position, seed, desk)
        position = Position((*position.history, metrics))
        desk.measured(session, position)
    return position


def _epoch(session: Session, position: Position, seed: Callable[[int, int], None], desk: Desk) -> Metrics:
    """Train for an epoch, then measure.  Raises: TrainingError if the loss or a weight is not finite."""
    begin, epoch = time.perf_counter() - position.seconds, len(position.history) + 1
    try:
        loss, accuracy, norms = train_epoch(session, position, seed, partial(desk.stepped, session))
    except (RuntimeError, ValueError) as error:  # torch's own: out of memory, one value per channel, a wrong shape
        raise TrainingError(f"epoch {epoch}: {str(error).splitlines()[0]}") from error
    bad = not_finite(session.model) or ([] if math.isfinite(loss) else ["the loss"])
    if bad:
        raise TrainingError(f"epoch {epoch}: NaN or infinity in {', '.join(bad)}; {REMEDY}")
    steps = session.recipe.network.steps
    measured = evaluate(session.model, session.data, steps, session.processes)
    return {
        "epoch": epoch,
        "loss": loss,
        "train_accuracy": accuracy,
        "test_accuracy": measured.accuracy,
        "lr": session.optimizer.param_groups[0]["lr"],
        "rates": dict(measured.rates),
        "alpha": {name: module.alpha.tolist() for name, module in firing(session.model).items()},
        "potentials": dict(measured.potentials),
        "gradients": dict(norms),
        "seconds": time.perf_counter() - begin,
        **measured.events,
    }
