"""What rank 0 does beside training: checkpoints, metrics and curves on disk, and an ear for Ctrl-C."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ..errors import TrainingInterruptedError
from ..files import write_text
from .recipe import FILE as RECIPE
from .runs import CHECKPOINT, CURVES, METRICS, Metrics, finish
from .session import Position, Session, deferred_interrupt, save

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0


def quiet(*args: Any) -> None:
    """A callback that does nothing."""


def _histogram(curves: Any, name: str, seen: Mapping[str, Any], epoch: int) -> None:
    """A histogram of which only the counts are known; its sums are those of the middles of the bins."""
    counts, width = seen["counts"], (seen["high"] - seen["low"]) / len(seen["counts"])
    limits = [seen["low"] + width * (i + 1) for i in range(len(counts))]
    middles = [limit - width / 2 for limit in limits]
    sums = [sum(n * m**power for n, m in zip(counts, middles, strict=True)) for power in (1, 2)]
    curves.add_histogram_raw(name, seen["low"], seen["high"], sum(counts), *sums, limits, counts, epoch)


class Desk:
    """Where a run is written down; other ranks have one, too, and it does nothing.

    out: the run directory.   seconds: between two checkpoints, at least; an epoch's end makes one in any case.
    progress, on_epoch: as of `train`.
    """

    def __init__(
        self,
        out: Path,
        seconds: float = CHECKPOINT_SECONDS,
        progress: Callable[[int, int], None] = quiet,
        on_epoch: Callable[[Metrics], None] = quiet,
    ) -> None:
        self.out, self._seconds, self._progress, self._on_epoch = out, seconds, progress, on_epoch
        self._saved = time.monotonic()
        self._check: Callable[[], None] = quiet
        self._curves: Any = None

    @contextmanager
    def opened(self, session: Session, position: Position) -> Iterator[None]:
        """While a run goes on.  Raises: TrainingInterruptedError."""
        if session.processes.rank:
            yield
            return
        if not (self.out / CHECKPOINT).exists():
            self._save(session, position)
        write_text(self.out / RECIPE, session.recipe.to_toml())
        write_text(self.out / METRICS, "".join(json.dumps(line) + "\n" for line in position.history))
        self._done = len(position.history)
        try:
            with deferred_interrupt() as self._check, SummaryWriter(self.out / CURVES, purge_step=1) as self._curves:
                for metrics in position.history:  # what a kill left in the memory of the writer is there again
                    self._draw(metrics)
                yield
        except KeyboardInterrupt:
            of = f"epoch {self._done} of {session.recipe.training.epochs}"
            raise TrainingInterruptedError(
                f"{self.out}: interrupted after {of}; the same command with --resume goes on"
            ) from None

    def _save(self, session: Session, position: Position) -> None:
        save(session, self.out, position)
        self._saved = time.monotonic()

    def stepped(self, session: Session, position: Position, done: int, total: int) -> None:
        """After a step of the optimizer: a checkpoint if it is time, or if Ctrl-C ends the run here."""
        if session.processes.rank:
            return
        try:
            self._check()
        except KeyboardInterrupt:
            self._save(session, position)
            raise
        if time.monotonic() - self._saved >= self._seconds:
            self._save(session, position)
        self._progress(done, total)

    def measured(self, session: Session, position: Position) -> None:
        """After an epoch: a checkpoint, then metrics.jsonl, the curves and the log."""
        if session.processes.rank:
            return
        metrics = position.history[-1]
        self._save(session, position)
        self._done = len(position.history)
        with (self.out / METRICS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(metrics) + "\n")
        self._draw(metrics)
        log.info("epoch %d: loss %.4f, test accuracy %.4f", *(metrics[k] for k in ("epoch", "loss", "test_accuracy")))
        self._on_epoch(metrics)

    def _draw(self, metrics: Metrics) -> None:
        epoch = metrics["epoch"]
        for name in ("loss", "train_accuracy", "test_accuracy", "lr"):
            self._curves.add_scalar(name, metrics[name], epoch)
        for name, rate in metrics["rates"].items():
            self._curves.add_scalar(f"rate/{name}", rate, epoch)
        for name, alpha in metrics["alpha"].items():
            for t, value in enumerate(alpha):
                self._curves.add_scalar(f"alpha/{name}/{t}", value, epoch)
        for name, seen in metrics.get("potentials", {}).items():
            self._curves.add_scalar(f"balance/{name}", seen["balance"], epoch)
            _histogram(self._curves, f"h/{name}", seen, epoch)
        for name, norm in metrics.get("gradients", {}).items():
            self._curves.add_scalar(f"gradient/{name}", norm, epoch)

    def close(self, session: Session, position: Position) -> None:
        """At the end: the weights, and that the run is whole."""
        if not session.processes.rank:
            told = str(session.fabric.device), session.processes.count
            finish(self.out, session.model, session.recipe, session.data, list(position.history), *told)
