"""Single faults that may explain a population's records: each is tried on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints, wrap_bits
from ..neurons import spec
from .faults import Case, Fault, current_error, potential_error
from .records import Change, added, arrive, explains, predict
from .weights import changed_weights

REACH = 16
"""So far a leak or a threshold may be off to be recognised."""


def _biases(case: Case) -> Iterator[Fault]:
    held, bias = case.held, case.held.bias
    zero = np.zeros((), np.int64)
    if bias.any() and case.fits(Change(bias=zero)):
        yield case.fault("missing bias", f"a bias of {int(bias[0])} does not act", int(bias[0]), 0)
        return
    started = held.row >= held.population.latency
    other = _constant(case, started)
    if other is not None and case.fits(Change(bias=np.where(started, bias + other, 0))):
        yield case.fault(
            "bias", f"the bias is {int(bias[0] + other[0])}, not {int(bias[0])}", int(bias[0]), int(bias[0] + other[0])
        )
    latency = held.population.latency
    for start in range(latency + 4):
        if start != latency and case.fits(Change(bias=np.where(held.row >= start, bias, 0))):
            text = f"the bias acts from chip step {start} on, not {latency}"
            yield case.fault("bias start", text, latency, start)


def _constant(case: Case, started: NDArray[np.bool_]) -> Ints | None:
    """What is added to each potential in every step from the latency on, (n,); None unless it is always the same."""
    error, known = potential_error(case)
    rows = known & started
    if not rows.any(axis=0).all():
        return None
    first = error[rows.argmax(axis=0), np.arange(error.shape[1])]
    return first if first.any() and bool((error == first)[rows].all()) else None


def _leaks(case: Case) -> Iterator[Fault]:
    unity = case.held.registers.unity
    for name, what in (("dv", "the potential"), ("du", "the current")):
        if name not in case.held.params:
            continue
        kept = case.held.params[name]
        top = unity if name == "dv" else unity - 1
        for by in (sign * n for n in range(1, REACH + 1) for sign in (1, -1)):
            other = kept + by
            if other.min() >= 0 and other.max() <= top and case.fits(Change(params={name: other})):
                text = f"the leak of {what}, {name}, is {int(other[0])}, not {int(kept[0])}"
                yield case.fault("leak", text, int(kept[0]), int(other[0]))
                break
    held = case.held
    keep, bits = unity - held.params["dv"] if "dv" in held.params else None, held.registers.decay_bits
    if keep is not None and "v" in held.state:
        lower = ((held.state["v"] * keep) >> bits) - np.sign(held.state["v"]) * (
            (np.abs(held.state["v"]) * keep) >> bits
        )
        bias = np.where(held.row >= held.population.latency, held.bias, 0)
        if lower.any() and case.fits(Change(bias=bias + lower)):
            yield case.fault("leak rounding", "the leak of the potential rounds down, not toward zero")


def _times(case: Case) -> Iterator[Fault]:
    """All inputs later or earlier, with the bias or without; or those of one synapse."""
    held, rows = case.held, int(case.held.row[-1, 0]) + 1

    def moved(names: list[str], by: int) -> dict[str, Ints]:
        return {
            s.name: added(s, arrive(case.trace, s, case.samples, rows, by))[:, held.neurons]
            for s in held.synapses
            if s.name in names and s.delay + by >= 0
        }

    every = [s.name for s in held.synapses]
    bias = np.where(held.row >= held.population.latency, held.bias, 0)
    for by in (1, -1, 2, 3):
        kind, word = ("late", "later") if by > 0 else ("early", "earlier")
        with_bias = np.where(held.row >= held.population.latency + by, held.bias, 0)
        for names in [every, *([name] for name in every if len(every) > 1)]:
            sums = moved(names, by)
            if len(sums) < len(names) or not names:
                continue
            if any(case.fits(Change(sums=sums, bias=b)) for b in ((bias, with_bias) if names is every else (bias,))):
                which = "all inputs arrive" if names is every else f"the input by {names[0]} arrives"
                text = f"{which} {abs(by)} step{'s' * (abs(by) > 1)} {word}"
                yield case.fault(kind, text, 0, by, "" if names is every else names[0])
                break


def _limits(case: Case) -> Iterator[Fault]:
    held, registers = case.held, case.held.registers
    wide = replace(registers, v_bits=31)
    widths = [bits for bits in range(31, 1, -1) if (1 << (bits - 1)) > _highest(case)]
    for bits in widths:
        limit = (1 << (bits - 1)) - 1
        if bits != registers.v_bits and case.fits(Change(registers=replace(registers, v_bits=bits))):
            text = f"the potential stops at {limit:,}, the limit of {bits} bits, not {registers.v_limit:,}"
            yield case.fault("saturation", text, registers.v_limit, limit)
            break
    free = predict(held, Change(registers=wide))
    if "h" not in free:
        return
    bias = np.where(held.row >= held.population.latency, held.bias, 0)
    for bits in widths:
        lost = wrap_bits(free["h"], bits) - free["h"]
        if lost.any() and case.fits(Change(registers=wide, bias=bias + lost)):
            yield case.fault("wrap", f"the potential wraps around at {bits} bits", registers.v_bits, bits)
            break


def _highest(case: Case) -> int:
    """The highest firing level, which any register must hold."""
    levels = spec(case.whole.population.kind).levels(case.whole.params, case.whole.registers)
    if levels is None:
        return 0
    sides = (levels.theta * levels.rounds, levels.theta_neg * levels.rounds_neg)
    return max(int(np.max(side)) for side in sides)


def _resets(case: Case) -> Iterator[Fault]:
    """The same spikes from the same potentials, but something else is left of them."""
    levels = spec(case.whole.population.kind).levels(case.held.params, case.held.registers)
    seen, found = case.held.seen, case.found
    if levels is None or "h" not in found or not {"spikes", "v"} <= set(seen):
        return
    same = all(np.array_equal(found[v], seen[v]) for v in ("spikes", "h", "u") if v in seen and v in found)
    if not same:
        return
    s, h = seen["spikes"], found["h"]
    taken = np.where(s > 0, s * levels.theta, s * levels.theta_neg)
    rules = {
        "subtracts the threshold": h - taken,
        "sets the potential to zero": np.where(s != 0, 0, h),
        "leaves the potential": h,
    }
    ours = next((name for name, v in rules.items() if np.array_equal(v, found["v"])), "leaves what the program says")
    for name, v in rules.items():
        if name != ours and np.array_equal(v, seen["v"]):
            yield case.fault("reset", f"a spike {name}; in the program it {ours}")
            return
    first = np.argwhere(s != 0)
    if len(first) and np.array_equal(h[s == 0], seen["v"][s == 0]):
        at = tuple(first[0])
        amount = (h - seen["v"])[at] // s[at]
        if np.array_equal(h - amount * s, seen["v"]):
            yield case.fault("reset", f"a spike takes {int(amount)}; in the program it {ours}", None, int(amount))


def _thresholds(case: Case) -> Iterator[Fault]:
    held, seen, found = case.held, case.held.seen, case.found
    levels = spec(case.whole.population.kind).levels(held.params, held.registers)
    if levels is None or "spikes" not in seen:
        return
    for name, kind in (("vth", "threshold"), ("vth_neg", "threshold"), ("rounds", "rounds"), ("rounds_neg", "rounds")):
        if name not in held.params:
            continue
        kept = held.params[name]
        for by in (sign * n for n in range(1, REACH + 1) for sign in (1, -1)):
            other = kept + by
            if other.min() >= (0 if name == "rounds_neg" else 1) and case.fits(Change(params={name: other})):
                yield case.fault(kind, f"{name} is {int(other[0])}, not {int(kept[0])}", int(kept[0]), int(other[0]))
                break
    differs = found["spikes"] != seen["spikes"]
    if "h" in found and differs.any():
        h = found["h"]
        up = (h > 0) & (h % levels.theta == 0) & (h <= levels.rounds * levels.theta)
        down = (h < 0) & (h % levels.theta_neg == 0) & (-h <= levels.rounds_neg * levels.theta_neg)
        same = all(np.array_equal(found[v], seen[v]) for v in ("h", "u") if v in seen and v in found)
        at_level = (up | down) == differs
        if same and at_level.all() and (np.abs(seen["spikes"] - found["spikes"])[differs] == 1).all():
            yield case.fault(
                "strictness", "a potential exactly at its threshold fires, or does not, against the program"
            )


def _weights(case: Case) -> Iterator[Fault]:
    """Weights whose sources fire alike explain the same: they are one fault that names all of these sources."""
    error, known = potential_error(case) if "du" not in case.held.params else current_error(case)
    alike: list[Fault] = []
    for synapse, entry, by in changed_weights(case.held, error, known):
        weight = synapse.weight.astype(np.int64).reshape(-1)
        weight[entry] += by
        other = replace(synapse, wiring=synapse.wiring.with_weight(weight.reshape(synapse.weight.shape)))
        sums = {synapse.name: added(other, case.whole.arriving[synapse.name])}
        if explains(case.whole, predict(case.whole, Change(sums=sums))):
            numbered = synapse.wiring.with_weight(np.arange(weight.size).reshape(synapse.weight.shape))
            sources, entries = numbered.row(int(case.held.neurons[0]))
            source = int(sources[entries == entry][0])
            a, b = int(weight[entry] - by), int(weight[entry])
            place = f"from neuron {source} of {synapse.source} to {case.neurons[0]}"
            text = f"{synapse.name}: the weight {place} is {b}, not {a}"
            alike.append(Fault("weight", case.name, text, synapse.name, case.neurons, (source,), a, b))
    if alike:
        first = alike[0]
        named = tuple(dict.fromkeys(f.sources[0] for f in alike if f.synapse == first.synapse))
        others = sorted(dict.fromkeys(f"{f.synapse}, neuron {f.sources[0]}" for f in alike[1:]))
        text = first.text + (f" (or, which explains the same: {'; '.join(others)})" if others else "")
        yield replace(first, sources=named, text=text)


LOOKS: tuple[Callable[[Case], Iterator[Fault]], ...] = (
    _weights,
    _biases,
    _leaks,
    _times,
    _limits,
    _resets,
    _thresholds,
)


def explaining(case: Case) -> list[Fault]:
    """Every fault that alone explains all that was recorded of the population."""
    return [fault for look in LOOKS for fault in look(case)]
