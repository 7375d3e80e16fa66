"""A chip of your own: one TOML file, and everything else knows it.

examples/own_target.toml describes a small chip with 4-bit weights and spikes of at most 3.  A network of the zoo is
compiled for it and for Loihi 2, and both programs run on its test set; a network that the small chip cannot hold is
refused, with every reason at once.

Printed: both programs, their accuracy, how many different weights they have, and the refusal.

    python examples/own_target.py [--samples 360]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.errors import UnsupportedError
from neuro_deploy.zoo import named

TARGET = Path(__file__).with_suffix(".toml")


def main() -> None:
    """Compile for both, run both, and ask for too much."""
    parser = argparse.ArgumentParser(description="A target of your own.")
    parser.add_argument("--samples", type=int, default=360)
    options = parser.parse_args()

    model = named("digits_mlp")
    x, label = model.test_input()
    x, label = x[:, : options.samples], label[: options.samples]
    graph = nd.read_nir(model.network)
    for target in ("loihi2", TARGET):
        program = nd.compile(graph, target=target)
        run = nd.simulate(program, x, "sim")
        print(program)
        levels = max(len(np.unique(synapse.weight)) for synapse in program.synapses)
        right = (program.readout.decide(run) == label).mean()
        print(f"  accuracy {right:.2%} of {len(label)} samples, {levels} different weights in a synapse")

    hasty = nd.nn.CirculateFire(beta=0.9, theta=1.0, circulations=5)
    back = nd.nn.LIF(beta=0.9, theta=1.0, reset="hard", v_reset=0.25)
    large = nn.Sequential(nn.Linear(64, 3000), hasty, nn.Linear(3000, 10), back).eval()
    torch.manual_seed(0)
    told = {"dt": 0.001, "input_shape": (64,), "steps": 8, "input_low": 0.0, "input_high": 1.0}
    try:
        nd.compile(nd.export_nir(large, **told), target=TARGET)
    except UnsupportedError as error:
        print(error)


if __name__ == "__main__":
    main()
