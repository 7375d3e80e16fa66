"""Who is connected with whom, and how strongly: dense, sparse and convolutional weights, in float64 or in integers.

Neurons are counted in C order of their population's shape; (C, H, W) for a convolution.
"""

from __future__ import annotations

from .base import Array, Dense, Sparse, Wiring, to_dense, to_sparse
from .conv import Conv, Tap, by_channel

WIRINGS: dict[str, type[Wiring]] = {w.kind: w for w in (Dense, Sparse, Conv)}
"""Kind -> class."""

__all__ = ["WIRINGS", "Array", "Conv", "Dense", "Sparse", "Tap", "Wiring", "by_channel", "to_dense", "to_sparse"]
