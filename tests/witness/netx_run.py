"""What lava-dl's own netx makes of tests/data/*.net: `python netx_run.py LAVA_DL` writes tests/data/netx_trace.npz.

LAVA_DL is a folder with lava-dl 0.6.0 (`pip install --no-deps --target LAVA_DL lava-dl==0.6.0`); run it where
neuro_deploy and Lava are installed.  netx imports all of slayer, which needs matplotlib and more, for one function: an
empty slayer package leaves that out.  `int()` of an array of one number, gone in numpy 2.4, is mended for its module.

The input is drawn here: spikes for oxford.net; for tiny.net an image on the grid of its input weight, which goes into
the input neurons as netx's own test does it, bias = weight * x + bias.  Arrays are in our order, (T, C, H, W); index t
is netx's time step t + 1.
"""

from __future__ import annotations

import builtins
import importlib
import multiprocessing
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from neuro_deploy.backends.lava_mend import import_conv, import_lava
from neuro_deploy.files import write_npz

DATA = Path(__file__).resolve().parent.parent / "data"
STEPS = {"oxford": 80, "tiny": 20}
RATE = 0.005
KEPT = 4
"""Potentials are kept at every so many steps: spikes at all."""


def import_netx(folder: Path) -> Any:
    """netx.hdf5 from a folder with lava-dl."""
    import_lava()
    import_conv()
    import lava

    for name in ("matplotlib", "matplotlib.pyplot", "lava.lib.dl.slayer"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["matplotlib"].pyplot = sys.modules["matplotlib.pyplot"]  # type: ignore[attr-defined]
    sys.modules["lava.lib.dl.slayer"].__path__ = [str(folder / "lava/lib/dl/slayer")]
    lava.__path__.append(str(folder / "lava"))
    netx = importlib.import_module("lava.lib.dl.netx.hdf5")
    netx.int = lambda x: builtins.int(np.asarray(x).reshape(-1)[0])
    return netx


def ours(array: np.ndarray) -> np.ndarray:
    """(T, W, H, C) as (T, C, H, W); (T, N) as it is."""
    return np.ascontiguousarray(array.transpose(0, *range(1, array.ndim)[::-1]))


def run(netx: Any, name: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Run one file; its input, and spikes and (every KEPT steps) potentials of every layer."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer
    from lava.proc.monitor.process import Monitor

    net, steps = netx.Network(net_config=str(DATA / f"{name}.net")), STEPS[name]
    if name == "tiny":
        told = net.in_layer.transform
        levels = rng.integers(-100, 100, (3, 16, 16))
        x = levels / told["weight"]
        net.in_layer.neuron.bias_mant.init = (levels + told["bias"]).transpose(2, 1, 0).astype(np.int32)
    else:
        x = rng.random((steps, 200)) < RATE
        RingBuffer(data=x.T.astype(np.int32)).s_out.connect(net.inp)
    probes = []
    for layer in net.layers:
        spikes, v = Monitor(), Monitor()
        spikes.probe(layer.neuron.s_out, steps)
        v.probe(layer.neuron.v, steps)
        probes.append((spikes, v))
    net.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    found = {f"{name}.x": x.astype(np.float32)}
    for index, (layer, each) in enumerate(zip(net.layers, probes, strict=True)):
        for key, probe, kind in (("spikes", each[0], np.uint8), ("v", each[1], np.int32)):
            data = next(iter(next(iter(probe.get_data().values())).values()))
            data = ours(data.reshape(steps, *layer.neuron.s_out.shape)).astype(kind)
            found[f"{name}.{index}.{key}"] = data if key == "spikes" else data[::KEPT]
    net.stop()
    return found


def main(folder: Path) -> None:
    """Both files."""
    multiprocessing.set_start_method("fork", force=True)
    netx, rng = import_netx(folder), np.random.default_rng(0)
    found = {key: array for name in STEPS for key, array in run(netx, name, rng).items()}
    for key, array in found.items():
        print(key, array.shape, array.dtype, f"mean {array.mean():.4f}")
    write_npz(DATA / "netx_trace.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
