"""Continual runs that tests write."""

from __future__ import annotations

from pathlib import Path

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.continual.run_files import (
    ContinualFolder,
    ContinualRecord,
    Evaluation,
    TaskScore,
    write_evaluation,
    write_record,
)
from seqrl_cli.files.atomic import make_folder
from seqrl_cli.runs.record import TaskRecord, now
from tests.continual.models import tiny_tasks


def score(task: TaskRecord, success: float, member: int = 0, reports_success: bool = True) -> TaskScore:
    """Two episodes of a task, played with one adapter; without success only a return is known."""
    return TaskScore(
        dataset=task.dataset,
        env_id=task.env_id,
        episodes=2,
        mean_return=1.0 if reports_success else -10 * success,
        success=success if reports_success else None,
        success_at_end=success / 2 if reports_success else None,
        inferred=0.75,
        inferred_first=1.0,
        inferred_episodes=0.5,
        used={-1: 0.25, member: 0.75},
    )


def add_run(
    runs: Path,
    method: str,
    seed: int,
    matrix: list[list[float]],
    finished: bool = True,
    weights: str = "0",
    datasets: tuple[str, str] | None = None,
    reports_success: bool = True,
    **settings,
) -> None:
    """A run of two tasks, with the success on each before learning and after each stage.

    ``weights`` are the hash of the base's, ``datasets`` other names of the tasks' data. Tasks that report no success
    have returns of minus ten times as much.
    """
    tasks = [task.facts for task in tiny_tasks()]
    if datasets is not None:
        tasks = [task.model_copy(update={"dataset": name}) for task, name in zip(tasks, datasets, strict=True)]
    config = ContinualConfig.model_validate({"method": method, "seed": seed, **settings})
    record = ContinualRecord(
        suite="two",
        tasks=tuple(tasks),
        base="mt/mddt-s42",
        base_sha256=weights,
        base_tasks=(),
        settings=config,
        status="finished",
        argv=[],
        versions={},
        trainable=100,
        parameters=1000,
        created=now(),
        updated=now(),
    )
    folder = ContinualFolder(runs / "two" / f"{method}-s{seed}{''.join(map(str, settings.values()))}")
    make_folder(folder.path)
    write_record(folder, record)
    stages = folder.stages(record)
    for stage, row in list(zip(stages, matrix, strict=True))[: None if finished else -1]:
        make_folder(stage.path)
        scores = tuple(
            score(task, value, number, reports_success)
            for number, (task, value) in enumerate(zip(tasks, row, strict=True))
        )
        write_evaluation(stage, Evaluation(tasks=scores, pretraining=(score(tasks[0], 0.5),), seconds=1.0))
