"""A ChipProgram as a torch module: its forward pass is the chip, number by number; its weights can be trained.

Frozen are the formats: scales, exponents, encoder, thresholds, leaks.  Learned are weights, biases and the surrogates'
sharpness.  Populations without a loop are computed over the whole sequence, those of a loop step by step together
(schedule.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import InputError, UnsupportedError, Violation
from ...files import NetworkInput, join_inputs
from ...neurons.base import Interval
from ...neurons.chip import Rows, State, population
from ...neurons.torch import SpikingNeuron
from ...program import ChipProgram
from ...target import Target
from ..export import nir_names
from ..fold import fold
from .arithmetic import TITLE, rounded
from .schedule import Group, schedule_of
from .sums import Exactly, Part, exactly, synaptic_sum, total
from .weights import ChipWeights


class ChipStates(NamedTuple):
    """What a population did: spikes, v, h, u (None without a current), the chip's integers, int64 (T, B, N).

    level: h in float units, float32 (T, B, N), with gradients.   clips, wraps, overflows: how often h clipped, u and
    the sum of its synapses wrapped, ().
    """

    spikes: Tensor
    v: Tensor
    h: Tensor
    u: Tensor | None
    level: Tensor
    clips: Tensor
    wraps: Tensor
    overflows: Tensor


Like = nn.Module | Mapping[str, SpikingNeuron] | None


class Chip(ChipWeights):
    """A network in a chip's arithmetic, to be trained.

    Call: x (T, B, *shape), float, or that of each of several Inputs by name -> spikes of the last population
    (T, B, *shape), float32, or the potential of integrators in float units.  Encoder, sums, leaks and thresholds
    compute exactly the integers that `sim` and Lava compute, on a CPU or a GPU, under autocast too.  Gradients: those
    of the float neuron at the chip's potentials, with its surrogate; rounding passes them, clipping does not.

    program: any; one that `to_chip` made can become a file.   target: that of the program.
    like: for the surrogates, the model that it was made of, or its neurons by the populations' names; others, and None:
        sigmoid, one alpha of 4.
    room: population -> the interval that its register sums (inputs << 6, bias) may have in a step; a row of weights
        that leaves it is scaled back, so that what is proven of the program stays so.  None: nothing is proven.
    told: entries of our NIR metadata to hand on ("input", "recipe").
    connected: synapse -> where it has connections, bool, in its wiring's layout; other weights stay 0.
    Kept by its `state_dict`, which a Chip of the same program takes, and no other; `copy.deepcopy` makes another.
    Raises: UnsupportedError; InputError for a population that `like` names and the program has not.
    """

    def __init__(
        self,
        program: ChipProgram,
        target: Target,
        like: Like = None,
        *,
        room: Mapping[str, Interval] | None = None,
        told: Mapping[str, Any] | None = None,
        connected: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> None:
        super().__init__(program, target, neurons_of(like), room or {}, connected or {})
        self.told, self.schedule = dict(told or {}), schedule_of(program)
        self.currents = frozenset(p.name for p in program.populations if "du" in p.params)

    def forward(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        """What the last population sends, (T, B, *shape).

        Raises: InputError for a wrong shape, NaN, more steps than `max_steps`; UnsupportedError for weights or biases
        that are NaN or infinite.
        """
        return self.run(x)[0]

    def states(self, x: Tensor | Mapping[str, Tensor]) -> dict[str, ChipStates]:
        """What every population does with x (T, B, *shape)."""
        return self.run(x)[1]

    @torch.no_grad()
    def record(self, x: NetworkInput) -> dict[str, dict[str, NDArray[np.int64]]]:
        """The same in numpy: population -> variable ("spikes", "v", "h", and "u" with a current) -> (T, B, *shape)."""
        joined = np.ascontiguousarray(join_inputs(x, self.frozen.inputs))
        states = self.states(torch.from_numpy(joined).to(next(self.parameters()).device))
        found = {}
        for name, s in states.items():
            kept = {"spikes": s.spikes, "v": s.v, "h": s.h, **({} if s.u is None else {"u": s.u})}
            shape = self.population(name).shape
            found[name] = {key: values.reshape(*values.shape[:2], *shape).cpu().numpy() for key, values in kept.items()}
        return found

    def run(self, x: Tensor | Mapping[str, Tensor]) -> tuple[Tensor, dict[str, ChipStates]]:
        """Both."""
        x = self._joined(x)
        with torch.autocast(x.device.type, enabled=False):
            execution = _Execution(self, self.encode(x))
            for group in self.schedule.groups:
                execution.group(group)
        steps = len(x)
        states, last = {}, torch.zeros(())
        for name, (rows, overflows) in execution.found.items():
            begin = self.schedule.begins[name]
            kept = Rows(*(values[begin : begin + steps] for values in rows))
            current = kept.u if name in self.currents else None
            counts = (rows.clips.sum(), rows.wraps.sum(), overflows)
            states[name] = ChipStates(kept.spikes, kept.v, kept.h, current, kept.level, *counts)
            if name == self.output:
                last = kept.sent.reshape(*kept.sent.shape[:2], *self.population(name).shape)
        return last, states

    def firing(self) -> dict[str, Any]:
        """The populations that fire, by name."""
        parts = {p.name: self.population(p.name) for p in self.frozen.populations}
        return {name: part for name, part in parts.items() if part.fires}

    @property
    def output(self) -> str:
        """The population whose output is the network's: that of the readout, or the last one."""
        readout = self.frozen.readout
        return readout.population if readout else self.frozen.populations[-1].name

    def _joined(self, x: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Several inputs as one, as `join_inputs` does it."""
        if isinstance(x, Tensor):
            return x
        shapes = self.frozen.inputs
        if sorted(x) != sorted(shapes) or any(tuple(x[n].shape[2:]) != shape for n, shape in shapes.items()):
            got = ", ".join(f"{name} {tuple(value.shape)}" for name, value in x.items())
            wanted = ", ".join(f"{name} (T, B, {', '.join(map(str, shape))})" for name, shape in shapes.items())
            raise InputError(f"expected the inputs {wanted}, got {got}")
        if len({tuple(value.shape[:2]) for value in x.values()}) > 1:
            raise InputError("the inputs have different numbers of steps or samples")
        if len(x) == 1:
            return next(iter(x.values()))
        return torch.cat([x[name].flatten(2) for name in sorted(x)], 2)

    def encode(self, x: Tensor) -> Tensor:
        """The encoder's integers, float64 (T, B, N): rounding half to even, then clipping.  Raises: InputError."""
        encoder, most = self.frozen.encoders[0], self.frozen.max_steps
        if x.ndim < 2 or tuple(x.shape[2:]) != encoder.shape or len(x) == 0:
            raise InputError(f"expected an input of shape (T, B, *{encoder.shape}), got {tuple(x.shape)}")
        if len(x) > most:
            what = f"input (T, B, ...) has {len(x)} steps, but the program's bounds hold for {most}"
            raise InputError(f"{what}; make the Chip by to_chip(..., max_steps={len(x)})")
        scaled = rounded(x.double() * float(encoder.numerator) / float(encoder.denominator)) + encoder.offset
        if not bool(torch.isfinite(scaled).all()):
            raise InputError("values of the input are NaN or infinite")
        return scaled.clamp(encoder.low, encoder.high).flatten(2)


class _Execution:
    """One forward pass.

    sent: what each source sends in every row, (rows, B, N).   found: of each population, what it did and how often the
    sum of its synapses wrapped.
    """

    def __init__(self, chip: Chip, x: Tensor) -> None:
        self.chip, self.steps, self.rows = chip, len(x), len(x) + chip.schedule.more
        self.weights, self.biases = chip.integers()
        filled = torch.cat([x, x.new_zeros(chip.schedule.more, *x.shape[1:])]) if chip.schedule.more else x
        self.sent: dict[str, Tensor] = {chip.frozen.encoders[0].name: filled}
        self.found: dict[str, tuple[Rows, Tensor]] = {}
        self.hows: dict[str, Exactly] = {}
        for s in chip.frozen.synapses:
            largest = max(map(abs, chip.limits[s.source]))
            wire, q = chip.synapse(s.name).wire, self.weights[s.name]
            self.hows[s.name] = exactly(s.name, wire, q, s.exponent, largest)

    def group(self, group: Group) -> None:
        """Run populations: over the whole sequence, or those of a loop row by row."""
        each = 1 if group.cyclic else self.rows
        runs = {name: _Run(self, name, group, each) for name in group.names}
        for first in range(0, self.rows, each):
            for run in runs.values():
                run.advance(first, runs)
        for name, run in runs.items():
            self.found[name] = run.rows(), run.overflows
            self.sent[name] = self.found[name][0].sent if self.chip.population(name).fires else run.zero(self.rows)

    def part(self, name: str, s: Tensor) -> Part:
        """What a synapse makes of spikes (rows, B, N_source)."""
        return synaptic_sum(s, self.weights[name], self.chip.synapse(name).wire, self.hows[name])


class _Run:
    """One population in a forward pass, so many rows at a time: all, or one."""

    def __init__(self, execution: _Execution, name: str, group: Group, each: int) -> None:
        chip = execution.chip
        self.execution, self.name, self.population = execution, name, chip.population(name)
        self.begin, self.lags = chip.schedule.begins[name], chip.schedule.lags
        self.dynamics, self.bias = self.population.dynamics(), execution.biases[name]
        self.each = each
        self.alphas = torch.split(self.population.alphas(execution.steps, self.begin, execution.rows), each)
        incoming = chip.incoming[name]
        self.inner = [s for s in incoming if group.cyclic and s.source in group.names]
        self.hows = [execution.hows[s.name] for s in incoming]
        inner = [s.name for s in self.inner]
        self.outer = [self._shifted(s.name, s.source).split(each) for s in incoming if s.name not in inner]
        self.state: State | None = None
        self.done: list[Rows] = []
        self.overflows = torch.zeros((), dtype=torch.int64, device=self.bias.device)

    def _shifted(self, name: str, source: str) -> Part:
        """What a synapse from outside adds in every row."""
        lag, sent = self.lags[name], self.execution.sent[source]
        if lag >= len(sent):
            return Part(self.zero(len(sent)), None)
        part = self.execution.part(name, sent[: len(sent) - lag])
        if not lag:
            return part

        def later(values: Tensor) -> Tensor:
            return torch.cat([values.new_zeros(lag, *values.shape[1:]), values])

        return Part(later(part.kept), None if part.exact is None else later(part.exact))

    def advance(self, first: int, runs: Mapping[str, _Run]) -> None:
        """Rows from `first` on; runs: of the same group."""
        index = first // self.each
        parts = [pieces[index] for pieces in self.outer]
        for s in self.inner:
            row = first - self.lags[s.name]
            if row >= 0:
                parts.append(self.execution.part(s.name, runs[s.source].spikes(row)))
        if parts:
            a, wrapped = total(parts, self.hows)
            self.overflows = self.overflows if wrapped is None else self.overflows + wrapped.sum()
        else:
            a = self.zero(self.each)
        begin = self.begin - first
        rows, self.state = population(a, self.bias, self.alphas[index], self.dynamics, self.state, begin)
        self.done.append(rows)

    def spikes(self, row: int) -> Tensor:
        """What it sent in a row, (1, B, N)."""
        return self.done[row].sent if self.population.fires else self.zero(1)

    def rows(self) -> Rows:
        """All that it did."""
        if len(self.done) == 1:
            return self.done[0]
        return Rows(*(torch.cat(column) for column in zip(*self.done, strict=True)))

    def zero(self, rows: int) -> Tensor:
        """Nothing, (rows, B, N)."""
        batch = next(iter(self.execution.sent.values())).shape[1]
        return torch.zeros(rows, batch, self.population.count, dtype=torch.float64, device=self.bias.device)


def neurons_of(like: Like) -> Mapping[str, SpikingNeuron]:
    """The spiking modules of a model by the names that its populations have in NIR."""
    if isinstance(like, nn.Module):
        return {name: module for name, module in _layers(like).items() if isinstance(module, SpikingNeuron)}
    return {name: module for name, module in (like or {}).items() if isinstance(module, SpikingNeuron)}


def fixed_in(like: Like) -> frozenset[str]:
    """The NIR names of a model's layers that are not learned: none of their parameters requires a gradient.

    Raises: UnsupportedError for a layer of which only a part is learned.
    """
    layers = _layers(like) if isinstance(like, nn.Module) else {}
    parameters = {name: [p.requires_grad for p in module.parameters()] for name, module in layers.items()}
    halves = [name for name, learns in parameters.items() if any(learns) and not all(learns)]
    if halves := [name for name in halves if not isinstance(layers[name], SpikingNeuron)]:
        what, remedy = "only some of its parameters require gradients", "freeze all of a layer, or nothing"
        raise UnsupportedError(TITLE, [Violation(name, what, remedy) for name in halves])
    return frozenset(name for name, learns in parameters.items() if learns and not any(learns))


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    folded = fold(model)
    names = nir_names(folded)
    return {names[x.name]: x.module for x in folded.layers}
