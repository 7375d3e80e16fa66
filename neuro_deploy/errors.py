"""The exception tree: every mistake that a user can make, or meet, has a class below NeuroDeployError.

A message says what, where, got, limit and remedy.  The command line prints it without a traceback and exits with 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class NeuroDeployError(Exception):
    """Base of all errors that neuro_deploy raises on purpose."""


class FileError(NeuroDeployError):
    """A file cannot be found, read or written."""


class FormatError(FileError):
    """A file can be read, but is not (or not wholly) what it should be."""


class InputError(NeuroDeployError):
    """An argument or an input array has a wrong shape, dtype or value."""


class TargetError(NeuroDeployError):
    """A hardware target is unknown, or its description is wrong."""


class RecipeError(NeuroDeployError):
    """A training recipe is unknown or wrong."""


class DatasetError(NeuroDeployError):
    """A dataset is not on this machine, or cannot be had."""


class TrainingError(NeuroDeployError):
    """A training run cannot start, go on, or be used."""


class TrainingInterruptedError(TrainingError):
    """Ctrl-C ended a training run; it can go on."""


class BackendError(NeuroDeployError):
    """A backend is unknown, cannot run this, or failed."""


class LavaMissingError(BackendError):
    """Lava is needed and cannot be imported."""


class LavaTimeoutError(BackendError):
    """A Lava run exceeded its time limit and was ended."""


@dataclass(frozen=True)
class Violation:
    """One thing that cannot be done: where, what, and what helps.

    node: name of the NIR node, population, or field.
    what: what is wrong, with the number that was found and the limit.
    remedy: what the user can do about it ("" if nothing).
    """

    node: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.node}: {self.what}" + (f"; {self.remedy}" if self.remedy else "")


class UnsupportedError(NeuroDeployError):
    """Something that neuro_deploy, or a target, cannot do exactly.  Holds all violations, not only the first."""

    def __init__(self, title: str, violations: Sequence[Violation] = ()) -> None:
        self.title = title
        self.violations = tuple(violations)
        super().__init__("\n".join([title, *(f"  {v}" for v in self.violations)]))


class RegisterError(BackendError):
    """A register wrapped or clipped in a run that was asked to stop there."""
