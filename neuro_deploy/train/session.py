"""What a training run in progress consists of: processes, optimizer, random numbers, and its checkpoint."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import Tensor, nn

from ..errors import TrainingError
from ..neurons.torch import SpikingNeuron
from .chip import Chip, ChipPopulation
from .datasets import Dataset
from .processes import Processes
from .recipe import Recipe, TrainingSettings, differences
from .runs import CHECKPOINT, Metrics, load_weights, save_tensors

OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = MappingProxyType(
    {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
)


@dataclass(frozen=True, eq=False)
class Session:
    """A run in progress.  wrapped, stepper: model and optimizer as Fabric runs them; rates: peak lr of each group."""

    recipe: Recipe
    data: Dataset
    processes: Processes
    fabric: Fabric
    model: nn.Module
    optimizer: torch.optim.Optimizer
    wrapped: Any
    stepper: Any
    rates: tuple[float, ...]

    def scale(self) -> float:
        """What gradients are multiplied by, because of half precision."""
        return float(self.fabric.strategy.precision.state_dict().get("scale", 1.0))


@dataclass(frozen=True, eq=False)
class Position:
    """Where a run is.  history: of the epochs that are done.

    step: steps of the optimizer done in the epoch under way.   totals: of these, the sums over samples of the loss and
    of right decisions, float32 (2,).   seconds: what they took.   norms: of gradients, after an epoch's last step.
    """

    history: tuple[Metrics, ...] = ()
    step: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(2))
    seconds: float = 0.0
    norms: Mapping[str, float] = field(default_factory=dict)


def start(recipe: Recipe, data: Dataset, processes: Processes, model: nn.Module) -> Session:
    """Optimizer and device for a model.  Raises: TrainingError for a precision that the device has not."""
    settings = recipe.training
    fabric = processes.fabric(settings.precision)
    groups = _groups(model, settings)
    optimizer = OPTIMIZERS[settings.optimizer](groups)
    wrapped, stepper = fabric.setup(model, optimizer)
    if isinstance(model, Chip):
        wrapped.mark_forward_method("run")
    rates = tuple(g["lr"] for g in groups)
    return Session(recipe, data, processes, fabric, model, optimizer, wrapped, stepper, rates)


def _groups(model: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Parameters by treatment: the surrogates' sharpness, matrices (decayed), and the rest."""
    sharpness = {id(m.raw_alpha) for m in model.modules() if isinstance(m, (SpikingNeuron, ChipPopulation))}
    learned = [p for p in model.parameters() if p.requires_grad]
    alpha = [p for p in learned if id(p) in sharpness]
    matrices = [p for p in learned if id(p) not in sharpness and p.ndim > 1]
    rest = [p for p in learned if id(p) not in sharpness and p.ndim <= 1]
    groups = [
        {"params": matrices, "lr": settings.lr, "weight_decay": settings.weight_decay},
        {"params": rest, "lr": settings.lr, "weight_decay": 0.0},
        {"params": alpha, "lr": settings.alpha_lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


WARM_UP = 0.3
START_FACTOR = 1 / 25


def schedule(kind: str, done: float) -> float:
    """The factor on each learning rate when the share `done` of all batches, [0, 1), is behind us."""
    if kind == "constant":
        return 1.0
    if kind == "one_cycle":
        if done < WARM_UP:
            return START_FACTOR + (1.0 - START_FACTOR) * _half_cosine(done / WARM_UP)
        done = (done - WARM_UP) / (1.0 - WARM_UP)
    return 1.0 - _half_cosine(done)


def _half_cosine(share: float) -> float:
    """From 0 to 1, flat at both ends."""
    return 0.5 * (1.0 - math.cos(math.pi * share))


def save(session: Session, out: Path, position: Position) -> None:
    """Write a checkpoint, atomically.  Raises: FileError."""
    state = {
        "recipe": session.recipe.model_dump(by_alias=True),
        "data": session.data.digest,
        "processes": session.processes.count,
        "epoch": len(position.history),
        "step": position.step,
        "totals": position.totals.cpu(),
        "seconds": position.seconds,
        "norms": dict(position.norms),
        "model": session.model.state_dict(),
        "optimizer": session.optimizer.state_dict(),
        "scaler": session.fabric.strategy.precision.state_dict(),
        "history": [dict(metrics) for metrics in position.history],
    }
    save_tensors(out / CHECKPOINT, state)


def restore(session: Session, checkpoint: Mapping[str, Any], path: Path) -> Position:
    """Put a checkpoint into the session.  Raises: TrainingError if it is of another recipe, or damaged."""
    load_weights(session.model, checkpoint["model"], path)
    try:
        session.optimizer.load_state_dict(checkpoint["optimizer"])
        session.fabric.strategy.precision.load_state_dict(checkpoint.get("scaler", {}))
        totals = checkpoint.get("totals", torch.zeros(2)).to(session.fabric.device)
        step, seconds = int(checkpoint.get("step", 0)), float(checkpoint.get("seconds", 0.0))
        return Position(tuple(checkpoint["history"]), step, totals, seconds, checkpoint.get("norms", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path}: the optimizer's state does not fit ({error}); train again") from error


def check_recipe(checkpoint: Mapping[str, Any], recipe: Recipe, data: Dataset, path: Path) -> None:
    """Raise TrainingError unless a checkpoint is of this recipe and data.  What old ones do not say is the default."""
    try:
        known = Recipe.model_validate(checkpoint["recipe"]).model_dump(by_alias=True)
    except ValidationError as error:
        raise TrainingError(f"{path}: its recipe is damaged; train again in another --out") from error
    if lines := differences(known, recipe.model_dump(by_alias=True)):
        raise TrainingError("\n  ".join([f"{path}: the run was started with another recipe:", *lines]))
    if (began := checkpoint.get("data")) and data.digest and began != data.digest:
        raise TrainingError(
            f"{path}: the run was started with other data (digest {began}) than {data.name} has now ({data.digest}); "
            f"put that back, or train in another --out"
        )


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Ctrl-C is raised where the given function is called, and nowhere else within the block; a second one at once.

    In the middle of a put into TensorBoard's queue, KeyboardInterrupt can leave the queue's lock held, and closing the
    curves would wait for ever.  Outside the main thread, or with a handler of somebody else's, nothing is changed.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: None
        return
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    def check() -> None:
        if seen:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """CPU threads of torch within the block; 0 leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def order(session: Session, epoch: int) -> Tensor:
    """The order in which an epoch takes the samples, int64; it follows from the recipe's seed and the epoch."""
    seed = np.random.SeedSequence([session.recipe.seed, epoch]).generate_state(2, np.uint32)[1]
    return torch.randperm(len(session.data.train_x), generator=torch.Generator().manual_seed(int(seed)))


@contextmanager
def own_random_numbers(session: Session) -> Iterator[Callable[[int, int], None]]:
    """Within the block torch's global generators are the run's; afterwards as they were.

    The function that it gives seeds them for a step (epoch, step) of this process, so that nothing before matters.
    """
    device = session.fabric.device
    gpu = device.type == "cuda"

    def seed(epoch: int, step: int) -> None:
        words = np.random.SeedSequence([session.recipe.seed, epoch, step, session.processes.rank])
        number = int(words.generate_state(1, np.uint64)[0]) >> 1
        torch.default_generator.manual_seed(number)
        if gpu:
            torch.cuda.manual_seed(number)

    with torch.random.fork_rng(devices=[device] if gpu else []):
        yield seed
