"""What `train` shows on a terminal beneath its bar: the last epochs, and what each layer does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

EPOCHS = 5
HEIGHTS = " ▁▂▃▄▅▆▇█"


def live(history: Sequence[Mapping[str, Any]], ascii_only: bool = False) -> RenderableType:
    """The metrics of the epochs so far, one at least, as two small tables.  ascii_only: without the histograms of h."""
    return Group(_epochs(history[-EPOCHS:]), _layers(history[-1], ascii_only))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table


def _epochs(history: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("epoch", "loss", "train", "test", "lr", "gradient", "seconds")
    for metrics in history:
        norm = math.hypot(*metrics["gradients"].values()) if metrics.get("gradients") else math.nan
        table.add_row(
            str(metrics["epoch"]),
            f"{metrics['loss']:.4f}",
            f"{metrics['train_accuracy']:.1%}",
            f"{metrics['test_accuracy']:.1%}",
            f"{metrics['lr']:.2g}",
            f"{norm:.3g}",
            f"{metrics['seconds']:.1f}",
        )
    return table


def _layers(metrics: Mapping[str, Any], ascii_only: bool) -> Table:
    seen = {} if ascii_only else metrics.get("potentials", {})
    table = _table("layer", "spikes a step", "alpha", "balance", *(["h, up to K + 1 thresholds"] if seen else []))
    for name, alpha in metrics["alpha"].items():
        sharp = f"{alpha[0]:.2f}" if len(alpha) == 1 else f"{alpha[0]:.2f} .. {alpha[-1]:.2f}"
        shown = metrics.get("potentials", {}).get(name)
        balance = f"{shown['balance']:+.2f}" if shown else ""
        row = [name, f"{metrics['rates'][name]:.3f}", sharp, balance]
        table.add_row(*row, *([sparkline(seen[name]["counts"])] if name in seen else []))
    return table


def sparkline(counts: Sequence[int], width: int = 20) -> str:
    """A histogram as one line; each character stands for len(counts) / width bins."""
    each = max(1, len(counts) // width)
    sums = [sum(counts[i : i + each]) for i in range(0, len(counts), each)]
    most = max(*sums, 1)
    return "".join(HEIGHTS[math.ceil(n / most * (len(HEIGHTS) - 1))] for n in sums)
