"""Counting how runs differ from the float run, some samples at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import simulate
from ..program import ChipProgram, Readout
from ..trace import Recording, Trace
from .formats import Setting
from .mixed import Network
from .result import Effect

VALUES = 1 << 23
"""Values of one variable that are computed at once: bounds the memory to some hundred MB."""
Data = Mapping[str, Mapping[str, NDArray[Any]]]
"""Population -> "spikes", "v" -> (T, B, N); of a Network's run "rows" too."""
Run = Callable[[NDArray[Any], Data | None], Data]
"""Input (T, B, *shape), and the float run of it if that is known -> what populations did in the logical steps."""


class Tally:
    """How one run differs so far."""

    def __init__(self) -> None:
        self.layers: dict[str, int] = {}
        self.agreeing = self.correct = 0

    def add(self, data: Data, exact: Data) -> None:
        """Count more samples."""
        for name, held in exact.items():
            met = int(np.count_nonzero(data[name]["spikes"] != held["spikes"]))
            self.layers[name] = self.layers.get(name, 0) + met

    def decide(self, mine: NDArray[Any], exact: NDArray[Any], label: NDArray[Any] | None) -> None:
        """Count their decisions."""
        self.agreeing += int((mine == exact).sum())
        self.correct += 0 if label is None else int((mine == label).sum())

    def effect(self, decides: bool, labelled: bool) -> Effect:
        """What was counted."""
        agreeing = self.agreeing if decides else None
        return Effect(
            sum(self.layers.values()), dict(self.layers), agreeing, self.correct if decides and labelled else None
        )


class Bench:
    """An input on which runs are measured against the float run.

    x: (T, B, *shape).   label: (B,) or None.
    """

    def __init__(self, network: Network, exact: Run, x: NDArray[Any], label: NDArray[Any] | None) -> None:
        self.network, self.exact, self.x, self.label = network, exact, x, label
        program = network.program
        self.readout: Readout | None = program.readout
        values = (len(x) + program.depth) * (sum(p.size for p in program.populations) + int(np.prod(x.shape[2:])))
        self.width = max(1, VALUES // values)

    @property
    def chunks(self) -> int:
        """So many parts the samples are run in."""
        return int(-(-self.x.shape[1] // self.width))

    def parts(self) -> Iterator[slice]:
        """The samples of each part."""
        for start in range(0, self.x.shape[1], self.width):
            yield slice(start, start + self.width)

    def measure(self, runs: Mapping[Any, Run], done: Callable[[], None]) -> dict[Any, Effect]:
        """The effect of each run.  done: called after each run of a part."""
        tallies = {key: Tally() for key in runs}
        for part in self.parts():
            exact = self.exact(self.x[:, part], None)
            label = None if self.label is None else self.label[part]
            chosen = self._decide(exact)
            for key, run in runs.items():
                data = run(self.x[:, part], exact)
                tallies[key].add(data, exact)
                if chosen is not None:
                    decided = self._decide(data)
                    assert decided is not None
                    tallies[key].decide(decided, chosen, label)
                done()
        return {key: t.effect(self.readout is not None, self.label is not None) for key, t in tallies.items()}

    def _decide(self, data: Data) -> NDArray[np.int64] | None:
        if self.readout is None:
            return None
        name = self.readout.population
        program = self.network.program
        held = {k: np.asarray(data[name][k]) for k in ("spikes", "v")}
        recording = Recording(held["v"].shape[2:], 0, np.asarray(1.0), held)
        return self.readout.decide(Trace({name: recording}, len(self.x), program.dt, "mixed", "float"))


def setting_run(network: Network, setting: Setting) -> Run:
    """The network's run with these formats on."""
    return lambda x, exact: network.run(x, setting, exact)


def program_run(program: ChipProgram) -> Run:
    """A program's run in `sim`, potentials in float units."""

    def run(x: NDArray[Any], exact: Data | None) -> Data:
        trace = simulate(program, x, "sim", ("spikes", "v"))
        flat = {
            p.name: {v: trace.aligned(p.name, v).reshape(*x.shape[:2], p.size) for v in ("spikes", "v")}
            for p in program.populations
        }
        return {p.name: {**flat[p.name], "v": flat[p.name]["v"] * p.unit} for p in program.populations}

    return run
