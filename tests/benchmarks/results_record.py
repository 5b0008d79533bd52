"""What was measured for ``docs/results.md``, in a file of the repository, and the tables made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.reports.results import read_results
from seqrl_cli.reports.statistics import named_generator, summarize

RECORD = Path("docs/results.json")


@dataclass(frozen=True)
class Played:
    """One run with its episodes.

    Attributes:
        dataset: id.
        method: key of the methods.
        seed: of training.
        commands: what made it.
        train_seconds: processor time of training, of a run that goes on from another without that one's; None if it
            was trained before, whole or in part, so that this is not known.
        play_seconds: processor time of playing; None likewise.
        scores: normalized scores of the episodes in percent.
        steps: lengths of the episodes.
        falls: of each episode, whether the environment ended it.
    """

    dataset: str
    method: str
    seed: int
    commands: Sequence[str]
    train_seconds: float | None
    play_seconds: float | None
    scores: Sequence[float]
    steps: Sequence[int]
    falls: Sequence[bool]

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is a result of."""
        return self.dataset, self.method, self.seed


def played(
    dataset: str, method: str, seed: int, commands: Sequence[str], seconds: Sequence[float | None], folder: Path
) -> Played:
    """The result of a run whose episodes are in a plan folder.

    Args:
        dataset: see :class:`Played`, as ``method``, ``seed`` and ``commands``.
        seconds: processor time of each command, the last of which plays; None where it found work done before.
        folder: the episodes.
    """
    episodes = read_results(folder).episodes
    *training, playing = seconds
    known = [each for each in training if each is not None]
    return Played(
        dataset,
        method,
        seed,
        commands,
        train_seconds=round(sum(known), 1) if len(known) == len(training) else None,
        play_seconds=None if playing is None else round(playing, 1),
        scores=[round(100 * episode.score, 2) for episode in episodes if episode.score is not None],
        steps=[episode.steps for episode in episodes],
        falls=[episode.terminated for episode in episodes],
    )


class Record:
    """The file: all results, and the score of each dataset's own behaviour."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"behaviour": {}, "runs": []}
        self.behaviour: dict[str, dict[str, Any]] = content["behaviour"]
        self.runs = {run.key: run for run in (Played(**values) for values in content["runs"])}

    def has(self, dataset: str, method: str, seed: int, commands: Sequence[str]) -> bool:
        """Whether a run was played with these commands."""
        found = self.runs.get((dataset, method, seed))
        return found is not None and list(found.commands) == list(commands)

    def add(self, run: Played) -> None:
        """Keep a result, in place of an earlier one of the same run."""
        with self._lock:
            self.runs[run.key] = run
            self._write()

    def add_behaviour(self, dataset: str, rows: Iterable[dict[str, Any]]) -> None:
        """Keep the score of a dataset's own episodes, of the rows of ``seqrl table --json``."""
        row = next((row for row in rows if row["method"] == "behaviour (dataset)"), None)
        if row is None:
            return
        self.behaviour[dataset] = {
            "mean": round(row["mean_score"], 2),
            "low": round(row["score_low"], 2),
            "high": round(row["score_high"], 2),
        }
        self._write()

    def of(self, dataset: str, method: str) -> list[Played]:
        """The results of a method on a dataset, by seed."""
        return [self.runs[key] for key in sorted(self.runs) if key[:2] == (dataset, method)]

    def _write(self) -> None:
        behaviour = json.dumps(dict(sorted(self.behaviour.items())))
        runs = ",\n".join(json.dumps(asdict(self.runs[key])) for key in sorted(self.runs))  # a line per run
        write_text_atomic(self.path, f'{{"behaviour": {behaviour},\n"runs": [\n{runs}\n]}}\n')


def tables(record: Record, datasets: Sequence[str], methods: Sequence[str]) -> str:
    """Scores, falls and costs of methods on datasets as Markdown."""
    known = [method for method in methods if any(record.of(dataset, method) for dataset in datasets)]
    shown = [dataset for dataset in datasets if any(record.of(dataset, method) for method in known)]
    head = [dataset.partition("/")[2] for dataset in shown]
    scores = [["behaviour", *(_behaviour(record, dataset) for dataset in shown), "", ""]]
    scores += [
        [f"`{method}`", *(_score(record.of(dataset, method)) for dataset in shown), *_costs(record, shown, method)]
        for method in known
    ]
    falls = [[f"`{method}`", *(_falls(record.of(dataset, method)) for dataset in shown)] for method in known]
    return "\n\n".join(
        [
            markdown(["method", *head, "CPU min to train", "steps per CPU s"], scores),
            markdown(["falls, % of episodes", *head], falls),
        ]
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _behaviour(record: Record, dataset: str) -> str:
    found = record.behaviour.get(dataset)
    return f"{found['mean']:.1f} [{found['low']:.1f}, {found['high']:.1f}]" if found else "–"


def _score(runs: Sequence[Played]) -> str:
    return _mean(runs, [run.scores for run in runs], 1)


def _falls(runs: Sequence[Played]) -> str:
    return _mean(runs, [[100.0 * fell for fell in run.falls] for run in runs], 0)


def _mean(runs: Sequence[Played], values: Sequence[Sequence[float]], digits: int) -> str:
    """Mean over episodes with the interval over seeds and episodes, and the number of seeds if it is not three."""
    if not runs:
        return "–"
    seeds = [str(run.seed) for run in runs for _ in run.scores]
    flat = [value for some in values for value in some]
    summary = summarize(flat, seeds, named_generator(runs[0].dataset, runs[0].method))
    text = f"{summary.mean:.{digits}f}"
    if summary.mean_interval:
        low, high = summary.mean_interval
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text if len(runs) == 3 else f"{text} ({len(runs)})"


def _costs(record: Record, datasets: Sequence[str], method: str) -> tuple[str, str]:
    """Processor minutes of training, and environment steps per processor second of playing, means over runs."""
    runs = [run for dataset in datasets for run in record.of(dataset, method)]
    timed = [(sum(run.steps), run.play_seconds) for run in runs if run.play_seconds is not None]
    trained = [run.train_seconds for run in runs if run.train_seconds is not None]
    minutes = f"{sum(trained) / len(trained) / 60:.1f}" if trained else "–"
    return minutes, f"{sum(steps for steps, _ in timed) / sum(each for _, each in timed):,.0f}" if timed else "–"
