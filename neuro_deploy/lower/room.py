"""How far the sums into a population may go before one of its registers could overflow, for any input."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..fixed import Ints
from ..neurons import spec
from ..neurons.base import Interval, remembers
from ..program import ChipProgram, Population
from ..target import Target
from .attempt import window_of
from .bounds import sum_limit


def room(program: ChipProgram, target: Target) -> Mapping[str, Interval]:
    """Population -> the interval that its sums << input_shift, plus its bias, may have in a step, int64 (N,) each.

    Inside it no register can overflow within max_steps steps, whatever the weights are.  Beside a synaptic current the
    bias counts as it is in the program, and the interval is that of the sums alone.
    """
    return {p.name: _room(program, p, target) for p in program.populations}


def _room(program: ChipProgram, population: Population, target: Target) -> Interval:
    inputs, registers = [e.name for e in program.encoders], target.registers
    name, latency = population.name, population.latency
    window = window_of(name, latency, program.synapses, inputs, program.depth, program.max_steps)
    params = dict(population.params)
    if not remembers(params, registers):
        params |= {"bias_mant": np.asarray(0), "bias_exp": np.asarray(0)}

    def fits(low: Ints, high: Ints) -> list[NDArray[np.bool_]]:
        """Which neurons stay inside below, and which above, for sums within [-low, high]."""
        bounds = spec(population.kind).bounds(params, Interval(-low, high), window.steps, registers, window.idle)
        top = {"u": (1 << (registers.u_bits - 1)) - 1}
        below = [b.low >= -top.get(r, registers.v_limit) for r, b in bounds.items()]
        above = [b.high <= top.get(r, registers.v_limit) for r, b in bounds.items()]
        return [np.logical_and.reduce(below), np.logical_and.reduce(above)]

    size, most = population.size, sum_limit(target)
    low, high = _largest(size, most, lambda r: fits(r, r)[0]), _largest(size, most, lambda r: fits(r, r)[1])
    both, inside = np.minimum(low, high), np.logical_and.reduce(fits(low, high))
    low, high = np.where(inside, low, both), np.where(inside, high, both)
    return Interval(-(low << registers.input_shift), high << registers.input_shift)


def _largest(size: int, most: int, fits: Callable[[Ints], NDArray[np.bool_]]) -> Ints:
    """Per neuron the largest number up to `most` that fits, by bisection; 0 if none does."""
    low, high = np.zeros(size, np.int64), np.full(size, most + 1, np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        good = fits(middle)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return low
