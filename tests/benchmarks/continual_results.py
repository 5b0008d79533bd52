"""Makes the tables of ``docs/continual.md``: ``python -m tests.benchmarks.continual_results --help``.

Data and a backbone are made first, then every method learns every suite with every seed, through the command line. One
seed of all methods comes before the next, so that a cut leaves an even table. What is finished is skipped, and what was
cut off resumes. Each command runs in one thread and writes its output below ``logs/`` of the run directory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.console import duration
from seqrl_cli.continual.run_files import ContinualFolder, read_record
from seqrl_cli.data.suites import expand
from seqrl_cli.errors import SeqrlError
from tests.benchmarks.commands import campaign_parser, log_file, say, seqrl
from tests.benchmarks.many_tasks import stepping, updating

BACKBONE = "mt8"
BACKBONE_UPDATES = 1200
BASE = f"{BACKBONE}/mddt-s42"
BATCH, STEPS, EPISODES, RETENTION = 128, 200, 3, 1

METHODS = {
    "full": ("--method", "full"),
    "head": ("--method", "head"),
    "l2": ("--method", "l2"),
    "ewc": ("--method", "ewc"),
    "ewc-online": ("--method", "ewc-online"),
    "replay": ("--method", "replay"),
    "lora": ("--method", "lora"),
    "ia3": ("--method", "ia3"),
    "lora-per-task": ("--method", "lora-per-task"),
    "ia3-per-task": ("--method", "ia3-per-task"),
    "l2m": ("--method", "l2m"),
    "l2m-oracle": ("--method", "l2m", "--task-id", "oracle"),
    "l2m-none": ("--method", "l2m", "continual.none_of_these=true"),
    "l2m-tasks": ("--method", "l2m", "continual.none_of_these=true", "continual.keys=tasks"),
    "l2m-ia3": ("--method", "l2m-ia3"),
    "l2p": ("--method", "l2p"),
    "hide-lora": ("--method", "hide-lora"),
    "hide-lora-oracle": ("--method", "hide-lora", "--task-id", "oracle"),
    "hide-ia3": ("--method", "hide-ia3"),
    "joint": ("--method", "joint"),
    "single": ("--method", "single"),
    "lora-r32": ("--method", "lora", "continual.rank=32", "continual.alpha=64"),
    "ewc-1e2": ("--method", "ewc", "continual.penalty=1e2"),
    "ewc-1e6": ("--method", "ewc", "continual.penalty=1e6"),
}
"""Words of the command line by the run's name."""

_SWEPT = ("ewc-1e2", "ewc-1e6")
_ELSEWHERE = ("single", "lora-r32")
_HAMMER = "sim/metaworld/hammer"
_TEN = (
    *("full", "l2m", "hide-lora", "hide-lora-oracle", "l2m-none", "l2m-tasks"),
    *("lora", "ewc", "replay", "joint", "l2m-oracle", *_SWEPT),
)


@dataclass(frozen=True)
class Study:
    """One table.

    Attributes:
        suite: what is learned.
        updates: per task.
        methods: keys of :data:`METHODS`.
        words: of every command.
        suffix: of the names of runs, where several studies share a folder.
    """

    suite: str
    updates: int
    methods: Sequence[str]
    words: Sequence[str] = ()
    suffix: str = ""

    @property
    def tasks(self) -> int:
        """Tasks to learn."""
        return len(expand([self.suite]))


STUDIES = {
    "cw5": Study("cw5", 300, tuple(name for name in dict.fromkeys([*_TEN, *METHODS]) if name not in _ELSEWHERE)),
    "cw10": Study("cw10", 300, _TEN),
    "transfer": Study("cw3", 200, ("single", "full", "lora", "hide-lora"), ("--eval-every", "50")),
    **{
        f"hammer-{updates}": Study(_HAMMER, updates, ("full", "lora", "lora-r32"), suffix=f"-u{updates}")
        for updates in (200, 400, 800)
    },
}


@dataclass(frozen=True)
class Run:
    """One command that learns."""

    study: Study
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.method}{self.study.suffix}-s{self.seed}"

    @property
    def words(self) -> list[str]:
        """What follows ``seqrl``."""
        sizes = ["--updates", str(self.study.updates), "--episodes", str(EPISODES), "--seed", str(self.seed)]
        # in float32, so that the numbers do not depend on what a processor is fast at
        settings = [
            "continual.precision=float32",
            f"continual.batch_size={BATCH}",
            f"continual.retention_episodes={RETENTION}",
        ]
        chosen = [*METHODS[self.method], *settings, *self.study.words]
        return ["continual", BASE, self.study.suite, "--name", self.name, *sizes, *chosen]

    def folder(self, runs: Path) -> ContinualFolder:
        """Where it learns."""
        return ContinualFolder(runs / self.study.suite / self.name)

    def is_finished(self, runs: Path) -> bool:
        """Whether nothing is left to do."""
        try:
            return read_record(self.folder(runs)).status == "finished"
        except SeqrlError:
            return False

    @property
    def updates(self) -> int:
        """Updates of all tasks."""
        return self.study.updates * self.study.tasks

    @property
    def steps(self) -> int:
        """Environment steps of all evaluations."""
        stages = 2 if self.method == "joint" else self.study.tasks + 1
        return stages * STEPS * (self.study.tasks * EPISODES + len(expand([BACKBONE])) * RETENTION)


