"""`shrink`: delta debugging of two runs that differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..comparison.result import Divergence
from ..errors import InputError, NeuroDeployError
from ..files import NetworkInput, join_inputs
from ..program import ChipProgram
from .case import Case, at_once, early, fed, keep, unlike, window, without
from .runs import Judge
from .smallest import smallest

Watch = Callable[[Case, int, float], None]
"""Called with the smallest case so far, the number of cases tried and the seconds since the start."""


@dataclass(frozen=True)
class Shrunk:
    """The smallest case found, and where its runs differ.

    before: what it was made of.   tried: how many smaller cases were run.
    finished: nothing more can be left out; False: the time was over first.
    """

    case: Case
    first: Divergence
    before: Case
    tried: int
    finished: bool


class _TimeIsOver(Exception):
    pass


def _quiet(case: Case, tried: int, seconds: float) -> None:
    pass


def shrink(
    program: ChipProgram | tuple[ChipProgram, ChipProgram],
    x: NetworkInput,
    judge: Judge,
    *,
    seconds: float = 60.0,
    watch: Watch = _quiet,
) -> Shrunk:
    """Make the smallest network, input and window of time in which the two runs of `judge` still differ.

    Left out are samples, steps, populations (what feeds the one that differs is replaced by its recorded spikes),
    synapses, neurons and inputs; input values go towards 0.  Every cut is kept only if both runs, compared in all
    values, still differ: not always in the value that differed first.  The same call gives the same case, unless
    the time is over before.

    program: one for both runs, or one of each, with the same populations and one encoder.
    x: input as `simulate` takes it, (T, B, *shape).   seconds: when to stop looking; a run is not interrupted.
    watch: called for each case that was tried.
    Raises: InputError if the runs agree, or the programs do not fit together; what the judge's runs raise.
    """
    programs = program if isinstance(program, tuple) else (program, program)
    if not 0 < seconds < float("inf"):
        raise InputError(f"seconds must be a positive number, got {seconds}")
    _check(*programs)
    before = Case(programs, join_inputs(x, programs[0].inputs), judge.names)
    search = _Search(before, judge, seconds, watch)
    finished = True
    try:
        search.all()
    except _TimeIsOver:
        finished = False
    return Shrunk(search.case, search.first, before, search.tried, finished)


def _check(one: ChipProgram, other: ChipProgram) -> None:
    problems = [
        f"a program has {len(p.encoders)} encoders; one is supported" for p in (one, other) if len(p.encoders) != 1
    ]
    sizes = [
        {**{e.name: e.shape for e in p.encoders}, **{q.name: q.shape for q in p.populations}} for p in (one, other)
    ]
    for name in dict.fromkeys([*sizes[0], *sizes[1]]):
        a, b = (shapes.get(name) for shapes in sizes)
        if a != b:
            problems.append(f"{name}: shape {a or 'none'} and {b or 'none'}")
    if problems:
        raise InputError("not two programs of one network:\n  " + "\n  ".join(problems))


class _Search:
    """The smallest case so far, its runs' first difference and first run."""

    def __init__(self, case: Case, judge: Judge, seconds: float, watch: Watch) -> None:
        self.judge, self.seconds, self.watch = judge, seconds, watch
        self.tried, self.start = 0, time.monotonic()
        trace, _, comparison = judge.comparison(case)
        if comparison.first is None:
            raise InputError(
                f"the runs agree in every one of {sum(e.values for e in comparison.exact):,} values of "
                f"{case.x.shape[1]:,} samples: there is nothing to shrink"
            )
        self.case, self.trace, self.first = case, trace, comparison.first

    def does(self, case: Case) -> bool:
        """True if the runs of a smaller case differ: then it is the smallest so far."""
        if time.monotonic() - self.start > self.seconds:
            raise _TimeIsOver
        self.tried += 1
        differs = self._look(case)
        self.watch(self.case, self.tried, time.monotonic() - self.start)
        return differs

    def _look(self, case: Case) -> bool:
        try:
            trace, _, comparison = self.judge.comparison(case)
        except NeuroDeployError:  # a cut that no executor takes
            return False
        if comparison.first is None:
            return False
        self.case, self.trace, self.first = case, trace, comparison.first
        return True

    def all(self) -> None:
        """Every kind of cut, until none makes the case smaller."""
        while True:
            before = _size(self.case)
            for cut in (self.focus, self.time, self.window, self.populations, self.synapses, self.neurons, self.values):
                cut()
            if _size(self.case) == before:
                return

    def focus(self) -> None:
        """What the first difference needs, one guess after the other: each spares many questions."""
        steps = self.case.x.shape[0]
        self.only(window, range(min(max(self.first.step, 0), steps - 1) + 1), (self.first.sample,))
        name = self.first.population
        if len(self.case.populations) > 1 and name in self.case.populations:
            row = self.trace.populations[name].latency + self.first.step
            if not self.does(fed(self.case, self.trace, name, max(1, row))):
                self.branch()
        name = self.first.population
        if self.case.populations.get(name, 1) > 1:
            self.does(keep(self.case, {name: (self.flat(),)}))
        busy = np.flatnonzero(self.case.x.reshape(-1, self.case.inputs).any(axis=0)).tolist() or [0]
        if len(busy) < self.case.inputs:
            self.does(keep(self.case, {self.case.encoder.name: busy}))
        changed = unlike(self.case)
        if 0 < len(changed) < self.case.inputs:
            self.does(keep(self.case, {self.case.encoder.name: changed}))

    def branch(self) -> None:
        """Only the populations from which a path leads to the first difference."""
        needed = [self.first.population]
        for name in needed:
            found = [s.source for p in self.case.programs for s in p.synapses if s.target == name]
            needed += [source for source in dict.fromkeys(found) if source not in needed]
        others = [p for p in self.case.populations if p not in needed]
        if others:
            self.does(keep(self.case, dict.fromkeys(others, ())))

    def flat(self) -> int:
        """The neuron that differs first, counted in C order."""
        shape = self.trace.populations[self.first.population].shape
        return int(np.ravel_multi_index(self.first.neuron, shape)) if shape else 0

    def only(self, cut: Callable[[Case, Sequence[int], Sequence[int]], Case], *kept: Sequence[int]) -> bool:
        """Try a window, if it leaves something out."""
        shape = self.case.x.shape[:2]
        return shape != tuple(map(len, kept)) and self.does(cut(self.case, *kept))

    def window(self) -> None:
        """Samples, then steps."""
        case, (steps, samples) = self.case, self.case.x.shape[:2]
        if samples > 1:
            smallest(range(samples), lambda kept: self.does(window(case, range(steps), kept)), least=1)
        case, (steps, samples) = self.case, self.case.x.shape[:2]
        if steps > 1:
            smallest(range(steps), lambda kept: self.does(window(case, kept, range(samples))), least=1)

    def populations(self) -> None:
        case, names = self.case, list(self.case.populations)
        if len(names) > 1:
            smallest(names, lambda kept: self.does(keep(case, {n: () for n in names if n not in kept})), least=1)

    def synapses(self) -> None:
        case, names = self.case, self.case.synapses
        if names:
            smallest(names, lambda kept: self.does(without(case, [n for n in names if n not in kept])))

    def neurons(self) -> None:
        """Neurons of all populations, then inputs."""
        self.pool(self.case.populations)
        self.pool({self.case.encoder.name: self.case.inputs})

    def pool(self, sizes: dict[str, int]) -> None:
        """Neurons of all these."""
        case, pool = self.case, [(name, i) for name, size in sizes.items() for i in range(size)]
        if len(pool) > 1:
            smallest(pool, lambda kept: self.does(_of(case, sizes, kept)), least=1)

    def values(self) -> None:
        """Input values to 0; what must stay to the least of its sign, else to the half as often as that goes."""
        encoder = self.case.encoder
        whole = encoder.encode(self.case.x)[0].astype(np.int64) - encoder.offset
        size = encoder.denominator / encoder.numerator

        def valued(numbers: np.ndarray) -> bool:
            case = self.case
            return self.does(Case(case.programs, (numbers * size).reshape(case.x.shape), case.backends))

        if np.array_equal(whole * size, self.case.x) or valued(whole):
            places = np.flatnonzero(whole)
            held = smallest(places.tolist(), lambda kept: valued(_zeroed(whole, kept))) if len(places) else []
            numbers = _zeroed(whole, held)
            for place in held:
                for smaller in _smaller(int(numbers.flat[place])):
                    trial = numbers.copy()
                    trial.flat[place] = smaller
                    if not valued(trial):
                        continue
                    numbers = trial
                    break

    def time(self) -> None:
        """No delays, no latency before the first population."""
        if any(s.delay for p in self.case.programs for s in p.synapses) or early(self.case):
            self.does(at_once(self.case))


