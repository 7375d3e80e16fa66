"""What does each idea bring?  LIF; LIF + TSL-SG; CF; CF + TSL-SG; CF + TSL-SG + PNB, on the same networks and data.

    python benchmarks/ablation.py --workloads mnist1d-mlp japanese_vowels-mlp
    python benchmarks/ablation.py --data DATA --workloads mnist-mlp nmnist-mlp
    python benchmarks/ablation.py --study --workloads mnist1d-mlp
    python benchmarks/ablation.py --table

--data names a folder with `mnist_10000.npz` and `nmnist_1100.npz`, for the workloads that need them (see
neuro_deploy/train/datasets/images.py and coding.py for what such files hold).

Search: each arm gets the same number of trials, LIF included, each trained on four fifths of the training set and
measured on the last fifth.  Trial 0 is what the recipe and nd.nn have as defaults, with 0.1 as PNB's weight; trial i
draws learning rate, alpha, surrogate, theta, beta and the readout's scale once for all arms, and beside them what only
some arms have: K, the learning rate of alpha, the weight of PNB.  Test: the best trial of each arm, trained on the
whole training set with other seeds; the accuracy after the last epoch on the test set is what counts, once.

A second choice, for equal numbers of spikes: each arm's best trial is also run with larger theta (on validation), and
the best of these and the trials counts that has no more spikes a sample than the LIF arm's best trial.

--study varies one setting at a time, on validation only (ablation_study.py).  --write puts the tables into the pages.

Every run is a line of a file in --results; what has its line is not run again, so that an interrupted campaign goes on.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ablation_docs import current, overview
from ablation_runs import Told, complete, read_results, runner
from ablation_study import study_jobs, study_report
from ablation_tables import Outcome, report
from ablation_workloads import (
    ARMS,
    SEARCH,
    SEARCH_SEED,
    TEST,
    THETA,
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

from neuro_deploy.errors import InputError, NeuroDeployError

RESULTS = Path(__file__).resolve().parent / "results"
FURTHER = (2.8, 4.0)
"""Larger thresholds, as factors, for arms that have still too many spikes with those of their workload."""
RUNS, STUDIED = "ablation.jsonl", "ablation_study.jsonl"


def searched(workload: Workload, arms: Sequence[Arm]) -> list[Job]:
    """The jobs of the search, trial by trial."""
    pairs = [(trial, arm) for trial in range(workload.trials) for arm in arms]
    return [Job(workload, arm, drawn(workload, arm, trial), SEARCH_SEED, SEARCH) for trial, arm in pairs]


def chosen(jobs: Sequence[Job], done: Mapping[str, Record], limit: float = math.inf) -> Record | None:
    """The best of these runs with at most `limit` spikes a sample; of equally good ones that with fewer spikes."""
    found = [done[key] for job in jobs if (key := key_of(job.known)) in done]
    fit = [record for record in found if record["spikes"] <= limit and not record["error"]]
    return max(fit, key=lambda record: (record["accuracy"], -record["spikes"]), default=None)


def ran(jobs: Sequence[Job], done: Mapping[str, Record]) -> bool:
    """True if all of these have their lines."""
    return all(key_of(job.known) in done for job in jobs)


def swept(workload: Workload, arm: Arm, done: Mapping[str, Record], limit: float) -> list[Job]:
    """The jobs that look for runs with at most `limit` spikes a sample: an arm's best trial with larger thresholds.

    All of the workload's factors, and of FURTHER one after the other until a run fits.
    """
    tried = searched(workload, [arm])
    best = chosen(tried, done)
    if not best:
        return []
    jobs: list[Job] = []
    for factor in (*workload.factors, *FURTHER):
        if len(jobs) >= len(workload.factors) and (not ran(jobs, done) or chosen([*tried, *jobs], done, limit)):
            break
        setting = {**best["setting"], THETA: round(best["setting"][THETA] * factor, 4)}
        jobs.append(Job(workload, arm, setting, SEARCH_SEED, SEARCH))
    return jobs


def choices(workload: Workload, arms: Sequence[Arm], done: Mapping[str, Record]) -> dict[str, list[Any]]:
    """For each of the two tables the run of each arm, or None: any number of spikes, and the first arm's best's.

    Of an arm whose larger thresholds are not all tried yet there is none for the second.
    """
    tried = [searched(workload, [arm]) for arm in arms]
    best = [chosen(jobs, done) for jobs in tried]
    limit = best[0]["spikes"] if best[0] else -1.0
    lower = [swept(workload, arm, done, limit) for arm in arms]
    pairs = zip(tried, lower, strict=True)
    return {"best": best, "equal": [chosen([*a, *b], done, limit) if ran(b, done) else None for a, b in pairs]}


def lowered(workload: Workload, arms: Sequence[Arm], done: Mapping[str, Record]) -> list[Job]:
    """The jobs with larger thresholds that are to be run next."""
    first = chosen(searched(workload, arms[:1]), done)
    jobs = [job for arm in arms for job in swept(workload, arm, done, first["spikes"] if first else -1.0)]
    return [job for job in jobs if key_of(job.known) not in done]


def tested(workload: Workload, arms: Sequence[Arm], trials: Sequence[Record | None]) -> list[Job]:
    """The jobs on the test set of what was chosen for each arm."""
    pairs = [(arm, trial["setting"]) for arm, trial in zip(arms, trials, strict=True) if trial]
    return [Job(workload, arm, setting, seed, TEST) for arm, setting in pairs for seed in workload.seeds]


def campaign(
    workloads: Sequence[Workload],
    arms: Sequence[Arm],
    results: Path,
    *,
    folder: str = "",
    processes: int = 2,
    study: bool = False,
    on_run: Told = lambda *_: None,
) -> dict[str, Record]:
    """Run what has no line yet; all lines, by key.  First the best trials of all workloads, then those at equal spikes.

    study: the study in place of search and test.   Raises: NeuroDeployError.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    done = read_results(results)
    with runner(processes, folder) as run, results.open("a", encoding="utf-8") as stream:
        go = partial(complete, done=done, run=run, stream=stream, on_run=on_run)
        for workload in workloads if study else ():
            go(study_jobs(workload))
        for workload in () if study else workloads:
            go(searched(workload, arms))
            go(tested(workload, arms, choices(workload, arms, done)["best"]))
        for workload in () if study else workloads:
            while jobs := lowered(workload, arms, done):
                go(jobs)
            go(tested(workload, arms, choices(workload, arms, done)["equal"]))
    return done


