"""Run one network in SANA-FE: `python sanafe_run.py FOLDER STEPS`, in an environment with sanafe 2.2.9.

FOLDER holds `snn.yaml`; the architecture is SANA-FE's own loihi.yaml.  Writes `sanafe.json`: energies (J), time (s),
counts, the neurons that fire in each step, and how many tiles each step's messages cross.  Nothing of ours is imported.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

import sanafe


def main(folder: Path, steps: int) -> None:
    """Run it, one step of SANA-FE for each row."""
    arch = sanafe.load_arch(files("sanafe.examples") / "loihi.yaml")
    chip = sanafe.SpikingChip(arch)
    chip.load(sanafe.load_net(folder / "snn.yaml", arch))
    result = chip.sim(steps, spike_trace=True, message_trace=True)
    told = {name: result[name] for name in ("energy", "sim_time", "spikes", "packets_sent", "neurons_fired")}
    told["fired"] = [[str(neuron) for neuron in row] for row in result["spike_trace"]]
    told["hops"] = [sum(m["hops"] for m in row if not m["placeholder"]) for row in result["message_trace"]]
    (folder / "sanafe.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
