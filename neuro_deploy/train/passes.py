"""One pass over the training set, and what is measured after it: the same for one process and for several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..neurons import fused
from ..neurons.observing import States, observe
from ..neurons.torch import SpikingNeuron
from .chip import Chip, ChipPopulation, ChipStates
from .datasets import Dataset
from .losses import balance_of, decide, rate_cross_entropy
from .processes import Processes, split, total
from .seen import SAMPLES, gradient_norms, level_of, potentials
from .session import Position, Session, order, schedule

EVALUATION_BATCH = 1024

Stepped = Callable[[Position, int, int], None]
"""Called after each step of the optimizer with where the run is, and the batches that are done, and all of them."""


def firing(model: nn.Module) -> Mapping[str, SpikingNeuron | ChipPopulation]:
    """The populations that fire, by name."""
    if isinstance(model, Chip):
        return model.firing()
    return {name: module for name, module in model.named_modules() if isinstance(module, SpikingNeuron)}


def _run(
    model: nn.Module, wrapped: Any, x: Tensor, watched: bool = True
) -> tuple[Tensor, Mapping[str, States] | Mapping[str, ChipStates]]:
    """What a network sends, and what its populations did, which costs time if it is watched.

    wrapped: `model` as Fabric runs it, or itself.
    """
    if isinstance(model, Chip):
        sent, levels = wrapped.run(x)
        return sent, levels
    unwatched: AbstractContextManager[dict[str, States]] = nullcontext({})
    with observe(model) if watched else unwatched as states:
        sent = wrapped(x)
    return sent, states


def train_epoch(
    session: Session, position: Position, seed: Callable[[int, int], None], stepped: Stepped
) -> tuple[float, float, Mapping[str, float]]:
    """One pass over the training set, or what is left of it.

    Returns mean loss and accuracy as seen on the way, and the norms of the last step's gradients.
    seed: called with (epoch, step) before each step.
    """
    settings, epoch = session.recipe.training, len(position.history) + 1
    samples = len(session.data.train_x)
    batches = torch.split(order(session, epoch), settings.batch_size)
    steps = [batches[i : i + settings.accumulate] for i in range(0, len(batches), settings.accumulate)]
    before, begin = position.seconds, time.perf_counter()
    session.wrapped.train()
    totals = position.totals.to(session.fabric.device)
    for step in range(position.step, len(steps)):
        done = ((epoch - 1) * len(steps) + step) / (settings.epochs * len(steps))
        for group, rate in zip(session.optimizer.param_groups, session.rates, strict=True):
            group["lr"] = rate * schedule(settings.schedule, done)
        seed(epoch, step)
        session.stepper.zero_grad()
        totals = totals + gradients(session, steps[step])
        norms = gradient_norms(session.model, session.scale()) if step + 1 == len(steps) else {}
        session.stepper.step()
        spent = before + time.perf_counter() - begin
        position = replace(position, step=step + 1, totals=totals, norms=norms, seconds=spent)
        passed = (epoch - 1) * len(batches) + min(len(batches), (step + 1) * settings.accumulate)
        stepped(position, passed, settings.epochs * len(batches))
    loss, hits = totals.tolist()
    return loss / samples, hits / samples, position.norms


def gradients(session: Session, batches: Sequence[Tensor]) -> Tensor:
    """Add to each parameter the gradient of the mean loss over all samples of `batches`, the same in all processes.

    batches: indices of samples in the training set.   Returns the sums over samples of loss and right decisions.
    """
    device, processes, data = session.fabric.device, session.processes, session.data
    size, last = sum(map(len, batches)), len(batches) - 1
    sums = torch.zeros(2, device=device)
    for i, batch in enumerate(batches):
        mine, parts = processes.part(batch)
        share = len(mine) / len(batch) * (processes.count if parts else 1)
        waiting = session.fabric.no_backward_sync(session.wrapped, enabled=i < last) if processes.count > 1 else None
        with split(parts), waiting or nullcontext():
            x, label = (torch.tensor(values[mine.numpy()]).to(device) for values in (data.train_x, data.train_y))
            sent, crossed, balance = _losses(session, x, label)
            loss = crossed if share == 1 else crossed * share
            if balance is not None:
                loss = loss + balance
            session.fabric.backward(loss if len(batch) == size else loss * (len(batch) / size))
            seen = torch.stack([crossed.detach() * len(mine), (decide(sent.detach()) == label).sum()])
            seen = total(seen)
        if balance is not None:
            seen = seen + torch.stack([balance.detach() * len(batch), seen.new_zeros(())])
        sums = sums + seen
    return sums


def _level(seen: States | ChipStates) -> Tensor:
    """h in float units."""
    return seen.level if isinstance(seen, ChipStates) else seen.h


def _losses(session: Session, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """What the network sends for samples x, its cross entropy, and its weighted balance loss if the recipe wants it."""
    settings = session.recipe.training
    shown = session.data.shown(x, session.recipe.network.steps)
    spikes, states = _run(session.model, session.wrapped, shown, watched=settings.balance_weight > 0)
    loss = rate_cross_entropy(spikes, label, session.recipe.readout.scale, settings.label_smoothing)
    if not settings.balance_weight:
        return spikes, loss, None
    there = firing(session.model)
    balance = balance_of([_level(seen) for name, seen in states.items() if name in there])
    return spikes, loss, settings.balance_weight * balance


@contextmanager
def settled(session: Session) -> Iterator[None]:
    """Within the block, results do not depend on what the process did before, nor on where a run was resumed.

    Kernels of the fused neuron and their definition add up gradients in different orders, and which of them is taken
    depends on what is loaded: loaded is now what an epoch needs.  DistributedDataParallel sorts its buckets of
    gradients after a first pass: that pass is now.  Weights and statistics stay as they are.
    """
    with fused.afresh():
        try:
            _load_kernels(session)
            if session.processes.count > 1:
                _sort_buckets(session)
        except (RuntimeError, ValueError) as error:  # torch's own, as in an epoch
            raise TrainingError(f"before the first step: {str(error).splitlines()[0]}") from error
        yield


def _load_kernels(session: Session) -> None:
    if session.fabric.device.type != "cpu" or isinstance(session.model, Chip):
        return
    data, batch = session.data, session.recipe.training.batch_size
    largest = max(min(batch, len(data.train_x)), min(EVALUATION_BATCH, len(data.test_x)))
    session.model.eval()
    with torch.no_grad():
        session.model(data.shown(torch.zeros(largest, *data.train_x.shape[1:]), session.recipe.network.steps))


def _sort_buckets(session: Session) -> None:
    kept = {name: value.clone() for name, value in session.model.state_dict().items()}
    few = torch.arange(min(session.processes.count, len(session.data.train_x)))
    session.wrapped.train()
    for _ in range(2):  # they are sorted as the second begins
        gradients(session, [few])
    session.stepper.zero_grad()
    session.model.load_state_dict(kept)


@dataclass(frozen=True)
class Measured:
    """Of a test set: accuracy, [0, 1]; of each population that fires rates, mean |spikes| a neuron and step, and
    potentials (see `seen.potentials`) on the first samples.

    events: of a network in a chip's arithmetic, how often registers clipped or wrapped, and how many neurons' weights
    act scaled back (see `Chip`).
    """

    accuracy: float
    rates: Mapping[str, float]
    events: Mapping[str, int]
    potentials: Mapping[str, Any]


def evaluate(model: nn.Module, data: Dataset, steps: int, processes: Processes) -> Measured:
    """Measure on the test set, which processes share; the result does not depend on how many they are.

    Leaves the model in eval mode.
    """
    model.eval()
    samples = len(data.test_x)
    parts = [slice(begin, begin + EVALUATION_BATCH) for begin in range(0, samples, EVALUATION_BATCH)]
    mine = {
        i: _measure(model, data, parts[i], steps, look=i == 0)
        for i in range(processes.rank, len(parts), processes.count)
    }
    found = {i: measured for each in processes.gather(mine) for i, measured in each.items()}
    hits, sums, events = 0, dict[str, float](), dict[str, int]()
    if isinstance(model, Chip):
        events = {"clips": 0, "wraps": 0, "scaled_back": model.scaled_back()}
    for i in range(len(parts)):
        part = found[i]
        hits += part.hits
        for name, value in part.spikes.items():
            sums[name] = sums.get(name, 0.0) + value
        for name, count in part.events.items():
            events[name] += count
    rates = {name: value / samples for name, value in sums.items()}
    return Measured(hits / samples, rates, events, found[0].potentials)


@dataclass(frozen=True)
class _Part:
    """Of some samples: right decisions, summed mean |spikes| of each population, clips and wraps; see Measured."""

    hits: int
    spikes: Mapping[str, float]
    events: Mapping[str, int]
    potentials: Mapping[str, Any] = field(default_factory=dict)


def _measure(model: nn.Module, data: Dataset, part: slice, steps: int, look: bool) -> _Part:
    """part: of the test set.   look: at potentials as well."""
    x, y = torch.tensor(data.test_x[part]), torch.tensor(data.test_y[part])
    device = next(model.parameters()).device
    with torch.no_grad():
        sent, states = _run(model, model, data.shown(x.to(device), steps))
    spikes = {name: state.spikes.abs().float().mean().item() * len(x) for name, state in states.items()}
    events = {"clips": 0, "wraps": 0} if isinstance(model, Chip) else dict[str, int]()
    for state in states.values():
        if isinstance(state, ChipStates):
            events["clips"] += int(state.clips)
            events["wraps"] += int(state.wraps) + int(state.overflows)
    seen = {}
    for name, population in firing(model).items() if look else ():
        seen[name] = potentials(_level(states[name])[:, :SAMPLES], *level_of(population))
    return _Part(int((decide(sent).cpu() == y).sum()), spikes, events, seen)
