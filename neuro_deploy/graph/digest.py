"""What a reading is, as one number: names, joins, operations, and every number in them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from .nodes import arrays_of
from .reading import Node, Reading


def digest_of(reading: Reading) -> str:
    """SHA-256 over all that a run depends on, as hexadecimal text; the form of the file does not matter."""
    sha = hashlib.sha256(json.dumps(reading.scheme.told() | {"dt": repr(reading.dt)}, sort_keys=True).encode())
    for node in reading.nodes:
        for piece in facts_of(node):
            sha.update(len(piece).to_bytes(8, "little"))
            sha.update(piece)
    return sha.hexdigest()


def facts_of(node: Node) -> list[bytes]:
    """A node as bytes: two nodes that do the same have the same."""
    operation, arrays = node.operation, arrays_of(node.operation)
    plain: dict[str, Any] = {
        key: str(value) for key, value in vars(operation).items() if key != "params" and key not in arrays
    }
    head = [node.name, type(operation).__name__, list(node.inputs), list(node.late), list(node.shape), plain]
    pieces = [json.dumps(head, sort_keys=True).encode()]
    for name, array in sorted(arrays.items()):
        little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        pieces += [f"{name}:{little.dtype.str}:{array.shape}".encode(), little.tobytes()]
    return pieces
