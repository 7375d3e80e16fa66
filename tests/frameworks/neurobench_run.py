"""What neurobench counts: `python neurobench_run.py FOLDER`, in an environment with neurobench 2.3.0.

FOLDER holds `program.npz`, arrays of a program in the types that they are stored in.  Writes `counts.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import SNNTorchModel, TorchModel
from neurobench_models import inputs, network, weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def counts(x: np.ndarray) -> dict[str, Any]:
    """All metrics of a run, the samples in one batch."""
    data = TensorDataset(torch.from_numpy(x).transpose(0, 1).contiguous(), torch.zeros(x.shape[1]))
    model = SNNTorchModel(network(weights(), hidden=True))
    metrics = [[ConnectionSparsity], [ActivationSparsity, SynapticOperations]]
    benchmark = Benchmark(model, DataLoader(data, batch_size=x.shape[1]), [], [], metrics)
    return dict(benchmark.run(quiet=True))


def main(folder: Path) -> None:
    """Every input, and the footprint of the program's arrays."""
    holder = nn.Module()
    with np.load(folder / "program.npz") as arrays:
        for index, name in enumerate(arrays.files):
            holder.register_buffer(f"array{index}", torch.from_numpy(np.atleast_1d(arrays[name])))
    told: dict[str, Any] = {name: counts(x) for name, x in inputs().items()}
    told["footprint"] = Footprint()(TorchModel(holder))
    (folder / "counts.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    with torch.no_grad():
        main(Path(sys.argv[1]))
