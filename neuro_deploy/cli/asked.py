"""What `verify` and `explain` are asked: a network, how to read it, its input, a target and how to compile for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import typer

from ..errors import InputError
from ..files import NetworkInput, join_inputs, read_input
from ..graph import read_graph, read_nir
from ..target import target_file
from .show import keep_inputs, meant, network_file

INPUT = typer.Option(
    None, "--input", help="An .npz with 'input' (T, B, ...) and optionally 'label' (B,); the zoo's have a test set."
)
TARGET = typer.Option("loihi2", "--target", help="A target's name, or a TOML file.")
INPUT_BITS = typer.Option(None, "--input-bits", help="Width of the input's payload; see 'compile'.")
WEIGHT_BITS = typer.Option(None, "--weight-bits", help="Width of the weights; see 'compile'.")
SCALE = typer.Option("auto", "--scale", help="auto, proven, calibrated or full; see 'compile'.")
CALIBRATE = typer.Option(None, "--calibrate", help="Typical input (.npz); see 'compile'.")


@dataclass(frozen=True, eq=False)
class Asked:
    """graph: as it is meant.   x: as the file has it.   options: of `compile`.   files: that were read.

    title: of a report.   zoo: True if a model of the zoo was named.
    """

    graph: nir.NIRGraph
    target: str
    x: NetworkInput
    label: Any | None
    options: Mapping[str, Any]
    files: Sequence[Path]
    title: str
    zoo: bool

    def first(self, samples: int) -> Any:
        """Only so many samples of the input, as one array (T, B, ...)."""
        return join_inputs(self.x, dict(read_graph(self.graph).inputs))[:, :samples]


def asked(
    source: Path,
    input_: Path | None,
    target: str,
    meaning: Sequence[Any],
    widths: Mapping[str, Any],
    calibrate: Path | None,
    outputs: Sequence[Path | None],
) -> Asked:
    """Read what options name.

    meaning: dt, family, reset, rounds, discretization, as of `meant`.   widths: input_bits, weight_bits, scale.
    outputs: files to be written, which may not be among those to be read.
    Raises: InputError, FileError.
    """
    from ..zoo import named

    model, file = named(source), network_file(source)
    keep_inputs([file, Path(target), *(path for path in (input_, calibrate) if path)], *outputs)
    if input_:
        x, label = read_input(input_)
    elif model:
        x, label = model.test_input()
    else:
        raise InputError(f"{source}: which input?  --input X.npz, with 'input' (T, B, ...) and optionally 'label' (B,)")
    options = {**widths, **({"calibrate": read_input(calibrate)[0]} if calibrate else {})}
    dt, family, reset, rounds, discretization = meaning
    graph = meant(read_nir(file), dt, family, reset, rounds, discretization)
    files = [path for path in (file, target_file(target), input_, calibrate) if path]
    return Asked(graph, target, x, label, options, files, f"{source.name} on {target}", model is not None)
