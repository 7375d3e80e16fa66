"""The training runs of ablation.py: one job is one line of a file, and what has its line is not run again."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TextIO

import torch
from ablation_workloads import ARMS, TEST, Job, Record, Workload, key_of

import neuro_deploy as nd
from neuro_deploy.errors import FormatError, TrainingError, TrainingInterruptedError
from neuro_deploy.files import write_text
from neuro_deploy.train import load_recipe, train
from neuro_deploy.train.datasets import data_of
from neuro_deploy.train.nets import build

Run = Callable[[Iterable[Job]], Iterator[Record]]
Told = Callable[[str, str, int, int], None]
"""Called with (workload, stage, runs done, runs in all) at the beginning and after each run."""


@lru_cache
def neurons(workload: Workload, path: str) -> Mapping[str, int]:
    """How many neurons each population of a workload's networks has, times T."""
    recipe = load_recipe(workload.recipe, [*Job(workload, ARMS[0], {}, 0, TEST).overrides, f"data.path={path}"])
    data = data_of(recipe)
    model = build(recipe, data).eval()
    with torch.no_grad(), nd.nn.observe(model) as states:
        model(torch.zeros(recipe.network.steps, 1, *data.shape))
    names = {name.replace(ARMS[0].neuron, "*"): state.spikes[0, 0].numel() for name, state in states.items()}
    return {name: count * recipe.network.steps for name, count in names.items()}


def run_job(job: Job, folder: str) -> Record:
    """Train once; the job's line.  folder: of the data files.  Raises: NeuroDeployError if it cannot run at all."""
    start = time.perf_counter()
    path = str(Path(folder) / job.workload.file) if job.workload.file else ""
    overrides = [*job.overrides, f"data.path={json.dumps(path)}", "training.threads=1"]
    told: Record = {"accuracy": 0.0, "spikes": 0.0, "error": ""}
    with tempfile.TemporaryDirectory() as out:
        try:
            run = train(job.workload.recipe, Path(out) / "run", device="cpu", overrides=overrides)
            slots = neurons(job.workload, path)
            rates = {n.replace(job.arm.neuron, "*"): rate for n, rate in run.history[-1]["rates"].items()}
            spikes = sum(rate * slots[name] for name, rate in rates.items())
            told |= {"accuracy": run.test_accuracy, "spikes": round(spikes, 2)}
        except TrainingInterruptedError:
            raise
        except TrainingError as error:
            told["error"] = str(error).splitlines()[0]
    return {**job.known, **told, "seconds": round(time.perf_counter() - start, 2)}


def read_results(path: Path) -> dict[str, Record]:
    """The runs that have their lines, by key; a last line that was cut off is taken away.  Raises: FormatError."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(path, whole)
    try:
        records = [json.loads(line) for line in whole.splitlines()]
        return {key_of(record): record for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: is not what benchmarks/ablation.py wrote ({error}); move it away") from error


@contextmanager
def runner(processes: int, folder: str) -> Iterator[Run]:
    """A function that runs jobs and gives their lines as they come; 0 processes: in this one."""
    if not processes:
        yield lambda jobs: map(partial(run_job, folder=folder), jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, spawn, torch.set_num_threads, (1,))

    def run(jobs: Iterable[Job]) -> Iterator[Record]:
        for future in as_completed([pool.submit(run_job, job, folder) for job in jobs]):
            yield future.result()

    try:
        yield run
    finally:
        pool.shutdown(cancel_futures=True)


def complete(jobs: Sequence[Job], done: dict[str, Record], run: Run, stream: TextIO, on_run: Told) -> None:
    """Run those of one workload and stage that have no line yet; their lines go to `stream` and to `done`."""
    wanted = {key_of(job.known): job for job in jobs}
    if not wanted:
        return
    left = [job for key, job in wanted.items() if key not in done]
    on_run(jobs[0].workload.name, jobs[0].stage, len(wanted) - len(left), len(wanted))
    for count, record in enumerate(run(left), len(wanted) - len(left) + 1):
        stream.write(json.dumps(record) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
        done[key_of(record)] = record
        on_run(record["workload"], record["stage"], count, len(wanted))
