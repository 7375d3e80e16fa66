"""The zoo's trained networks and their cards, made by training and measuring: no number in them is typed.

    python docs/zoo.py [NAME ...]     all models of ZOO, or some; one core, about half an hour for all
    python docs/zoo.py --files        the networks' files as they are written now, of what they hold; trains nothing
    python docs/zoo.py --cards        only the pages and README.md's table anew, from the cards as they are
    python docs/zoo.py --check        the same, but change nothing, and fail where one is not current

A model is trained in float by its recipe, then on in the chip's arithmetic, exported (`export` proves that training and
`sim` agree on the whole test set), compiled, and run in float, in `sim` and in Lava.  Nothing is written of one that
differs anywhere, that lost more than MOST_LOST on its way to the chip, or whose file is too large.
Runs stay in --runs, and finished ones are used again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tables import placed
from zoo_pages import page, table

from neuro_deploy import zoo
from neuro_deploy.files import digest_of, write_text
from neuro_deploy.graph import read_nir, write_nir
from neuro_deploy.lower import compile
from neuro_deploy.neurons import spec
from neuro_deploy.resources import versions
from neuro_deploy.road import Trained, Verified, export_run, train_run, verify_graph
from neuro_deploy.train import Recipe, load_recipe, load_run

ROOT = Path(__file__).resolve().parent.parent
ZOO = (
    *("digits_mlp", "digits_conv", "digits_resnet", "digits_transformer"),
    *("mnist1d_mlp", "mnist1d_conv", "mnist1d_recurrent", "mnist1d_transformer"),
)
"""Models whose data need no download."""
MOST_LOST = 0.005
"""Of the accuracy, between float and chip."""
MOST_BYTES = 1_000_000
DENSE = ("mlp", "recurrent_mlp")
"""Architectures whose whole test set Lava runs, of the others it runs `zoo.LAVA_SAMPLES`."""
FITTED = ("cores", "chips", "connections", "stored_weights", "cores_per_chip")


def made(name: str, runs: Path) -> None:
    """Train a model, measure it, and write its files.  Raises: SystemExit for one that is not good enough."""
    recipe, folder = load_recipe(name), ROOT / "models" / name
    floats = train_run(name, runs / name / "float", device="cpu", resume=True)
    source = runs / name / "float"
    trained = train_run(name, runs / name / "chip", device="cpu", chip=zoo.TARGET, source=source, resume=True)
    draft = runs / name / zoo.NETWORK
    export_run(runs / name / "chip", draft)
    graph = read_nir(draft)
    x, label = load_run(runs / name / "chip").data.test_input(recipe.network.steps)
    count = x.shape[1] if architecture(recipe) in DENSE else zoo.LAVA_SAMPLES
    result = verify_graph(graph, zoo.TARGET, x, label, lava_samples=count, timeout=3600)
    card = card_of(recipe, floats, trained, result, draft, runs / name / "chip")
    if problems := shortfalls(card):
        raise SystemExit(f"{name}: not written: {'; '.join(problems)}")
    (folder / zoo.NETWORK).write_bytes(draft.read_bytes())
    write_text(folder / zoo.CARD, json.dumps(card, indent=2) + "\n")


def rewritten(name: str) -> None:
    """Write a model's file anew, of itself.  Raises: SystemExit if it is no longer the program of its card."""
    model = zoo.zoo_model(name)
    graph, card = read_nir(model.network), dict(model.card)
    write_nir(graph, model.network)
    if compile(read_nir(model.network), zoo.TARGET, exact=True).digest != card["digest"]:
        raise SystemExit(f"{name}: compiled, it is another program; run python docs/zoo.py {name}")
    card["file"] = file_of(model.network)
    write_text(model.folder / zoo.CARD, json.dumps(card, indent=2) + "\n")


def file_of(path: Path) -> dict[str, Any]:
    """Size and digest of a file."""
    return {"bytes": path.stat().st_size, "sha256": digest_of(path)}


def architecture(recipe: Recipe) -> str:
    """The name of the factory."""
    return recipe.network.factory.rpartition(":")[2]


def shortfalls(card: Mapping[str, Any]) -> list[str]:
    """What is not good enough for the zoo."""
    accuracy, same, size = card["accuracy"], card["agreement"], card["file"]["bytes"]
    found = [f"{key} are {same[key]:,}" for key in same if key.endswith("differences") and same[key]]
    if accuracy["sim"] != accuracy["training"]:
        found.append(f"training measured {accuracy['training']:.2%}, sim {accuracy['sim']:.2%}")
    if accuracy["sim"] < accuracy["float"] - MOST_LOST:
        found.append(f"{accuracy['float']:.2%} in float is {accuracy['sim']:.2%} on the chip")
    return found + ([f"its file has {size:,} bytes"] if size > MOST_BYTES else [])