@dataclass(frozen=True)
class Speed:
    """What this machine does per second of processor time."""

    updates: float
    steps: float

    @classmethod
    def measured(cls) -> Speed:
        """Measure a few updates, of half the batch, and a few steps; play takes about half again for the model."""
        updates = updating("laptop", rounds=1)["updates_per_second"] * 64 / BATCH
        return cls(updates, stepping("metaworld/reach-v3", rounds=1)["ours"] / 1.5)

    def seconds(self, run: Run) -> float:
        """Processor seconds of a run from its beginning."""
        return 5 + run.updates / self.updates + run.steps / self.steps


def main(arguments: list[str]) -> int:
    """Make what is missing and print the tables."""
    args = parse(arguments)
    studies = [STUDIES[name] for name in args.studies]
    runs = [run for run in every_run(studies, args.seeds) if args.methods is None or run.method in args.methods]
    missing = [run for run in runs if not run.is_finished(args.runs_dir)]
    failed: list[str] = []
    if missing and not args.tables:
        speed = Speed.measured()
        total = sum(map(speed.seconds, missing)) + BACKBONE_UPDATES / speed.updates
        say(f"{len(missing)} of {len(runs)} runs are missing: about {duration(total)} of processor time in all")
        if args.dry_run:
            return 0
        prepare(studies, args)
        failed = learn_all(missing, speed, args)
    for suite in dict.fromkeys(study.suite for study in studies):
        if any(run.is_finished(args.runs_dir) for run in runs if run.study.suite == suite):
            print_tables(suite, [study.updates for study in studies if study.suite == suite], args)
    for name in failed:
        say(f"failed: {name}")
    return 1 if failed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = campaign_parser(__doc__.splitlines()[0], seeds=range(3))
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="only these")
    return parser.parse_args(arguments)


def every_run(studies: Sequence[Study], seeds: Sequence[int]) -> Iterator[Run]:
    """All runs, seed by seed."""
    for seed in seeds:
        for study in studies:
            for method in study.methods:
                yield Run(study, method, seed)


def prepare(studies: Sequence[Study], args: argparse.Namespace) -> None:
    """Make the data and the backbone.

    Raises:
        SystemExit: a command failed.
    """
    commands = {f"data-{BACKBONE}": ["download", BACKBONE, "--jobs", str(args.jobs)]}
    suites = dict.fromkeys(study.suite for study in studies)
    commands |= {f"data-{suite}".replace("/", "-"): ["download", suite] for suite in suites}
    commands["backbone"] = ["train", BACKBONE, "--arch", "mddt", "--updates", str(BACKBONE_UPDATES), "--threads", "1"]
    for name, words in commands.items():
        say(f"seqrl {' '.join(words)}")
        if seqrl(words, name, args.runs_dir).code:
            raise SystemExit(f"{name} failed: see {log_file(args.runs_dir, name)}")


def learn_all(missing: Sequence[Run], speed: Speed, args: argparse.Namespace) -> list[str]:
    """Run the missing commands, some at once; returns those that failed."""
    start, failed, done = time.perf_counter(), [], 0.0
    total = sum(map(speed.seconds, missing))

    def learn(run: Run) -> tuple[Run, int]:
        log = f"{run.study.suite}-{run.name}".replace("/", "-")
        return run, seqrl([*run.words, "--threads", "1"], log, args.runs_dir).code

    with ThreadPoolExecutor(args.jobs) as pool:
        for number, (run, code) in enumerate(pool.map(learn, missing), start=1):
            name = f"{run.study.suite}/{run.name}"
            done += speed.seconds(run)
            failed += [name] if code else []
            passed = time.perf_counter() - start
            left = passed * (total - done) / done
            say(f"{number} of {len(missing)}: {name}{' failed' if code else ''}; about {duration(left)} left")
    return failed


def print_tables(suite: str, updates: Sequence[int], args: argparse.Namespace) -> None:
    """Print the tables of a suite's studies as Markdown."""
    counts = " or ".join(map(str, dict.fromkeys(updates)))
    print(f"\n### {suite}, {counts} updates of {BATCH} windows per task\n")
    sys.stdout.flush()
    for by in ("method", "task"):
        words = ["table", suite, "--by", by, "-f", "markdown", "--runs-dir", str(args.runs_dir)]
        subprocess.run([sys.executable, "-m", "seqrl_cli", *words], check=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
