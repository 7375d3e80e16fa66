"""import: a network file of another framework as a NIR graph, a ChipProgram, or both."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.markup import escape

from ..errors import InputError
from ..graph import write_nir
from ..program import save_program
from .show import keep_inputs, say


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command(name="import")(import_)


def import_(
    file: Path = typer.Argument(help="A .net file of lava-dl (slayer's export_hdf5)."),
    nir: Path | None = typer.Option(None, "--nir", help="The NIR file to write: the network in float; needs --dt."),
    out: Path | None = typer.Option(
        None, "--out", help="The ChipProgram to write (.program.h5): the file's integers, none rounded."
    ),
    target: str = typer.Option("loihi2", "--target", help="A target's name, or a TOML file; for --out."),
    dt: float | None = typer.Option(None, "--dt", help="Seconds a step; a .net file does not say it."),
    input_shape: str | None = typer.Option(
        None, "--input-shape", help="C,H,W of the input, if the file has no input block and begins with a convolution."
    ),
    input_bits: int = typer.Option(1, "--input-bits", help="Width of the input without an input block; 1: spikes."),
    max_steps: int | None = typer.Option(
        None, "--max-steps", help="Longest run that the bounds hold for; by default the file's tSample, else 1000."
    ),
) -> None:
    """Take over a network of lava-dl as it is.

    Example: [bold]neuro_deploy import oxford.net --target loihi2 --out oxford.program.h5 --nir oxford.nir --dt
    0.001[/bold]
    """
    from ..lava_dl import import_net, to_nir, to_program
    from ..report.tables import program_table
    from .show import out as console

    if nir is None and out is None:
        raise InputError("nothing to write; give --out FILE.program.h5, --nir FILE.nir, or both")
    if nir is not None and dt is None:
        raise InputError("a .net file does not say its time step, and --nir needs one; give --dt SECONDS")
    keep_inputs([file, Path(target)], nir, out)
    net = import_net(file, _shape(input_shape))
    program = None if out is None else to_program(net, target, dt=dt, input_bits=input_bits, max_steps=max_steps)
    graph = None if nir is None or dt is None else to_nir(net, dt)
    if program is not None and out is not None:
        save_program(program, out)
        console.print(program_table(program))
        say(f"wrote {escape(str(out))}")
    if graph is not None and nir is not None:
        write_nir(graph, nir)
        say(f"wrote {escape(str(nir))}: the same network in float; the chip rounds its leaks, so spikes may differ")


def _shape(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--input-shape '{text}': give whole numbers such as 3,16,16") from error
