"""Makes the tables of ``docs/results.md``: ``python -m tests.benchmarks.results --help``.

Every method learns every dataset with every seed and plays, through the command line. One seed of all methods comes
before the next, so that a cut leaves an even table. What is finished is skipped, and what was cut off resumes. Each
command runs in one thread and writes its output below ``logs/`` of the run directory. The last lines are the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.console import duration
from tests.benchmarks.commands import log_file, say, seqrl

ROBOTS = ("hopper", "halfcheetah", "walker2d")
QUALITIES = ("medium", "medium-replay")
DATASETS = tuple(f"sim/{robot}-{quality}" for robot in ROBOTS for quality in QUALITIES)


@dataclass(frozen=True)
class Method:
    """How one run learns and plays.

    Attributes:
        words: of ``seqrl train``; none for a run that another method trains.
        plan: of ``seqrl plan``.
        online: words of ``seqrl finetune-online``, if it goes on from the run of ``parent``.
        parent: the method whose run it plays or goes on from.
        seconds: processor time of one seed on one dataset, measured, for the estimate.
        seeds: at most so many.
    """

    words: Sequence[str] = ()
    plan: Sequence[str] = ()
    online: Sequence[str] | None = None
    parent: str | None = None
    seconds: float = 200.0
    seeds: int = 1000


PLANNED = ("--episodes", "4")
METHODS = {
    "bc": Method(("--arch", "bc"), ("--episodes", "10"), seconds=35),
    "bc-top": Method(("--arch", "bc", "policy.top_share=0.1"), ("--episodes", "10"), seconds=35),
    "dt": Method(("--arch", "dt"), ("--episodes", "10"), seconds=60),
    "odt": Method(("--arch", "odt"), ("--episodes", "10"), seconds=40),
    "odt-online": Method((), ("--episodes", "10"), ("--iterations", "15", "online.eval_every=3"), "odt", seconds=400),
    "gpt": Method(("--arch", "gpt", "train.recipe=paper"), PLANNED),
    "gpt-modern": Method(("--arch", "gpt", "train.recipe=modern"), PLANNED),
    "retnet": Method(("--arch", "retnet", "train.recipe=paper"), PLANNED),
    "retnet-modern": Method(("--arch", "retnet", "train.recipe=modern"), PLANNED),
    "gpt-wide": Method((), (*PLANNED, "--horizon", "15", "--beam-width", "128"), None, "gpt-modern", 2400, seeds=1),
}
"""By the beginning of the runs' names."""


@dataclass(frozen=True)
class Run:
    """One method with one seed on one dataset."""

    dataset: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """For people and logs."""
        return f"{self.dataset.rpartition('/')[2]}-{self.method}-s{self.seed}"

    @property
    def commands(self) -> list[list[str]]:
        """Words of the commands, without those of a parent."""
        method = METHODS[self.method]
        parent = f"{self.dataset}/{method.parent}-s{self.seed}"
        if method.online is not None:
            tune = ["finetune-online", parent, *method.online, "--threads", "1"]
            return [tune, ["plan", f"{parent}-online", *method.plan, "--threads", "1"]]
        if method.parent is not None:
            return [["plan", parent, *method.plan, "--threads", "1"]]
        own = f"{self.method}-s{self.seed}"
        train = ["train", self.dataset, *method.words, "--seed", str(self.seed), "--name", own, "--threads", "1"]
        return [train, ["plan", f"{self.dataset}/{own}", *method.plan, "--threads", "1"]]


def main(arguments: list[str]) -> int:
    """Make what is missing and print the tables."""
    args = parse(arguments)
    runs = list(every_run(args.datasets, args.methods, args.seeds))
    missing = [run for run in runs if read_mark(args.runs_dir, run) is None]
    failed: list[str] = []
    if missing and not args.tables:
        total = sum(METHODS[run.method].seconds for run in missing)
        say(f"{len(missing)} of {len(runs)} runs are missing: about {duration(total)} of processor time in all")
        if args.dry_run:
            return 0
        failed = prepare(args.datasets, args) or learn_all(missing, args)
    print_tables(args)
    for name in failed:
        say(f"failed: {name}, see {log_file(args.runs_dir, name)}")
    return 1 if failed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS), metavar="DATASET")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--dry-run", action="store_true", help="only say how long it would take")
    parser.add_argument("--tables", action="store_true", help="only print tables of what is finished")
    return parser.parse_args(arguments)


def every_run(datasets: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> Iterator[Run]:
    """All runs, seed by seed; a run comes after the one that it goes on from."""
    for number, seed in enumerate(seeds):
        for dataset in datasets:
            yield from (Run(dataset, name, seed) for name in methods if number < METHODS[name].seeds)


def prepare(datasets: Sequence[str], args: argparse.Namespace) -> list[str]:
    """Make the data; returns the logs of commands that failed."""
    failed = []
    for dataset in datasets:
        say(f"seqrl discretize {dataset}")
        name = f"data-{dataset.replace('/', '-')}"
        failed += [name] if seqrl(["discretize", dataset], name, args.runs_dir).code else []
    return failed


def learn_all(missing: Sequence[Run], args: argparse.Namespace) -> list[str]:
    """Run what is missing, some at once; returns the names of what failed.

    All runs of a seed on a dataset are one after the other, because some need others.
    """
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in missing:
        groups.setdefault((run.dataset, run.seed), []).append(run)
    with ThreadPoolExecutor(args.jobs) as pool:
        failed = pool.map(lambda group: learn(group, args.runs_dir), groups.values())
        return [name for names in failed for name in names]


def learn(group: Sequence[Run], runs: Path) -> list[str]:
    """Run the commands of some runs; returns the names of those that failed."""
    failed = []
    for run in group:
        seconds = []
        for words in run.commands:
            ended = seqrl(words, run.name, runs)
            if ended.code:
                failed.append(run.name)
                break
            seconds.append(round(ended.seconds))
        else:
            mark_file(runs, run).write_text(json.dumps({"commands": run.commands, "seconds": seconds}))
            say(f"{run.name}: {' + '.join(map(str, seconds))} s of processor time")
    return failed


def mark_file(runs: Path, run: Run) -> Path:
    """Says that a run is done."""
    return runs / "logs" / f"{run.name}.done"


def read_mark(runs: Path, run: Run) -> list[float] | None:
    """Processor seconds of each command of a run; None if it is not done with these commands."""
    try:
        mark = json.loads(mark_file(runs, run).read_text())
    except (OSError, ValueError):
        return None
    return list(mark["seconds"]) if mark["commands"] == run.commands else None


def print_tables(args: argparse.Namespace) -> None:
    """Print all results as Markdown."""
    sys.stdout.flush()
    for dataset in args.datasets:
        words = ["table", dataset, "-f", "markdown", "--runs-dir", str(args.runs_dir)]
        subprocess.run([sys.executable, "-m", "seqrl_cli", *words], check=False, env=dict(os.environ))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
