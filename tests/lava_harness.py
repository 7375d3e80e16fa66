"""A ChipProgram in Lava's own process models, without Lava's runtime: some milliseconds a run.

`run_spk` of the models that the real runtime would use (Lava's LIF, Dense, Sparse, Conv and RingBuffer, our CF), with
Lava's own ports and virtual ports, and plain arrays for the channels between them.  It shares nothing with `sim`: the
step of a network is Lava's, and only who waits for whom is decided here.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from neuro_deploy.backends.base import Job
from neuro_deploy.backends.lava import plan_of
from neuro_deploy.backends.lava_mend import import_lava
from neuro_deploy.backends.lava_plan import Cell, Plan
from neuro_deploy.program import ChipProgram
from neuro_deploy.trace import Recording, Trace

VARIABLES = ("spikes", "v", "h", "u")


class Blocked(Exception):
    """Nothing is in the channel yet: a real process would wait here."""


class Channel:
    """One token of the source port's shape and dtype, as Lava's channels carry it."""

    def __init__(self, shape: tuple[int, ...], dtype: type) -> None:
        self.buffer = np.zeros(shape, dtype)
        self.full = False

    def send(self, data: Any) -> None:
        self.buffer[:] = data
        self.full = True

    def recv(self) -> Any:
        if not self.full:
            raise Blocked
        return self.buffer.copy()


class Built:
    """A process model, made by Lava's own builder, and the channels that end in its ports."""

    def __init__(self, node: Any) -> None:
        from lava.magma.compiler.builders.py_builder import PyProcessBuilder
        from lava.magma.compiler.utils import VarInitializer

        builder = PyProcessBuilder(node.model, 0, node.process.proc_params)
        builder.set_variables([VarInitializer(v.name, v.shape, v.init, v.id) for v in node.process.vars])
        self.process, self.model = node.process, builder.build()
        self.channels: dict[str, dict[str, Channel]] = {}

    def plug(self) -> None:
        """Lava's ports, with their channels; a receiving one with the transformations on the way to it."""
        from lava.magma.core.model.py.ports import IdentityTransformer, VirtualPortTransformer

        for name, channels in self.channels.items():
            port, kind = getattr(self.process, name), getattr(type(self.model), name)
            extra = []
            if not name.endswith("out"):
                transforms = port.get_incoming_transform_funcs()
                extra = [VirtualPortTransformer(channels, transforms) if transforms else IdentityTransformer()]
            made = kind.cls(list(channels.values()), self.model, port.shape, kind.d_type, *extra)
            setattr(self.model, name, made)


def connect(source: Built, out: str, target: Built, into: str) -> Channel:
    """A channel between two ports."""
    from lava.magma.core.process.ports.ports import create_port_id

    channel = Channel(getattr(source.process, out).shape, getattr(type(source.model), out).d_type)
    source.channels.setdefault(out, {})[create_port_id(target.process.id, into)] = channel
    target.channels.setdefault(into, {})[create_port_id(source.process.id, out)] = channel
    return channel


class Sample:
    """All models of a plan, fresh, for one sample."""

    def __init__(self, plan: Plan, network: Any) -> None:
        self.plan, self.network = plan, network
        self.sources = {name: Built(node) for name, node in network.sources.items()}
        self.cells = {name: Built(body) for name, body in network.cells.items()}
        self.wires = [Built(node) for node in network.wires]
        self.channels: list[Channel] = []
        senders = {**self.sources, **self.cells}
        for name, built in senders.items():
            built.channels["s_out"] = {}
            if name in self.cells:
                built.channels["a_in"] = {}
        for wire, built in zip(plan.wires, self.wires, strict=True):
            self.channels.append(connect(senders[wire.source], "s_out", built, "s_in"))
            self.channels.append(connect(built, "a_out", self.cells[wire.target], "a_in"))
        for built in (*senders.values(), *self.wires):
            built.plug()

    def step(self, sample: int, row: int) -> None:
        """One step of the network: synapses send and wait, neurons run, synapses receive."""
        for channel in self.channels:
            channel.full = False
        for wire in self.wires:
            try:
                wire.model.run_spk()
                raise AssertionError("a synapse ran without input")
            except Blocked:
                pass
        for source in self.sources.values():
            source.model.time_step = sample * self.plan.rows + row + 1
            source.model.run_spk()
        for cell in self.plan.cells:
            self.bias(cell, row)
            self.cells[cell.name].model.run_spk()
        for wire in self.wires:
            wire.model.run_spk()

    def bias(self, cell: Cell, row: int) -> None:
        """The bias acts from row `latency` on."""
        name = self.network.cells[cell.name].bias
        getattr(self.cells[cell.name].model, name)[:] = cell.bias if row >= cell.latency else 0


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
                record(seen.setdefault(cell.name, {}), models, cell, sample, row)
    forget()
    populations = {
        p.name: Recording(
            p.shape, p.latency, p.unit, {k: a.reshape(*a.shape[:2], *p.shape) for k, a in seen[p.name].items()}
        )
        for p in program.populations
    }
    return Trace(populations, x.shape[0], program.dt, "run_spk", "integer", program.digest)


def record(into: dict[str, np.ndarray], models: Sample, cell: Cell, sample: int, row: int) -> None:
    model, plan = models.cells[cell.name].model, models.plan
    for name in ("spikes", *models.network.cells[cell.name].shows):
        array = into.setdefault(name, np.zeros((plan.rows, plan.batch, cell.size), np.int64))
        array[row, sample] = model.s_out_buff if name == "spikes" else getattr(model, name)


def forget() -> None:
    """Lava keeps every process and Var that was ever made."""
    from lava.magma.core.process.process import ProcessServer
    from lava.magma.core.process.variable import VarServer

    ProcessServer().processes.clear()
    VarServer().vars.clear()


def differences(one: Trace, other: Trace) -> dict[str, int]:
    """ "population.variable" -> how many numbers differ; over all rows and all that both have recorded."""
    found = {}
    for name in one.populations:
        if name in other.populations:
            a, b = one.populations[name].data, other.populations[name].data
            for variable in (v for v in VARIABLES if v in a and v in b):
                found[f"{name}.{variable}"] = int((a[variable] != b[variable]).sum())
    return found
