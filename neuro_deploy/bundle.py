"""A bundle: a verification as a folder that anybody can run again, the hand-over between trainer, firmware and QA.

bundle.json      what was done, with which versions, what came out, and the SHA-256 of each other file
network.nir      the network, with everything that was said about how to read it
target.toml      the chip's description          program.h5       the integers that were made of them
input.npz        input, and labels if there are  calibrate.npz    typical input, where some was given
reference.trace.h5, sim.trace.h5, lava.trace.h5  the recorded runs      report.html   for people
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import nir
from pydantic import BaseModel, ConfigDict, ValidationError

from .backends import simulate
from .comparison import Comparison, compare
from .errors import FileError, FormatError, LavaMissingError, NeuroDeployError
from .files import NetworkInput, check_readable, digest_of, read_input, umask, write_npz, write_text
from .graph import read_nir, write_nir
from .program import ChipProgram, load_program, save_program
from .resources import versions
from .road import Starter, Verified, compile_for, silent, write_verdict
from .target import target_file
from .trace import VARIABLES, Trace, load_trace, save_trace

MANIFEST, NETWORK, TARGET, PROGRAM = "bundle.json", "network.nir", "target.toml", "program.h5"
INPUT, CALIBRATE, REPORT = "input.npz", "calibrate.npz", "report.html"
RUNS = {"reference": "reference.trace.h5", "sim": "sim.trace.h5", "lava": "lava.trace.h5"}


class Manifest(BaseModel):
    """bundle.json.

    files: name -> SHA-256, of all others.   options: of `compile`, but for the calibration input.
    passed: the verdict then; None: it was not judged, for want of a run in Lava.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal["neuro_deploy bundle"] = "neuro_deploy bundle"
    version: Literal[1] = 1
    command: str
    versions: dict[str, str]
    target: str
    options: dict[str, str | int | float | None]
    program: str
    passed: bool | None
    sentence: str
    files: dict[str, str]


@dataclass(frozen=True)
class Check:
    """One thing that was tried again.  passed: None where it could not be, or proves nothing.  text: for people."""

    name: str
    passed: bool | None
    text: str


@dataclass(frozen=True)
class Checked:
    """A bundle that was run again."""

    manifest: Manifest
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True if nothing failed, then and now."""
        return self.manifest.passed is not False and all(check.passed is not False for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0 passed, 1 not."""
        return 0 if self.passed else 1

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        found = [asdict(check) for check in self.checks]
        return {"passed": self.passed, "checks": found, "then": self.manifest.model_dump(mode="json")}


def is_bundle(path: Path) -> bool:
    """True for a folder that has a manifest."""
    return (path / MANIFEST).is_file()


