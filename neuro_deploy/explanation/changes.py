"""How two programs differ, as faults of the second one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..fixed import Ints
from ..neurons.base import bias_of, remembers
from ..program import ChipProgram, Population, Synapse
from ..program.data import plain
from .faults import FIRST, Fault

PARAMETERS = {
    "dv": ("leak", "the leak of the potential"),
    "du": ("leak", "the leak of the current"),
    "vth": ("threshold", "the threshold"),
    "vth_neg": ("threshold", "the threshold below zero"),
    "rounds": ("rounds", "the most spikes a step"),
    "rounds_neg": ("rounds", "the most spikes a step below zero"),
    "v_reset": ("reset", "the potential after a spike"),
    "theta_reset": ("reset", "what a round takes away"),
}
"""Integer parameter -> kind of fault, and what it is."""


def changes(a: ChipProgram, b: ChipProgram) -> list[Fault]:
    """What of b is not as in a: populations in a's order, with their synapses."""
    found = list(_wide(a, b))
    there = {p.name: p for p in b.populations}
    for p in a.populations:
        if p.name not in there:
            found.append(Fault("connections", p.name, f"{p.name}: is missing"))
            continue
        found += [*_synapses(a, b, p.name), *_population(p, there[p.name], a)]
    return found


def _wide(a: ChipProgram, b: ChipProgram) -> Iterator[Fault]:
    if [plain(e) for e in a.encoders] != [plain(e) for e in b.encoders]:
        yield Fault("input", "", "the input is encoded otherwise")
    if a.registers == b.registers:
        return
    x, y = vars(a.registers), vars(b.registers)
    for name in x:
        if x[name] != y[name]:
            kind = "saturation" if name == "v_bits" else "registers"
            text = f"{name} is {y[name]}, not {x[name]}"
            if name == "v_bits":
                text = f"the potential stops at {b.registers.v_limit:,}, not {a.registers.v_limit:,}: {text}"
            yield Fault(kind, "", text, a=x[name], b=y[name])


def _synapses(a: ChipProgram, b: ChipProgram, name: str) -> Iterator[Fault]:
    ours, theirs = ({s.name: s for s in p.synapses if s.target == name} for p in (a, b))
    for key in dict.fromkeys([*ours, *theirs]):
        if key not in ours or key not in theirs:
            yield Fault("connections", name, f"{key}: is in one program only", key)
    both = [(s, theirs[key]) for key, s in ours.items() if key in theirs]
    delays = {other.delay - s.delay for s, other in both}
    together = len(both) > 1 and len(delays) == 1
    for i, (s, other) in enumerate(both):
        if s.source != other.source or s.kind != other.kind or s.weight.shape != other.weight.shape:
            yield Fault("connections", name, f"{s.name}: connects otherwise", s.name)
            continue
        if s.delay != other.delay and (i == 0 or not together):
            by = other.delay - s.delay
            kind, word = ("late", "later") if by > 0 else ("early", "earlier")
            which = "all inputs arrive" if together else f"the input by {s.name} arrives"
            text = f"{name}: {which} {abs(by)} step{'s' * (abs(by) > 1)} {word}"
            yield Fault(kind, name, text, "" if together else s.name, a=s.delay, b=other.delay)
        if s.exponent != other.exponent:
            text = f"{s.name}: the exponent is {other.exponent}, not {s.exponent}"
            yield Fault("exponent", name, text, s.name, a=s.exponent, b=other.exponent)
        if (s.weight != other.weight).any():
            yield _weight(s, other, name)


def _weight(s: Synapse, other: Synapse, name: str) -> Fault:
    targets, sources, ours = s.wiring.triples()
    theirs = other.wiring.triples()[2]
    where = np.flatnonzero(ours != theirs)
    stored = int((s.weight != other.weight).sum())
    i = where[0]
    first = f"from neuron {sources[i]} of {s.source} to {targets[i]} is {theirs[i]}, not {ours[i]}"
    text = f"{s.name}: the weight {first}" + (f" ({stored} weights are others)" if stored > 1 else "")
    neurons, senders = (tuple(dict.fromkeys(v[where].tolist()))[:FIRST] for v in (targets, sources))
    return Fault("weight", name, text, s.name, neurons, senders, int(ours[i]), int(theirs[i]))


def _population(p: Population, q: Population, program: ChipProgram) -> Iterator[Fault]:
    def fault(kind: str, what: str, one: Ints, other: Ints) -> Fault:
        where = np.flatnonzero(one != other)
        a, b = int(one[where[0]]), int(other[where[0]])
        text = f"{p.name}: {what} is {b}, not {a}, in {len(where)} of {p.size} neurons"
        return Fault(kind, p.name, text, "", tuple(where[:FIRST].tolist()), (), a, b)

    ours, theirs = _spread(p, program), _spread(q, program)
    if p.kind != q.kind:
        yield Fault("reset", p.name, f"{p.name}: {RESETS.get(q.kind, q.kind)}, not {RESETS.get(p.kind, p.kind)}")
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        kind, what = PARAMETERS.get(name, ("parameter", name))
        if one is None or other is None:
            if p.kind == q.kind:
                yield Fault(kind, p.name, f"{p.name}: {what} is in one program only")
        elif name == "bias" and (one != other).any():
            missing = not other[one != other].any()
            yield fault("missing bias" if missing else "bias", "the bias", one, other)
        elif (one != other).any():
            yield fault(kind, f"{what}, {name},", one, other)
    if p.latency != q.latency:
        text = f"{p.name}: the bias acts from chip step {q.latency} on, not {p.latency}"
        yield Fault("bias start", p.name, text, a=p.latency, b=q.latency)


RESETS = {"cf": "a spike subtracts the threshold", "lif": "a spike sets the potential to zero", "li": "it never fires"}


def _spread(p: Population, program: ChipProgram) -> Mapping[str, Ints]:
    """Each parameter of every neuron, (N,); the bias as one number; a current without memory left out.

    Where the same neuron can be said in two kinds, one spike a step is what both have.
    """
    found = {k: np.broadcast_to(v, (p.size,)) for k, v in p.params.items() if not k.startswith("bias_")}
    found["bias"] = np.broadcast_to(bias_of(p.params), (p.size,))
    if not remembers(found, program.registers):
        found.pop("du", None)
    for name, idle in (("rounds", 1), ("rounds_neg", 0)):
        if name in found and bool((found[name] == idle).all()):
            del found[name]
    if "rounds_neg" not in found:
        found.pop("vth_neg", None)
    return found
