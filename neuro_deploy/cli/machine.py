"""targets, models, doctor, install-lava: what is here, and whether it works."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from ..target import load_target, target_names
from .show import out, progress, say


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(name="targets")(targets)
    app.command(name="models")(models)
    app.command(name="doctor")(doctor)
    app.command(name="install-lava")(install_lava)


def targets() -> None:
    """List the hardware targets.

    Example: [bold]neuro_deploy targets[/bold]
    """
    table = Table("target", "chip", "spikes", "weights", "threshold", "neurons")
    for name in target_names():
        chip = load_target(name)
        bits = chip.spike.payload_bits.value
        table.add_row(
            name,
            chip.title,
            f"graded, {bits} bits" if bits else "binary",
            f"{chip.synapse.weight_bits.value} bits",
            chip.threshold.granularity.value.replace("_", " "),
            f"{chip.core.cores.value} x {chip.core.neurons_per_core.value:,}",
        )
    out.print(table)


def models() -> None:
    """List the models that came with this installation.

    Example: [bold]neuro_deploy models[/bold], then [bold]neuro_deploy train digits_mlp --out runs/digits[/bold]
    """
    from ..train.recipe import load_recipe, recipe_names

    table = Table("model", "data", "steps", "what it is")
    for name in recipe_names():
        recipe = load_recipe(name)
        table.add_row(name, recipe.data.name, str(recipe.network.steps), escape(recipe.title))
    out.print(table)


def doctor() -> None:
    """Report Python, torch, GPU, Lava and NIR: their versions, and whether each works.

    Example: [bold]neuro_deploy doctor[/bold]
    """
    from ..backends.doctor import checkup

    with progress("checking") as update:
        findings = checkup(update)
    table = Table("", "part", "version", "what was seen", "remedy")
    for found in findings:
        mark = "[green]ok[/green]" if found.works else "[red]no[/red]"
        table.add_row(mark, found.name, escape(found.version), escape(found.detail), escape(found.remedy))
    out.print(table)


def install_lava(
    upgrade: bool = typer.Option(False, "--reinstall", help="Install again, even if it works."),
) -> None:
    """Install Lava (lava-nc 0.10.0), which its authors no longer release, and prove that it runs here.

    Example: [bold]neuro_deploy install-lava[/bold]
    """
    from ..backends.lava_install import install_lava as install

    say(install(reinstall=upgrade))
