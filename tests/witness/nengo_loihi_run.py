"""Run cases in nengo-loihi's emulator: `python nengo_loihi_run.py FOLDER`, in an environment with nengo-loihi 1.1.0.

The network is built from the emulator's own blocks, axons and synapses, below Nengo's own layer, from integers.  Of its
host's rounding only `discretize_weights` is used, which stores a weight by its sign mode and exponent.

Time: the emulator's step r + 1 is row r.  Spikes of blocks and of inputs alike take one step, as on the chip: offset 0.
Delays: the emulator has none, so a synapse with delay d starts from a chain of d relays, each a neuron without memory
that fires in the step after its source.
Bias: 0 until the population's latency, then set in the emulator's state.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from exchange import Case, Population, Run, Synapse, serve
from nengo_loihi.block import Axon, LoihiBlock
from nengo_loihi.block import Synapse as LoihiSynapse
from nengo_loihi.builder import Model
from nengo_loihi.builder.discretize import discretize_weights
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.inputs import SpikeInput
from nengo_loihi.probe import LoihiProbe

FANOUT = {"mixed": 1, "excitatory": 2, "inhibitory": 3}
"""Sign mode -> `fanout_type` of a synapse's format; the emulator tells mixed from not mixed."""
PROBES = {"spikes": "spiked", "v": "voltage", "u": "current"}
LIMIT = 2**23 - 1


def block_of(p: Population) -> LoihiBlock:
    """A population without bias and without a refractory period (1 = none), its potential within 24 bits."""
    block = LoihiBlock(p.size, label=p.name)
    compartment = block.compartment
    compartment.decay_u = p.du.astype(np.int32)
    compartment.decay_v = p.dv.astype(np.int32)
    compartment.vth = (p.vth << 6).astype(np.int32)
    compartment.bias = np.zeros(p.size, np.int32)
    compartment.refract_delay[:] = 1
    compartment.scale_u = compartment.scale_v = False
    compartment.vmin, compartment.vmax = -LIMIT, LIMIT
    return block


def relay(size: int) -> Population:
    """Neurons that repeat a spike of weight 1: v = u = 64 > 0."""
    return Population("relay", 0, *(np.full(size, value) for value in (4095, 4096, 0, 0)))


class Network:
    """The emulator's model of a case."""

    def __init__(self, case: Case) -> None:
        self.model = Model()
        self.senders: dict[tuple[str, int], SpikeInput | LoihiBlock] = {}
        self.blocks: dict[str, LoihiBlock] = {}
        for source in case.sources:
            self.senders[source.name, 0] = spikes = SpikeInput(source.spikes.shape[1], label=source.name)
            for row in np.flatnonzero(source.spikes.any(axis=1)):
                spikes.add_spikes(int(row) + 1, np.flatnonzero(source.spikes[row]).tolist(), permanent=True)
            self.model.add_input(spikes)
        for p in case.populations:
            self.senders[p.name, 0] = self.blocks[p.name] = block_of(p)
            self.model.add_block(self.blocks[p.name])
        for s in case.synapses:
            self.connect(self.delayed(s.source, s.delay, s.weight.shape[1]), self.blocks[s.target], s)

    def delayed(self, name: str, delay: int, size: int) -> SpikeInput | LoihiBlock:
        """A sender `delay` steps later, by relays."""
        if (name, delay) not in self.senders:
            before = self.delayed(name, delay - 1, size)
            self.senders[name, delay] = block = block_of(relay(size))
            self.model.add_block(block)
            self.connect(before, block, Synapse(name, "relay", 0, 0, np.eye(size, dtype=np.int64)))
        return self.senders[name, delay]

    def connect(self, sender: SpikeInput | LoihiBlock, target: LoihiBlock, s: Synapse) -> None:
        """One axon per neuron of the sender."""
        synapse = LoihiSynapse(s.weight.shape[1])
        synapse.set_weights(s.weight.T)
        synapse.format(weight_exp=s.exponent, fanout_type=FANOUT[s.mode])
        synapse.weights = [discretize_weights(synapse.synapse_cfg, weight) for weight in synapse.weights]
        target.add_synapse(synapse)
        axon = Axon(s.weight.shape[1])
        axon.target = synapse
        sender.add_axon(axon)


def run(case: Case) -> tuple[Run, list[str]]:
    """Spikes, v and u of every population; the emulator's warnings of overflow."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        network = Network(case)
        probes = {(p, v): LoihiProbe(block, key) for p, block in network.blocks.items() for v, key in PROBES.items()}
        for probe in probes.values():
            network.model.add_probe(probe)
        with EmulatorInterface(network.model, seed=0) as emulator:
            for row in range(case.rows):
                for p in case.populations:
                    if row == p.latency:
                        emulator.compartment.bias[emulator.block_info.slices[network.blocks[p.name]]] = p.bias
                emulator.step()
            record = {key: emulator.collect_probe_output(probe).astype(np.int64) for key, probe in probes.items()}
    return record, sorted({str(warning.message) for warning in said})


if __name__ == "__main__":
    names = ("nengo-loihi", "nengo", "numpy")
    serve("nengo_loihi", run, Path(sys.argv[1]), {name: version(name) for name in names})
