"""What commands share: consoles, progress bars, error lines, opening files by their content."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import nir
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..errors import FormatError, InputError
from ..files import NetworkInput, check_readable, open_h5, read_input
from ..graph import assume, read_nir
from ..graph.conventions import FAMILIES, check_rounds, read_as, recognise
from ..graph.signs import Facts
from ..neurons.scheme import DISCRETIZATIONS, RESETS
from ..program import FORMAT, ChipProgram, load_program
from ..trace import Trace, load_trace

if TYPE_CHECKING:
    from ..shrinking import Case

PIPED_WIDTH = 160
out = Console()
if not out.is_terminal and "COLUMNS" not in os.environ:
    out = Console(width=PIPED_WIDTH)
err = Console(stderr=True)

Kind = Literal["nir", "program", "trace"]


DT = typer.Option(None, "--dt", help="Seconds a step, if a NIR file does not say.")
AS = typer.Option(
    None,
    "--as",
    help=f"Read a foreign NIR file as this family means it: {', '.join(FAMILIES)} ('inspect' says which fits).",
)
RESET = typer.Option(None, "--reset", help=f"What a spike does, if a NIR file does not say: {', '.join(RESETS)}.")
ROUNDS = typer.Option(
    None, "--rounds", help="Most spikes a step, for another --reset than value; by default 1, or the family's."
)
DISCRETIZATION = typer.Option(
    None, "--discretization", help=f"If a NIR file does not say: {', '.join(map(repr, DISCRETIZATIONS))}."
)


JUNIT = typer.Option(None, "--junit", help="Write the result as JUnit XML, for a CI system.")


def meant(
    graph: nir.NIRGraph,
    dt: float | None,
    family: str | None,
    reset: str | None,
    rounds: int | None,
    discretization: str | None,
) -> nir.NIRGraph:
    """The graph with what the user says of it; warns where its numbers say something else.

    Raises: InputError for a contradiction.
    """
    _doubt(graph, dt, family)
    if family:
        return read_as(graph, family, dt=dt, reset=reset, rounds=rounds, discretization=discretization)
    made = assume(graph, dt=dt, reset=reset, rounds=rounds, discretization=discretization)
    check_rounds(made, rounds)
    return made


def _doubt(graph: nir.NIRGraph, dt: float | None, family: str | None) -> None:
    """A line on stderr where a file's numbers do not fit what is said of it."""
    if family is None and dt is None:
        return
    matches = {match.family: match for match in recognise(graph)}
    fitting = [match for match in matches.values() if match.fits]
    if family in matches and not matches[family].fits:
        missing = "; ".join(f"not so: {sign.text}" for sign in matches[family].signs if not sign.holds)
        others = f"  It looks like a file of {', '.join(m.family for m in fitting)}." if fitting else ""
        warn(f"its numbers are not those of a {family} file ({missing}).{others}")
    facts = Facts.of(graph)
    steps = {step for match in fitting if (step := FAMILIES[match.family].dt(facts)) is not None}
    if dt is not None and steps and not any(np.isclose(dt, step, rtol=1e-3) for step in steps):
        told = " or ".join(sorted({f"{step:g}" for step in steps}))
        warn(f"a step of {dt:g} s, but its numbers are those of {told} s ('inspect' tells why)")


def warn(message: str) -> None:
    """Print a warning to stderr."""
    err.print(f"[yellow]warning:[/yellow] {escape(message)}", highlight=False, soft_wrap=True)


def complain(message: str) -> int:
    """Print an error to stderr; returns the exit code 2."""
    err.print(f"[bold red]error:[/bold red] {escape(message)}", highlight=False, soft_wrap=True)
    return 2


def say(message: str) -> None:
    """Print one line."""
    out.print(message, highlight=False, soft_wrap=True)


class _Shown(Progress):
    """A progress bar with something beneath it."""

    beneath: RenderableType | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.beneath is not None:
            yield self.beneath


