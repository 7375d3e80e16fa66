"""A `.net` file's network as a ChipProgram: its integers stay as they are.

input block   encoder round(|gain| * x), then a weight of +-1; x is clamped to [-4, 254/64], as in slayer.
              netx takes whole currents too, as biases that its user computes.  slayer does not round gain * x,
              but takes x in steps of 1/32: where that matters, give x on a grid where gain * x is whole.
weights       as in the file; of both signs and odd (Loihi keeps even ones): twice as large, exponent one less
du, dv, vth   iDecay - 1, vDecay, vThMant;  bias_mant the bias, bias_exp 6
delays        one synapse for each delay that occurs
no threshold  in reach: `li`, which never fires
average       sums in `li` neurons that keep nothing; the unit makes a mean of them
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InputError, UnsupportedError, Violation
from ..fixed import LOIHI, Ints
from ..lower.bounds import Reach, Window, reach
from ..lower.compile import DEFAULT_MAX_STEPS
from ..lower.fit import fit, fit_violations
from ..lower.refuse import reached
from ..neurons import spec
from ..program import ChipProgram, Encoder, Population, Readout, Synapse, default_rule
from ..target import Target, load_target
from ..wiring import Dense, Sparse, Wiring
from .layers import UNITY, Layer, Net

INPUT = "input"
STEP = 1.0
"""The unit of time of a program whose seconds nobody told: its step."""
CLAMP = (-4.0, 254 / 64)
"""What slayer clamps an input block's x to (`quantize_8bit`)."""


def to_program(
    net: Net,
    target: Target | str | os.PathLike[str] = "loihi2",
    *,
    dt: float | None = None,
    input_bits: int = 1,
    max_steps: int | None = None,
) -> ChipProgram:
    """The network for a target, no number rounded.

    dt: seconds a step; a .net file does not say it, and no integer depends on it.
    input_bits: width of the input's payload where there is no input block; 1: binary spikes.
    max_steps: what the bounds hold for; by default the file's tSample, else 1,000.
    Raises: InputError, TargetError; UnsupportedError with everything that the target cannot do.
    """
    chip = target if isinstance(target, Target) else load_target(target)
    steps = max_steps if max_steps is not None else net.steps or DEFAULT_MAX_STEPS
    if steps < 1 or not 1 <= input_bits <= 31 or (dt is not None and not 0 < dt < np.inf):
        raise InputError("max_steps and dt must be above 0, input_bits in [1, 31]")
    encoder = _encoder(net, input_bits)
    found = _registers(chip) + _input_violations(encoder, chip)
    populations = tuple(_population(layer, chip, found) for layer in net.layers)
    senders = (INPUT, *(layer.name for layer in net.layers[:-1]))
    synapses = [s for f, layer in zip(senders, net.layers, strict=True) for s in _synapses(layer, f, net, chip, found)]
    if found:
        raise UnsupportedError(f"the network does not fit {chip.name}:", found)
    bounds = _bounds(encoder, populations, synapses, steps, chip)
    program = ChipProgram(
        target=chip.name,
        dt=STEP if dt is None else dt,
        max_steps=steps,
        encoders=(encoder,),
        populations=populations,
        synapses=tuple(synapses),
        readout=readout(net),
        proven=all(float(bound.excess.max(initial=0.0)) <= 1 for bound in bounds.values()),
        registers=chip.registers,
    )
    if found := fit_violations(program, chip):
        raise UnsupportedError(f"the network does not fit {chip.name}:", found)
    return replace(program, report=_report(program, net, chip, bounds, dt))


def _bounds(
    encoder: Encoder, populations: Sequence[Population], synapses: Sequence[Synapse], steps: int, chip: Target
) -> dict[str, Reach]:
    """How far registers can go, for any input of so many steps."""
    spikes = {p.name: spec(p.kind).spike_range(p.params) for p in populations}
    spikes[encoder.name] = (encoder.low, encoder.high)
    return {
        p.name: reach(p, [s for s in synapses if s.target == p.name], spikes, Window(steps, 0), chip)
        for p in populations
    }


