"""Processes that train together, one a device: spawned here, or started by torchrun; and what they add up.

Rank 0 is the caller: it reads and writes files, decides, and gives the others jobs.  They compute the same steps of the
optimizer, each with its part of a batch; gradients are averaged by torch's DistributedDataParallel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor
from torch.distributed.distributed_c10d import Store

from ..errors import TrainingError

FULL = "32-true"
DEVICES = ("auto", "cpu", "cuda")
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    device: "cpu" or "cuda".   rank: 0 .. count-1.   local_rank, local_count: among those of this machine.
    threads: CPU threads of torch where a recipe names no number; 0: torch's own number.
    """

    device: str
    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    threads: int = 0

    def fabric(self, precision: str = FULL) -> Fabric:
        """Lightning Fabric for this process's device, launched.  precision: as recipes name it."""
        plugin = Precision() if precision == FULL else _Mixed(cast(Any, precision), self.device)
        if self.count == 1:
            return Fabric(accelerator=self.device, devices=1, plugins=plugin)
        nodes = self.count // self.local_count
        strategy = DDPStrategy(cluster_environment=_Environment(self))
        fabric = Fabric(
            accelerator=self.device, devices=self.local_count, num_nodes=nodes, strategy=strategy, plugins=plugin
        )
        fabric.launch()
        return fabric

    def join(self, store: Store | None = None) -> None:
        """Meet the others, by torchrun's environment if there is no store."""
        if self.count == 1 or dist.is_initialized():
            return
        device = torch.device("cuda", self.local_rank) if self.device == "cuda" else None
        if device is not None:
            torch.cuda.set_device(device)
        known: dict[str, Any] = {} if store is None else {"store": store, "rank": self.rank, "world_size": self.count}
        dist.init_process_group(BACKENDS[self.device], device_id=device, **known)

    def give(self, job: Job | None) -> None:
        """Rank 0: let the others do a job, too; None: that was all."""
        if self.count > 1 and dist.is_initialized():
            dist.broadcast_object_list([job])

    def take(self) -> Job | None:
        """Other ranks: the next job."""
        told: list[Any] = [None]
        dist.broadcast_object_list(told)
        return cast("Job | None", told[0])

    def gather(self, mine: Any) -> list[Any]:
        """What each process has, by rank, on all of them."""
        if self.count == 1:
            return [mine]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, mine)
        return found

    def wait(self) -> None:
        """Until all are here."""
        self.gather(None)

    def part(self, batch: Tensor) -> tuple[Tensor, bool]:
        """This process's part of a batch (B, ...), and True if each has one of its own; else, B < count, all have all.

        Parts are neighbours in the batch, in order of the ranks, and differ by a sample at most in size.
        """
        if self.count == 1 or len(batch) < self.count:
            return batch, False
        return torch.tensor_split(batch, self.count)[self.rank], True


Job: TypeAlias = Callable[[Processes], Any]
"""What all processes do: it can be pickled, and is called with each one's own Processes."""


class _Environment(LightningEnvironment):
    """What Fabric asks about processes that exist already."""

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self._mine = processes

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self._mine.local_rank

    def node_rank(self) -> int:
        return self._mine.rank // self._mine.local_count


class _Mixed(MixedPrecision):
    """Autocast that leaves the input as it is: neurons and chips get what they get in evaluation."""

    def convert_input(self, data: Any) -> Any:
        return data


def accelerator(device: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda".  Raises: TrainingError."""
    if device not in DEVICES:
        raise TrainingError(f"unknown device '{device}'; use auto, cpu or cuda")
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise TrainingError(
            "no CUDA GPU can be used here (torch.cuda.is_available() is False); use --device cpu or auto"
        )
    return "cuda" if gpu and device != "cpu" else "cpu"


def launched() -> Processes | None:
    """What torchrun says of this process; None without torchrun, or if it is the only one."""
    environment = TorchElasticEnvironment()
    if not environment.detect() or environment.world_size() == 1:
        return None
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return Processes("cpu", environment.global_rank(), environment.world_size(), environment.local_rank(), here)


def check_devices(kind: str, devices: int) -> None:
    """Raise TrainingError unless there are so many devices of this kind ("cpu": processes)."""
    if devices < 1:
        raise TrainingError(f"--devices {devices}: at least one is needed")
    if kind == "cuda" and devices > torch.cuda.device_count():
        raise TrainingError(f"--devices {devices}: {torch.cuda.device_count()} GPU(s) can be used here")


_SPLIT: ContextVar[bool] = ContextVar("_SPLIT", default=False)
"""True while each process computes with a part of the batch of its own."""


@contextmanager
def split(parts: bool) -> Iterator[None]:
    """Within the block `total` adds up over the processes, if `parts`."""
    token = _SPLIT.set(parts)
    try:
        yield
    finally:
        _SPLIT.reset(token)


def is_split() -> bool:
    """True if each process has a part of the batch of its own."""
    return _SPLIT.get()


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _added(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _added(grad)


def _added(x: Tensor) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes while they have parts of a batch, else x itself.

    The gradient of the mean over the processes of their losses is that of one process with the whole batch: what it
    gives to x is the sum of what all processes give.
    """
    return cast(Tensor, _Total.apply(x)) if is_split() else x  # type: ignore[no-untyped-call]
