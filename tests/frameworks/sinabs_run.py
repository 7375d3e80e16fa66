"""Run the networks of sinabs_models.py, and write Sinabs' own export: `python sinabs_run.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import nir
import sinabs
import sinabs.layers as sl
import torch
from exchange import note, save
from sinabs_models import BATCH, CASES, STEPS, Case, build

NEURONS = (sl.LIF, sl.ALIF)


def run(case: Case) -> dict[str, torch.Tensor]:
    """What each population sent, (T, B, *shape)."""
    sent = {}

    def watch(name: str) -> object:
        def hook(module: object, given: object, result: torch.Tensor) -> None:
            by_sample = result.unflatten(0, (BATCH, STEPS)) if case.squeezed else result
            sent[name] = by_sample.transpose(0, 1).contiguous()

        return hook

    for name, module in case.network.named_modules():
        if isinstance(module, NEURONS):
            module.register_forward_hook(watch(name))
    with torch.no_grad():
        case.network(case.x.flatten(0, 1) if case.squeezed else case.x)
    return sent


def export(case: Case, path: Path) -> str:
    """Sinabs' own export; why it failed, or ""."""
    sample = case.x.flatten(0, 1) if case.squeezed else case.x[:1]
    try:
        with torch.no_grad():
            nir.write(path, sinabs.to_nir(case.network, sample))
    except Exception as error:  # whatever it raises is what the test wants to know
        return f"{type(error).__name__}: {error}"
    return ""


def main(folder: Path) -> None:
    """All of them."""
    for name in CASES:
        case = build(name)
        save(folder, name, case.x.transpose(0, 1).numpy(), {k: v.numpy() for k, v in run(case).items()})
        note(folder, name, own=export(case, folder / f"{name}.own.nir"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
