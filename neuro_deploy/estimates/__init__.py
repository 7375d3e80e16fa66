"""What a run would cost on the chip: energy and time by its integer spikes, and the counts that NeuroBench defines."""

from __future__ import annotations

from .costs import Estimate, LayerEstimate, Span, estimate
from .neurobench import Benchmark, benchmark

__all__ = ["Benchmark", "Estimate", "LayerEstimate", "Span", "benchmark", "estimate"]