def readout(net: Net) -> Readout:
    """Spike counts of the last layer; the potential of an integrator at the end if it keeps all, else its mean."""
    last = net.layers[-1]
    fires = last.neurons is not None and last.neurons.fires
    keeps = last.neurons is not None and not last.neurons.v_decay.any()
    return Readout(last.name, "last_v" if keeps and not fires else default_rule(fires))


def _encoder(net: Net, bits: int) -> Encoder:
    if net.gain is None:
        return Encoder(INPUT, net.input_shape, 1, 1, bits, False, 0, (1 << bits) - 1)
    gain = abs(net.gain)
    low, high = (int(np.rint(edge * gain)) for edge in CLAMP)
    width = max(-low, high + 1).bit_length() + 1
    return Encoder(INPUT, net.input_shape, max(1, gain), 1, width, True, low, high)


def _population(layer: Layer, chip: Target, found: list[Violation]) -> Population:
    """Register units are 1/64 of a weight unit."""
    unit = 1.0 / (1 << LOIHI.input_shift)
    zero = {"bias_mant": np.asarray(0), "bias_exp": np.asarray(0)}
    neurons = layer.neurons
    if neurons is None:
        assert layer.wiring is not None
        share = layer.wiring.source_size // layer.size
        kind, params = "li", {"du": np.asarray(UNITY - 1), "dv": np.asarray(UNITY), **zero}
        unit /= share
    else:
        kind = "lif" if neurons.fires else "li"
        values = {"du": neurons.i_decay - 1, "dv": neurons.v_decay, "bias_mant": neurons.bias}
        values |= {"vth": neurons.threshold} if neurons.fires else {}
        params = {name: layer.each(v) if v.ndim else v for name, v in values.items()}
        params["bias_exp"] = np.asarray(LOIHI.input_shift)
    remedy = "train with numbers that fit the registers"
    found += [Violation(layer.name, what, remedy) for what in spec(kind).check(params, chip.registers)]
    if not chip.neuron.memoryless.value and (params["dv"] == UNITY).any():
        what = f"vDecay {UNITY} keeps nothing of a potential, {chip.name} has no such neurons"
        found.append(Violation(layer.name, what, "choose a target with memoryless neurons such as loihi2"))
    if chip.threshold.granularity.value == "per_population" and np.ptp(params.get("vth", np.zeros(1))) > 0:
        what = f"thresholds differ, but {chip.name} has one per population"
        found.append(Violation(layer.name, what, "choose a target with a threshold per neuron"))
    return Population(layer.name, kind, layer.shape, params, 1, np.asarray(unit))


def _synapses(layer: Layer, source: str, net: Net, chip: Target, found: list[Violation]) -> Iterator[Synapse]:
    if layer.wiring is None:
        count = layer.size
        ones = np.full(count, np.sign(net.gain or 0), np.int32)
        each = Sparse(ones, np.arange(count, dtype=np.int32), np.arange(count + 1), count)
        yield Synapse(f"{source}-{layer.name}", source, layer.name, each)
        return
    back = [(layer.name, layer.recurrent, 0)] if layer.recurrent is not None else []
    for sender, wiring, delay in [*((source, *way) for way in by_delay(layer)), *back]:
        name = f"{sender}-{layer.name}" + (f"[{delay}]" if layer.delay.ndim else "")
        weight, shift, problem = fitted(wiring.weight, chip.synapse.weight_bits.value)
        exponent = layer.exponent + shift
        if problem:
            found.append(Violation(layer.name, problem, "quantize to 8 bits in slayer, and export again"))
        if not chip.synapse.exponent_min.value <= exponent <= chip.synapse.exponent_max.value:
            what = f"weights need exponent {exponent}, beyond that of {chip.name}"
            found.append(Violation(layer.name, what, "train with other weights"))
        if delay > chip.synapse.max_delay.value:
            what = f"delay {delay} exceeds {chip.synapse.max_delay.value}, the longest of {chip.name}"
            found.append(Violation(layer.name, what, "train with a smaller max_delay"))
        yield Synapse(name, sender, layer.name, wiring.with_weight(weight.astype(np.int32)), exponent, delay)


