"""A ChipProgram as a torch module: its forward pass is the chip, number by number; its weights can be trained.

Frozen are the formats: scales, exponents, encoder, thresholds, leaks.  Learned are weights, biases and the surrogates'
sharpness.  Time is logical: on the chip each layer of a feed-forward network runs a step later, a pure shift (design
section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..engine.base import spike_ranges
from ..errors import InputError
from ..neurons.base import Interval
from ..neurons.torch import SpikingNeuron
from ..program import ChipProgram, Population, Synapse
from ..target import Target
from ..wiring import Dense, to_dense
from .chip_arithmetic import accumulates_exactly, mantissas, quantize, quantize_bias, synaptic_sum
from .chip_checks import check, constant, has_current, learned, source_gain
from .chip_neurons import population
from .chip_population import ChipPopulation
from .export import nir_names
from .fold import fold

GRID = 2
"""Weights of mixed signs at full width are even: docs/semantics.md."""
SMALLER = 200
"""How often a row of weights is made 2 % smaller until it fits."""


class ChipStates(NamedTuple):
    """What a population did: spikes, v, h, u (None without a current), the chip's integers, int64 (T, B, N).

    level: h in float units, float32 (T, B, N), with gradients.   clips, wraps: how often h clipped, and u wrapped, ().
    """

    spikes: Tensor
    v: Tensor
    h: Tensor
    u: Tensor | None
    level: Tensor
    clips: Tensor
    wraps: Tensor


class Chip(nn.Module):
    """A network in a chip's arithmetic, to be trained.

    Call: x (T, B, *shape), float -> spikes of the last population (T, B, N), float32, or the potential of integrators
    in float units.  Encoder, sums, leaks and thresholds compute exactly the integers that `sim` and Lava compute, on a
    CPU or a GPU, under autocast too.  Gradients: those of the float neuron at the chip's potentials, with its
    surrogate; rounding passes them, clipping does not.

    program: a feed-forward network, see `chip_checks.check`.   target: that of the program.
    like: the model that it was made of, for its surrogates; None: sigmoid, one alpha of 4.
    room: population -> the interval that its register sums (inputs << 6, bias) may have in a step; a row of weights
        that leaves it is scaled back, so that what is proven of the program stays so.  None: nothing is proven.
    told: entries of our NIR metadata to hand on ("input", "recipe").
    Raises: UnsupportedError.
    """

    def __init__(
        self,
        program: ChipProgram,
        target: Target,
        like: nn.Module | None = None,
        *,
        room: Mapping[str, Interval] | None = None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check(program)
        self.frozen, self.target, self.told = program, target, dict(told or {})
        self.limits = spike_ranges(program)
        self.incoming = {p.name: [s for s in program.synapses if s.target == p.name] for p in program.populations}
        modules = {} if like is None else _neurons(like)
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        self.populations = nn.ModuleDict()
        for p in program.populations:
            part = ChipPopulation(p, modules.get(p.name), (room or {}).get(p.name), program.registers)
            self.populations[p.name] = part
        for s in program.synapses:
            q = torch.from_numpy(to_dense(s.wiring).weight.astype(np.float64))
            size = self._weight_size(s)
            self.register_buffer(f"size_{key_of(s)}", size, persistent=False)
            if learned(s):
                self.weights[key_of(s)] = nn.Parameter((q * size).float())
            else:
                self.register_buffer(f"q_{key_of(s)}", q, persistent=False)
        for p in program.populations:
            bias = torch.from_numpy(np.broadcast_to(p.params["bias_mant"] << p.params["bias_exp"], (p.size,)).copy())
            if constant(program, p):
                self.register_buffer(f"bias_{p.name}", bias.double(), persistent=False)
            else:
                self.biases[p.name] = nn.Parameter((bias * self._part(p.name).step).float())

    def _part(self, name: str) -> ChipPopulation:
        part = self.populations[name]
        assert isinstance(part, ChipPopulation)
        return part

    def _weight_size(self, synapse: Synapse) -> Tensor:
        """The float value of one step of each target's weights, float64 (N, 1)."""
        shift = self.frozen.registers.input_shift
        unit = self._part(synapse.target).step * 2.0 ** (shift + synapse.exponent)
        return (unit * source_gain(self.frozen, synapse.source))[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """What the last population sends, (T, B, N).  Raises: InputError for a wrong shape."""
        return self.run(x)[0]

    def states(self, x: Tensor) -> dict[str, ChipStates]:
        """What every population does with x (T, B, *shape)."""
        return self.run(x)[1]

    @torch.no_grad()
    def record(self, x: NDArray[Any]) -> dict[str, dict[str, NDArray[np.int64]]]:
        """The same in numpy: population -> variable ("spikes", "v", "h", and "u" with a current) -> (T, B, N)."""
        states = self.states(torch.from_numpy(np.ascontiguousarray(x)).to(next(self.parameters()).device))
        found = {}
        for name, s in states.items():
            kept = {"spikes": s.spikes, "v": s.v, "h": s.h, **({} if s.u is None else {"u": s.u})}
            found[name] = {variable: _array(values) for variable, values in kept.items()}
        return found

    def run(self, x: Tensor) -> tuple[Tensor, dict[str, ChipStates]]:
        """Both."""
        with torch.autocast(x.device.type, enabled=False):
            weights, biases = self.integers()
            sent = {self.frozen.encoders[0].name: self.encode(x)}
            states: dict[str, ChipStates] = {}
            for p in self.frozen.populations:
                incoming = self.incoming[p.name]
                total = torch.zeros(len(x), x.shape[1], p.size, dtype=torch.float64, device=x.device)
                dtypes = _dtypes(incoming, weights, self.limits)
                for s, dtype in zip(incoming, dtypes, strict=True):
                    total = total + synaptic_sum(sent[s.source], weights[s.name], s.exponent, dtype)
                part = self._part(p.name)
                row = population(total, biases[p.name], part.alphas(len(x)), part.dynamics())
                out, level, spikes, v, h, u, clips, wraps = row
                sent[p.name] = out
                current = u if "du" in p.params else None
                states[p.name] = ChipStates(spikes, v, h, current, level, clips.sum(), wraps.sum())
        return sent[self.output], states

    def firing(self) -> dict[str, ChipPopulation]:
        """The populations that fire, by name."""
        return {name: self._part(name) for name in self.populations if self._part(name).fires}

    @property
    def output(self) -> str:
        """The population whose output is the network's: that of the readout, or the last one."""
        readout = self.frozen.readout
        return readout.population if readout else self.frozen.populations[-1].name

    def encode(self, x: Tensor) -> Tensor:
        """The encoder's integers, float64 (T, B, N): rounding half to even, then clipping.  Raises: InputError."""
        encoder = self.frozen.encoders[0]
        if x.ndim < 2 or tuple(x.shape[2:]) != encoder.shape or len(x) == 0:
            raise InputError(f"expected an input of shape (T, B, *{encoder.shape}), got {tuple(x.shape)}")
        scaled = torch.round(x.double() * float(encoder.numerator) / float(encoder.denominator)) + encoder.offset
        if not bool(torch.isfinite(scaled).all()):
            raise InputError("values of the input are NaN or infinite")
        return scaled.clamp(encoder.low, encoder.high).flatten(2)

    def _rounded(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights and biases as whole numbers, before any is scaled back; see `integers`."""
        most = (1 << self.target.synapse.weight_bits.value) - GRID
        weights = {
            s.name: quantize(self.weights[key_of(s)], self.get_buffer(f"size_{key_of(s)}"), GRID, most)
            if key_of(s) in self.weights
            else self.get_buffer(f"q_{key_of(s)}")
            for s in self.frozen.synapses
        }
        biases = {
            p.name: quantize_bias(self.biases[p.name], self._part(p.name).step, self.frozen.registers)
            if p.name in self.biases
            else self.get_buffer(f"bias_{p.name}")
            for p in self.frozen.populations
        }
        return weights, biases

    def integers(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights by synapse, float64 (N, M), and biases by population, in register units, float64 (N,): whole numbers.

        With straight-through gradients to what is learned.  Mixed sign mode's even numbers, in [-254, 254], whatever
        the signs are.  Neurons whose sums could leave their room have weights and bias scaled back, toward zero.
        """
        weights, biases = self._rounded()
        for p in self.frozen.populations:
            excess = self.excess(p, weights, biases[p.name])
            if bool((excess > 1).any()):
                self._scale_back(p, weights, biases, excess)
        return weights, biases

    def excess(self, p: Population, weights: Mapping[str, Tensor], bias: Tensor) -> Tensor:
        """How far the register sums of a step can go beyond their room, as a factor (N,); at most 1 is inside.

        weights, bias: as `integers` gives them.
        """
        below, above = torch.zeros_like(bias), torch.zeros_like(bias)
        for s in self.incoming[p.name]:
            least, most = (float(n) for n in self.limits[s.source])
            q = weights[s.name].detach()
            up, down = q.clamp(min=0).sum(1), q.clamp(max=0).sum(1)
            below = below + torch.floor((up * least + down * most) * 2.0**s.exponent)
            above = above + torch.floor((up * most + down * least) * 2.0**s.exponent)
        offset = torch.zeros_like(bias) if has_current(p, self.frozen.registers) else bias.detach()
        gain, room = 2.0**self.frozen.registers.input_shift, self._part(p.name).room
        return torch.maximum(-(below * gain + offset) / room[0], (above * gain + offset) / room[1])

    def _scale_back(self, p: Population, weights: dict[str, Tensor], biases: dict[str, Tensor], excess: Tensor) -> None:
        """Replace the learned weights and the bias of each neuron outside its room by smaller ones inside."""
        factor = torch.where(excess > 1, 1.0 / excess, torch.ones_like(excess))
        fresh = {s.name: weights[s.name].detach() for s in self.incoming[p.name] if key_of(s) in self.weights}
        inside, bias = dict(weights), biases[p.name].detach()
        for _ in range(SMALLER):
            inside |= {name: GRID * torch.trunc(q * factor[:, None] / GRID) for name, q in fresh.items()}
            if p.name in self.biases:
                shrunk = biases[p.name].detach() * factor
                mantissa, exponent = mantissas(shrunk, self.frozen.registers, toward_zero=True)
                bias = mantissa * 2.0**exponent
            excess = self.excess(p, inside, bias)
            if not bool((excess > 1).any()):
                break
            factor = torch.where(excess > 1, factor * 0.98, factor)
        weights |= {name: weights[name] + (inside[name] - q).detach() for name, q in fresh.items()}
        biases[p.name] = biases[p.name] + (bias - biases[p.name]).detach()

    @torch.no_grad()
    def scaled_back(self) -> int:
        """How many neurons have learned weights that would leave the room, and act scaled back."""
        weights, biases = self._rounded()
        return sum(int((self.excess(p, weights, biases[p.name]) > 1).sum()) for p in self.frozen.populations)

    @torch.no_grad()
    def program(self) -> ChipProgram:
        """The program with the trained integers: what the forward pass computes with."""
        weights, biases = self.integers()
        populations = []
        for p in self.frozen.populations:
            mantissa, exponent = mantissas(biases[p.name], self.frozen.registers)
            params = {**p.params, "bias_mant": _array(mantissa), "bias_exp": _array(exponent)}
            populations.append(replace(p, params=params) if p.name in self.biases else p)
        synapses = tuple(
            replace(s, wiring=Dense(_array(weights[s.name]).astype(np.int32))) if learned(s) else s
            for s in self.frozen.synapses
        )
        return replace(self.frozen, populations=tuple(populations), synapses=synapses, report={})


def key_of(synapse: Synapse) -> str:
    """Its name as torch can hold it."""
    return synapse.name.replace(".", "_of_")


def _array(values: Tensor) -> NDArray[np.int64]:
    return np.asarray(values.cpu().numpy(), np.int64)


def _dtypes(
    synapses: list[Synapse], weights: Mapping[str, Tensor], limits: Mapping[str, tuple[int, int]]
) -> list[torch.dtype]:
    """For each synapse of a population the dtype in which its sums are exact.

    Raises: UnsupportedError if they, or their total, could leave the accumulator.
    """
    largest = [max(map(abs, limits[s.source])) for s in synapses]
    reaches = [
        int(weights[s.name].detach().abs().sum(1).max()) * most for s, most in zip(synapses, largest, strict=True)
    ]
    accumulates_exactly(sum(int(r * 2.0 ** max(0, s.exponent)) for r, s in zip(reaches, synapses, strict=True)), 0)
    operands = [max(most, int(weights[s.name].detach().abs().max())) for s, most in zip(synapses, largest, strict=True)]
    return [accumulates_exactly(reach, top) for reach, top in zip(reaches, operands, strict=True)]


def _neurons(model: nn.Module) -> dict[str, SpikingNeuron]:
    """The spiking modules of a model by the names that its populations have in NIR."""
    folded = fold(model)
    names = nir_names(folded)
    return {names[x.name]: x.module for x in folded.layers if isinstance(x.module, SpikingNeuron)}
