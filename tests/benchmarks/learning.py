"""What both recipes learn, as held-out loss and processor time: ``python -m tests.benchmarks.learning --help``.

All windows are drawn alike, so that recipes differ in nothing else. Each command runs in one thread. What was cut off
resumes; what is in the record is not measured again. The last lines are the table, with standard errors over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from seqrl_cli.console import duration
from seqrl_cli.files.atomic import write_text_atomic
from tests.benchmarks.commands import log_file, say, seqrl
from tests.benchmarks.results import prepare
from tests.benchmarks.results_record import markdown

DATASETS = ("sim/hopper-medium", "sim/halfcheetah-medium", "sim/walker2d-medium-replay")
METHODS = (("gpt", "paper", 1600), ("gpt", "modern", 500), ("gpt", "modern", 1600), ("retnet", "modern", 1600))
RECORD = Path("docs/learning.json")
UPDATES_PER_SECOND = 8.0  # measured, for the estimate


@dataclass(frozen=True)
class Learned:
    """One training.

    Attributes:
        dataset: id.
        arch: architecture.
        recipe: ``train.recipe``.
        updates: of the whole training, at whose end the learning rate is at its lowest.
        seed: of weights and windows.
        loss: held-out, in nats per token, weighted as in training; None if it is not measured yet.
        seconds: processor time of the whole command; None if it was begun before.
    """

    dataset: str
    arch: str
    recipe: str
    updates: int
    seed: int
    loss: float | None = None
    seconds: float | None = None

    @property
    def method(self) -> tuple[str, str, int]:
        """What seeds have in common."""
        return self.arch, self.recipe, self.updates

    @property
    def name(self) -> str:
        """The run's."""
        return f"{self.arch}-{self.recipe}-{self.updates}-s{self.seed}"

    @property
    def words(self) -> list[str]:
        """Of the command line."""
        choices = ["--arch", self.arch, f"train.recipe={self.recipe}", "train.return_emphasis=0"]
        numbers = ["--updates", str(self.updates), "--seed", str(self.seed), "--threads", "1"]
        return ["train", self.dataset, *choices, *numbers, "--name", self.name]


def main(arguments: list[str]) -> int:
    """Measure what is missing and print the table."""
    args = parse(arguments)
    record = Record(args.record)
    missing = [run for run in every_run(args.datasets, args.seeds) if not record.has(run)]
    failed: list[str] = []
    if missing and not args.table:
        seconds = sum(run.updates for run in missing) / UPDATES_PER_SECOND
        say(f"{len(missing)} trainings are missing: about {duration(seconds)} of processor time in all")
        if args.dry_run:
            return 0
        failed = prepare(args.datasets, args.runs_dir)
        if not failed:
            with ThreadPoolExecutor(args.jobs) as pool:
                failed = [name for name in pool.map(lambda run: learn(run, args.runs_dir, record), missing) if name]
    print(table(record, args.datasets))
    for name in failed:
        say(f"failed: {name}, see {log_file(args.runs_dir, name)}")
    return 1 if failed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), metavar="DATASET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--record", type=Path, default=RECORD, help="where results are kept")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once")
    parser.add_argument("--dry-run", action="store_true", help="only say how long it would take")
    parser.add_argument("--table", action="store_true", help="only print the table of what is recorded")
    return parser.parse_args(arguments)


def every_run(datasets: Sequence[str], seeds: Sequence[int]) -> Iterator[Learned]:
    """All trainings, seed by seed."""
    for seed in seeds:
        for dataset in datasets:
            yield from (Learned(dataset, *method, seed) for method in METHODS)


class Record:
    """The file of all measurements."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        self._runs = {self._key(run): run for run in (Learned(**row) for row in rows)}

    @staticmethod
    def _key(run: Learned) -> tuple[str, str]:
        return run.dataset, run.name

    def has(self, run: Learned) -> bool:
        """Whether a training was measured."""
        return self._key(run) in self._runs

    def add(self, run: Learned) -> None:
        """Keep a measurement."""
        with self._lock:
            self._runs[self._key(run)] = run
            rows = ",\n".join(json.dumps(asdict(self._runs[key])) for key in sorted(self._runs))  # a line per training
            write_text_atomic(self.path, f"[\n{rows}\n]\n")

    def of(self, dataset: str, method: tuple[str, str, int]) -> list[Learned]:
        """The measurements of a method on a dataset."""
        return [run for run in self._runs.values() if run.dataset == dataset and run.method == method]


def learn(run: Learned, runs: Path, record: Record) -> str | None:
    """Train and keep the loss; returns the log's name if the command fails."""
    name = f"{run.dataset.rpartition('/')[2]}-{run.name}"
    folder = runs / run.dataset / run.name
    begun = folder.exists()
    ended = seqrl(run.words, name, runs)
    if ended.code:
        return name
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = None if begun else round(ended.seconds, 1)
    measured = Learned(run.dataset, *run.method, run.seed, round(rows[-1]["validation_loss"], 4), seconds)
    say(f"{name}: {measured.loss:.3f} after {ended.seconds:.0f} s of processor time")
    record.add(measured)
    return None


def table(record: Record, datasets: Sequence[str]) -> str:
    """Loss and processor time per method and dataset as Markdown."""
    head = ["model, recipe and updates", *(dataset.partition("/")[2] for dataset in datasets)]
    rows = [
        [f"{arch} {recipe} {updates:,}", *(_cell(record.of(dataset, (arch, recipe, updates))) for dataset in datasets)]
        for arch, recipe, updates in METHODS
    ]
    return markdown(head, rows)


def _cell(runs: Sequence[Learned]) -> str:
    losses = [run.loss for run in runs if run.loss is not None]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    if not losses:
        return "–"
    text = f"{statistics.mean(losses):.2f}"
    if len(losses) > 1:
        text += f" ± {statistics.stdev(losses) / len(losses) ** 0.5:.2f}"
    return f"{text}, {statistics.mean(seconds):.0f} s" if seconds else text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
