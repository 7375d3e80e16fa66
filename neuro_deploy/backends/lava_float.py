"""A NIR graph in Lava's floating-point simulation (float64): a second opinion on the float network.

Linear chains are composed into one synapse each, and time is the chip's: a population computes its logical step t in
row latency + t.  float64 and another order of sums, so potentials differ from `reference` (float32) by rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import nir
import numpy as np

from ..errors import InputError
from ..graph import Composed, compose, read_graph
from ..trace import Recording, Trace
from .base import Job
from .lava import provenance
from .lava_plan import Cell, Plan, Source
from .lava_process import run_plan
from .lava_wires import float_wire


def plan_of(network: Composed, job: Job) -> Plan:
    """A composed network and its input as a plan.  Raises: InputError for a wrong input."""
    if len(network.inputs) != 1:
        raise InputError(f"the network has {len(network.inputs)} inputs; one is supported")
    given = network.inputs[0]
    if job.x.shape[2:] != given.shape:
        shape = ", ".join(map(str, given.shape))
        raise InputError(f"input '{given.name}': expected shape (T, B, {shape}), got {job.x.shape}")
    return Plan(
        arithmetic="floating_pt",
        rows=job.steps + max((p.latency for p in network.populations), default=0),
        batch=job.batch,
        record=job.record,
        sources=(Source(given.name, job.x.reshape(job.steps, job.batch, -1).astype(np.float64)),),
        cells=tuple(
            Cell(
                p.name,
                p.neuron.kind,
                p.neuron.size,
                p.latency,
                p.bias,
                {k: p.neuron.flat(k) for k in p.neuron.params},
                job.keeps(p.name),
            )
            for p in network.populations
        ),
        wires=tuple(float_wire(s.name, s.source, s.target, s.wiring, s.delay) for s in network.synapses),
    )


def run_composed(network: Composed, job: Job) -> Trace:
    """Run a composed network, sample after sample.  Raises: BackendError and its kin, InputError."""
    plan = plan_of(network, job)
    outcome = run_plan(plan, job.timeout, job.progress)
    given = network.inputs[0]
    spikes = np.zeros((plan.rows, job.batch, *given.shape))
    spikes[: job.steps] = job.x
    one = np.asarray(1.0)
    populations = {given.name: Recording(given.shape, 0, one, {"spikes": spikes})} if job.keeps(given.name) else {}
    for p in (p for p in network.populations if job.keeps(p.name)):
        shape = (plan.rows, job.batch, *p.neuron.shape)
        data = {name: array.reshape(shape) for name, array in outcome.data[p.name].items()}
        populations[p.name] = Recording(p.neuron.shape, p.latency, one, data)
    return Trace(populations, job.steps, network.dt, LavaFloat.name, LavaFloat.kind, provenance=provenance(outcome))


class LavaFloat:
    """The backend "lava-float"."""

    name = "lava-float"
    consumes: Literal["graph"] = "graph"
    kind: Literal["float"] = "float"

    def run(self, source: nir.NIRGraph, job: Job) -> Trace:
        """Run a graph.  Raises: BackendError (LavaMissingError, LavaTimeoutError), InputError, UnsupportedError."""
        reading = read_graph(source, job.dt)
        trace = run_composed(compose(reading), job)
        return replace(trace, provenance={**trace.provenance, **reading.scheme.told()})


BACKEND = LavaFloat()
