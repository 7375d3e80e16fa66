"""From a snnTorch model to the chip: its reset, which a NIR file does not say, is kept.

A snnTorch network (two `Leaky` layers, reset by subtraction) is taken as it is, here with random weights: train yours
as you do now.  `from_snntorch` makes a NIR graph of it, and the example counts snnTorch's own spikes against those of
the graph, then those of the graph against the chip's integers.

Printed: spikes of each layer, and how many differ from snnTorch to the graph (0), and from the graph to the chip.
Needs snnTorch: pip install snntorch

    python examples/from_snntorch.py [--samples 50]
"""

import argparse

import numpy as np
import snntorch as snn
import torch
from torch import nn

import neuro_deploy as nd

STEPS = 20


class Net(nn.Module):
    """32 -> 64 -> 10."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(32, 64), snn.Leaky(beta=0.9, threshold=0.5)
        self.fc2, self.lif2 = nn.Linear(64, 10), snn.Leaky(beta=0.8, threshold=0.5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Spikes (T, B, N) of both layers, as snnTorch's users write the loop over time."""
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        seen: dict[str, list[torch.Tensor]] = {"lif1": [], "lif2": []}
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            seen["lif1"].append(spk1)
            seen["lif2"].append(spk2)
        return {name: torch.stack(spikes) for name, spikes in seen.items()}


def main() -> None:
    """Take it over, and count."""
    parser = argparse.ArgumentParser(description="A snnTorch model on a chip.")
    parser.add_argument("--samples", type=int, default=50)
    options = parser.parse_args()

    torch.manual_seed(0)
    net = Net().eval()
    x = (np.random.default_rng(0).random((STEPS, options.samples, 32)) < 0.4).astype(np.float32)  # spikes, (T, B, 32)
    with torch.no_grad():
        own = net(torch.from_numpy(x))

    layers = ["fc1", "lif1", "fc2", "lif2"]  # in the order of forward
    spikes_in = {"input_low": 0.0, "input_high": 1.0, "input_quantum": 1.0}
    graph = nd.from_snntorch(net, dt=0.001, input_shape=(32,), layers=layers, steps=STEPS, **spikes_in)
    program = nd.compile(graph, target="loihi2")
    reference, sim = nd.simulate(graph, x, "reference"), nd.simulate(program, x, "sim")
    for name, spikes in own.items():
        of_graph, of_chip = reference.aligned(name, "spikes"), sim.aligned(name, "spikes")
        differing, rounded = (spikes.numpy() != of_graph).sum(), (of_graph != of_chip).sum()
        print(
            f"{name}: {int(spikes.sum()):,} spikes; {differing} of {of_graph.size:,} differ in the graph, "
            f"{rounded:,} between graph and chip"
        )
    print(program)


if __name__ == "__main__":
    main()
