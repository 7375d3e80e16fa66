"""Neurons in compiled loops: one common neuron, of which kinds are special cases.

    u = wrap(leak(u, keep_u) + (a << shift))           where there is a current
    h = clip(leak(v, keep_v) + x + bias)               x = u, or a << shift
    li    s = 0                                        v = h
    lif   s = h > theta                                v = reset where s, else h
    cf    s = #{k in 1..rounds : h > k * theta}        v = h - s * theta; mirrored for negative spikes
          with theta_reset (no negative spikes)        v = h - s * theta + s * (theta - theta_reset)

All in int32, so that many neurons fit into one vector.  That is exact (with leak(x, f) = sgn(x) * ((|x| * f) >> bits)):

* (|x| * f) >> bits = (|x| >> bits) * f + (((|x| & mask) * f) >> bits), and f <= 2^bits <= 2^16.
* Modulo 2^32 is the wrap of u that the definition asks for; whether one happened is told by the sum's upper word.
* x beyond +-2^30 clips h wherever |leak(v)| + |bias| < 2^29, whatever more there is of it: so x is limited first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..fixed import Registers
from ..neurons import spec
from ..neurons.base import bias_of
from ..program import Population
from .jit import compiled, inlined, intrinsic

Array = NDArray[Any]
SILENT, RESETS, CIRCULATES, RETURNS = 0, 1, 2, 3
"""How a neuron fires: li, lif, cf, cf with a theta_reset."""
FORGETS, REMEMBERS = 1, 2
"""What a current does (0: there is none): `du` is all ones, or not."""
FAR = 1 << 30
LANES = 16
"""The number of neurons is filled up to a multiple of this."""
MOST_BITS = 29
"""Of the potential: |leak(v)| + |bias| stays below 2^29."""
KEEP_U, KEEP_V, EARLY, BIAS, THETA, THETA_NEG, ROUNDS, ROUNDS_NEG, RESET = range(9)
"""Rows of a neuron's parameters.  EARLY: the bias before the latency, 0.   RESET: theta - theta_reset of a cf."""


def shifting(name: str) -> Any:
    """An intrinsic that shifts 32 bits by less than 32: "ashr" and "lshr" to the right, "shl" to the left."""

    @intrinsic
    def shifted(typing: Any, x: Any, by: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments)

        return types.int32(types.int32, types.int32), generate

    return shifted


right, right_unsigned, left = shifting("ashr"), shifting("lshr"), shifting("shl")


@inlined
def leak(x: Any, f: Any, bits: Any, mask: Any) -> Any:
    """sgn(x) * ((|x| * f) >> bits), int32; f <= mask + 1."""
    size = np.int32(abs(x))
    kept = np.int32(np.int32(right(size, bits) * f) + right_unsigned(np.int32((size & mask) * f), bits))
    return kept if x >= 0 else np.int32(-kept)


@inlined
def wrapping(kept: Any, a: Any, shift: Any, half: Any) -> tuple[Any, Any]:
    """The current kept + (a << shift), and whether it wrapped; half: of its range."""
    x = left(a, shift)
    word = np.int32(kept + x)
    carry = np.int32(np.uint32(word) < np.uint32(x))
    upper = np.int32(right(right(a, np.int32(31) - shift), np.int32(1)) + right(kept, np.int32(31)) + carry)
    whole = np.int32(half + half)
    down, up = np.int32(word - whole), np.int32(word + whole)
    new = down if word > half else (up if word <= np.int32(-half) else word)
    return new, (new != word) | (upper != right(word, np.int32(31)))


@inlined
def current(u: Array, a: Array, keep: Array, numbers: tuple[int, int, int, int], memory: int) -> Any:
    """One step of u, in place; gives how often it wrapped.  numbers: (bits, mask, shift, half of u's range)."""
    bits, mask, shift, half = np.int32(numbers[0]), np.int32(numbers[1]), np.int32(numbers[2]), np.int32(numbers[3])
    wraps = np.int32(0)
    if memory == FORGETS:
        for j in range(u.shape[0]):
            u[j], met = wrapping(np.int32(0), a[j], shift, half)
            wraps = np.int32(wraps + np.int32(met))
    else:
        for j in range(u.shape[0]):
            u[j], met = wrapping(leak(u[j], keep[j], bits, mask), a[j], shift, half)
            wraps = np.int32(wraps + np.int32(met))
    return wraps