def card_of(
    recipe: Recipe, floats: Trained, trained: Trained, result: Verified, network: Path, run: Path
) -> dict[str, Any]:
    """What was measured."""
    verdict, program = result.verdict, result.program
    if not verdict.passed or verdict.exact is None:
        raise SystemExit(f"{recipe.name}: not written: {verdict.sentence}")
    proof = read_nir(network).metadata["neuro_deploy"]["proof"]["sample"]
    data = load_run(run).data
    chip = recipe.on_chip(zoo.TARGET)
    return {
        "schema": zoo.SCHEMA,
        "name": recipe.name,
        "title": recipe.title,
        "architecture": architecture(recipe),
        "seed": recipe.seed,
        "data": {"name": data.name, "digest": data.digest, "train": len(data.train_y), "test": len(data.test_y)},
        "steps": recipe.network.steps,
        "delay": int(program.depth),
        "training": {
            "float": {"epochs": recipe.training.epochs, "lr": recipe.training.lr},
            "chip": {"epochs": chip.training.epochs, "lr": chip.training.lr},
            **{key: trained.metrics[key] for key in ("scaled_back", "clips", "wraps")},
        },
        "target": program.target,
        "digest": program.digest,
        "proven": program.proven,
        "file": file_of(network),
        "accuracy": {
            "float": floats.accuracy,
            "training": trained.accuracy,
            "sim": verdict.accuracy["sim"],
            "lava": verdict.accuracy["lava"],
        },
        "agreement": {
            "samples": int(proof["samples"]),
            "numbers": int(proof["numbers"]),
            "differences": int(proof["differences"]),
            "lava_samples": verdict.lava_samples,
            "lava_numbers": verdict.exact.values,
            "lava_differences": verdict.differing,
            "witnesses": dict(verdict.witnesses),
        },
        "spikes": spikes_of(result),
        "parameters": parameters_of(run.parent / "float", run),
        "fit": fit_of(program.report["fit"]),
        "versions": versions(),
    }


def spikes_of(result: Verified) -> dict[str, Any]:
    """Spikes of a sample, over the whole test set.  messages: a graded spike counts once.

    populations: of each, the sum of what it sends.
    """
    sent = {
        p.name: result.sim.aligned(p.name, "spikes")
        for p in result.program.populations
        if spec(p.kind).spike_range(p.params) != (0, 0)
    }
    samples = result.sim.batch
    populations = {name: float(np.abs(s, dtype=np.int64).sum() / samples) for name, s in sent.items()}
    messages = sum(np.count_nonzero(s) for s in sent.values()) / samples
    return {"sum": sum(populations.values()), "messages": float(messages), "populations": populations}


def parameters_of(floats: Path, run: Path) -> dict[str, int]:
    """Learned numbers: in float (with batch norm folded, surrogates left out), and on the chip."""
    from neuro_deploy.train.chip import Chip
    from neuro_deploy.train.fold import fold

    folded, chip = fold(load_run(floats).model).model, load_run(run).model
    assert isinstance(chip, Chip)
    learned = [p.numel() for name, p in folded.named_parameters() if p.requires_grad and "alpha" not in name]
    weights, biases = (sum(p.numel() for p in held.values()) for held in (chip.weights, chip.biases))
    return {"float": sum(learned), "weights": weights, "biases": biases}


def fit_of(fit: Mapping[str, Any]) -> dict[str, Any]:
    """What it takes of a chip, by lower/fit.py."""
    total = {key: fit["total"][key] for key in ("neurons", "synapse_memory_bytes")}
    return {**{key: fit[key] for key in FITTED}, **total}


def pages(check: bool) -> list[str]:
    """Write the pages and the table, or check them: the files that are not current."""
    models = [model for model in zoo.zoo() if model.trained]
    readme = ROOT / "README.md"
    wanted = {model.folder / zoo.PAGE: page(model.card) for model in models}
    wanted[readme] = placed(readme.read_text(encoding="utf-8"), "zoo", table([model.card for model in models]))
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if not check:
        for path in stale:
            write_text(path, wanted[path])
    return [str(path.relative_to(ROOT)) for path in stale]


def main() -> int:
    """Make them, or check what is made of their cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(ZOO)}")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "zoo", help="where the training runs are kept")
    parser.add_argument("--files", action="store_true", help="write the files anew; train and measure nothing")
    parser.add_argument("--cards", action="store_true", help="train and measure nothing")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a page is not current")
    options = parser.parse_args()
    for name in () if options.cards or options.check else options.names or ZOO:
        print(name, flush=True)
        rewritten(name) if options.files else made(name, options.runs)
    stale = pages(options.check)
    if options.check and stale:
        print(f"not current: {', '.join(stale)}; run python docs/zoo.py --cards", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