def _zeroed(numbers: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    result = np.zeros_like(numbers)
    result.flat[list(kept)] = numbers.flat[list(kept)]
    return result


def _smaller(number: int) -> list[int]:
    """Numbers of the same sign that are nearer to 0, the nearest first: 100 gives 1, 3, 6, 12, 25, 50."""
    found = []
    while abs(number) > 1:
        number = int(number / 2)
        found.append(number)
    return found[::-1]


def _of(case: Case, sizes: dict[str, int], kept: Sequence[tuple[str, int]]) -> Case:
    """Only these of the neurons; populations of which all stay are left as they are."""
    chosen: dict[str, list[int]] = {name: [] for name in sizes}
    for name, index in kept:
        chosen[name].append(index)
    return keep(case, {name: indices for name, indices in chosen.items() if len(indices) < sizes[name]})


def _size(case: Case) -> tuple[int, ...]:
    """What must fall for the search to go on."""
    weights = sum(int(np.count_nonzero(s.weight)) for p in case.programs for s in p.synapses)
    largest = int(np.abs(case.encoder.encode(case.x)[0].astype(np.int64)).sum())
    delays = sum(s.delay for p in case.programs for s in p.synapses) + early(case)
    return (case.neurons, case.inputs, *case.x.shape[:2], len(case.synapses), weights, largest, delays)
