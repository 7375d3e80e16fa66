"""NeuroBench's counts of a program, against the package neurobench on the same network of snnTorch.

neurobench runs in an environment of its own (environments.py).  All numbers are whole, so the chip rounds nothing.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from environments import ENVIRONMENTS
from exchange import run_script
from neurobench_models import SHAPE, STEPS, inputs, network, weights

import neuro_deploy as nd
from neuro_deploy.program import ChipProgram

pytestmark = pytest.mark.frameworks

STORED = {"vth": np.int32, "vth_neg": np.int32, "rounds": np.int32, "rounds_neg": np.int32, "theta_reset": np.int32}
STORED |= {"dv": np.int16, "du": np.int16, "bias_mant": np.int16, "bias_exp": np.int8}
"""The smallest types that hold 17, 24, 12, 13 and 3 bits."""


@pytest.fixture(scope="module")
def program() -> ChipProgram:
    graph = nd.from_snntorch(
        network(weights(), hidden=False),
        dt=1e-3,
        input_shape=SHAPE,
        steps=STEPS,
        input_low=0.0,
        input_high=1.0,
        input_quantum=0.25,
    )
    return nd.compile(graph, target="loihi2", exact=True)


@pytest.fixture(scope="module")
def told(program: ChipProgram, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("neurobench")
    arrays = {f"{s.name}.weight": s.weight.astype(np.int8) for s in program.synapses}
    for p in program.populations:
        arrays |= {f"{p.name}.{name}": value.astype(STORED[name]) for name, value in p.params.items()}
    np.savez(folder / "program.npz", **arrays)
    run_script(ENVIRONMENTS["neurobench"].python, "neurobench_run.py", folder)
    return dict(json.loads((folder / "counts.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["spikes", "values", "mixed"])
def test_operations_and_sparsity(name: str, program: ChipProgram, told: dict[str, Any]) -> None:
    trace = nd.simulate(program, inputs()[name], record=("spikes",))
    ours, theirs = nd.estimate(program, trace).neurobench, told[name]
    operations = theirs["SynapticOperations"]
    assert ours.effective_acs == operations["Effective_ACs"] > 0
    assert ours.effective_macs == operations["Effective_MACs"]
    assert (ours.effective_macs > 0) == (name != "spikes")
    assert ours.dense == operations["Dense"] > ours.effective_acs + ours.effective_macs
    assert ours.activation_sparsity == theirs["ActivationSparsity"] < 1
    assert round(ours.connection_sparsity, 4) == theirs["ConnectionSparsity"] > 0.25


def test_footprint(program: ChipProgram, told: dict[str, Any]) -> None:
    trace = nd.simulate(program, inputs()["spikes"], record=("spikes",))
    assert nd.estimate(program, trace).neurobench.footprint_bytes == told["footprint"] > 200
