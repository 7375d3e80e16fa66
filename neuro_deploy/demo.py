"""The whole road on real digits, into one folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import FileError
from .files import read_input, write_text
from .graph import read_nir
from .program import save_program
from .road import (
    MOST_LAVA_SAMPLES,
    TEST_INPUT,
    Clock,
    Exported,
    Starter,
    Trained,
    Verified,
    export_run,
    silent,
    train_run,
    verify_graph,
    write_verdict,
)
from .trace import save_trace

DEMO_MARKER = ".neuro_deploy_demo"


def _clear_demo(out: Path, ours: Sequence[Path]) -> None:
    """Remove an earlier demo's files.  Raises: FileError if `out` holds anything else."""
    try:
        found = sorted(out.iterdir()) if out.exists() else []
    except OSError as error:
        raise FileError(f"{out}: is not a folder that can be read; choose another --out") from error
    strange = [path.name for path in found if path not in ours]
    if strange or (found and out / DEMO_MARKER not in found):
        named = ", ".join(strange[:3]) or "files"
        raise FileError(f"{out}: is not empty ({named} are not of an earlier demo); choose another --out")
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@dataclass(frozen=True, eq=False)
class Demonstrated:
    """What `demo` did.  files: what each is -> its path."""

    trained: Trained
    exported: Exported
    verified: Verified
    stages: Sequence[tuple[str, float]]
    files: Mapping[str, Path]


def demo(
    out: Path, *, recipe: str = "digits_mlp", lava_samples: int = MOST_LAVA_SAMPLES, start: Starter = silent
) -> Demonstrated:
    """The whole road on real digits: train, export, compile, simulate three ways, compare, report.

    out: a folder that does not exist, is empty, or was written by an earlier demo (which is replaced).
    Raises: FileError, and whatever a stage raises.
    """
    marker = out / DEMO_MARKER
    clock = Clock()
    files = {
        "training run": out / "run",
        "network (NIR)": out / "digits.nir",
        "chip program": out / "digits.program.h5",
        "test input": out / "run" / TEST_INPUT,
        "trace of the float run": out / "float.trace.h5",
        "trace of sim": out / "sim.trace.h5",
        "trace of Lava": out / "lava.trace.h5",
        "report": out / "report.html",
    }
    _clear_demo(out, (marker, *files.values()))
    write_text(marker, "Written by 'neuro_deploy demo'; the next demo replaces its files here.\n")
    with clock.stage("train"):
        trained = train_run(recipe, files["training run"], progress=start("training"))
    with clock.stage("export, read back, check"):
        exported = export_run(files["training run"], files["network (NIR)"])
    x, label = read_input(files["test input"])
    graph = read_nir(files["network (NIR)"])
    verified = verify_graph(graph, "loihi2", x, label, lava_samples=lava_samples, start=start)
    clock.stages.extend(verified.stages)
    with clock.stage("write files and report"):
        save_program(verified.program, files["chip program"])
        runs = {"float run": verified.reference, "sim": verified.sim, "Lava": verified.lava}
        for name, trace in runs.items():
            if trace is not None:
                save_trace(trace, files[f"trace of {'the ' if name == 'float run' else ''}{name}"])
        given = [path for name, path in files.items() if name != "report" and path.is_file()]
        title = "Digits, end to end"
        write_verdict(files["report"], verified, title=title, command="neuro_deploy demo", graph=graph, files=given)
    return Demonstrated(trained, exported, verified, clock.stages, files)
