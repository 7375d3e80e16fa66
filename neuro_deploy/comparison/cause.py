"""Why a neuron differs in one step, as data: its inputs, potentials and thresholds in both runs."""

from __future__ import annotations

from dataclasses import dataclass

Number = int | float


@dataclass(frozen=True)
class Input:
    """One connection of the neuron that adds something else in the two runs.

    source: the population; neuron: index in its shape.   weight_a, weight_b: None where a program has no such
    connection.   spike_a, spike_b: what arrives.   a, b: weight * spike * 2^exponent, in weight units.
    """

    synapse: str
    source: str
    neuron: tuple[int, ...]
    weight_a: int | None
    weight_b: int | None
    spike_a: int
    spike_b: int
    a: Number
    b: Number


@dataclass(frozen=True)
class Account:
    """What a program makes of one run's own records: one neuron in one chip step.  None: not recorded, or no program.

    total: the input sum of the step, int32, in weight units, as the chip keeps it.
    expected: the potential before firing that this sum, the recorded state of the step before, the leak and the bias
    give by the program.   clipped: True if its register cuts it off.
    h: the recorded potential before firing; `expected` where none is recorded.
    level: the firing level next to h, k * theta or -k * theta_neg, in units of h; k: which (0: never fires).
    distance: h - level: above 0, the k-th spike was fired (mirrored below zero).
    """

    total: int | None = None
    expected: int | None = None
    h: int | None = None
    clipped: bool = False
    level: int | None = None
    k: int = 0

    @property
    def distance(self) -> int | None:
        """h - level."""
        return None if self.h is None or self.level is None else self.h - self.level


@dataclass(frozen=True)
class Cause:
    """Why a neuron differs in one step, by the program of each run.

    a, b: the two accounts.   sums: (synapse, what it adds in a, and in b), those of all its synapses.
    inputs: the connections that add something else, the largest difference first; more: how many are not listed.
    """

    a: Account
    b: Account
    sums: tuple[tuple[str, int | None, int | None], ...] = ()
    inputs: tuple[Input, ...] = ()
    more: int = 0
