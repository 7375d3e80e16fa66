"""A residual network on the chip: branches of unequal depth meet in the same step.

A synapse of the chip delivers one step after the spike, so a shortcut would arrive before the branch that it joins.
`compile` puts delays into the shortcuts, and every population starts at its own latency; the run on the chip is the run
of training, shifted.  The network is a small SEW ResNet (joins add up spikes) on 8 x 8 digits.

Printed: the latency of each population, the delays, and float and chip in each layer.

    python examples/residual_net.py [--epochs 2] [--samples 100]
"""

import argparse

import torch

import neuro_deploy as nd
from neuro_deploy.train.datasets import load_dataset

STEPS = 4


def main() -> None:
    """Train, compile, show the timing, compare."""
    parser = argparse.ArgumentParser(description="A residual network on a chip.")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()

    torch.manual_seed(0)
    data = load_dataset("digits").reshaped((1, 8, 8))
    args = {"beta": 0.9, "theta": 1.0, "circulations": 3}
    model = nd.nn.sew_resnet((1, 8, 8), 10, channels=(8, 16), steps=STEPS, neuron_args=args)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    images, labels = torch.from_numpy(data.train_x.copy()), torch.from_numpy(data.train_y.copy())
    for _ in range(options.epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            spikes = model(data.shown(images[batch], STEPS))
            nd.nn.rate_cross_entropy(spikes, labels[batch], scale=4.0).backward()
            optimizer.step()

    known = {"input_low": data.input_low, "input_high": data.input_high, "input_quantum": data.input_quantum}
    graph = nd.export_nir(model.eval(), dt=0.001, input_shape=(1, 8, 8), steps=STEPS, **known)
    program = nd.compile(graph, target="loihi2")
    for population in program.populations:
        print(
            f"{population.name}: {population.size} neurons, step t of the input in chip step {population.latency} + t"
        )
    for synapse in program.synapses:
        if synapse.delay:
            print(f"{synapse.source} -> {synapse.target}: delay {synapse.delay}, for the branch that it joins")

    x, label = data.test_input(STEPS)
    x, label = x[:, : options.samples], label[: options.samples]
    reference, sim = nd.simulate(graph, x, "reference"), nd.simulate(program, x, "sim")
    for name in (p.name for p in program.populations):
        a, b = (run.aligned(name, "spikes") for run in (reference, sim))
        print(f"{name}: {int(a.sum()):,} spikes in float, {int(b.sum()):,} on the chip, {(a != b).mean():.2%} differ")
    right = {n: (program.readout.decide(t) == label).mean() for n, t in (("float", reference), ("chip", sim))}
    print(f"accuracy: {right['float']:.2%} in float, {right['chip']:.2%} on the chip")


if __name__ == "__main__":
    main()