def write_bundle(
    folder: Path,
    graph: nir.NIRGraph,
    target: str,
    x: NetworkInput,
    label: Any | None,
    result: Verified,
    *,
    options: Mapping[str, Any],
    command: str,
) -> None:
    """Write what `road.verify_graph` was given and made into a folder that is absent or empty: whole, or not at all.

    target, options: as they were given to `verify_graph`.   Raises: FileError.
    """
    check_new(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise FileError(f"{folder}: cannot be made ({error.strerror})") from error
    try:
        write_nir(graph, made / NETWORK)
        shutil.copyfile(target_file(target), made / TARGET)
        save_program(result.program, made / PROGRAM)
        _write_input(made / INPUT, x, label)
        if options.get("calibrate") is not None:
            _write_input(made / CALIBRATE, options["calibrate"], None)
        runs = {"reference": result.reference, "sim": result.sim, "lava": result.lava}
        for name, run in runs.items():
            if run is not None:
                save_trace(run, made / RUNS[name])
        title, files = f"{folder.name} on {result.program.target}", sorted(made.iterdir())
        write_verdict(made / REPORT, result, title=title, command=command, graph=graph, files=files)
        manifest = Manifest(
            command=command,
            versions=versions(),
            target=result.program.target,
            options={key: value for key, value in options.items() if key != "calibrate"},
            program=result.program.digest,
            passed=None if result.lava is None else result.verdict.passed,
            sentence=result.verdict.sentence,
            files={path.name: digest_of(path) for path in sorted(made.iterdir())},
        )
        write_text(made / MANIFEST, json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
        made.chmod(0o777 & ~umask())
        made.replace(folder)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_new(folder: Path) -> None:
    """Raise FileError unless a bundle can be written there without touching anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileError(f"{folder}: is there already, and is not an empty folder; choose another --bundle")


def _write_input(path: Path, x: NetworkInput, label: Any | None) -> None:
    arrays = {f"input.{name}": value for name, value in x.items()} if isinstance(x, Mapping) else {"input": x}
    write_npz(path, **arrays, **({} if label is None else {"label": label}))


def read_manifest(folder: Path) -> Manifest:
    """Raises: FileError, FormatError."""
    path = check_readable(folder / MANIFEST, "a bundle's manifest")
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (ValidationError, UnicodeDecodeError) as error:
        where = error.errors()[0] if isinstance(error, ValidationError) else None
        detail = f"{'.'.join(map(str, where['loc']))}: {where['msg']}" if where else str(error)
        raise FormatError(f"{path}: not a bundle's manifest, or damaged ({detail})") from error


def check_bundle(folder: Path, *, timeout: float | None = None, start: Starter = silent) -> Checked:
    """Do again what a bundle records, and see whether the same comes out.

    That its files are whole; that the network compiles to its program; that `sim` gives the recorded integers, and
    Lava (where it is installed) too; and what the float network gives, which may differ in the last bits elsewhere.
    Raises: FileError, FormatError for a folder that is no bundle.
    """
    manifest = read_manifest(folder)
    return Checked(manifest, tuple(_checks(folder, manifest, timeout, start)))


def _checks(folder: Path, manifest: Manifest, timeout: float | None, start: Starter) -> Iterator[Check]:
    wrong = [name for name, digest in manifest.files.items() if not _same(folder, name, digest)]
    wrong += [name for name in (NETWORK, TARGET, PROGRAM, INPUT, RUNS["sim"]) if name not in manifest.files]
    if wrong:
        yield Check("files", False, f"changed, missing or not listed: {', '.join(sorted(wrong))}")
        return
    yield Check("files", True, f"{len(manifest.files)} files, each as its SHA-256 says")
    x, _ = read_input(folder / INPUT)
    yield _network(folder, manifest, x)
    program, sim = load_program(folder / PROGRAM), load_trace(folder / RUNS["sim"])
    if program.digest != manifest.program:
        yield Check("program", False, f"{PROGRAM} is {program.digest[:12]}, not {manifest.program[:12]}")
    yield _run("sim", program, x, sim, timeout, start)
    if RUNS["lava"] in manifest.files:
        lava = load_trace(folder / RUNS["lava"])
        try:
            yield _run("lava", program, x, lava, timeout, start)
        except LavaMissingError:
            yield _judged("lava", compare(sim, lava), "is not installed here; its recorded run against sim's")
    if RUNS["reference"] in manifest.files:
        yield _reference(folder, x, start)


def _same(folder: Path, name: str, digest: str) -> bool:
    path = folder / name
    return Path(name).name == name and path.is_file() and not path.is_symlink() and digest_of(path) == digest


def _network(folder: Path, manifest: Manifest, x: NetworkInput) -> Check:
    """That the network and the target still give the program."""
    options: dict[str, Any] = dict(manifest.options)
    if CALIBRATE in manifest.files:
        options["calibrate"] = read_input(folder / CALIBRATE)[0]
    try:
        found = compile_for(read_nir(folder / NETWORK), str(folder / TARGET), x, options)[0].digest
    except NeuroDeployError as error:
        return Check("compile", False, f"{NETWORK} does not compile here: {str(error).splitlines()[0]}")
    same = found == manifest.program
    then, now = manifest.program[:12], found[:12]
    return Check("compile", same, f"{NETWORK} gives {now}, " + ("as then" if same else f"which was {then}"))


def _run(
    backend: str, program: ChipProgram, x: NetworkInput, then: Trace, timeout: float | None, start: Starter
) -> Check:
    now = simulate(program, x, backend, VARIABLES, then.batch, timeout=timeout, progress=start(backend))
    return _judged(backend, compare(then, now), "run again, against its recorded run")


def _judged(backend: str, found: Comparison, how: str) -> Check:
    """Of two integer runs."""
    text = f"{how}: {found.differing:,} of {found.values:,} numbers differ over {found.samples} samples"
    return Check(backend, found.equal, text + (f"; first {found.first}" if found.first else ""))


def _reference(folder: Path, x: NetworkInput, start: Starter) -> Check:
    """The float network, whose last bits are the machine's: told, and no fault."""
    then = load_trace(folder / RUNS["reference"])
    graph = read_nir(folder / NETWORK)
    found = compare(then, simulate(graph, x, "reference", VARIABLES, then.batch, progress=start("reference")))
    text = f"run again: {found.differing_spikes:,} spikes differ from those recorded"
    return Check("float", True if found.equal else None, text)
