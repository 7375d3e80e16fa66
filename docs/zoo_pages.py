"""A card of the zoo as a page, and all cards as a table.  Every number comes from the card (see zoo.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuro_deploy.zoo import LAVA_SAMPLES

Card = Mapping[str, Any]


def page(card: Card) -> str:
    """card.md."""
    rows = "\n".join(f"| {name} | {text} |" for name, text in facts(card))
    spikes = "\n".join(f"| {name} | {rate:,.1f} |" for name, rate in card["spikes"]["populations"].items())
    judges = "\n".join(f"| {name} | {who} |" for name, who in card["agreement"]["witnesses"].items())
    return f"""# {card["name"]}

{card["title"]}.

Made by `python docs/zoo.py {card["name"]}` of what it measured (card.json).

| | |
|---|---|
{rows}

## Commands

{commands(card)}

## Spikes of a sample

The sum of what each population sends, a graded spike with its value, over {card["data"]["test"]:,} samples.

| population | spikes |
|---|---:|
{spikes}

## Who judged it in Lava

| population | judge |
|---|---|
{judges}

## Versions

{", ".join(f"{name} {version}" for name, version in card["versions"].items())}
"""


def facts(card: Card) -> list[tuple[str, str]]:
    """Names and values of the first table."""
    accuracy, same, file, spikes = (card[key] for key in ("accuracy", "agreement", "file", "spikes"))
    float_run, chip_run = card["training"]["float"], card["training"]["chip"]
    data, parameters = card["data"], card["parameters"]
    test, lava = f"{data['test']:,} samples", f"{same['lava_samples']:,} samples"
    clips, wraps, scaled = (f"{card['training'][key]:,}" for key in ("clips", "wraps", "scaled_back"))
    on_chip = f"after {trained(chip_run)} in its arithmetic"
    proof = f"none can overflow, for any input of {card['steps']} steps" if card["proven"] else "not proven"
    return [
        ("architecture", f"`{card['architecture']}`, seed {card['seed']}"),
        ("data", f"{data['name']} (digest {data['digest']}), {data['train']:,} to train, {data['test']:,} to test"),
        ("steps", f"{card['steps']}; the decision is there {card['delay']} chip steps later"),
        ("accuracy in float", f"{accuracy['float']:.2%} of {test}, after {trained(float_run)}"),
        ("accuracy on the chip (`sim`)", f"{accuracy['sim']:.2%} of {test}, {on_chip}"),
        ("accuracy in Lava", f"{accuracy['lava']:.2%} of {lava}"),
        ("training against `sim`", f"{same['differences']:,} of {same['numbers']:,} numbers differ, {test}"),
        ("`sim` against Lava", f"{same['lava_differences']:,} of {same['lava_numbers']:,} numbers differ, {lava}"),
        ("spikes of a sample", f"{spikes['sum']:,.1f} in {spikes['messages']:,.1f} graded messages, input not counted"),
        ("registers", f"{proof}; {clips} clips, {wraps} wraps; {scaled} neurons scaled back"),
        ("learned", f"{parameters['weights']:,} weights, {parameters['biases']:,} biases ({learned(card)})"),
        ("fit", fit(card)),
        ("program", f"`{card['digest']}`"),
        ("model.nir", f"{file['bytes']:,} bytes, SHA-256 `{file['sha256']}`"),
    ]


def trained(run: Mapping[str, Any]) -> str:
    """How a run was trained."""
    return f"{run['epochs']} epoch{'s' * (run['epochs'] != 1)} (lr {run['lr']:g})"


def learned(card: Card) -> str:
    """What that was in float."""
    held = card["parameters"]
    joined = ", where the terms of a join share what follows" if held["float"] < held["weights"] else ""
    return f"{held['float']:,} parameters in float{joined}"


def fit(card: Card) -> str:
    """What it takes of a chip."""
    fit = card["fit"]
    chips = f", {fit['chips']} chip{'s' * (fit['chips'] != 1)}" if fit["chips"] else ""
    return (
        f"{fit['cores']} of {fit['cores_per_chip']} cores of {card['target']}{chips}: {fit['neurons']:,} neurons, "
        f"{fit['connections']:,} connections, {fit['stored_weights']:,} stored weights, "
        f"{fit['synapse_memory_bytes']:,} bytes of synapse memory (an estimate, see lower/fit.py)"
    )


def commands(card: Card) -> str:
    """What one does with it."""
    name, target = card["name"], card["target"]
    lines = (
        (f"neuro_deploy verify {name}", f"float and sim on its test set, Lava on {LAVA_SAMPLES} of it"),
        (f"neuro_deploy compile {name} --exact --out {name}.program.h5", "the chip's integers"),
        (f"neuro_deploy train {name} --out runs/{name}", "made by these three"),
        (f"neuro_deploy train {name} --chip {target} --from runs/{name} --out runs/{name}_chip", ""),
        (f"neuro_deploy export runs/{name}_chip --nir {name}.nir", ""),
    )
    width = max(len(command) for command, note in lines if note)
    return "\n".join(f"    {command:{width}}  # {note}" if note else f"    {command}" for command, note in lines)


def table(cards: Sequence[Card]) -> str:
    """README.md's table."""
    lines = [
        "| model | architecture | float | chip (`sim`) | numbers that sim and Lava share, all equal | spikes a sample "
        "| weights | cores | `model.nir` |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for card in cards:
        accuracy, same = card["accuracy"], card["agreement"]
        cells = (
            f"[{card['name']}](models/{card['name']}/card.md)",
            f"`{card['architecture']}`",
            f"{accuracy['float']:.2%}",
            f"{accuracy['sim']:.2%}",
            f"{same['lava_numbers']:,} ({same['lava_samples']:,} samples)",
            f"{card['spikes']['sum']:,.0f}",
            f"{card['parameters']['weights']:,}",
            f"{card['fit']['cores']}",
            f"{card['file']['bytes'] / 1000:,.0f} KB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
