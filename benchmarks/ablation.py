"""What does each idea bring?  LIF; LIF + TSL-SG; CF; CF + TSL-SG; CF + TSL-SG + PNB, on the same networks and data.

    python benchmarks/ablation.py --workloads mnist1d-mlp japanese_vowels-mlp
    python benchmarks/ablation.py --data DATA --workloads mnist-mlp nmnist-mlp
    python benchmarks/ablation.py --table

--data names a folder with `mnist_10000.npz` and `nmnist_1100.npz`, for the workloads that need them (see
neuro_deploy/train/datasets/images.py and coding.py for what such files hold).

Search: each arm gets the same number of trials, LIF included, each trained on four fifths of the training set and
measured on the last fifth.  Trial 0 is what the recipe and nd.nn have as defaults; trial i draws learning rate, alpha,
surrogate, theta, beta and the readout's scale once for all arms, and beside them what only some arms have: K, the
learning rate of alpha, the weight of PNB.  Test: the best trial of each arm, trained on the whole training set with
other seeds; the accuracy after the last epoch on the test set is what counts, once.

A second choice, for equal numbers of spikes: each arm's best trial is also run with its theta times 1.25, 1.5 and 2 (on
validation), and the best of these and the trials counts that has no more spikes a sample than the LIF arm's best trial.

Every run is a line of --results, and what has its line is not run again, so that an interrupted campaign goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from ablation_tables import Outcome, report
from ablation_workloads import (
    ARMS,
    SEARCH,
    SEARCH_SEED,
    TEST,
    WORKLOADS,
    Arm,
    Job,
    Record,
    Workload,
    drawn,
    key_of,
)
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import neuro_deploy as nd
from neuro_deploy.errors import FormatError, InputError, NeuroDeployError, TrainingError, TrainingInterruptedError
from neuro_deploy.files import write_text
from neuro_deploy.train import load_recipe, train
from neuro_deploy.train.datasets import data_of
from neuro_deploy.train.nets import build

RESULTS = Path(__file__).resolve().parent / "results" / "ablation.jsonl"
TRIALS, SEEDS, PROCESSES = 12, (0, 1, 2, 3, 4), 2
THETA, FACTORS = "network.args.neuron_args.theta", (1.25, 1.5, 2.0)
"""What the thresholds of an arm's best trial are multiplied by, to find as few spikes as another arm's."""


@lru_cache
def neurons(workload: Workload, path: str) -> Mapping[str, int]:
    """How many neurons each population of a workload's networks has."""
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
def runner(processes: int, folder: str) -> Iterator[Callable[[Iterable[Job]], Iterator[Record]]]:
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


def searched(workload: Workload, arms: Sequence[Arm], trials: int) -> list[Job]:
    """The jobs of the search, trial by trial."""
    return [
        Job(workload, arm, drawn(workload, arm, trial), SEARCH_SEED, SEARCH) for trial in range(trials) for arm in arms
    ]


def swept(workload: Workload, arm: Arm, best: Record | None) -> list[Job]:
    """The jobs that look for fewer spikes: an arm's best trial with larger thresholds."""
    if not best:
        return []
    settings = [{**best["setting"], THETA: round(best["setting"][THETA] * factor, 4)} for factor in FACTORS]
    return [Job(workload, arm, setting, SEARCH_SEED, SEARCH) for setting in settings]


def chosen(jobs: Sequence[Job], done: Mapping[str, Record], limit: float = math.inf) -> Record | None:
    """The best of these runs with at most `limit` spikes a sample; of equally good ones that with fewer spikes."""
    found = [done[key] for job in jobs if (key := key_of(job.known)) in done]
    fit = [record for record in found if record["spikes"] <= limit and not record["error"]]
    return max(fit, key=lambda record: (record["accuracy"], -record["spikes"]), default=None)


def choices(workload: Workload, arms: Sequence[Arm], done: Mapping[str, Record], trials: int) -> dict[str, list[Any]]:
    """For each of the two tables the run of each arm, or None: any number of spikes, and the first arm's best's.

    Of an arm whose larger thresholds are not all tried yet there is none for the second.
    """
    tried = [searched(workload, [arm], trials) for arm in arms]
    best = [chosen(jobs, done) for jobs in tried]
    limit = best[0]["spikes"] if best[0] else -1.0
    lower = [swept(workload, arm, record) for arm, record in zip(arms, best, strict=True)]
    equal = [
        chosen([*jobs, *more], done, limit) if all(key_of(job.known) in done for job in more) else None
        for jobs, more in zip(tried, lower, strict=True)
    ]
    return {"best": best, "equal": equal}


