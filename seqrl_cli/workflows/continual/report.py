"""What ``seqrl continual`` reports: success after each task on each task, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seqrl_cli.console import byte_size, percent
from seqrl_cli.continual.metrics import ContinualScores
from seqrl_cli.continual.run_files import ContinualFolder, ContinualRecord, read_evaluation, short_names, success_matrix
from seqrl_cli.continual.run_scores import mean_of_known, scores_of


@dataclass(frozen=True)
class ContinualReport:
    """Result of ``continual``.

    Attributes:
        run: the run's folder.
        method: see :mod:`seqrl_cli.continual.methods`.
        tasks: datasets in the order of learning.
        matrix: success on each task (column) before learning and after each task (row).
        scores: scores by success at any step of an episode.
        scores_at_end: scores by success at the last step.
        inference: fraction of steps after the last task with the right adapter; None if the method infers no task.
        inference_first: the same over first steps.
        inference_episodes: the same over last steps, after an episode's whole evidence.
        trainable: numbers that learn per task.
        parameters: numbers of the backbone.
        stored: bytes of ``learned.safetensors`` after the last task.
        fresh: stages that were learned or evaluated by this command.
    """

    run: str
    method: str
    tasks: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    scores: ContinualScores
    scores_at_end: ContinualScores
    inference: float | None
    inference_first: float | None
    inference_episodes: float | None
    trainable: int
    parameters: int
    stored: int
    fresh: int

    def text(self) -> str:
        """The matrix and the scores, for a person."""
        names = short_names(self.tasks)
        learned = names if len(self.matrix) > len(names) else ["all"]
        rows = ["before", *(f"after {name}" for name in learned)]
        width = max(map(len, rows))
        head = " " * width + "".join(f"  {name}" for name in names)
        lines = [head]
        shown = [_shown(column) for column in zip(*self.matrix, strict=True)]
        for row, values in zip(rows, self.matrix, strict=True):
            cells = (f"  {text(value):>{len(name)}}" for text, value, name in zip(shown, values, names, strict=True))
            lines.append(f"{row:<{width}}{''.join(cells)}")
        return "\n".join([*lines, "", *self._summary(), self.run])

    def _summary(self) -> list[str]:
        scores = self.scores
        text = _shown([value for row in self.matrix for value in row])
        lines = [f"{self.method}: average {text(scores.average)}, forgetting {text(scores.forgetting)}"]
        if scores.retention is not None and scores.retention_before is not None:
            text = _shown([scores.retention, scores.retention_before])
            kept = f"{text(scores.retention)} now, {text(scores.retention_before)} before"
            lines.append(f"tasks of the pretraining: {kept}")
        if self.inference is not None:
            first, last = self.inference_first or 0.0, self.inference_episodes or 0.0
            shares = f"{percent(self.inference)} of steps, {percent(first)} of first, {percent(last)} of last steps"
            lines.append(f"right adapter: {shares}")
        share = self.trainable / self.parameters
        size = f"{percent(share)} of the backbone's {self.parameters:,}; {byte_size(self.stored)} are stored"
        return [*lines, f"{self.trainable:,} numbers learn per task, {size}"]


def make_report(folder: ContinualFolder, record: ContinualRecord, fresh: int) -> ContinualReport:
    """The report of a finished run.

    Args:
        folder: the run's folder.
        record: the run's record.
        fresh: stages that were learned or evaluated by this command.
    """
    stages = folder.stages(record)
    evaluations = [read_evaluation(stage) for stage in stages]
    last = evaluations[-1].tasks
    return ContinualReport(
        run=str(folder.path),
        method=record.settings.method,
        tasks=tuple(task.dataset for task in record.tasks),
        matrix=tuple(tuple(row) for row in success_matrix(evaluations).tolist()),
        scores=scores_of(evaluations, at_end=False),
        scores_at_end=scores_of(evaluations, at_end=True),
        inference=mean_of_known([score.inferred for score in last]),
        inference_first=mean_of_known([score.inferred_first for score in last]),
        inference_episodes=mean_of_known([score.inferred_episodes for score in last]),
        trainable=record.trainable,
        parameters=record.parameters,
        stored=stages[-1].learned.stat().st_size,
        fresh=fresh,
    )


def _shown(values: Sequence[float]) -> Callable[[float], str]:
    """How numbers that belong together are written: fractions with two decimals, as returns if any is too large."""
    if all(abs(value) <= 1.0 for value in values):
        return lambda value: f"{round(value, 2) + 0.0:.2f}"
    return lambda value: f"{round(value, 1) + 0.0:,.1f}"
