"""Makes the tables of ``docs/results.md``: ``python -m tests.benchmarks.results --help``.

Every method learns every dataset with every seed and plays, through the command line. One seed of all methods comes
before the next, so that a cut leaves an even table. What was cut off resumes. Each command runs in one thread and
writes its output below ``logs/`` of the run directory. The last lines are the tables.

Results are kept in ``docs/results.json``, and a run that it has with the same commands is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.console import duration
from tests.benchmarks.commands import campaign_parser, log_file, output_file, say, seqrl
from tests.benchmarks.results_record import RECORD, Record, played, tables

ROBOTS = ("hopper", "halfcheetah", "walker2d")
QUALITIES = ("medium", "medium-replay")
SEEDS = (1, 2, 3)
DATASETS = tuple(f"sim/{robot}-{quality}" for robot in ROBOTS for quality in QUALITIES)
FURTHER_DATASETS = ("sim/ant-medium",)
"""Made when they are named."""


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
        further: seeds that are made besides the usual ones, of what others are compared with.
    """

    words: Sequence[str] = ()
    plan: Sequence[str] = ()
    online: Sequence[str] | None = None
    parent: str | None = None
    seconds: float = 200.0
    seeds: int = 1000
    further: Sequence[int] = ()


PLANNED = ("--episodes", "4")
PAPER = ("train.recipe=paper", "train.return_emphasis=0", "plan.horizon=5", "plan.elites=1")
METHODS = {
    "bc": Method(("--arch", "bc"), ("--episodes", "10"), seconds=35),
    "bc-top": Method(("--arch", "bc", "policy.top_share=0.1"), ("--episodes", "10"), seconds=35, further=range(4, 11)),
    "dt": Method(("--arch", "dt"), ("--episodes", "10"), seconds=60),
    "odt": Method(("--arch", "odt"), ("--episodes", "10"), seconds=40),
    "odt-online": Method((), ("--episodes", "10"), ("--iterations", "15", "online.eval_every=3"), "odt", seconds=400),
    "gpt": Method(("--arch", "gpt", *PAPER), PLANNED),
    "gpt-modern": Method(("--arch", "gpt", "train.recipe=modern"), PLANNED),
    "retnet": Method(("--arch", "retnet", *PAPER), PLANNED),
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
            return [tune, play(f"{parent}-online", method)]
        if method.parent is not None:
            return [play(parent, method)]
        own = f"{self.method}-s{self.seed}"
        train = ["train", self.dataset, *method.words, "--seed", str(self.seed), "--name", own, "--threads", "1"]
        return [train, play(f"{self.dataset}/{own}", method)]

    @property
    def folder(self) -> str:
        """The run that plays, below the run directory."""
        return self.commands[-1][1]

    @property
    def texts(self) -> list[str]:
        """The commands as they are typed."""
        return [" ".join(("seqrl", *words)) for words in self.commands]

    @property
    def preparation(self) -> list[str] | None:
        """Words of the command that trains the run from which it goes on, which does nothing if there is one."""
        parent = METHODS[self.method].parent
        return Run(self.dataset, parent, self.seed).commands[0] if parent else None


def play(run: str, method: Method) -> list[str]:
    """Words of ``seqrl plan``."""
    return ["plan", run, *method.plan, "--threads", "1", "--json"]


def main(arguments: list[str]) -> int:
    """Make what is missing and print the tables."""
    args = parse(arguments)
    record = Record(args.record)
    runs = list(every_run(args.datasets, args.methods, args.seeds))
    missing = [run for run in runs if not record.has(run.dataset, run.method, run.seed, run.texts)]
    failed: list[str] = []
    if missing and not args.tables:
        total = sum(METHODS[run.method].seconds for run in missing)
        say(f"{len(missing)} of {len(runs)} runs are missing: about {duration(total)} of processor time in all")
        if args.dry_run:
            return 0
        datasets = list(dict.fromkeys(run.dataset for run in missing))
        failed = prepare(datasets, args.runs_dir) or learn_all(missing, args, record)
        for dataset in datasets:
            record.add_behaviour(dataset, table_rows(dataset, args.runs_dir))
    print(tables(record, args.datasets, args.methods))
    for name in failed:
        say(f"failed: {name}, see {log_file(args.runs_dir, name)}")
    return 1 if failed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = campaign_parser(__doc__.splitlines()[0], SEEDS)
    parser.add_argument(
        "--datasets", nargs="+", choices=(*DATASETS, *FURTHER_DATASETS), default=list(DATASETS), metavar="DATASET"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--record", type=Path, default=RECORD, help="where results are kept")
    return parser.parse_args(arguments)


def every_run(datasets: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> Iterator[Run]:
    """All runs, seed by seed, then further seeds; a run comes after the one that it goes on from."""
    for number, seed in enumerate(seeds):
        for dataset in datasets:
            yield from (Run(dataset, name, seed) for name in methods if number < METHODS[name].seeds)
    if tuple(seeds) == SEEDS:
        for dataset in datasets:
            yield from (Run(dataset, name, seed) for name in methods for seed in METHODS[name].further)


def prepare(datasets: Sequence[str], runs: Path) -> list[str]:
    """Make the data; returns the logs of commands that failed."""
    failed = []
    for dataset in datasets:
        say(f"seqrl discretize {dataset}")
        name = f"data-{dataset.replace('/', '-')}"
        failed += [name] if seqrl(["discretize", dataset], name, runs).code else []
    return failed


def learn_all(missing: Sequence[Run], args: argparse.Namespace, record: Record) -> list[str]:
    """Run what is missing, some at once; returns the names of what failed.

    All runs of a seed on a dataset are one after the other, because some need others.
    """
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in missing:
        groups.setdefault((run.dataset, run.seed), []).append(run)
    with ThreadPoolExecutor(args.jobs) as pool:
        failed = pool.map(lambda group: learn(group, args.runs_dir, record), groups.values())
        return [name for names in failed for name in names]


def learn(group: Sequence[Run], runs: Path, record: Record) -> list[str]:
    """Run the commands of some runs; returns the names of those that failed."""
    failed = []
    for run in group:
        if run.preparation:
            seqrl(run.preparation, run.name, runs)
        begun = (runs / run.folder).exists() and len(run.commands) > 1
        ended = []
        for words in run.commands:
            ended.append(seqrl(words, run.name, runs))
            if ended[-1].code:
                failed.append(run.name)
                break
        else:
            say(f"{run.name}: {' + '.join(f'{each.seconds:.0f}' for each in ended)} s of processor time")
            plan = json.loads(output_file(runs, run.name).read_text(encoding="utf-8"))
            seconds = [None if begun else each.seconds for each in ended[:-1]]
            seconds.append(ended[-1].seconds if plan["fresh"] == plan["episodes"] else None)
            record.add(played(run.dataset, run.method, run.seed, run.texts, seconds, Path(plan["folder"])))
    return failed


def table_rows(dataset: str, runs: Path) -> list[dict[str, object]]:
    """The rows of ``seqrl table``."""
    if seqrl(["table", dataset, "--json"], "table", runs).code:
        return []
    rows: list[dict[str, object]] = json.loads(output_file(runs, "table").read_text(encoding="utf-8"))["rows"]
    return rows


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
