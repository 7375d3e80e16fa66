"""Networks of Rockpool, their spikes, and Rockpool's own NIR export: `python rockpool_run.py FOLDER`.

Rockpool is AGPL: nothing of ours imports it but this script, which runs in an environment of its own.  All parameters
are distinct and not the default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import torch
from exchange import note, save
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import ExpSynTorch, LIFBitshiftTorch, LIFNeuronTorch, LIFTorch, LinearTorch
from rockpool.nn.modules.torch.nir import to_nir

DT, STEPS, BATCH = 0.002, 50, 8
TWO = torch.tensor(2.0)


def _line(low: float, high: float, count: int) -> torch.Tensor:
    return torch.linspace(low, high, count)


def _dense(first: Any, second: Any, gain: float = 1.0) -> Any:
    """5 -> 9 -> 4, the first with positive biases."""
    linear = LinearTorch((5, 9), has_bias=True), LinearTorch((9, 4), has_bias=False)
    with torch.no_grad():
        for layer in linear:
            layer.weight.mul_(gain).add_(0.03)
        linear[0].bias.abs_().mul_(0.3)
    return Sequential(linear[0], first, linear[1], second)


def _lif(size: int, **more: Any) -> Any:
    each = {"tau_mem": _line(0.004, 0.03, size), "tau_syn": _line(0.003, 0.012, size).reshape(size, 1)}
    return LIFTorch(size, **{**each, "threshold": _line(0.9, 2.1, size), "bias": torch.zeros(size), "dt": DT, **more})


def _one(size: int, **more: Any) -> Any:
    """One value for all neurons."""
    each = {"tau_mem": torch.tensor(0.013), "tau_syn": torch.tensor(0.007), "threshold": torch.tensor(1.7)}
    return LIFTorch(size, **{**each, "bias": torch.tensor(0.0), "dt": DT, **more})


def _neuron(size: int, **more: Any) -> Any:
    each = {"tau_mem": _line(0.004, 0.03, size), "threshold": _line(0.7, 1.6, size), "bias": torch.zeros(size)}
    return LIFNeuronTorch(size, **{**each, "dt": DT, **more})


def _synapse(size: int, trained: bool) -> Any:
    synapse = ExpSynTorch(size, tau=_line(0.005, 0.011, size), dt=DT)
    synapse.tau.requires_grad_(trained)
    return synapse


NETWORKS: dict[str, Callable[[], Any]] = {
    "lif": lambda: _dense(_lif(9), _one(4), 0.5),
    "neuron": lambda: _dense(_neuron(9), _neuron(4)),
    "synapse": lambda: _dense(_lif(9), _synapse(4, False), 0.5),
    "trained synapse": lambda: _dense(_lif(9), _synapse(4, True), 0.5),
    "limited": lambda: _dense(
        _lif(9, max_spikes_per_dt=torch.tensor(2.0)), _one(4, max_spikes_per_dt=torch.tensor(2.0))
    ),
    "biased": lambda: _dense(_lif(9, bias=_line(0.1, 0.3, 9)), _one(4), 0.5),
    "recurrent": lambda: _dense(_lif(9, has_rec=True, w_rec=0.15 * torch.rand(9, 9) - 0.05), _one(4), 0.5),
    "shifts": lambda: _dense(
        LIFTorch(
            9, leak_mode="bitshifts", dash_mem=_line(2.0, 4.0, 9), dash_syn=_line(1.0, 2.5, 9).reshape(9, 1), dt=DT
        ),
        _one(4, threshold=torch.tensor(0.6)),
        0.6,
    ),
    "bitshift class": lambda: _dense(LIFBitshiftTorch(9, tau_mem=_line(0.004, 0.03, 9), dt=DT), _one(4), 0.5),
}


def build(name: str) -> Any:
    torch.manual_seed(sorted(NETWORKS).index(name))
    return NETWORKS[name]()


def main(folder: Path) -> None:
    """All of them."""
    x = torch.rand(BATCH, STEPS, 5, generator=torch.Generator().manual_seed(1)) * 2 - 0.6
    for name in NETWORKS:
        network = build(name)
        with torch.no_grad():
            _, _, record = network(x, record=True)
        parts = [key for key in record if not key.endswith("_output") and "Linear" not in key]
        sent = {key: record[key].get("spikes", record[f"{key}_output"]) for key in parts}
        save(folder, name, x.transpose(0, 1).numpy(), {k: v.transpose(0, 1).detach().numpy() for k, v in sent.items()})
        try:
            nir.write(folder / f"{name}.own.nir", to_nir(network, x[:1]))
            note(folder, name, own="")
        except Exception as error:  # whatever it raises is what the test wants to know
            note(folder, name, own=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