def by_delay(layer: Layer) -> list[tuple[Wiring, int]]:
    """The weights of each delay that occurs, in its own wiring; those of other delays are left out, or 0."""
    assert layer.wiring is not None
    wiring, delay = layer.wiring, layer.delay
    if delay.ndim == 0 or (delay == delay.reshape(-1)[0]).all():
        return [(wiring, int(delay.reshape(-1)[0]))]
    delay = delay if delay.ndim == wiring.weight.ndim else delay.reshape(-1, *(1,) * (wiring.weight.ndim - 1))
    found: list[tuple[Wiring, int]] = []
    for steps in np.unique(delay).tolist():
        kept = np.broadcast_to(delay == steps, wiring.weight.shape)
        if isinstance(wiring, Dense):
            rows, columns = np.nonzero(kept & (wiring.weight != 0))
            shape = (wiring.target_size, wiring.source_size)
            found.append((Sparse.of(rows, columns, wiring.weight[rows, columns], shape), steps))
        else:
            found.append((wiring.with_weight(np.where(kept, wiring.weight, 0)), steps))
    return found


def fitted(weight: Ints, bits: int) -> tuple[Ints, int, str]:
    """(weights that Loihi keeps, what the exponent changes by, what is wrong or "").

    Of one sign: bits wide.  Of both: even numbers, -2^bits .. 2^bits - 2.
    """
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    most = 1 << bits
    if (low >= 0 or high <= 0) and max(high, -low) < most:
        return weight, 0, ""
    if not (weight % 2).any() and -most <= low and high <= most - 2:
        return weight, 0, ""
    if -most <= 2 * low and 2 * high <= most - 2:
        return 2 * weight, -1, ""
    return weight, 0, f"weights {low} .. {high} do not fit {bits} bits (of both signs: even, or half as large)"


def _registers(chip: Target) -> list[Violation]:
    """vThMant, iDecay, vDecay and the bias count in Loihi's registers."""
    names = ("v_bits", "u_bits", "decay_bits", "input_shift", "threshold_shift")
    other = [f"{n} {getattr(chip.registers, n)}" for n in names if getattr(chip.registers, n) != getattr(LOIHI, n)]
    what = f"{', '.join(other)}: a .net file's numbers are for Loihi's registers"
    return [Violation(chip.name, what, "import to --nir, and compile that")] if other else []


def _input_violations(encoder: Encoder, chip: Target) -> list[Violation]:
    if chip.input.payload_bits.value >= encoder.bits or (encoder.bits == 1 and not encoder.signed):
        return []
    what = f"input of {encoder.bits} bits, but {chip.name} takes {chip.input.payload_bits.value or 'binary spikes'}"
    return [Violation(INPUT, what, "choose a target with graded input such as loihi2")]


def _report(program: ChipProgram, net: Net, chip: Target, bounds: dict[str, Reach], dt: float | None) -> dict[str, Any]:
    remarks = ["imported from lava-dl: its integers as they are, nothing rounded; every layer has latency 1"]
    if net.gain is not None:
        remarks.append(f"the input block's current is round({abs(net.gain)} * x), in weight units")
    if dt is None:
        remarks.append("seconds a step were not given: the unit of time is the step")
    remarks += [
        f"{layer.name}: wgtExp {layer.exponent} is Loihi's weight exponent; lava-dl's netx does not read it"
        for layer in net.layers
        if layer.exponent
    ]
    over = [
        f"{name}: {reached(bound, register, program.max_steps)}, limit {bound.limit[register]}"
        for name, bound in bounds.items()
        for register in bound.magnitude
        if int(bound.magnitude[register].max(initial=0)) > bound.limit[register]
    ]
    remarks += (
        ["not proven: registers can wrap or clip; sim counts how often", *over]
        if over
        else ["cannot overflow: no register can wrap or clip, for any input"]
    )
    return {
        "target": chip.title,
        "scale": "as in the file",
        "bounds": {
            name: {
                register: {"largest": int(values.max(initial=0)), "limit": bound.limit[register]}
                for register, values in bound.magnitude.items()
            }
            for name, bound in bounds.items()
        },
        "fit": fit(program, chip).to_dict(),
        "remarks": remarks,
    }
