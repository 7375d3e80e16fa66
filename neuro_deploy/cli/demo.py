"""demo: the whole road on real digits."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.table import Table

from .show import bars, out, say


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="demo")(demo)


def demo(
    out_dir: Path = typer.Option(Path("demo_out"), "--out", help="Where its files go; an earlier demo is replaced."),
    lava_samples: int = typer.Option(1000, "--lava-samples", help="Most samples that Lava runs; 0: without Lava."),
) -> None:
    """Train on real digits, export, compile for Loihi 2, run in float, in sim and in Lava, compare, report.

    Example: [bold]neuro_deploy demo --out demo_out[/bold]
    """
    from ..demo import demo as run
    from ..report.tables import verdict_table

    with bars() as start:
        result = run(out_dir, lava_samples=lava_samples, start=start)
    verdict = result.verified.verdict
    out.print(verdict_table(verdict))
    say(
        f"export: the file gives the folded model's spikes and potentials exactly; folding the batch norm changed "
        f"{result.exported.changed} of {result.exported.spikes:,} spike counts"
    )
    times = Table("stage", "seconds", title="time")
    for name, seconds in result.stages:
        times.add_row(name, f"{seconds:.1f}")
    times.add_row("total", f"{sum(seconds for _, seconds in result.stages):.1f}", style="bold")
    out.print(times)
    for name, path in result.files.items():
        if path.exists():
            say(f"{name:>24}: {path}")
    raise typer.Exit(verdict.exit_code if lava_samples else 0)