def campaign(
    workloads: Sequence[Workload],
    arms: Sequence[Arm],
    results: Path,
    *,
    folder: str = "",
    trials: int = TRIALS,
    seeds: Sequence[int] = SEEDS,
    processes: int = PROCESSES,
    on_run: Callable[[str, str, int, int], None] = lambda *_: None,
) -> dict[str, Record]:
    """Run what has no line yet; all lines, by key.

    on_run: called with (workload, stage, runs done, runs in all) at the beginning and after each run.
    Raises: NeuroDeployError.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    done = read_results(results)
    with runner(processes, folder) as run, results.open("a", encoding="utf-8") as stream:
        for workload in workloads:

            def complete(jobs: Sequence[Job], workload: Workload = workload) -> None:
                wanted = {key_of(job.known): job for job in jobs}
                if not wanted:
                    return
                left = [job for key, job in wanted.items() if key not in done]
                on_run(workload.name, jobs[0].stage, len(wanted) - len(left), len(wanted))
                for count, record in enumerate(run(left), len(wanted) - len(left) + 1):
                    stream.write(json.dumps(record) + "\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                    done[key_of(record)] = record
                    on_run(workload.name, record["stage"], count, len(wanted))

            complete(searched(workload, arms, trials))
            best = choices(workload, arms, done, trials)["best"]
            complete([job for arm, record in zip(arms, best, strict=True) for job in swept(workload, arm, record)])
            picks = choices(workload, arms, done, trials).values()
            complete(
                [
                    Job(workload, arm, trial["setting"], seed, TEST)
                    for trials_of in picks
                    for arm, trial in zip(arms, trials_of, strict=True)
                    if trial
                    for seed in seeds
                ]
            )
    return done


def outcomes(
    workload: Workload, arms: Sequence[Arm], done: Mapping[str, Record], trials: int, seeds: Sequence[int]
) -> dict[str, list[Outcome | None]]:
    """What the tables show of a workload: for each choice an outcome of each arm, None where it was not run."""

    def outcome(arm: Arm, trial: Record | None) -> Outcome | None:
        keys = [key_of(Job(workload, arm, trial["setting"], seed, TEST).known) for seed in seeds] if trial else []
        if not trial or not all(key in done for key in keys):
            return None
        runs = [done[key] for key in keys]
        accuracy = tuple(100 * run["accuracy"] for run in runs)
        return Outcome(arm.name, trial["setting"], 100 * trial["accuracy"], accuracy, tuple(r["spikes"] for r in runs))

    picks = choices(workload, arms, done, trials)
    return {name: [outcome(*pair) for pair in zip(arms, picked, strict=True)] for name, picked in picks.items()}


def by_trial(workload: Workload, arms: Sequence[Arm], done: Mapping[str, Record], trials: int) -> list[list[float]]:
    """Accuracy on validation in percent, for each arm trial by trial; NaN where it was not run."""
    keys = [[key_of(job.known) for job in searched(workload, [arm], trials)] for arm in arms]
    return [[100 * done[key]["accuracy"] if key in done else math.nan for key in row] for row in keys]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--data", default=".", help="folder of the data files")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--table", action="store_true", help="run nothing; print what there is, in Markdown")
    return parser.parse_args()


def run_with_progress(args: argparse.Namespace, console: Console) -> None:
    """The campaign, with bars."""
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bars: dict[str, Any] = {}

        def show(workload: str, stage: str, count: int, total: int) -> None:
            name = f"{workload}, {stage}"
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=count)

        campaign(
            *([WORKLOADS[name] for name in args.workloads], ARMS, args.results),
            **{"folder": args.data, "trials": args.trials, "seeds": args.seeds, "processes": args.processes},
            on_run=show,
        )


def main() -> int:
    """The command."""
    args = parsed()
    try:
        if args.trials < 1 or args.processes < 1 or len(set(args.seeds)) < 2:
            raise InputError("--trials and --processes must be 1 or more, and --seeds two different ones or more")
        if not args.table:
            run_with_progress(args, Console(stderr=True))
        done = read_results(args.results)
    except NeuroDeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in args.workloads:
        found = outcomes(WORKLOADS[name], ARMS, done, args.trials, args.seeds)
        print(report(WORKLOADS[name].title, found, by_trial(WORKLOADS[name], ARMS, done, args.trials)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
