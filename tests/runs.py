"""Recorded runs for the tests of compare and report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neuro_deploy.backends import simulate
from neuro_deploy.program import ChipProgram, DenseSynapse, Encoder, Population, Readout
from neuro_deploy.trace import Recording, Trace


def program(name: str = "fc1", out: str = "out") -> ChipProgram:
    """3 -> 5 CF (K=3) -> 4 LIF, with biases and unequal parameters; every population fires."""
    rng = np.random.default_rng(3)
    encoder = Encoder("input", (3,), 4, 1, 4, False, 0, 12)
    cf = {"dv": 410, "vth": np.arange(20, 25), "vth_neg": 20, "rounds": 3, "rounds_neg": 0}
    lif = {"du": 1000, "dv": 300, "vth": 30}
    return ChipProgram(
        target="loihi2",
        dt=0.001,
        max_steps=64,
        encoders=(encoder,),
        populations=(
            Population(name, "cf", (5,), {**cf, "bias_mant": np.arange(5), "bias_exp": 4}, 1, np.asarray(0.01)),
            Population(out, "lif", (2, 2), {**lif, "bias_mant": 100, "bias_exp": 3}, 2, np.linspace(0.01, 0.02, 4)),
        ),
        synapses=(
            DenseSynapse("w1", "input", name, rng.integers(-3, 9, (5, 3))),
            DenseSynapse("w2", name, out, rng.integers(-4, 14, (4, 5)), 0, 0),
        ),
        readout=Readout(out),
        proven=True,
        report={"roundings": [[name, "beta", 1e-4, 5e-5]], "remarks": ["a <remark>"], "bounds": {"fc1": {"h": [0, 1]}}},
    )


def run(samples: int = 4, steps: int = 10, record: tuple[str, ...] = ("spikes", "v", "h", "u")) -> Trace:
    """What sim records of `program()`."""
    x = np.random.default_rng(5).random((steps, samples, 3)) * 3
    return simulate(program(), x, "sim", record)


def changed(trace: Trace, population: str, variable: str, index: tuple[int, ...], by: Any = 1) -> Trace:
    """The same run with `by` added to one value."""
    array = trace.populations[population].data[variable].copy()
    array[index] += by
    return with_data(trace, population, variable, array)


def with_data(trace: Trace, population: str, variable: str, array: Any) -> Trace:
    """The same run with one array replaced, or removed if `array` is None."""
    old = trace.populations[population]
    data = {k: v for k, v in old.data.items() if k != variable or array is not None}
    if array is not None:
        data[variable] = array
    return with_recording(trace, population, Recording(old.shape, old.latency, old.unit, data))


def with_recording(trace: Trace, population: str, recording: Recording) -> Trace:
    """The same run with one population replaced."""
    return replace(trace, populations={**trace.populations, population: recording})


def floated(trace: Trace, scale: float = 1.0, batch: int | None = None) -> Trace:
    """A float run that shows the same spikes and (times `scale`) the same potentials in float units, latency 0."""
    populations = {}
    for name, p in trace.populations.items():
        unit = p.unit.reshape(p.shape) if p.unit.ndim else p.unit
        data = {}
        for variable in p.data:
            values = trace.aligned(name, variable)[:, :batch].astype(np.float64)
            if variable != "spikes" or p.latency == 0:
                values = values * unit * scale
            data[variable] = values
        populations[name] = Recording(p.shape, 0, np.asarray(1.0), data)
    return Trace(populations, trace.steps, trace.dt, "reference", "float")


def run_prefix(trace: Trace, samples: int) -> Trace:
    for name, recording in trace.populations.items():
        for variable, array in recording.data.items():
            trace = with_data(trace, name, variable, array[:, :samples])
    return trace
