"""Two runs differ: where, why, and in which smallest network.

The example plants a fault: somebody's firmware lost the sign of one weight of 11,600.  `compare` finds the first neuron
and step that differ and both sides of its sum; `diagnose` names the kind of fault that explains every record; `shrink`
leaves out all that is not needed to show it, and writes one file for the bug report.

Printed: the verdict, the first difference with its inputs, the diagnosis, and the size of the case before and after.

    python examples/find_the_fault.py [--out case.h5]
"""

import argparse
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import nn

import neuro_deploy as nd
from neuro_deploy.program import ChipProgram
from neuro_deploy.shrinking import between_programs, save_case

STEPS = 8


def network() -> ChipProgram:
    """50 -> 100 -> 60 -> 10, compiled; random weights do here."""
    torch.manual_seed(0)
    sizes, layers = (50, 100, 60, 10), []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nd.nn.CirculateFire(beta=0.9, theta=0.3, circulations=3)]
    graph = nd.export_nir(
        nn.Sequential(*layers).eval(), dt=0.001, input_shape=(50,), steps=STEPS, input_low=0.0, input_high=1.0
    )
    return nd.compile(graph, target="loihi2")


def with_fault(program: ChipProgram) -> ChipProgram:
    """The same without the sign of one weight of the second synapse."""
    first, second, third = program.synapses
    weight = second.weight.copy()
    weight[34, 77] *= -1
    return replace(program, synapses=(first, replace(second, wiring=second.wiring.with_weight(weight)), third))


def main() -> None:
    """Run both, compare, diagnose, shrink."""
    parser = argparse.ArgumentParser(description="Debugging two runs that differ.")
    parser.add_argument("--out", default="case.h5")
    options = parser.parse_args()

    right = network()
    wrong = with_fault(right)
    x = np.random.default_rng(0).random((STEPS, 20, 50)).astype(np.float32)  # (T, B, N)
    a, b = nd.simulate(right, x, "sim"), nd.simulate(wrong, x, "sim")

    result = nd.compare(a, b, programs=(right, wrong))
    print(result.summary())
    for entry in result.first.cause.inputs:
        print(f"  from {entry.synapse}, neuron {entry.neuron}: weight {entry.weight_a} against {entry.weight_b}")
    print("diagnosis:", nd.diagnose(a, b, (right, wrong)).sentence)

    found = nd.shrink((right, wrong), x, between_programs())
    print(f"from {found.before}\nto   {found.case}, in {found.tried} tries")
    save_case(found.case, found.first, options.out)
    print(f"wrote {options.out}: 'neuro_deploy compare {options.out}' shows it again")


if __name__ == "__main__":
    main()
