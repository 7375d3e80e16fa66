"""A program as a float network, unrolled over logical steps by autograd: what the gradients of a Chip must be."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from neuro_deploy.neurons import part
from neuro_deploy.program import ChipProgram, Synapse
from neuro_deploy.train.chip import Chip
from neuro_deploy.train.chip.plan import neuron_of
from neuro_deploy.wiring import Conv, to_dense


class Unrolled:
    """weights, biases: leaves, as `Chip.weights` and `Chip.biases`, by name."""

    def __init__(self, chip: Chip) -> None:
        self.program: ChipProgram = chip.program()
        weights, biases = chip.integers()
        self.sizes = {s.name: chip.synapse(s.name).size for s in self.program.synapses}
        self.weights = {s.name: self.leaf(weights[s.name] * self.sizes[s.name]) for s in self.program.synapses}
        self.biases = {
            p.name: self.leaf(biases[p.name] * torch.tensor(p.unit).expand(p.size)) for p in self.program.populations
        }
        self.gains = {e.name: e.numerator / e.denominator for e in self.program.encoders}
        self.shapes = {p.name: p.shape for p in self.program.populations}

    @staticmethod
    def leaf(values: Tensor) -> Tensor:
        return values.detach().float().clone().requires_grad_()

    def sum(self, s: Synapse, spikes: Tensor) -> Tensor:
        """What a synapse adds, (B, N), of spikes (B, N_source)."""
        weight, wiring = self.weights[s.name], s.wiring
        if isinstance(wiring, Conv):
            image = spikes.reshape(-1, *wiring.source_shape)
            options = (None, wiring.stride, wiring.padding, wiring.dilation, wiring.groups)
            return functional.conv2d(image, weight, *options).flatten(1)
        if wiring.kind == "sparse":
            targets, sources, _ = (torch.tensor(values) for values in wiring.triples())
            whole = torch.zeros(wiring.target_size, wiring.source_size)
            return spikes @ whole.index_put((targets, sources), weight).T
        assert to_dense(wiring) is wiring
        return spikes @ weight.T

    def run(self, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Population -> what it sends, and h, (T, B, N).  x: the encoder's integers (T, B, N)."""
        program, encoder = self.program, self.program.encoders[0]
        latency = {encoder.name: 0, **{p.name: p.latency for p in program.populations}}
        modules = {p.name: part(p.kind, "torch").from_neuron(neuron_of(program, p)) for p in program.populations}
        states: dict[str, object] = {}
        sent = {encoder.name: dict(enumerate(x.float() / self.gains[encoder.name]))}
        seen: dict[str, list[Tensor]] = {p.name: [] for p in program.populations}
        driven = {s.target for s in program.synapses}
        for p in program.populations:
            sent[p.name] = {}
        rows = len(x) + program.depth
        for row in range(1, rows):  # on the chip a spike needs a step; so every source is known here
            for p in program.populations:
                t = row - p.latency
                if not 0 <= t < len(x):
                    continue
                drive = torch.zeros(x.shape[1], p.size)
                for s in (s for s in program.synapses if s.target == p.name):
                    when = row - 1 - s.delay - latency[s.source]
                    if s.source not in driven and s.source != encoder.name:
                        drive = drive + (self.sum(s, torch.ones(x.shape[1], 1)) if when >= 0 else 0.0)
                    elif when in sent[s.source]:
                        drive = drive + self.sum(s, sent[s.source][when])
                module = modules[p.name]
                module.drift = self.biases[p.name].reshape(p.shape)
                drive = drive.reshape(-1, *p.shape)
                state = states.get(p.name) or module.start(drive)
                out, h, states[p.name] = module.step(drive, state, next(module.alphas(1)))
                sent[p.name][t] = module.output(out, states[p.name]).flatten(1)
                seen[p.name].append(h.flatten(1))
        found = {name: torch.stack([rows[t] for t in sorted(rows)]) for name, rows in sent.items() if rows}
        return found, {name: torch.stack(values) for name, values in seen.items() if values}
