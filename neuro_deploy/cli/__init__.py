"""The command line.  Exit codes: 0 done (or equal), 1 different, 2 error, 130 interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from .. import __version__
from ..errors import NeuroDeployError, TrainingInterruptedError
from . import compare, datasets, demo, explain, import_, inspect, machine, margins, normalize, road, shrink, verify
from .show import complain

INTERRUPTED = 130
UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""Wrong options.  Older releases of typer take this class from click, newer ones bring their own."""

app = typer.Typer(
    name="neuro_deploy",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Take a spiking network from PyTorch training to Loihi-class hardware, with a proof at every border.\n\n"
    "Example: [bold]neuro_deploy demo[/bold]",
)
for module in (demo, road, import_, normalize, compare, verify, explain, shrink, inspect, margins, datasets, machine):
    module.register(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: no traceback for a user's mistake."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    try:
        code = app(list(arguments) if arguments is not None else None, standalone_mode=False)
    except TrainingInterruptedError as error:
        complain(str(error))
        return INTERRUPTED
    except NeuroDeployError as error:
        return complain(str(error))
    except UsageError as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except OSError as error:
        return complain(str(error))
    except Exception as error:
        if os.environ.get("NEURO_DEPLOY_TRACEBACK"):
            raise
        return complain(
            f"internal error ({type(error).__name__}: {error}); please report it.  "
            "NEURO_DEPLOY_TRACEBACK=1 shows where it happened."
        )
    if code == INTERRUPTED:
        complain("interrupted")
    return code if isinstance(code, int) else 0