@inlined
def potential(v: Array, x: Array, keep: Array, bias: Array, numbers: tuple[int, int, int, int, int]) -> Any:
    """h from v and its input, in place; gives how often it clipped.  numbers: (bits, mask, shift, most, v_limit)."""
    bits, mask, shift = np.int32(numbers[0]), np.int32(numbers[1]), np.int32(numbers[2])
    most, high = np.int32(numbers[3]), np.int32(numbers[4])
    least, low = np.int32(-most), np.int32(-high)
    clips = np.int32(0)
    for j in range(v.shape[0]):
        drive = left(min(max(x[j], least), most), shift)
        exact = np.int32(np.int32(leak(v[j], keep[j], bits, mask) + drive) + bias[j])
        new = min(max(exact, low), high)
        clips = np.int32(clips + np.int32(new != exact))
        v[j] = new
    return clips


@inlined
def reset(v: Array, s: Array, theta: Array, value: Array) -> None:
    """A LIF neuron fires.  v: h, becomes v."""
    for j in range(v.shape[0]):
        h, to = v[j], value[j]
        fires = h > theta[j]
        s[j] = fires
        v[j] = to if fires else h


@inlined
def turned(x: Any, turn: Any) -> Any:
    """x where turn is 0, -x where it is -1."""
    return np.int32(np.int32(x ^ turn) - turn)


@inlined
def circulate(v: Array, s: Array, theta: Array, rounds: Array, most: int, flip: int) -> None:
    """A CF neuron goes up to `rounds` rounds; flip: 0, or -1 for the negative ones.  v: h, becomes v.   s grows.

    2^i rounds at a time, from many to few: all that it can take.  theta * 2^i fits 32 bits where so many are allowed.
    """
    turn = np.int32(flip)
    step = np.int32(1)
    by = np.int32(0)
    while 2 * step <= most:
        step, by = np.int32(2 * step), np.int32(by + 1)
    while step > 0:
        for j in range(v.shape[0]):
            h, gone = turned(v[j], turn), turned(np.int32(s[j]), turn)
            less, more = np.int32(h - left(theta[j], by)), np.int32(max(gone, np.int32(0)) + step)
            fires = (less > 0) & (more <= rounds[j])
            v[j] = turned(less if fires else h, turn)
            s[j] = turned(more if fires else gone, turn)
        step, by = np.int32(step >> 1), np.int32(by - 1)


@inlined
def give_back(v: Array, s: Array, more: Array) -> None:
    """v += s * more, which is theta - theta_reset; |s * theta| and |s * theta_reset| fit the potential."""
    for j in range(v.shape[0]):
        v[j] = np.int32(v[j] + np.int32(np.int32(s[j]) * more[j]))


@inlined
def copy(row: Array, to: Array, channels: int) -> None:
    """to = row, channels first where they were last."""
    if channels == 1:
        for j in range(row.shape[0]):
            to[j] = row[j]
    else:
        places = row.shape[0] // channels
        for c in range(channels):
            part, one = to[c * places : (c + 1) * places], row[c:]
            for j in range(part.shape[0]):
                part[j] = one[j * channels]


@compiled
def scan(
    total: Array,
    place: tuple[int, int, int, int, int],
    neuron: tuple[int, int, int, int, int, int],
    params: Array,
    numbers: tuple[int, int, int, int, int, int],
    states: tuple[Array, Array, Array],
    spikes: Array,
    kept: tuple[Array, Array, Array, Array],
    keeps: tuple[bool, bool, bool, bool],
    counts: Array,
    seen: Array,
) -> None:
    """Neurons over the rows r0..r1-1 and some samples.

    total: int32 (>= r1 - r0, >= samples, >= P), what their synapses sum to; 0 beyond N.
    place: (r0, r1, samples, first sample of `spikes`, first sample of `kept`).
    neuron: (how it fires, its current, latency, rounds, rounds_neg, channels).
    params: int32 (9, P); P: N filled up to a multiple of LANES with neurons of which nothing is seen.
    numbers: (bits, 2^bits - 1, shift, 2^(u_bits - 1), v_limit, FAR).
    states: v, u (samples, P) int32, and room for P spikes.   spikes: (rows, >= samples, N).
    kept: v, h, u and spikes (rows, B, N), written where keeps says so; there the channels are first.
    counts: (2,) int64, grows by the wraps of u and the clips of h.   seen: (samples,), the first row that had any.
    """
    r0, r1, samples, first, column = place
    fires, memory, latency, rounds, rounds_neg, channels = neuron
    bits, mask, shift, half, limit, far = numbers
    n, size = params.shape[1], spikes.shape[2]
    for r in range(r0, r1):
        bias = params[BIAS] if r >= latency else params[EARLY]
        for b in range(samples):
            a, v, u = total[r - r0, b, :n], states[0][b], states[1][b]
            s = spikes[r, first + b] if n == size else states[2]
            wraps = 0
            if memory != 0:
                wraps = current(u, a, params[KEEP_U], (bits, mask, shift, half), memory)
                clips = potential(v, u, params[KEEP_V], bias, (bits, mask, 0, far, limit))
            else:
                clips = potential(v, a, params[KEEP_V], bias, (bits, mask, shift, far >> shift, limit))
            if keeps[1]:
                copy(v[:size], kept[1][r, column + b], channels)
            if fires == RESETS:
                reset(v, s, params[THETA], params[RESET])
            else:
                for j in range(n):
                    s[j] = 0
            if fires >= CIRCULATES:
                circulate(v, s, params[THETA], params[ROUNDS], rounds, 0)
                if rounds_neg > 0:
                    circulate(v, s, params[THETA_NEG], params[ROUNDS_NEG], rounds_neg, -1)
            if fires == RETURNS:
                give_back(v, s, params[RESET])
            if keeps[0]:
                copy(v[:size], kept[0][r, column + b], channels)
            if keeps[2]:
                copy(u[:size], kept[2][r, column + b], channels)
            if n != size:
                copy(s[:size], spikes[r, first + b], 1)
            if keeps[3]:
                copy(s[:size], kept[3][r, column + b], channels)
            counts[0] += wraps
            counts[1] += clips
            if wraps + clips > 0 and r < seen[b]:
                seen[b] = r