def outcomes(workload: Workload, arms: Sequence[Arm], done: Mapping[str, Record]) -> dict[str, list[Outcome | None]]:
    """What the tables show of a workload: for each choice an outcome of each arm, None where it was not run."""

    def outcome(arm: Arm, trial: Record | None) -> Outcome | None:
        if not trial:
            return None
        keys = [key_of(Job(workload, arm, trial["setting"], seed, TEST).known) for seed in workload.seeds]
        if not all(key in done for key in keys):
            return None
        runs = [done[key] for key in keys]
        accuracy = tuple(100 * run["accuracy"] for run in runs)
        return Outcome(arm.name, trial["setting"], 100 * trial["accuracy"], accuracy, tuple(r["spikes"] for r in runs))

    picks = choices(workload, arms, done)
    return {name: [outcome(*pair) for pair in zip(arms, picked, strict=True)] for name, picked in picks.items()}


def by_trial(workload: Workload, arms: Sequence[Arm], done: Mapping[str, Record]) -> list[list[float]]:
    """Accuracy on validation in percent, for each arm trial by trial; NaN where it was not run."""
    keys = [[key_of(job.known) for job in searched(workload, [arm])] for arm in arms]
    return [[100 * done[key]["accuracy"] if key in done else math.nan for key in row] for row in keys]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--data", default=".", help="folder of the data files")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of what was run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--study", action="store_true", help="one setting at a time, on validation, instead")
    parser.add_argument("--table", action="store_true", help="run nothing; print what there is, in Markdown")
    parser.add_argument("--write", action="store_true", help="run nothing; put what there is into the pages")
    return parser.parse_args()


def printed(names: Sequence[str], folder: Path) -> dict[str, dict[str, str]]:
    """All tables by file and name of their marks.  folder: of the results.  Raises: FormatError."""
    done, studied = (read_results(folder / name) for name in (RUNS, STUDIED))
    workloads = [WORKLOADS[name] for name in names]
    found = {w.title: outcomes(w, ARMS, done) for w in workloads}
    whole = [report(w.title, found[w.title], by_trial(w, ARMS, done)) for w in workloads]
    study = [text for w in workloads if (text := study_report(w, studied))]
    return {
        "README.md": {"ablation": overview(found)},
        "benchmarks/README.md": {"ablation": "\n".join(whole), "study": "\n".join(study)},
    }


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
            *([WORKLOADS[name] for name in args.workloads], ARMS, args.results / (STUDIED if args.study else RUNS)),
            **{"folder": args.data, "processes": args.processes, "study": args.study},
            on_run=show,
        )


def main() -> int:
    """The command."""
    args = parsed()
    try:
        if args.processes < 1:
            raise InputError("--processes must be 1 or more")
        if not args.table and not args.write:
            run_with_progress(args, Console(stderr=True))
        tables = printed(list(WORKLOADS) if args.write else args.workloads, args.results)
    except NeuroDeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.write:
        for page, text in current(tables).items():
            page.write_text(text, encoding="utf-8")
        return 0
    print(tables["benchmarks/README.md"]["study" if args.study else "ablation"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
