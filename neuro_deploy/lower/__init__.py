"""From a NIR graph to a ChipProgram: encode the input, quantize, prove."""

from __future__ import annotations

from .compile import SCALES, compile

__all__ = ["SCALES", "compile"]
