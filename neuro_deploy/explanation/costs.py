"""`explain`: switch one number format on at a time, from float to chip and back, and count what it costs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from ..backends import simulate
from ..backends.base import Progress, quiet
from ..comparison.statistics import check_labels
from ..errors import BackendError, InputError
from ..files import NetworkInput, check_input
from ..graph import compose, read_graph
from ..lower import asked_of, compile
from ..lower.attempt import GIVEN
from ..target import Target, load_target
from .advice import choose, propose
from .formats import FORMATS, Setting
from .mixed import Network
from .result import Effect, Explanation, FormatCost
from .tally import Bench, Run, program_run, setting_run

EVERY = tuple(FORMATS)


def explain(
    graph: nir.NIRGraph,
    target: Target | str | os.PathLike[str] = "loihi2",
    x: NetworkInput | None = None,
    label: NDArray[Any] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    reference: bool = True,
    progress: Progress = quiet,
) -> Explanation:
    """Which number format of a chip costs how many spikes and how much accuracy, in which layer, and what helps.

    The composed network runs in float64 with the formats of `FORMATS` on or off: each alone, all but each, and each
    that costs something in each layer alone; then other programs of the same graph (another scale, calibration, more
    bits) are measured, and the cheapest change is proposed that removes half of the differing spikes or more.
    x: (T, B, ...), or that of each of several inputs by name.   label: (B,) integers.
    options: more arguments of `compile`.   reference: check the float run against the float32 reference (torch).
    progress: called with (runs done, of how many).
    Raises: InputError, UnsupportedError, TargetError; BackendError if the run with all formats on is not `sim`.
    """
    if x is None:
        raise InputError("explain: give an input x, (T, B, ...)")
    given, x = asked_of(graph, x, options or {})
    check_input(x, "input")
    label = check_labels(label, x.shape[1])
    chip = target if isinstance(target, Target) else load_target(target)
    program = compile(graph, chip, **given)
    network = Network(compose(read_graph(graph, given.get("dt"))), program, chip.spike.payload_bits.value)
    bench = Bench(network, setting_run(network, Setting()), x, label)
    return _Study(graph, bench, given, chip, progress).run(reference)


class _Study:
    """The runs of `explain`, in two rounds: whole networks, then single layers and other programs."""

    def __init__(self, graph: nir.NIRGraph, bench: Bench, given: Mapping[str, Any], target: Target, progress: Progress):
        self.graph, self.bench, self.given, self.target = graph, bench, given, target
        self.layers = bench.network.layers
        self.progress, self.done, self.total = progress, 0, 0

    def _measure(self, runs: Mapping[Any, Run]) -> dict[Any, Effect]:
        self.total = self.done + len(runs) * self.bench.chunks

        def step() -> None:
            self.done += 1
            self.progress(self.done, self.total)

        return self.bench.measure(runs, step)

    def _run(self, *names: str, layers: tuple[str, ...] | None = None) -> Run:
        return setting_run(self.bench.network, Setting.of(names, layers or self.layers))

    def run(self, reference: bool) -> Explanation:
        """All of it."""
        first: dict[Any, Run] = {"float": self.bench.exact, "sim": program_run(self.bench.network.program)}
        first["chip"] = self._run(*EVERY)
        first |= {("alone", name): self._run(name) for name in EVERY}
        first |= {("without", name): self._run(*(n for n in EVERY if n != name)) for name in EVERY}
        found = self._measure(first)
        if found["sim"] != found["chip"]:
            raise BackendError("explain: the run with all number formats on is not what sim gives; please report this")
        costly = [name for name in EVERY if found["alone", name].differing]
        places = {(n, at): self._run(n, layers=(at,)) for n in costly for at in self._places(n)}
        ideas = propose(self.graph, self.bench, self.given, self.target, found, _worst(found, places))
        second: dict[Any, Run] = {**places}
        second |= {i: idea.run for i, idea in enumerate(ideas) if idea.run}
        found |= self._measure(second) if found["chip"].differing else {}
        formats = [
            FormatCost(
                name,
                FORMATS[name],
                found["alone", name],
                found["without", name],
                {at: found[n, at] for n, at in places if n == name and (n, at) in found},
            )
            for name in EVERY
        ]
        proposals = tuple(idea.proposal(found.get(i), found["chip"]) for i, idea in enumerate(ideas))
        fired, decisions, unlike = self._counts(reference)
        return Explanation(
            target=self.target.name,
            steps=len(self.bench.x),
            samples=self.bench.x.shape[1],
            decisions=decisions,
            fired=fired,
            exact=found["float"],
            chip=found["chip"],
            unlike_reference=unlike,
            formats=tuple(sorted(formats, key=lambda f: -f.alone.differing)),
            proposals=proposals,
            chosen=choose(proposals, found["chip"], found["float"]),
            trained_here=self.bench.network.program.report.get("scale") == GIVEN,
        )

    def _places(self, name: str) -> tuple[str, ...]:
        """Where a format can be on: the input at the encoder, the others in populations."""
        encoders = len(self.bench.network.program.encoders)
        return self.layers[:encoders] if name == "input" else self.layers[encoders:]

    def _counts(self, reference: bool) -> tuple[int, int, int | None]:
        """Neuron-steps with a spike, all of them, and those in which the float32 reference has another spike."""
        fired = decisions = unlike = 0
        for part in self.bench.parts():
            x = self.bench.x[:, part]
            exact = self.bench.exact(x, None)
            trace = None
            if reference:
                trace = simulate(self.graph, x, "reference", ("spikes",), dt=self.given.get("dt"))
            for name, data in exact.items():
                spikes = data["spikes"]
                fired, decisions = fired + int(np.count_nonzero(spikes)), decisions + spikes.size
                if trace is not None and name in trace.populations and "spikes" in trace.populations[name].data:
                    other = trace.populations[name].data["spikes"].reshape(spikes.shape)
                    unlike += int(np.count_nonzero(spikes != other))
        return fired, decisions, unlike if reference else None


def _worst(found: Mapping[Any, Effect], places: Mapping[Any, Run]) -> str:
    """The population that the formats of weights touch most when they are on alone; "" if none."""
    layers = found["alone", "weights"].layers
    able = [at for name, at in places if name == "weights"]
    return max(able, key=lambda at: layers.get(at, 0), default="")


__all__ = ["explain"]
