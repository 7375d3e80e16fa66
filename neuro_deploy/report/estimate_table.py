"""What a run would cost on the chip, as tables.  Every heading says that it is an estimate."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from ..estimates import Estimate, LayerEstimate, Span
from .text import NONE, facts, number, percent, quantity, table

COLUMNS = ("cores#", "spikes#", "synaptic operations#", "messages#", "energy, active#", "energy, idle#", "busy#")


def estimate_table(found: Estimate) -> RenderableType:
    """One inference: its energy and time, each population's part, and NeuroBench's counts."""
    layers = table("Estimate of each population, in one inference", ("name", *COLUMNS), layer_rows(found))
    notes = [Text(f"{name}: {text}", "dim") for name, text in remarks(found)]
    head = Text(f"Estimate on {found.target}, of one inference (mean of {number(found.samples)})", "bold")
    return Group(head, facts(summary_rows(found)), Text(), layers, facts(benchmark_rows(found)), *notes, Text())


def summary_rows(found: Estimate) -> Iterator[tuple[str, str]]:
    """What, how much: of the whole chip."""
    yield "energy, active", joules(found.active)
    yield "energy, idle", joules(found.idle)
    yield "energy, both", joules(found.energy)
    yield "time", f"{quantity(*found.time, 's')} for {number(found.steps)} steps"
    counted = [(found.cores, "core"), (found.tiles, "tile"), *([(found.chips, "chip")] if found.chips else [])]
    yield "in use", ", ".join(f"{number(n)} {what}{'s' if n != 1 else ''}" for n, what in counted)


def layer_rows(found: Estimate) -> Iterator[tuple[str, ...]]:
    """Name and COLUMNS of each layer."""
    yield from (_row(layer) for layer in found.layers)


def _row(layer: LayerEstimate) -> tuple[str, ...]:
    spikes, messages = mean(layer.spikes), mean(layer.messages)
    if not layer.neurons:
        return f"{layer.name} (input)", NONE, spikes, NONE, messages, joules(layer.active), NONE, NONE
    ops = " .. ".join(dict.fromkeys(mean(value) for value in layer.synaptic_ops))
    costs = (joules(layer.active), joules(layer.idle), quantity(*layer.busy, "s"))
    return layer.name, number(layer.cores), spikes, ops, messages, *costs


def benchmark_rows(found: Estimate) -> Iterator[tuple[str, str]]:
    """NeuroBench's counts; these are exact."""
    counts = found.neurobench
    acs, macs, dense = (mean(n) for n in (counts.effective_acs, counts.effective_macs, counts.dense))
    yield "NeuroBench: operations", f"{acs} effective ACs, {macs} effective MACs, {dense} dense"
    yield (
        "NeuroBench: sparsity",
        (f"{percent(counts.activation_sparsity)} of activations, {percent(counts.connection_sparsity)} of connections"),
    )
    yield "NeuroBench: footprint", f"{number(counts.footprint_bytes)} bytes"


def remarks(found: Estimate) -> Iterator[tuple[str, str]]:
    """What the numbers are, and what they leave out."""
    yield "basis", f"{found.basis}; the target's file names the source of each"
    yield from (("note", note) for note in found.notes)


def joules(span: Span) -> str:
    """A range of energies."""
    return quantity(*span, "J")


def mean(count: float) -> str:
    """A mean of counts, a decimal where it is small."""
    return number(round(count)) if count >= 1000 else number(round(count, 1))
