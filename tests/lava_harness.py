"""A ChipProgram in Lava's own process models, without Lava's runtime: some milliseconds a run.

`run_spk` of the models that the real runtime would use (Lava's LIF, Dense, DelayDense and RingBuffer, our CF), with
Lava's own ports and plain arrays for the channels between them.  It shares nothing with `sim`: the step of a network is
Lava's, and only who waits for whom is decided here.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from neuro_deploy.backends.base import Job
from neuro_deploy.backends.lava import plan_of
from neuro_deploy.backends.lava_mend import import_lava
from neuro_deploy.backends.lava_plan import Cell, Plan
from neuro_deploy.neurons import part
from neuro_deploy.program import ChipProgram
from neuro_deploy.trace import Recording, Trace

VARIABLES = ("spikes", "v", "h", "u")


class Blocked(Exception):
    """Nothing is in the channel yet: a real process would wait here."""


class Channel:
    """One token of the source port's dtype, as Lava's channels carry it."""

    def __init__(self, size: int, dtype: type) -> None:
        self.buffer = np.zeros(size, dtype)
        self.full = False

    def send(self, data: Any) -> None:
        self.buffer[:] = data
        self.full = True

    def recv(self) -> Any:
        if not self.full:
            raise Blocked
        return self.buffer.copy()


def build(node: Any) -> Any:
    """A process model with its Vars, made by Lava's own builder."""
    from lava.magma.compiler.builders.py_builder import PyProcessBuilder
    from lava.magma.compiler.utils import VarInitializer

    builder = PyProcessBuilder(node.model, 0, node.process.proc_params)
    builder.set_variables([VarInitializer(v.name, v.shape, v.init, v.id) for v in node.process.vars])
    return builder.build()


def give_port(model: Any, name: str, size: int) -> Any:
    """One of Lava's own ports, connected to nothing yet."""
    from lava.magma.core.model.py.ports import IdentityTransformer

    lava_type = getattr(type(model), name)
    extra = () if name.endswith("out") else (IdentityTransformer(),)
    setattr(model, name, lava_type.cls([], model, (size,), lava_type.d_type, *extra))
    return model


def connect(source: Any, out: str, target: Any, into: str, size: int) -> Channel:
    """A channel between two ports."""
    channel = Channel(size, getattr(type(source), out).d_type)
    getattr(source, out).csp_ports.append(channel)
    getattr(target, into).csp_ports.append(channel)
    return channel


class Sample:
    """All models of a plan, fresh, for one sample."""

    def __init__(self, plan: Plan, network: Any) -> None:
        self.plan = plan
        self.sources = {name: build(node) for name, node in network.sources.items()}
        self.cells = {name: build(node) for name, node in network.cells.items()}
        self.wires = [build(node) for node in network.wires]
        self.channels: list[Channel] = []
        for source in plan.sources:
            give_port(self.sources[source.name], "s_out", source.data.shape[2])
        for cell in plan.cells:
            give_port(give_port(self.cells[cell.name], "a_in", cell.size), "s_out", cell.size)
        senders = {**self.sources, **self.cells}
        for wire, model in zip(plan.wires, self.wires, strict=True):
            targets, sources = wire.weight.shape
            give_port(give_port(model, "s_in", sources), "a_out", targets)
            self.channels.append(connect(senders[wire.source], "s_out", model, "s_in", sources))
            self.channels.append(connect(model, "a_out", self.cells[wire.target], "a_in", targets))

    def step(self, sample: int, row: int) -> None:
        """One step of the network: synapses send and wait, neurons run, synapses receive."""
        for channel in self.channels:
            channel.full = False
        for wire in self.wires:
            try:
                wire.run_spk()
                raise AssertionError("a synapse ran without input")
            except Blocked:
                pass
        for source in self.sources.values():
            source.time_step = sample * self.plan.rows + row + 1
            source.run_spk()
        for cell in self.plan.cells:
            self.bias(cell, row)
            self.cells[cell.name].run_spk()
        for wire in self.wires:
            wire.run_spk()

    def bias(self, cell: Cell, row: int) -> None:
        """The bias acts from row `latency` on."""
        getattr(self.cells[cell.name], part(cell.kind, "lava").BIAS)[:] = cell.bias if row >= cell.latency else 0


def run_spk(program: ChipProgram, x: np.ndarray) -> Trace:
    """Run a program on x (T, B, *shape); everything that can be seen is recorded."""
    import_lava()
    from neuro_deploy.backends.lava_network import Network

    handlers = list(logging.getLogger().handlers)
    plan = plan_of(program, Job(x, VARIABLES))
    network = Network(plan)
    logging.getLogger().handlers[:] = handlers  # Lava adds one for each process
    seen: dict[str, dict[str, np.ndarray]] = {}
    for sample in range(plan.batch):
        models = Sample(plan, network)
        for row in range(plan.rows):
            models.step(sample, row)
            for cell in plan.cells:
                record(seen.setdefault(cell.name, {}), models.cells[cell.name], cell, plan, sample, row)
    populations = {
        p.name: Recording(
            p.shape, p.latency, p.unit, {k: a.reshape(*a.shape[:2], *p.shape) for k, a in seen[p.name].items()}
        )
        for p in program.populations
    }
    return Trace(populations, x.shape[0], program.dt, "run_spk", "integer", program.digest)


def record(into: dict[str, np.ndarray], model: Any, cell: Cell, plan: Plan, sample: int, row: int) -> None:
    for name in ("spikes", *part(cell.kind, "lava").SHOWS["fixed_pt"]):
        array = into.setdefault(name, np.zeros((plan.rows, plan.batch, cell.size), np.int64))
        array[row, sample] = model.s_out_buff if name == "spikes" else getattr(model, name)


def differences(one: Trace, other: Trace) -> dict[str, int]:
    """ "population.variable" -> how many numbers differ; over all rows and all that both have recorded."""
    found = {}
    for name in one.populations:
        if name in other.populations:
            a, b = one.populations[name].data, other.populations[name].data
            for variable in (v for v in VARIABLES if v in a and v in b):
                found[f"{name}.{variable}"] = int((a[variable] != b[variable]).sum())
    return found
