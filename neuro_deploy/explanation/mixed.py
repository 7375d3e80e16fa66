"""A network's run in float64, in which each of the chip's number formats can be on or off, in each population.

It takes the composed graph's real numbers and the program's integers as data, and writes the step down by itself:

    a    = sum over synapses of W s                    "weights": W = unit * 2^exponent * integers; else as composed
    u    = beta_syn u + a,   x = u  (or x = a)         "leak": beta = keep / unity, the product rounded to zero
    h    = beta v + x + bias                           "bias", "potential": rounded to a register step, clipped
    s, v = the kind's fire(h)                          "thresholds"

A population whose "potential" is on computes in register steps, so that with all formats on every number is a whole one
and exact in float64: that run equals `sim` bit for bit.  With all off it is the float network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError, Violation
from ..graph import Composed
from ..graph.compose import ComposedPopulation, ComposedSynapse
from ..neurons import part, spec
from ..neurons.base import Integers, bias_of
from ..neurons.mixed import Floats
from ..program import ChipProgram, Encoder, Population, Synapse
from ..wiring import Conv, Wiring
from .formats import Setting

CONV_BITS, SUM_BITS = 24, 32
"""Widths at which a convolution's sum and any sum wrap (docs/semantics.md)."""
FLOAT32, FLOAT64 = 1e-6, 1e-12
"""What differs less (relatively) is the same number after another rounding of the float: no format costs that."""
SLACK = 1e-7
"""Less than any fraction of a register step that a leak's product has."""
PLAIN = ("theta", "theta_neg", "theta_reset", "v_reset")
"""Parameters that are potentials."""


@dataclass(frozen=True, eq=False)
class Signal:
    """What a source sends: in float, and in the integers' scale (not whole where its format is off); (rows, B, N)."""

    real: Floats
    scaled: Floats


class Network:
    """A composed graph and its program, ready to run.

    payload_bits: of a spike, 0: one spike.   Raises: UnsupportedError for a kind without mixed.py.
    """

    def __init__(self, composed: Composed, program: ChipProgram, payload_bits: int) -> None:
        self.composed, self.program = composed, program
        self.limits = {p.name: _payload(p, payload_bits) for p in program.populations}
        missing = []
        for p in program.populations:
            try:
                part(p.kind, "mixed")
            except ModuleNotFoundError:
                missing.append(Violation(p.name, f"kind '{p.kind}' has no mixed.py", "add it to the kind's folder"))
        if missing:
            raise UnsupportedError("cannot explain the network", missing)

    @property
    def layers(self) -> tuple[str, ...]:
        """The encoder, then the populations."""
        return (*(e.name for e in self.program.encoders), *(p.name for p in self.program.populations))

    def run(
        self, x: NDArray[Any], setting: Setting, known: Mapping[str, Mapping[str, Floats]] | None = None
    ) -> dict[str, dict[str, Floats]]:
        """Population -> "spikes" and "v" (in float units, (T, B, N)) of the logical steps; "rows": spikes of all rows.

        x: (T, B, *shape).   known: the run with all formats off, for populations that no format reaches.
        """
        rows = len(x) + self.program.depth
        encoder = self.program.encoders[0]
        signals = {encoder.name: _input(encoder, x, rows, setting)}
        reached = self._reached(setting) if known is not None else set(self.layers)
        cells = [_Cell(self, p, x.shape[1], rows, setting) for p in self.program.populations if p.name in reached]
        if known is not None:
            signals |= {name: Signal(held["rows"], held["rows"]) for name, held in known.items()}
        for cell in cells:
            signals[cell.p.name] = Signal(cell.spikes, cell.spikes)
        for row in range(rows):
            for cell in cells:
                cell.step(row, signals)
        made = {c.p.name: c.recorded(len(x)) for c in cells}
        return {
            p.name: made[p.name] if p.name in made else dict((known or {})[p.name]) for p in self.program.populations
        }

    def _reached(self, setting: Setting) -> set[str]:
        """The layers with a format that is on, and all that gets their spikes."""
        reached = {layer for _, layer in setting.on}
        while more := {s.target for s in self.program.synapses if s.source in reached} - reached:
            reached |= more
        return reached


