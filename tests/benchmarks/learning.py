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
from typing import NamedTuple

from seqrl_cli.console import duration
from seqrl_cli.files.atomic import write_text_atomic
from tests.benchmarks.commands import campaign_parser, log_file, say, seqrl
from tests.benchmarks.results import SEEDS, prepare
from tests.benchmarks.results_record import markdown

DATASETS = ("sim/hopper-medium", "sim/halfcheetah-medium", "sim/walker2d-medium-replay")
METHODS = (("gpt", "paper", 1600), ("gpt", "modern", 500), ("gpt", "modern", 1600), ("retnet", "modern", 1600))
"""Architecture, recipe and updates."""
RECORD = Path("docs/learning.json")
UPDATES_PER_SECOND = 8.0  # measured, for the estimate


@dataclass(frozen=True, order=True)
class Training:
    """One training.

    Attributes:
        dataset: id.
        arch: architecture.
        recipe: ``train.recipe``.
        updates: of the whole training, at whose end the learning rate is at its lowest.
        seed: of weights and windows.
    """

    dataset: str
    arch: str
    recipe: str
    updates: int
    seed: int

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


class Learned(NamedTuple):
    """Held-out loss in nats per token, weighted as in training, and processor seconds of the whole command.

    The seconds are None if the training was begun before.
    """

    loss: float
    seconds: float | None


class Record:
    """The file of all measurements."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        self.learned: dict[Training, Learned] = {}
        for row in rows:
            learned = Learned(row.pop("loss"), row.pop("seconds"))
            self.learned[Training(**row)] = learned

    def add(self, training: Training, learned: Learned) -> None:
        """Keep a measurement."""
        with self._lock:
            self.learned[training] = learned
            rows = [json.dumps({**asdict(one), **self.learned[one]._asdict()}) for one in sorted(self.learned)]
            write_text_atomic(self.path, "[\n" + ",\n".join(rows) + "\n]\n")  # a line per training

    def of(self, dataset: str, method: tuple[str, str, int]) -> list[Learned]:
        """The measurements of a method on a dataset."""
        return [
            learned
            for one, learned in self.learned.items()
            if (one.dataset, one.arch, one.recipe, one.updates) == (dataset, *method)
        ]


def main(arguments: list[str]) -> int:
    """Measure what is missing and print the table."""
    args = parse(arguments)
    record = Record(args.record)
    missing = [one for one in every_training(args.datasets, args.seeds) if one not in record.learned]
    failed: list[str] = []
    if missing and not args.tables:
        seconds = sum(one.updates for one in missing) / UPDATES_PER_SECOND
        say(f"{len(missing)} trainings are missing: about {duration(seconds)} of processor time in all")
        if args.dry_run:
            return 0
        failed = prepare(args.datasets, args.runs_dir) or learn_all(missing, args, record)
    print(table(record, args.datasets))
    for name in failed:
        say(f"failed: {name}, see {log_file(args.runs_dir, name)}")
    return 1 if failed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = campaign_parser(__doc__.splitlines()[0], SEEDS)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), metavar="DATASET")
    parser.add_argument("--record", type=Path, default=RECORD, help="where results are kept")
    return parser.parse_args(arguments)


def every_training(datasets: Sequence[str], seeds: Sequence[int]) -> Iterator[Training]:
    """All trainings, seed by seed."""
    for seed in seeds:
        for dataset in datasets:
            yield from (Training(dataset, *method, seed) for method in METHODS)


def learn_all(missing: Sequence[Training], args: argparse.Namespace, record: Record) -> list[str]:
    """Train what is missing, some at once; returns the logs of what failed."""
    with ThreadPoolExecutor(args.jobs) as pool:
        logs = pool.map(lambda one: learn(one, args.runs_dir, record), missing)
        return [log for log in logs if log]


def learn(training: Training, runs: Path, record: Record) -> str | None:
    """Train and keep the loss; returns the log's name if the command fails."""
    name = f"{training.dataset.rpartition('/')[2]}-{training.name}"
    folder = runs / training.dataset / training.name
    begun = folder.exists()
    ended = seqrl(training.words, name, runs)
    if ended.code:
        return name
    last = json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    learned = Learned(round(last["validation_loss"], 4), None if begun else round(ended.seconds, 1))
    say(f"{name}: {learned.loss:.3f} after {ended.seconds:.0f} s of processor time")
    record.add(training, learned)
    return None


def table(record: Record, datasets: Sequence[str]) -> str:
    """Loss and processor time per method and dataset as Markdown."""
    head = ["model, recipe and updates", *(dataset.partition("/")[2] for dataset in datasets)]
    rows = [
        [f"{arch} {recipe} {updates:,}", *(_cell(record.of(dataset, (arch, recipe, updates))) for dataset in datasets)]
        for arch, recipe, updates in METHODS
    ]
    return markdown(head, rows)


def _cell(found: Sequence[Learned]) -> str:
    """``5.66 ± 0.02, 149 s``: means over seeds, the error where there are several, the time where it is known."""
    if not found:
        return "–"
    losses = [one.loss for one in found]
    seconds = [one.seconds for one in found if one.seconds is not None]
    text = f"{statistics.mean(losses):.2f}"
    if len(losses) > 1:
        text += f" ± {statistics.stdev(losses) / len(losses) ** 0.5:.2f}"
    return f"{text}, {statistics.mean(seconds):.0f} s" if seconds else text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
