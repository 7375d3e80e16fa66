"""`.net` files written by hand, and what they mean: a plain interpreter in slayer's own time, reading the raw file.

It shares no code with neuro_deploy: convolutions are torch's, a pool is slayer's tall image, a delay holds back
a layer's output (as in slayer; netx holds back its input).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.nn.functional import conv2d

CUBA: dict[str, Any] = {
    "type": "CUBA",
    "iDecay": 4096,
    "vDecay": 700,
    "vThMant": 40,
    "refDelay": 1,
    "gradedSpike": False,
}


def cuba(**changes: Any) -> dict[str, Any]:
    """A neuron group; None leaves a key out."""
    return {k: v for k, v in {**CUBA, **changes}.items() if v is not None}


def even(rng: np.random.Generator, *shape: int, most: int = 40) -> np.ndarray:
    """Weights of both signs, even, more of them positive, so that something fires."""
    return (2 * rng.integers(-most // 4, most // 2, shape)).astype(np.float32)


def write_net(path: Path, *layers: dict[str, Any], steps: int | None = None) -> Path:
    """Layers as slayer writes them: a dict is a group, a type an array of one text."""
    with h5py.File(path, "w") as handle:
        for index, layer in enumerate(layers):
            group = handle.create_group(f"layer/{index}")
            for key, value in layer.items():
                if key == "type":
                    group.create_dataset("type", (1,), "S10", [value.encode()])
                elif isinstance(value, dict):
                    for name, item in value.items():
                        group.create_dataset(f"{key}/{name}", data=item)
                else:
                    group.create_dataset(key, data=value)
        if steps is not None:
            handle["simulation/tSample"] = steps
    return path


def toward_zero(x: np.ndarray, keep: Any) -> np.ndarray:
    return np.sign(x) * ((np.abs(x) * keep) // 4096)


def spread(value: Any, shape: tuple[int, ...]) -> Any:
    """One number, or one per channel, against (C, ...)."""
    array = np.asarray(value).astype(np.int64).reshape(-1)
    return array[0] if array.size == 1 else array.reshape(-1, *[1] * (len(shape) - 1))


def interpret(path: Path, x: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Layer name -> spikes and potentials (T, *shape), for one sample x (T, *shape): what reaches the next layer is
    delayed by `delay`, and by one step.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    with h5py.File(path) as handle:
        value, flat, first = x, False, True
        for index in range(len(handle["layer"])):
            layer = handle["layer"][str(index)]
            kind = layer["type"][0].decode()
            if kind == "flatten":
                flat = True
            if kind == "flatten" or ("weight" not in layer and kind == "input"):
                continue
            if not first:
                value = np.concatenate([np.zeros_like(value[:1]), value[:-1]])
            value = value.reshape(len(value), -1) if flat or kind.startswith("dense") else value
            if kind == "average":
                groups = int(np.prod(layer["shape"][()]))
                found[f"average{index}"] = {"v": value.reshape(len(value), groups, -1).mean(axis=2)}
                continue
            found[f"{kind}{index}"] = states = neurons(layer, drive(layer, kind, value), recurrent(layer))
            states |= {key: late(layer, values) for key, values in states.items()}
            value, flat, first = states["spikes"], False, False
    return found


def drive(layer: Any, kind: str, value: np.ndarray) -> np.ndarray:
    """The current of each step in weight units, (T, *shape)."""
    weight = layer["weight"][()].astype(np.float64)
    scale = 2.0 ** int(layer["neuron/wgtExp"][()] if "neuron/wgtExp" in layer else 0)
    if kind == "input":
        return np.rint(value.astype(np.float64) * weight.reshape(-1)[0]).astype(np.int64)
    if kind.startswith("dense"):
        weight = weight.reshape(int(np.prod(layer["shape"][()])), -1)
        return np.floor(value @ weight.T * scale).astype(np.int64)
    weight = weight.reshape(weight.shape[:4])
    plain = {"stride": 1, "padding": 0, "dilation": 1}
    options = {k: tuple(np.resize(layer[k][()] if k in layer else n, 2).tolist()) for k, n in plain.items()}
    steps, channels, height, width = value.shape
    if kind == "pool":
        extra = (height % weight.shape[2], width % weight.shape[3])
        value = np.pad(value, ((0, 0), (0, 0), (0, extra[0]), (0, extra[1])))
        value = value.reshape(steps, 1, channels * value.shape[2], value.shape[3])
    groups = int(layer["groups"][()]) if "groups" in layer else 1
    result = conv2d(torch.tensor(value, dtype=torch.float64), torch.tensor(weight), groups=groups, **options).numpy()
    return np.floor(result * scale).astype(np.int64).reshape(steps, *layer["shape"][()])


def recurrent(layer: Any) -> np.ndarray | None:
    return layer["weight_rec"][()].astype(np.int64) if "weight_rec" in layer else None


def neurons(layer: Any, current: np.ndarray, back: np.ndarray | None) -> dict[str, np.ndarray]:
    """CUBA neurons, one number at a time in 64ths of a weight unit."""
    group, shape = layer.get("neuron"), current.shape[1:]
    names = {"i": "iDecay", "v": "vDecay", "th": "vThMant"}
    told = {k: spread(group[n][()], shape) for k, n in names.items()} if group else {"i": 0, "v": 4096, "th": 1 << 17}
    bias = spread(layer["bias"][()], shape) if "bias" in layer else 0
    u, v, s = (np.zeros(shape, np.int64) for _ in range(3))
    spikes, potentials = [], []
    for a in current:
        total = a if back is None else a + back @ s
        u = toward_zero(u, 4096 - told["i"]) + 64 * total
        v = toward_zero(v, 4096 - told["v"]) + u + 64 * bias
        s = (v > 64 * told["th"]).astype(np.int64)
        v = np.where(s > 0, 0, v)
        spikes.append(s)
        potentials.append(v)
    return {"spikes": np.stack(spikes), "v": np.stack(potentials)}


def late(layer: Any, values: np.ndarray) -> np.ndarray:
    """slayer's axonal delay: channel i comes delay[i] steps later."""
    if "delay" not in layer:
        return values
    result, steps = np.zeros_like(values), len(values)
    delays = np.broadcast_to(np.asarray(layer["delay"][()]).reshape(-1), values.shape[1:2]).astype(int)
    for channel, delay in enumerate(delays.tolist()):
        result[delay:, channel] = values[: steps - delay, channel] if delay < steps else 0
    return result
