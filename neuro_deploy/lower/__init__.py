"""From a NIR graph to a ChipProgram: encode the input, quantize, prove."""

from __future__ import annotations

from .compile import SCALES, asked_of, compile

__all__ = ["SCALES", "asked_of", "compile"]
