"""From your own PyTorch model to the chip, and the proof that it is the same network.

A module of your own, with a branch and a batch norm, learns 8 x 8 digits in a plain PyTorch loop.  `export_nir` writes
it as a NIR graph and proves that the graph computes what the model computes; `compile` makes Loihi 2's integers of it.

Printed: the program (how large, what is proven of its registers), how far the integer run is from the float run, and
the accuracy of both on 360 digits that training did not see.

    python examples/own_model.py [--epochs 10] [--lava]
"""

import argparse

import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.train.datasets import load_dataset

STEPS = 4


class TwoBranches(nn.Module):
    """64 -> 48, and once more to 48 beside it; both together decide."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(64, 48), nd.nn.BatchNorm(48)
        self.fire = nd.nn.CirculateFire(beta=0.9, theta=1.0, circulations=3)
        self.beside, self.fire_beside = nn.Linear(48, 48), nd.nn.LIF(beta=0.8, theta=0.5, reset="hard")
        self.out, self.decide = nn.Linear(48, 10), nd.nn.CirculateFire(beta=0.9, theta=1.0, circulations=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes (T, B, 10) of x (T, B, 64)."""
        s = self.fire(self.norm(self.first(x)))
        return self.decide(self.out(s + self.fire_beside(self.beside(s))))


def main() -> None:
    """Train, export, compile, simulate, compare."""
    parser = argparse.ArgumentParser(description="Your own PyTorch model on a chip.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lava", action="store_true", help="ask Lava, too: 20 samples")
    options = parser.parse_args()

    torch.manual_seed(0)
    data = load_dataset("digits")
    model = TwoBranches()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    images, labels = torch.from_numpy(data.train_x.copy()), torch.from_numpy(data.train_y.copy())
    for _ in range(options.epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            spikes = model(data.shown(images[batch], STEPS))
            nd.nn.rate_cross_entropy(spikes, labels[batch], scale=4.0).backward()
            optimizer.step()

    known = {"input_low": data.input_low, "input_high": data.input_high, "input_quantum": data.input_quantum}
    graph = nd.export_nir(model.eval(), dt=0.001, input_shape=(64,), steps=STEPS, **known)
    program = nd.compile(graph, target="loihi2")
    print(program)

    x, label = data.test_input(STEPS)
    runs = {"float": nd.simulate(graph, x, "reference"), "chip": nd.simulate(program, x, "sim")}
    print(nd.compare(runs["float"], runs["chip"], readout=program.readout, labels=label).summary())
    for name, run in runs.items():
        print(f"accuracy {name}: {(program.readout.decide(run) == label).mean():.2%}")
    if options.lava:
        print("sim and Lava:", nd.compare(runs["chip"], nd.simulate(program, x, "lava", samples=20)).summary())


if __name__ == "__main__":
    main()