class Bar:
    """A progress bar: call it with (done, total); `note` adds a few words, `beneath` a table."""

    def __init__(self, shown: _Shown, title: str) -> None:
        self._shown, self._title = shown, escape(title)
        self._task = shown.add_task(self._title, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._shown.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        """Show `text` behind the title."""
        self._shown.update(self._task, description=f"{self._title}: {escape(text)}")

    def beneath(self, what: RenderableType) -> None:
        """Show `what` under the bar, in place of what was there."""
        self._shown.beneath = what


@contextlib.contextmanager
def progress(title: str) -> Iterator[Bar]:
    """A progress bar on stderr."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with _Shown(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        yield Bar(bar, title)


@contextlib.contextmanager
def bars() -> Iterator[Any]:
    """A `road.Starter` that shows one progress bar after the other."""
    with contextlib.ExitStack() as stack:

        def start(title: str) -> Bar:
            stack.close()
            return stack.enter_context(progress(title))

        yield start


OUTPUTS = ("--report", "--bundle", "--junit", "--json")
"""Options that say where a result goes, or how it is shown."""


def options_given(context: typer.Context) -> list[str]:
    """The options that stand on the command line, in the order of --help."""
    options = [p for p in context.command.params if p.param_type_name == "option"]
    sources = [context.get_parameter_source(p.name or "") for p in options]
    return [p.opts[0] for p, source in zip(options, sources, strict=True) if source and source.name == "COMMANDLINE"]


def command_line(context: typer.Context) -> str:
    """What a user asked for, for a report: arguments and options with their values, defaults too, but no outputs."""
    words = ["neuro_deploy", context.info_name or ""]
    for p in context.command.params:
        value = context.params.get(p.name or "")
        if value is None or value is False or p.opts[0] in OUTPUTS:
            continue
        for each in value if isinstance(value, (list, tuple)) else (value,):
            words += [] if p.param_type_name == "argument" else [p.opts[0]]
            words += [] if each is True else [str(each)]
    return shlex.join(words)


def keep_inputs(inputs: Sequence[Path], *outputs: Path | None) -> None:
    """Raise InputError if a file to be written is one of those to be read, or is to be written twice."""
    written = [file.resolve() for file in outputs if file]
    for file in written:
        if written.count(file) > 1:
            raise InputError(f"{file}: two outputs of this command have this path; choose another for one")
    for out_file in outputs:
        for file in inputs:
            if out_file and out_file.exists() and file.exists() and out_file.samefile(file):
                raise InputError(f"{out_file}: is an input of this command; choose another path for the output")


def network_file(source: Path) -> Path:
    """The file that a command's argument means: a path, or the network of a model of the zoo that it names.

    Raises: InputError for a bare word that is neither.
    """
    from ..zoo import named

    model = named(source)
    file = model.network if model else source
    if (file / "run.json").is_file():
        raise InputError(
            f"{file}: is a training run; 'neuro_deploy export {file} --nir FILE.nir' makes a network of it"
        )
    if (file / "bundle.json").is_file():
        raise InputError(f"{file}: is a bundle; take one of its files, or 'neuro_deploy verify {file}'")
    check_readable(file, "a network")
    return file


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """What a file is, by its content.  Raises: FileError, FormatError."""
    check_readable(Path(path), "a .nir, .program.h5 or .trace.h5 file")
    with open_h5(path, "a .nir, .program.h5 or .trace.h5 file") as handle:
        if handle.attrs.get("format") == FORMAT:
            return "program"
        if handle.attrs.get("__type__") == "NIRGraphData":
            return "trace"
        if isinstance(handle.get("node"), h5py.Group):
            return "nir"
        if isinstance(handle.get("layer"), h5py.Group):
            raise FormatError(f"{path}: a network file of lava-dl; 'neuro_deploy import' makes a program or NIR of it")
    raise FormatError(f"{path}: neither a NIR graph, nor a ChipProgram, nor a trace")


def load_any(path: str | os.PathLike[str]) -> nir.NIRGraph | ChipProgram | Trace:
    """A file of any of the three kinds.  Raises: FileError, FormatError."""
    loaders: dict[Kind, Any] = {"nir": read_nir, "program": load_program, "trace": load_trace}
    return loaders[kind_of(path)](path)


def names(text: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def given_case(file: Path) -> Case | None:
    """The case that a file holds; None if it holds something else.  Raises: FileError, FormatError."""
    from ..shrinking import is_case, load_case

    return load_case(file) if is_case(file) else None


def given_input(file: Path, input_: Path | None) -> tuple[NetworkInput, NDArray[Any] | None]:
    """Input and labels of an .npz, or, where none is named, the input of a case.  Raises: as `read_input`."""
    if input_ is not None:
        return read_input(input_)
    case = given_case(file)
    if case is None:
        raise InputError(f"{file}: which input?  --input X.npz, with 'input' (T, B, ...) and optionally 'label' (B,)")
    return case.x, None