def _input(encoder: Encoder, x: NDArray[Any], rows: int, setting: Setting) -> Signal:
    real = x.reshape(*x.shape[:2], -1).astype(np.float64)
    scaled = real * encoder.numerator / encoder.denominator + encoder.offset
    if setting.has("input", encoder.name):
        whole = np.rint(real * encoder.numerator / encoder.denominator) + encoder.offset
        scaled = np.clip(whole, encoder.low, encoder.high)
        real = _kept((scaled - encoder.offset) * encoder.denominator / encoder.numerator, real, FLOAT32)
    pad = ((0, rows - len(real)), (0, 0), (0, 0))
    return Signal(np.pad(real, pad), np.pad(scaled, pad))


def _payload(p: Population, bits: int) -> tuple[int, int]:
    """Smallest and largest spike that the payload carries."""
    low, high = spec(p.kind).spike_range(p.params)
    if bits == 0:
        return max(low, -1), min(high, 1)
    limit = (1 << bits) - 1 if low >= 0 else (1 << (bits - 1)) - 1
    return max(low, -limit), min(high, limit)


class _Cell:
    """One population on its way through a run.  Its numbers have its own unit: a register step if "potential" is on."""

    def __init__(self, network: Network, p: Population, batch: int, rows: int, setting: Setting) -> None:
        self.p, self.setting, self.program = p, setting, network.program
        self.limit = network.limits[p.name]
        composed = next(c for c in network.composed.populations if c.name == p.name)
        whole = setting.has("potential", p.name)
        self.to_real = np.asarray(p.unit if whole else 1.0)
        self.lsb = np.asarray(1.0 if whole else p.unit)
        self.values = self._values(composed)
        self.bias = self._bias(composed)
        self.synapses = _synapses(network, p.name)
        self.weights = [self._weight(c, s) for c, s in self.synapses]
        self.current = "du" in p.params
        self.spikes, self.v = np.zeros((2, rows, batch, p.size))
        self.state_u, self.state_v = np.zeros((2, batch, p.size))
        self.fire = part(p.kind, "mixed").fire

    def recorded(self, steps: int) -> dict[str, Floats]:
        """What the run gives of it."""
        logical = slice(self.p.latency, self.p.latency + steps)
        return {"spikes": self.spikes[logical], "v": self.v[logical] * self.to_real, "rows": self.spikes}

    def on(self, name: str) -> bool:
        return self.setting.has(name, self.p.name)

    def _values(self, composed: ComposedPopulation) -> dict[str, Floats]:
        """Parameters () or (N,), in the cell's unit."""
        p, registers = self.p, self.program.registers
        neuron = composed.neuron
        given = {name: neuron.flat(name) for name in neuron.params}
        chip = spec(p.kind).restore(Integers(p.params, p.shape, np.ones(p.size), registers, "beta_syn" in given))
        kept = {name: chip.flat(name) for name in chip.params}
        real = {n: v / self.to_real if n in PLAIN else v for n, v in given.items()}
        whole = {n: v * self.lsb if n in PLAIN else v for n, v in kept.items()}
        if not self.setting.has("potential", p.name):
            whole = {n: _kept(v, real[n], FLOAT64) if n in PLAIN and n in real else v for n, v in whole.items()}
        chosen = {n: whole[n] if self.on("thresholds") and n in PLAIN and n in whole else v for n, v in real.items()}
        if self.on("leak"):
            chosen |= {n: whole[n] for n in ("beta", "beta_syn") if n in whole}
        return chosen

    def _bias(self, composed: ComposedPopulation) -> Floats:
        real = np.asarray(composed.bias / self.to_real)
        if not self.on("bias"):
            return real
        whole = np.asarray(bias_of(self.p.params) * self.lsb)
        return whole if self.on("potential") else _kept(whole, real, FLOAT64)

    def _weight(self, composed: ComposedSynapse, s: Synapse) -> Wiring:
        """The weights that act on the source's integers, in weight units / 2^exponent; or on its float values.

        These are the composed ones, or where only weights are integers, what these mean in float.
        """
        if not self.on("weights"):
            return composed.wiring
        finer = self.setting.finer.get(self.p.name, 0)
        weight = s.weight.astype(np.float64)
        unit = s.wiring.spread(np.broadcast_to(self.p.unit * self._steps(s), (self.p.size,)))
        encoder = next((e for e in self.program.encoders if e.name == s.source), None)
        gain = encoder.gain if encoder else 1.0
        if finer:
            step = float(np.gcd.reduce(np.abs(s.weight).reshape(-1), initial=0) or 1) / (1 << finer)
            weight = step * np.rint(composed.weight / gain / unit / step)
        if self._scaled:
            return s.wiring.with_weight(weight)
        return s.wiring.with_weight(_kept(weight * unit * gain, composed.weight, FLOAT32))

    @property
    def _scaled(self) -> bool:
        """True if sums are those of the source's integers."""
        return self.on("weights") and (self.on("sums") or self.on("potential"))

    def _steps(self, s: Synapse) -> float:
        """Register steps of a weight of 1."""
        return float(2.0 ** (s.exponent + self.program.registers.input_shift))

    def _sum(self, index: int, signal: Signal, row: int) -> Floats:
        """What a synapse adds, in the cell's unit, (B, N)."""
        s, wiring = self.synapses[index][1], self.weights[index]
        steps = self._steps(s)
        if not self._scaled:
            real = np.asarray(wiring.apply(signal.real[row]) / self.to_real)
            if not self.on("sums"):
                return real
            product = real * self.to_real / (self.p.unit * steps)
        else:
            product = wiring.apply(signal.scaled[row])
            real = np.asarray(product * steps * self.lsb)
        if not self.on("sums"):
            return real
        if isinstance(s.wiring, Conv):
            kept = _wrap(_floor(product * 2.0**s.exponent, s.exponent), CONV_BITS)
        else:
            kept = _floor(_wrap(product, SUM_BITS) * 2.0**s.exponent, s.exponent)
        same = kept == product * 2.0**s.exponent
        return np.where(same, real, kept * 2.0**self.program.registers.input_shift * self.lsb)

    def _leaked(self, state: Floats, name: str) -> Floats:
        """beta * state."""
        beta = self.values[name]
        if not self.on("leak"):
            return beta * state
        unity = self.program.registers.unity
        steps = np.floor(np.abs(state) / self.lsb * (beta * unity) / unity + SLACK)
        return np.asarray(np.sign(state) * steps * self.lsb)

    def step(self, row: int, signals: Mapping[str, Signal]) -> None:
        """One chip step."""
        x = np.zeros_like(self.state_v)
        for i, (_, s) in enumerate(self.synapses):
            if (when := row - 1 - s.delay) >= 0:
                x = x + self._sum(i, signals[s.source], when)
        registers, whole = self.program.registers, self.on("potential")
        if self.on("sums"):
            unit = 2.0**registers.input_shift * self.lsb
            wrapped = _wrap(x / unit, SUM_BITS)
            x = np.where(wrapped == x / unit, x, wrapped * unit)
        if self.current:
            if "beta_syn" in self.values:
                x = self._leaked(self.state_u, "beta_syn") + x
            if whole:
                x = _wrap_once(_wrap(np.rint(x), SUM_BITS), registers.u_bits)
            self.state_u = x
        h = self._leaked(self.state_v, "beta") + x
        if row >= self.p.latency:
            h = h + self.bias
        if whole:
            h = np.clip(np.rint(h), -registers.v_limit, registers.v_limit)
        s, self.state_v = self.fire(h, self.values)
        self.spikes[row] = np.clip(s, *self.limit) if self.on("payload") else s
        self.v[row] = self.state_v


def _synapses(network: Network, name: str) -> list[tuple[ComposedSynapse, Synapse]]:
    ours = {s.name: s for s in network.program.synapses}
    return [(c, ours[c.name]) for c in network.composed.synapses if c.target == name]


def _kept(whole: Floats, real: Floats, tolerance: float) -> Floats:
    """A format's numbers; the real ones where they are the same but for a rounding."""
    return np.where(np.abs(whole - real) <= tolerance * np.abs(real), real, whole)


def _floor(x: Floats, exponent: int) -> Floats:
    """Rounded down where a sum was shifted right."""
    return np.floor(x) if exponent < 0 else x


def _wrap(x: Floats, bits: int) -> Floats:
    """Two's complement: into [-2^(bits-1), 2^(bits-1))."""
    half = 2.0 ** (bits - 1)
    if np.abs(x).max(initial=0) < half:
        return x
    return np.asarray(np.mod(x + half, 2 * half) - half)


def _wrap_once(x: Floats, bits: int) -> Floats:
    """Into (-2^(bits-1), 2^(bits-1)], by one turn."""
    half = 2.0 ** (bits - 1)
    return np.where(x > half, x - 2 * half, np.where(x <= -half, x + 2 * half, x))
