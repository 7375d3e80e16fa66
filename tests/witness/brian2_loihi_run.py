"""Run cases in brian2-loihi: `python brian2_loihi_run.py FOLDER`, in an environment with brian2-loihi 0.5.2.

Time: Brian's step r is row r.  A spike of a neuron acts in the next step, as on the chip: offset 0.  A spike of a
generator acts in its own step, because generators run before synapses: so inputs are given one step later, offset 1.
Delays are the synapses' own.  There is no bias, and a group has one du, dv and vth; other cases raise ValueError.
u is read behind the synapses and before its decay, v behind the reset.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import brian2
import numpy as np
from brian2_loihi import (
    LoihiNetwork,
    LoihiNeuronGroup,
    LoihiSpikeGeneratorGroup,
    LoihiSpikeMonitor,
    LoihiStateMonitor,
    LoihiSynapses,
    synapse_sign_mode,
)
from exchange import Case, Population, Run, Source, Synapse, serve

INPUT_OFFSET = 1
STATES = {"v": "v", "u": "I"}


def generator(source: Source) -> LoihiSpikeGeneratorGroup:
    """An input, INPUT_OFFSET steps later."""
    rows, neurons = np.nonzero(source.spikes[:-INPUT_OFFSET])
    return LoihiSpikeGeneratorGroup(source.spikes.shape[1], neurons, rows + INPUT_OFFSET)


def group(p: Population) -> LoihiNeuronGroup:
    """A population; refractory 1 is none; decay_I counts from 1 where du counts from 0."""
    if not p.uniform or p.bias.any():
        raise ValueError(f"population '{p.name}': brian2-loihi has no bias, and one du, dv and vth a group")
    vth, dv, du = (int(values[0]) for values in (p.vth, p.dv, p.du))
    return LoihiNeuronGroup(p.size, refractory=1, threshold_v_mant=vth, decay_v=dv, decay_I=du + 1)


def synapses(s: Synapse, senders: dict[str, Any]) -> LoihiSynapses:
    """All-to-all connections, with the weights as given."""
    mode = getattr(synapse_sign_mode, s.mode.upper())
    made = LoihiSynapses(senders[s.source], senders[s.target], delay=s.delay, w_exp=s.exponent, sign_mode=mode)
    targets, sources = np.indices(s.weight.shape).reshape(2, -1)
    made.connect(i=sources, j=targets)
    made.w = s.weight.reshape(-1)
    return made


def run(case: Case) -> tuple[Run, list[str]]:
    """Spikes, v and u of every population."""
    groups = {p.name: group(p) for p in case.populations}
    senders = {**groups, **{source.name: generator(source) for source in case.sources}}
    fired = {name: LoihiSpikeMonitor(made) for name, made in groups.items()}
    # Order 1: behind the synapses of the same slot.
    states = {(p, v): LoihiStateMonitor(groups[p], key, order=1) for p in groups for v, key in STATES.items()}
    wires = [synapses(s, senders) for s in case.synapses]
    LoihiNetwork(*senders.values(), *wires, *fired.values(), *states.values()).run(case.rows, namespace={})
    record = {key: np.asarray(getattr(monitor, STATES[key[1]])).T for key, monitor in states.items()}
    for p in case.populations:
        record[p.name, "spikes"] = spikes = np.zeros((case.rows, p.size), np.int64)
        # LoihiSpikeMonitor.t rounds down: 0.029 s * 1000 becomes 28.
        spikes[np.rint(np.asarray(fired[p.name].t_) * 1000).astype(int), np.asarray(fired[p.name].i)] = 1
    return record, []


if __name__ == "__main__":
    brian2.prefs.codegen.target = "numpy"
    names = ("brian2-loihi", "brian2", "numpy")
    serve("brian2_loihi", run, Path(sys.argv[1]), {name: version(name) for name in names})
