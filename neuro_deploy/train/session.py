"""What a training run in progress consists of: device, optimizer, random numbers, and its checkpoint."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from ..errors import TrainingError
from ..neurons.torch import SpikingNeuron
from .chip_population import ChipPopulation
from .datasets import Dataset
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
    fabric: Fabric
    model: nn.Module
    optimizer: torch.optim.Optimizer
    wrapped: Any
    stepper: Any
    rates: tuple[float, ...]


def fabric_for(device: str) -> Fabric:
    """Lightning Fabric for "auto", "cpu" or "cuda", one device, float32.  Raises: TrainingError."""
    if device not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"unknown device '{device}'; use auto, cpu or cuda")
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise TrainingError(
            "no CUDA GPU can be used here (torch.cuda.is_available() is False); use --device cpu or auto"
        )
    return Fabric(accelerator="cuda" if gpu and device != "cpu" else "cpu", devices=1, precision="32-true")


def start(recipe: Recipe, data: Dataset, fabric: Fabric, model: nn.Module) -> Session:
    """Optimizer and device for a model."""
    settings = recipe.training
    groups = _groups(model, settings)
    optimizer = OPTIMIZERS[settings.optimizer](groups)
    wrapped, stepper = fabric.setup(model, optimizer)
    return Session(recipe, data, fabric, model, optimizer, wrapped, stepper, tuple(g["lr"] for g in groups))


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


def save(session: Session, out: Path, history: list[Metrics]) -> None:
    """Write the checkpoint of a whole epoch, atomically.  Raises: FileError."""
    state = {
        "recipe": session.recipe.model_dump(by_alias=True),
        "epoch": len(history),
        "model": session.model.state_dict(),
        "optimizer": session.optimizer.state_dict(),
        "history": list(history),
    }
    save_tensors(out / CHECKPOINT, state)


def restore(session: Session, checkpoint: dict[str, Any], out: Path) -> list[Metrics]:
    """Put a checkpoint into the session; the metrics so far.  Raises: TrainingError if it is of another recipe."""
    path = out / CHECKPOINT
    if not isinstance(checkpoint["recipe"], dict) or not isinstance(checkpoint["history"], list):
        raise TrainingError(f"{path}: is damaged; train again in another --out")
    if lines := differences(checkpoint["recipe"], session.recipe.model_dump(by_alias=True)):
        raise TrainingError("\n  ".join([f"{path}: the run was started with another recipe:", *lines]))
    load_weights(session.model, checkpoint["model"], path)
    try:
        session.optimizer.load_state_dict(checkpoint["optimizer"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: the optimizer's state does not fit ({error}); train again") from error
    return list(checkpoint["history"])


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


@contextmanager
def seeded(session: Session, epoch: int) -> Iterator[torch.Generator]:
    """Random numbers of an epoch: torch's global generators, put back afterwards, and one for the order of samples."""
    words = np.random.SeedSequence([session.recipe.seed, epoch]).generate_state(2, np.uint32)
    device = session.fabric.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(words[0]))
        yield torch.Generator().manual_seed(int(words[1]))
