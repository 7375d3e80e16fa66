"""Training recipes: strict TOML, data only, with one exception: `network.factory` names code to import."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import RecipeError
from ..files import check_readable
from ..resources import resource_dir

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "recipe.toml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class EventSettings(_Strict):
    """How the recordings of an event sensor become frames, one a step (see `train.datasets.coding.frames`).

    window: microseconds that the T frames cover together; 0: what the dataset says.
    max_count: events of a pixel and polarity that a frame can hold; 1 makes binary spikes.
    pool: pixels in a row (units of SHD) and in a column that are counted as one.
    """

    window: int = Field(default=0, ge=0)
    max_count: int = Field(default=15, ge=1, le=255)
    pool: int = Field(default=1, ge=1)


class DataSettings(_Strict):
    """What the network is shown.

    name: a dataset of `train.datasets.DATASETS` ('neuro_deploy datasets' lists them).
    path: its files, where they are not those of the cache: a file or a folder, seen from the current folder.
    shape: of a sample as the network gets it ([1, 8, 8]: one channel of 8 x 8); empty: as the dataset has it.
    coding: direct (the values themselves, at each step), sequence (a part of `shape` at each step, so that a network
        reads a sample), rate or latency (spikes; see `train.datasets.coding`).
    events: how recordings become frames.
    seed: decides what is held out, and the spikes of rate coding.
    test_share: of samples that come without a test set of their own.
    validation: share of the training set that is held out, class by class.
    measure: the part that accuracies are of: "test", or "validation" while settings are being chosen.
    """

    name: str
    path: str = ""
    shape: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    coding: Literal["direct", "sequence", "rate", "latency"] = "direct"
    events: EventSettings = EventSettings()
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    test_share: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.0, ge=0, lt=1)
    measure: Literal["test", "validation"] = "test"


class NetworkSettings(_Strict):
    """The network, and its time.

    factory: an architecture of `train.nets.ARCHITECTURES`, or "module:function", called with steps=T and `args`; gives
        an nn.Module (T, B, *shape) -> (T, B, classes).  A module is imported and run: train by recipes that you trust.
    steps: T, the steps that a sample is shown.   dt: seconds a step, > 0.
    """

    factory: str = Field(pattern=r"^([A-Za-z_][\w.]*:)?[A-Za-z_]\w*$")
    steps: int = Field(ge=1)
    dt: float = Field(gt=0)
    args: dict[str, Any] = Field(default_factory=dict)


class TrainingSettings(_Strict):
    """Optimization.

    lr: peak learning rate.   alpha_lr: of the surrogates' sharpness; 0 keeps it.   weight_decay: of matrices only.
    schedule: one_cycle (30 % cosine warm-up from lr/25, then cosine to 0), cosine, or constant.
    balance_weight: of the positive-negative balance loss.   label_smoothing: [0, 1).
    threads: CPU threads of torch during the run; 0: torch's default.  Small networks are fastest with 1, and weights
        repeat bit for bit with the same number only.
    batch_size: samples of a forward pass; several processes share them.
    accumulate: forward passes whose gradients make a step of the optimizer, together those of accumulate * batch_size
        samples; batch norm and the balance loss see one pass at a time.
    precision: 32-true, bf16-mixed, or 16-mixed (with loss scaling, for GPUs without bfloat16); neurons compute in
        float32 in any case, and accuracies are those of the float32 network.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: float = Field(gt=0)
    alpha_lr: float = Field(ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    balance_weight: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    threads: int = Field(default=0, ge=0, le=1024)


class ReadoutSettings(_Strict):
    """How the last population decides.  scale: logits = scale * spikes a step, in the loss only."""

    rule: Literal["spike_count"] = "spike_count"
    scale: float = Field(default=1.0, gt=0)


class ChipSettings(_Strict):
    """Training in a chip's arithmetic: `train --chip` (see `chip`).

    target: a target's name or TOML file; empty: none, float training.
    epochs, lr, schedule: of the training that goes on from float weights; they take the place of those of [training].
        Its precision is 32-true: the chip's integers are exact.
    """

    target: str = ""
    epochs: int = Field(default=20, ge=1)
    lr: float = Field(default=1e-3, gt=0)
    schedule: Literal["one_cycle", "cosine", "constant"] = "cosine"

    def in_float(self) -> ChipSettings:
        """The same without a target."""
        return self.model_copy(update={"target": ""})


class Recipe(_Strict):
    """All that a training run depends on, beside code and hardware."""

    schema_version: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    title: str = ""
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    data: DataSettings
    network: NetworkSettings
    training: TrainingSettings
    readout: ReadoutSettings = ReadoutSettings()
    chip: ChipSettings = ChipSettings()

    def on_chip(self, target: str) -> Recipe:
        """The recipe of the training in a target's arithmetic."""
        chip = self.chip.model_copy(update={"target": target})
        own = {"epochs": chip.epochs, "lr": chip.lr, "schedule": chip.schedule, "precision": "32-true"}
        return self.model_copy(update={"chip": chip, "training": self.training.model_copy(update=own)})

    def to_toml(self) -> str:
        """The recipe with every default written out; `load_recipe` gives an equal one back."""
        return tomli_w.dumps(self.model_dump(by_alias=True))


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that came with this installation, sorted."""
    return tuple(sorted(path.parent.name for path in resource_dir("models").glob(f"*/{FILE}")))


def load_recipe(name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by its name ("digits_mlp") or from a TOML file.

    overrides: "section.key=value" with a TOML value, or plain text; applied before the recipe is checked.
    Raises: RecipeError for an unknown name or key (with the nearest ones), and with all problems at once; FileError.
    """
    path = _find(str(name_or_path))
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file ({error})") from error
    problems = [problem for text in overrides if (problem := _override(raw, text))]
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        problems += [_explain(e["loc"], e["type"], e["msg"]) for e in error.errors()]
        raise RecipeError("\n  ".join([f"{path}: not a valid recipe:", *problems])) from error
    if problems:
        raise RecipeError("\n  ".join([f"{path}: cannot change the recipe:", *problems]))
    return recipe


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys in which two recipes (as `model_dump` gives them) differ, each as "section.key: this, not that"."""
    a, b = dict(_flat(one)), dict(_flat(other))
    keys = dict.fromkeys([*a, *b])
    return [f"{key}: {a.get(key)!r}, not {b.get(key)!r}" for key in keys if a.get(key) != b.get(key)]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint that names the nearest of `known`, or all of them."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"


def _find(text: str) -> Path:
    if text.endswith(".toml"):
        return check_readable(text, "a recipe (TOML)")
    names = recipe_names()
    if text not in names:
        hint = did_you_mean(text, names)
        raise RecipeError(f"unknown recipe '{text}'; {hint} (a path to a .toml file works as well)")
    return resource_dir("models") / text / FILE


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """Every dotted key that a recipe may have."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + (field.alias or name)


def _override(raw: dict[str, Any], text: str) -> str | None:
    """Apply "section.key=value" to `raw`; or say what is wrong with it."""
    key, equals, value = text.partition("=")
    key = key.strip()
    known = tuple(_keys())
    if not equals:
        return f"--set {text}: expected section.key=value"
    if key not in known and not key.startswith("network.args."):
        return f"--set {key}: no such key; {did_you_mean(key, known)}"
    *tables, last = key.split(".")
    place = raw
    for name in tables:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            return f"--set {key}: '{name}' is not a table"
    place[last] = _value(value.strip())
    return None


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(map(str, location))
    return (
        f"{key}: no such key; {did_you_mean(key, tuple(_keys()))}" if kind == "extra_forbidden" else f"{key}: {message}"
    )
