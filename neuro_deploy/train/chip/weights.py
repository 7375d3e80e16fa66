"""The integers of a Chip: its synapses and populations, and how both are kept inside what is proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...engine.base import spike_ranges
from ...errors import InputError, UnsupportedError, Violation
from ...neurons.base import Interval
from ...neurons.torch import SpikingNeuron
from ...program import ChipProgram, Population
from ...target import Target
from .arithmetic import TITLE, mantissas
from .names import constants_of, learned
from .plan import plan_of, source_gain, without_idle
from .population import ChipPopulation
from .synapse import GRID, ChipSynapse
from .wires import BITS

if TYPE_CHECKING:
    from typing_extensions import Self

SMALLER = 60
"""How often a row of weights is made smaller until it fits: by 2 %, then by 4 %, ..., so to nothing at last."""


def key_of(name: str) -> str:
    """A name as torch can hold it in a ModuleDict."""
    key = name.replace("%", "%25").replace(".", "%2E")
    return f"{key}%" if hasattr(nn.ModuleDict(), key) else key


class ChipWeights(nn.Module):
    """What is learned and what is frozen of a program, and the integers that both make.

    program, target, room: see `Chip`.   like: population -> the module that it was made of.
    connected: synapse -> where it has connections, bool, in its wiring's layout.
    formats: SHA-256 over all that is frozen, uint8 (32,).
    """

    formats: Tensor

    def __init__(
        self,
        program: ChipProgram,
        target: Target,
        like: Mapping[str, SpikingNeuron],
        room: Mapping[str, Interval],
        connected: Mapping[str, NDArray[np.bool_]],
    ) -> None:
        super().__init__()
        self.frozen, self.target = program, target
        self.limits = spike_ranges(program)
        self.incoming = {p.name: [s for s in program.synapses if s.target == p.name] for p in program.populations}
        unknown = [name for name in like if name not in self.incoming]
        if unknown:
            known = ", ".join(self.incoming)
            raise InputError(f"no population is named {', '.join(map(repr, unknown))}; there are {known}")
        self.populations, self.synapses = nn.ModuleDict(), nn.ModuleDict()
        plan, constants = plan_of(program), constants_of(program)
        for p in program.populations:
            layers = [s for s in self.incoming[p.name] if s.source not in constants and learned(s)]
            learns = bool(layers) and plan.sources.get(p.name) in plan.roomy
            made = ChipPopulation(program, p, like.get(p.name), room.get(p.name), learns)
            self.populations[key_of(p.name)] = made
            for s in self.incoming[p.name]:
                shift = program.registers.input_shift + s.exponent
                size = made.step.numpy() * 2.0**shift * source_gain(program, s.source)
                self.synapses[key_of(s.name)] = ChipSynapse(s, size, made.channels, connected.get(s.name))
        digest = _formats(program, [*self.weights], [*self.biases])
        self.register_buffer("formats", torch.tensor([*bytes.fromhex(digest)], dtype=torch.uint8))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Refuses the state of other formats, in which its weights would be other integers."""
        given = state.setdefault(f"{prefix}formats", self.formats)  # states were without, once
        if not torch.equal(given.cpu(), self.formats.cpu()):
            remedy = "load it into a Chip made by to_chip of the same graph, target, calibration and max_steps"
            rest[-1].append(f"the state is of other formats (scales, thresholds, leaks or encoder): {remedy}")
        super()._load_from_state_dict(state, prefix, *rest)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """As of every module, but what is frozen keeps its dtype: in float16 it would be other numbers."""
        frozen = [(m, name, b) for m in self.modules() for name, b in m.named_buffers(recurse=False)]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module, name, value in frozen:
            module._buffers[name] = value.to(module.get_buffer(name).device)
        return self

    def population(self, name: str) -> ChipPopulation:
        """The population of that name.  Raises: KeyError."""
        return cast(ChipPopulation, self.populations[key_of(name)])

    def synapse(self, name: str) -> ChipSynapse:
        """The synapse of that name.  Raises: KeyError."""
        return cast(ChipSynapse, self.synapses[key_of(name)])

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """Synapse -> its weights in float, in the wiring's layout; of those that are learned."""
        found = {s.name: self.synapse(s.name).weight for s in self.frozen.synapses}
        return {name: weight for name, weight in found.items() if weight is not None}

    @property
    def biases(self) -> dict[str, nn.Parameter]:
        """Population -> its bias in float, (N,) or one a channel; of those that are learned."""
        found = {p.name: self.population(p.name).bias for p in self.frozen.populations}
        return {name: bias for name, bias in found.items() if bias is not None}

    def _check_numbers(self) -> None:
        found = [(name, "weights", value) for name, value in self.weights.items()]
        found += [(name, "biases", value) for name, value in self.biases.items()]
        found += [(p.name, "sharpnesses", self.population(p.name).raw_alpha) for p in self.frozen.populations]
        if half := [(name, f"{what} are {p.dtype}") for name, what, p in found if p.dtype.itemsize < 4]:
            remedy = "a Chip's parameters are float32, under autocast too; leave out .half() and .bfloat16()"
            raise UnsupportedError(TITLE, [Violation(name, what, remedy) for name, what in half])
        counts = torch.stack([(~torch.isfinite(value)).sum() for _, _, value in found]).tolist()
        bad = [
            (where, f"{n} {what} are NaN or infinite") for (where, what, _), n in zip(found, counts, strict=True) if n
        ]
        if bad:
            remedy = "lower the learning rate, or clip gradients"
            raise UnsupportedError(TITLE, [Violation(where, what, remedy) for where, what in bad])

    def _rounded(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights and biases as whole numbers, before any is scaled back; see `integers`."""
        self._check_numbers()
        most = (1 << self.target.synapse.weight_bits.value) - GRID
        weights = {s.name: self.synapse(s.name).integers(most) for s in self.frozen.synapses}
        return weights, {p.name: self.population(p.name).integer_bias() for p in self.frozen.populations}

    def integers(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights by synapse, float64, in the wiring's layout, and biases by population, in register units, float64
        (N,): whole numbers.

        With straight-through gradients to what is learned.  Mixed sign mode's even numbers, with 8 bits in
        [-254, 254], whatever the signs are.  Neurons whose sums could leave their room have weights and bias scaled
        back, toward zero.
        Raises: UnsupportedError where what is learned is NaN or infinite, or nothing smaller is inside.
        """
        weights, biases = self._rounded()
        for p in self.frozen.populations:
            if not self.population(p.name).proven:
                continue
            excess = self.excess(p, weights, biases[p.name])
            if bool((excess > 1).any()):
                self._scale_back(p, weights, biases, excess)
        return weights, biases

    @torch.no_grad()
    def excess(self, p: Population, weights: Mapping[str, Tensor], bias: Tensor) -> Tensor:
        """How far the sums of a step can go beyond their room, as a factor (N,); at most 1 is inside.

        weights, bias: as `integers` gives them.
        """
        part, below, above = self.population(p.name), torch.zeros_like(bias), torch.zeros_like(bias)
        alone = torch.zeros_like(bias)
        for s in self.incoming[p.name]:
            wire = self.synapse(s.name).wire
            least, most = (float(n) for n in (min(0, self.limits[s.source][0]), max(0, self.limits[s.source][1])))
            down, up = wire.signed(weights[s.name].detach())
            low, high = up * least + down * most, up * most + down * least
            if s.exponent < 0:
                alone = torch.maximum(alone, torch.maximum(-low, high) / ((1 << (BITS - 1)) - 1))
            low, high = (torch.floor(x * 2.0**s.exponent) for x in (low, high))
            if wire.after:
                alone = torch.maximum(alone, torch.maximum(-low, high) / ((1 << (wire.bits - 1)) - 1))
            below, above = below + low, above + high
        offset = torch.zeros_like(bias) if part.remembers else bias.detach()
        gain = 2.0**self.frozen.registers.input_shift
        room = torch.maximum(-(below * gain + offset) / part.room[0], (above * gain + offset) / part.room[1])
        return torch.maximum(room, alone)

    def _scale_back(self, p: Population, weights: dict[str, Tensor], biases: dict[str, Tensor], excess: Tensor) -> None:
        """Replace the learned weights and the bias of each neuron outside its room by smaller ones inside.

        A channel of a convolution is made smaller as a whole.
        """
        part, inside = self.population(p.name), dict(weights)
        fresh = {s.name: weights[s.name].detach() for s in self.incoming[p.name] if s.name in self.weights}
        wanted, held, excess = self._held(p, weights, biases[p.name].detach(), excess)
        bias = wanted
        factor = 1.0 / excess.clamp(min=1.0)
        for smaller in range(1, SMALLER + 1):
            factor = part.spread(factor.view(part.channels, -1).amin(1))
            for name, q in fresh.items():
                inside[name] = GRID * torch.trunc(q * self.synapse(name).wire.least(factor) / GRID)
            if part.bias is not None:
                bias = torch.where(held, wanted, part.smaller_bias(wanted, factor))
            excess = self.excess(p, inside, bias)
            if not bool((excess > 1).any()):
                break
            factor = torch.where(excess > 1, factor * 0.98**smaller, factor)
        else:
            what = f"the sums of {int((excess > 1).sum())} neurons leave their registers, however small the weights are"
            raise UnsupportedError(TITLE, [Violation(p.name, what, "its state is damaged: make the Chip anew")])
        weights |= {name: weights[name] + (inside[name] - q).detach() for name, q in fresh.items()}
        biases[p.name] = biases[p.name] + (bias - biases[p.name]).detach()

    def _held(
        self, p: Population, weights: Mapping[str, Tensor], bias: Tensor, excess: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Biases, where they may not be made smaller, and the excess with them.

        They are those at the start where skips would leave the room without a bias: at the start all is inside, so with
        these and small weights, too.
        """
        if all(s.name in self.weights for s in self.incoming[p.name]):
            return bias, torch.zeros_like(bias, dtype=torch.bool), excess
        none = {name: torch.zeros_like(q) if name in self.weights else q for name, q in weights.items()}
        part = self.population(p.name)
        alone = (excess > 1) & (self.excess(p, none, torch.zeros_like(bias)) > 1)
        held = part.spread(alone.view(part.channels, -1).any(1))
        bias = torch.where(held, part.offset, bias)
        return bias, held, self.excess(p, weights, bias)

    @torch.no_grad()
    def scaled_back(self) -> int:
        """How many neurons have learned weights that would leave the room, and act scaled back."""
        weights, biases = self._rounded()
        proven = [p for p in self.frozen.populations if self.population(p.name).proven]
        return sum(int((self.excess(p, weights, biases[p.name]) > 1).sum()) for p in proven)

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
            replace(s, wiring=s.wiring.with_weight(_array(weights[s.name]).astype(np.int32)))
            if s.name in self.weights
            else s
            for s in self.frozen.synapses
        )
        trained = replace(self.frozen, populations=tuple(populations), synapses=synapses, report={})
        kept = without_idle(trained)
        return trained if kept is trained else plan_of(kept).program


def _array(values: Tensor) -> NDArray[Any]:
    return np.asarray(values.cpu().numpy(), np.int64)


def _formats(program: ChipProgram, weights: Sequence[str], biases: Sequence[str]) -> str:
    """The digest of all that is frozen.  weights, biases: synapses and populations of which they are learned."""
    zero = {"bias_mant": np.asarray(0), "bias_exp": np.asarray(0)}
    synapses = tuple(
        replace(s, wiring=s.wiring.with_weight(np.zeros_like(s.weight))) if s.name in weights else s
        for s in program.synapses
    )
    populations = tuple(replace(p, params={**p.params, **zero}) if p.name in biases else p for p in program.populations)
    return replace(program, synapses=synapses, populations=populations, report={}).digest
