"""The log of a continual run as one sequence: its steps count the updates of all stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from seqrl_cli.continual.run_files import (
    ContinualFolder,
    ContinualRecord,
    Evaluation,
    StageFolder,
    read_evaluation,
    short_names,
    success_matrix,
)
from seqrl_cli.continual.run_scores import mean_of_known, scores_of
from seqrl_cli.tracking.metrics import LogLine, Values, read_lines


@dataclass(frozen=True)
class ContinualLog:
    """What a continual run has logged and measured so far.

    Every line has the ``stage`` that it is of, 0 before learning. The last line of a stage is its evaluation, once
    there is one, whose names are:
        average: mean over the suite's tasks of success, or of the return where a task reports none.
        retention: mean success on the pretraining tasks; None where they were not played.
        success/TASK, success_at_end/TASK, return/TASK, inferred/TASK: of each task, see
            :class:`~seqrl_cli.continual.run_files.TaskScore`.
    """

    folder: ContinualFolder
    record: ContinualRecord

    def size(self) -> int:
        """Bytes of all files that have log lines; those of evaluations never change."""
        files = [path for stage in self._stages for path in (stage.metrics, stage.evaluation)]
        return sum(path.stat().st_size for path in files if path.exists())

    def lines(self) -> list[LogLine]:
        """All lines, in the order of their steps.

        Raises:
            SeqrlError: an evaluation is damaged, or a file cannot be opened.
        """
        found = []
        for number, stage in enumerate(self._stages):
            before = max(0, number - 1) * self._updates
            own = [LogLine(before + line.step, line.values) for line in read_lines(stage.metrics)]
            if stage.evaluation.exists():
                own.append(LogLine(number * self._updates, self._measured(read_evaluation(stage))))
            found += [LogLine(line.step, {**line.values, "stage": number}) for line in own]
        return found

    def scores(self) -> dict[str, float]:
        """What the run is judged by, such as ``continual/forgetting``; nothing before it has played for the last time.

        Raises:
            SeqrlError: an evaluation is damaged.
        """
        if not all(stage.evaluation.exists() for stage in self._stages):
            return {}
        scores = asdict(scores_of([read_evaluation(stage) for stage in self._stages], at_end=False))
        return {f"continual/{name}": value for name, value in scores.items() if value is not None}

    @property
    def _stages(self) -> Sequence[StageFolder]:
        return self.folder.stages(self.record)

    @property
    def _updates(self) -> int:
        """Updates per stage."""
        settings = self.record.settings
        return settings.updates * (len(self.record.tasks) if settings.method == "joint" else 1)

    def _measured(self, evaluation: Evaluation) -> Values:
        values: dict[str, float | None] = {
            "average": float(success_matrix([evaluation]).mean()),
            "retention": mean_of_known([score.success for score in evaluation.pretraining]),
        }
        names = short_names([task.dataset for task in self.record.tasks])
        for name, score in zip(names, evaluation.tasks, strict=True):
            values |= {
                f"success/{name}": score.success,
                f"success_at_end/{name}": score.success_at_end,
                f"return/{name}": score.mean_return,
                f"inferred/{name}": score.inferred,
            }
        return values
