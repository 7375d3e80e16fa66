"""torch layers that have no time as NIR nodes: shared by our own export and by the adapters of other frameworks."""

from __future__ import annotations

import nir
import numpy as np
from torch import nn

from ..errors import UnsupportedError, Violation


def affine(module: nn.Linear) -> nir.NIRNode:
    """An Affine, or a Linear where there is no bias; float32."""
    arrays = {name: p.detach().cpu().numpy().astype(np.float32) for name, p in module.named_parameters()}
    return nir.Affine(**arrays) if "bias" in arrays else nir.Linear(**arrays)


def flatten(module: nn.Flatten, given: tuple[int, ...], leading: int, title: str) -> nir.NIRNode:
    """A Flatten.

    given: shape of its input, without time and batch.   leading: the axes that the framework's tensors have in front of
    it, 1 (batch) or 2 (time and batch); NIR counts without them.
    Raises: UnsupportedError (with this title) if it joins one of them.
    """
    axes = leading + len(given)
    start, end = (n if n >= 0 else axes + n for n in (module.start_dim, module.end_dim))
    if start < leading:
        front = "batch" if leading == 1 else "time or batch"
        violation = Violation("Flatten", f"start_dim {module.start_dim} joins {front}", f"use start_dim={leading}")
        raise UnsupportedError(title, [violation])
    last = end - leading if module.end_dim >= 0 else module.end_dim
    return nir.Flatten(start_dim=start - leading, end_dim=last, input_type={"input": np.array(given)})
