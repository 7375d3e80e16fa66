"""The training loop: one process, CPU or GPU; the same seed gives the same weights, also after an interruption."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from ..errors import RecipeError, TrainingError, TrainingInterruptedError
from ..files import write_text
from ..neurons.torch import SpikingNeuron, States, observe
from ..program import save_program
from .chip import Chip, ChipStates
from .chip_population import ChipPopulation
from .datasets import Dataset, data_of
from .losses import balance_of, decide, rate_cross_entropy
from .nets import build
from .recipe import FILE as RECIPE
from .recipe import Recipe, load_recipe
from .runs import CURVES, FORMATS, METRICS, Metrics, finish, not_finite, open_run
from .session import Session, deferred_interrupt, fabric_for, restore, save, schedule, seeded, start, threads

log = logging.getLogger(__name__)

EVALUATION_BATCH = 1024
REMEDY = "try a smaller training.lr or training.alpha_lr in a new run"


def _quiet(*args: Any) -> None:
    """A callback that does nothing."""


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
    resume: bool = False,
    overrides: Sequence[str] = (),
    progress: Callable[[int, int], None] = _quiet,
    on_epoch: Callable[[Metrics], None] = _quiet,
    model: nn.Module | None = None,
) -> Result:
    """Train a network by a recipe and leave a run directory (see `runs`).

    recipe: a name, a TOML file, or a Recipe.   out_dir: absent or empty, unless `resume`.
    device: "auto" (a GPU if there is one), "cpu" or "cuda".   overrides: "section.key=value", as in `load_recipe`.
    model: the network to start from; by default the recipe's, untrained.
    progress: called after every batch with (batches done, batches in all).   on_epoch: called with an epoch's metrics.
    The weights are those after the last epoch; the test set is measured every epoch, but decides nothing.
    The order of samples and all random numbers of an epoch follow from the recipe's seed and the epoch: on one machine
    the same recipe gives the same weights bit for bit, resumed or not (on a GPU: as far as its libraries repeat sums).
    Raises: RecipeError, FileError; TrainingError if it cannot start or go on, was interrupted
        (TrainingInterruptedError), or diverged.
    """
    if isinstance(recipe, Recipe):
        if overrides:
            raise RecipeError("overrides need a recipe's name or file; change a Recipe with model_copy instead")
    else:
        recipe = load_recipe(recipe, overrides)
    fabric = fabric_for(device)
    data = data_of(recipe)
    model = model or build(recipe, data)
    out = Path(out_dir)
    checkpoint = open_run(out, resume)
    if isinstance(model, Chip) and not checkpoint:
        save_program(model.frozen, out / FORMATS)
    session = start(recipe, data, fabric, model)
    history = restore(session, checkpoint, out) if checkpoint else []
    if not checkpoint:
        save(session, out, history)
    write_text(out / RECIPE, recipe.to_toml())
    write_text(out / METRICS, "".join(json.dumps(line) + "\n" for line in history))
    try:
        with (
            deferred_interrupt() as check,
            threads(recipe.training.threads),
            SummaryWriter(out / CURVES, purge_step=len(history) + 1) as curves,
        ):
            for epoch in range(len(history) + 1, recipe.training.epochs + 1):

                def tick(done: int, total: int) -> None:
                    check()
                    progress(done, total)

                check()
                metrics = _epoch(session, epoch, tick)
                save(session, out, [*history, metrics])
                history.append(metrics)
                _report(metrics, out, curves)
                on_epoch(metrics)
    except KeyboardInterrupt:
        of = f"epoch {len(history)} of {recipe.training.epochs}"
        raise TrainingInterruptedError(
            f"{out}: interrupted after {of}; the same command with --resume goes on"
        ) from None
    finish(out, model, recipe, history, str(fabric.device))
    return Result(out, recipe, tuple(history))


def _epoch(session: Session, epoch: int, progress: Callable[[int, int], None]) -> Metrics:
    """Train for an epoch, then measure.  Raises: TrainingError if the loss or a weight is not finite."""
    begin = time.perf_counter()
    try:
        with seeded(session, epoch) as generator:
            loss, accuracy = _train_epoch(session, epoch, generator, progress)
    except (RuntimeError, ValueError) as error:  # torch's own: out of memory, one value per channel, a wrong shape
        raise TrainingError(f"epoch {epoch}: {str(error).splitlines()[0]}") from error
    bad = not_finite(session.model) or ([] if math.isfinite(loss) else ["the loss"])
    if bad:
        raise TrainingError(f"epoch {epoch}: NaN or infinity in {', '.join(bad)}; {REMEDY}")
    test_accuracy, rates, events = evaluate(session.model, session.data, session.recipe.network.steps)
    return {
        "epoch": epoch,
        "loss": loss,
        "train_accuracy": accuracy,
        "test_accuracy": test_accuracy,
        "lr": session.optimizer.param_groups[0]["lr"],
        "rates": rates,
        "alpha": {name: module.alpha.tolist() for name, module in _firing(session.model).items()},
        "seconds": time.perf_counter() - begin,
        **events,
    }


def _firing(model: nn.Module) -> Mapping[str, SpikingNeuron | ChipPopulation]:
    """The populations that fire, by name."""
    if isinstance(model, Chip):
        return model.firing()
    return {name: module for name, module in model.named_modules() if isinstance(module, SpikingNeuron)}


def _run(
    model: nn.Module, call: Callable[[Tensor], Tensor], x: Tensor, watched: bool = True
) -> tuple[Tensor, Mapping[str, States] | Mapping[str, ChipStates]]:
    """What a network sends, and what its populations did, which costs time if it is watched.

    call: the forward pass of `model`, as Fabric runs it.
    """
    if isinstance(model, Chip):
        return model.run(x)
    unwatched: AbstractContextManager[dict[str, States]] = nullcontext({})
    with observe(model) if watched else unwatched as states:
        sent = call(x)
    return sent, states


def _train_epoch(
    session: Session, epoch: int, generator: torch.Generator, progress: Callable[[int, int], None]
) -> tuple[float, float]:
    """One pass over the training set; mean loss and accuracy as seen on the way."""
    settings, device = session.recipe.training, session.fabric.device
    x, y = torch.tensor(session.data.train_x), torch.tensor(session.data.train_y)
    batches = torch.split(torch.randperm(len(x), generator=generator), settings.batch_size)
    total = settings.epochs * len(batches)
    loss_sum, hits = torch.zeros((), device=device), torch.zeros((), device=device)
    session.wrapped.train()
    for i, batch in enumerate(batches):
        done = (epoch - 1) * len(batches) + i
        for group, rate in zip(session.optimizer.param_groups, session.rates, strict=True):
            group["lr"] = rate * schedule(settings.schedule, done / total)
        label = y[batch].to(device)
        loss, chosen = _train_batch(session, x[batch].to(device), label)
        loss_sum += loss * len(batch)
        hits += (chosen == label).sum()
        progress(done + 1, total)
    return loss_sum.item() / len(x), hits.item() / len(x)


def _train_batch(session: Session, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the optimizer; the loss () and the chosen classes (B,)."""
    settings = session.recipe.training
    shown = session.data.shown(x, session.recipe.network.steps)
    spikes, states = _run(session.model, session.wrapped, shown, watched=settings.balance_weight > 0)
    loss = rate_cross_entropy(spikes, label, session.recipe.readout.scale, settings.label_smoothing)
    if settings.balance_weight:
        firing = _firing(session.model)
        levels = {name: seen.level if isinstance(seen, ChipStates) else seen.h for name, seen in states.items()}
        balance = balance_of([level for name, level in levels.items() if name in firing])
        loss = loss + settings.balance_weight * balance
    session.stepper.zero_grad()
    session.fabric.backward(loss)
    session.stepper.step()
    return loss.detach(), decide(spikes.detach())