class Scan(NamedTuple):
    """A population as `scan` takes it; see there."""

    neuron: Any
    params: Array
    numbers: Any

    @property
    def has_current(self) -> bool:
        """True if there is a u."""
        return bool(self.neuron[1])


def _silent(p: Mapping[str, Array], registers: Registers) -> dict[int, Array]:
    return {}


def _resets(p: Mapping[str, Array], registers: Registers) -> dict[int, Array]:
    """A threshold beyond the potential's limit is never met, wherever it is."""
    theta = np.minimum(p["vth"] << registers.threshold_shift, registers.v_limit)
    return {THETA: theta, RESET: p.get("v_reset", np.asarray(0))}


def _circulates(p: Mapping[str, Array], registers: Registers) -> dict[int, Array]:
    names = {THETA: "vth", THETA_NEG: "vth_neg"}
    thetas = {row: np.minimum(p[name] << registers.threshold_shift, registers.v_limit) for row, name in names.items()}
    return thetas | {ROUNDS: p["rounds"], ROUNDS_NEG: p["rounds_neg"]}


def _returns(p: Mapping[str, Array], registers: Registers) -> dict[int, Array]:
    return _circulates(p, registers) | {RESET: (p["vth"] << registers.threshold_shift) - p["theta_reset"]}


Rows = Callable[[Mapping[str, Array], Registers], dict[int, Array]]
SCANS: Mapping[str, tuple[int, Rows]] = MappingProxyType(
    {"li": (SILENT, _silent), "lif": (RESETS, _resets), "cf": (CIRCULATES, _circulates)}
)
"""Neuron kind -> how it fires, and its own parameters as rows.  Other kinds take their integer step."""


def scan_of(population: Population, registers: Registers, channels: int = 1) -> Scan | None:
    """The population, `channels` of its neurons last; None where `scan` cannot be exact, or does not know the kind."""
    p, size = population.params, population.size
    if population.kind not in SCANS or registers.v_bits > MOST_BITS or spec(population.kind).check(p, registers):
        return None
    fires, rows_of = SCANS[population.kind] if "theta_reset" not in p else (RETURNS, _returns)
    rows = {KEEP_V: registers.unity - p["dv"], BIAS: bias_of(p), **rows_of(p, registers)}
    memory = 0
    if "du" in p:
        rows[KEEP_U] = registers.unity - 1 - p["du"]
        memory = REMEMBERS if rows[KEEP_U].any() else FORGETS
    params = np.zeros((9, -(-size // LANES) * LANES), np.int32)
    for row, values in rows.items():
        wide = np.broadcast_to(values, (size,))
        params[row, :size] = wide.reshape(channels, -1).T.reshape(-1)
    most = tuple(int(params[row].max(initial=0)) for row in (ROUNDS, ROUNDS_NEG))
    bits, shift = registers.decay_bits, registers.input_shift
    numbers = (bits, (1 << bits) - 1, shift, 1 << (registers.u_bits - 1), registers.v_limit, FAR)
    return Scan((fires, memory, population.latency, *most, channels), params, numbers)
