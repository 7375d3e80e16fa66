"""The arms and the workloads of ablation.py, and the runs that they make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

import neuro_deploy as nd

NEURON, LEARNED = "network.args.neuron", "network.args.neuron_args.learnable_alpha"
ALPHA, SURROGATE, THETA, BETA = (f"network.args.neuron_args.{name}" for name in ("alpha", "surrogate", "theta", "beta"))
COMMON = ("training.lr", "readout.scale", ALPHA, SURROGATE, THETA, BETA)
TSL, ROUNDS, PNB = "training.alpha_lr", "network.args.neuron_args.circulations", "training.balance_weight"


@dataclass(frozen=True)
class Arm:
    """What is compared.  neuron: its kind; learned: TSL-SG, alpha per step; tuned: keys of a recipe."""

    name: str
    neuron: str
    learned: bool
    tuned: tuple[str, ...]

    @property
    def fixed(self) -> dict[str, Any]:
        """What it says in a recipe, beside what is tuned."""
        return {NEURON: self.neuron, LEARNED: self.learned}


ARMS = (
    Arm("LIF", "lif", False, COMMON),
    Arm("LIF + TSL-SG", "lif", True, (*COMMON, TSL)),
    Arm("CF", "cf", False, (*COMMON, ROUNDS)),
    Arm("CF + TSL-SG", "cf", True, (*COMMON, TSL, ROUNDS)),
    Arm("CF + TSL-SG + PNB", "cf", True, (*COMMON, TSL, ROUNDS, PNB)),
)


@dataclass(frozen=True)
class Ranges:
    """What is drawn from, (low, high), evenly in the logarithm.   balance: of PNB's weight."""

    lr: tuple[float, float] = (7e-3, 4e-2)
    alpha: tuple[float, float] = (0.7, 4.0)
    alpha_lr: tuple[float, float] = (3e-4, 3e-2)
    balance: tuple[float, float] = (3e-3, 3e-1)


WIDE = Ranges((2e-3, 5e-2), (1.0, 10.0), (1e-3, 1e-1), (1e-2, 1.0))
"""The first ones.  On MNIST-1D's validation set every trial with lr < 0.005 or alpha > 5 was poor."""


@dataclass(frozen=True)
class Workload:
    """A network on a dataset, small enough for a CPU.

    recipe: of `models/`, of which only training and data are taken.   factory, args: the network, as recipes name it.
    epochs, batch, lr: in place of the recipe's; lr is trial 0's.   steps: T, and data: more of [data] and [network].
    file: of the folder that --data names, "" for data that needs none.
    trials: of each arm, in the search.   seeds: of the runs on the test set.
    factors: what the thresholds of an arm's best trial are multiplied by, to find as few spikes as another arm's.
    """

    name: str
    title: str
    recipe: str
    factory: str
    args: tuple[tuple[str, Any], ...]
    steps: int
    epochs: int
    batch: int
    lr: float
    data: tuple[tuple[str, Any], ...] = ()
    file: str = ""
    trials: int = 6
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    ranges: Ranges = Ranges()
    factors: tuple[float, ...] = (1.4, 2.0)

    @property
    def changes(self) -> dict[str, Any]:
        """Keys of the recipe and their values, in the order in which they are to be changed."""
        return {
            "network.factory": self.factory,
            "network.steps": self.steps,
            "network.args": {},
            **{f"network.args.{name}": value for name, value in self.args},
            "training.epochs": self.epochs,
            "training.batch_size": self.batch,
            **dict(self.data),
        }


def _mlp(inputs: int, *hidden: int, classes: int = 10) -> tuple[tuple[str, Any], ...]:
    return (("inputs", inputs), ("hidden", hidden), ("classes", classes))


def _image(*inputs: int, **more: Any) -> tuple[tuple[str, Any], ...]:
    return (("inputs", inputs), ("classes", 10), *more.items())