def evaluate(model: nn.Module, data: Dataset, steps: int) -> tuple[float, dict[str, float], dict[str, int]]:
    """Test accuracy, [0, 1], and mean |spikes| a neuron and step of each population; leaves the model in eval mode.

    Of a network in a chip's arithmetic also how often registers clipped or wrapped, and how many neurons' weights act
    scaled back (see `Chip`).
    """
    device = next(model.parameters()).device
    hits, sums, events = 0, dict[str, float](), dict[str, int]()
    if isinstance(model, Chip):
        events = {"clips": 0, "wraps": 0, "scaled_back": model.scaled_back()}
    x, y = torch.tensor(data.test_x), torch.tensor(data.test_y)
    model.eval()
    for part, label in zip(torch.split(x, EVALUATION_BATCH), torch.split(y, EVALUATION_BATCH), strict=True):
        with torch.no_grad():
            spikes, states = _run(model, model, data.shown(part.to(device), steps))
        hits += int((decide(spikes).cpu() == label).sum())
        for name, state in states.items():
            sums[name] = sums.get(name, 0.0) + state.spikes.abs().float().mean().item() * len(part)
            if isinstance(state, ChipStates):
                events["clips"] += int(state.clips)
                events["wraps"] += int(state.wraps)
    return hits / len(x), {name: value / len(x) for name, value in sums.items()}, events


def _report(metrics: Metrics, out: Path, curves: SummaryWriter) -> None:
    """Add an epoch to metrics.jsonl, to the curves and to the log."""
    with (out / METRICS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(metrics) + "\n")
    epoch = metrics["epoch"]
    for name in ("loss", "train_accuracy", "test_accuracy", "lr"):
        curves.add_scalar(name, metrics[name], epoch)
    for name, rate in metrics["rates"].items():
        curves.add_scalar(f"rate/{name}", rate, epoch)
    for name, alpha in metrics["alpha"].items():
        for t, value in enumerate(alpha):
            curves.add_scalar(f"alpha/{name}/{t}", value, epoch)
    log.info("epoch %d: loss %.4f, test accuracy %.4f", epoch, metrics["loss"], metrics["test_accuracy"])