CURVE, DIGIT = ("data.shape", (1, 40)), ("data.shape", (1, 28, 28))
SERIES = (("data.name", "japanese_vowels"), ("network.dt", 0.01))
_ALL = (
    Workload(
        *("mnist1d-mlp", "MNIST-1D, MLP 40-256-128-10, T = 4, 20 epochs"),
        *("mnist1d_mlp", "mlp", _mlp(40, 256, 128), 4, 20, 64, 0.02),
        trials=12,
        ranges=WIDE,
        factors=(1.25, 1.5, 2.0),
    ),
    Workload(
        *("mnist1d-vgg", "MNIST-1D, 3 convolutions of 16, 32, 32 channels, T = 4, 4 epochs"),
        *("mnist1d_mlp", "vgg", _image(1, 40, channels=(16, 32, 32)), 4, 4, 64, 0.02),
        data=(CURVE,),
        trials=3,
    ),
    Workload(
        *("mnist1d-transformer", "MNIST-1D, transformer of 24 channels on 10 tokens, T = 4, 3 epochs"),
        *("mnist1d_mlp", "spiking_transformer", _image(1, 40, channels=24, heads=4, halvings=2), 4, 3, 64, 0.02),
        data=(CURVE,),
        trials=3,
    ),
    Workload(
        *("mnist-mlp", "MNIST (8,000 to train, 2,000 to test), MLP 784-128-128-10, T = 4, 4 epochs"),
        *("mnist_mlp", "mlp", _mlp(784, 128, 128), 4, 4, 100, 0.005),
        file="mnist_10000.npz",
        trials=4,
    ),
    Workload(
        *("mnist-vgg", "MNIST (8,000 to train, 2,000 to test), 2 convolutions of 8, 16 channels, T = 4, 2 epochs"),
        *("mnist_mlp", "vgg", _image(1, 28, 28, channels=(8, 16)), 4, 2, 100, 0.005),
        data=(DIGIT,),
        file="mnist_10000.npz",
        trials=3,
    ),
    Workload(
        *("nmnist-mlp", "N-MNIST (1,000 to train, 100 to test), MLP 578-128-128-10, T = 10, 15 epochs"),
        *("nmnist_mlp", "mlp", _mlp(578, 128, 128), 10, 15, 50, 0.005),
        file="nmnist_1100.npz",
        seeds=tuple(range(6)),
    ),
    Workload(
        *("japanese_vowels-mlp", "Japanese vowels (270 to train, 370 to test), MLP 12-64-64-9, T = 29, 20 epochs"),
        *("digits_mlp", "mlp", _mlp(12, 64, 64, classes=9), 29, 20, 30, 0.02),
        data=SERIES,
        seeds=tuple(range(6)),
    ),
)
WORKLOADS: Mapping[str, Workload] = MappingProxyType({workload.name: workload for workload in _ALL})

SEARCH_SEED = 1000
"""Of the networks in the search, beside those of the test."""
SEARCH, STUDY, TEST = "search", "study", "test"

Record = dict[str, Any]
"""A line: workload, arm, base, setting, seed, stage; accuracy [0, 1], spikes a sample, seconds, error."""
Setting = Mapping[str, Any]
KEY = ("workload", "arm", "base", "setting", "seed", "stage")


@dataclass(frozen=True)
class Job:
    """One training run.  setting: what was drawn, by the recipe's keys; stage: SEARCH, STUDY or TEST."""

    workload: Workload
    arm: Arm
    setting: Setting
    seed: int
    stage: str

    @property
    def known(self) -> Record:
        """What stands in its line before it has run."""
        base = hashlib.sha256(json.dumps([self.workload.changes, self.arm.fixed]).encode()).hexdigest()[:8]
        return {
            "workload": self.workload.name,
            "arm": self.arm.name,
            "base": base,
            "setting": dict(self.setting),
            "seed": self.seed,
            "stage": self.stage,
        }

    @property
    def overrides(self) -> list[str]:
        """What it changes in its workload's recipe."""
        held = {"data.validation": 0.2, "data.measure": "validation"} if self.stage != TEST else {}
        values = {**self.workload.changes, **self.arm.fixed, **self.setting, **held, "seed": self.seed}
        return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def key_of(record: Record) -> str:
    """What a run is: two runs of one key are the same run."""
    return json.dumps([record[name] for name in KEY], sort_keys=True)


def drawn(workload: Workload, arm: Arm, trial: int) -> Setting:
    """The setting of a trial: what two arms both have is the same for both."""
    rng, ranges = np.random.default_rng([SEARCH_SEED, trial]), workload.ranges

    def between(low: float, high: float) -> float:
        return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")

    values: dict[str, Any] = {
        "training.lr": between(*ranges.lr),
        ALPHA: between(*ranges.alpha),
        SURROGATE: str(rng.choice(sorted(nd.nn.SURROGATES))),
        THETA: between(0.5, 2.0),
        BETA: float(f"{rng.uniform(0.5, 1.0):.3g}"),
        "readout.scale": float(rng.choice([2.0, 4.0, 8.0, 16.0])),
        TSL: between(*ranges.alpha_lr),
        ROUNDS: int(rng.choice([2, 3, 4])),
        PNB: between(*ranges.balance),
    }
    if trial == 0:
        values = dict(zip(values, (workload.lr, 4.0, "sigmoid", 1.0, 0.9, 4.0, 0.01, 3, 0.1), strict=True))
    return {name: value for name, value in values.items() if name in arm.tuned}
