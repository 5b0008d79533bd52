"""The target return of each task: the best of its data, a paper's, or none if the model infers it."""

from __future__ import annotations

from collections.abc import Sequence

from seqrl_cli.config.plan import PlanConfig
from seqrl_cli.data.domains import task_of
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.record import TaskRecord


def target_returns(tasks: Sequence[TaskRecord], plan: PlanConfig) -> list[float | None]:
    """The target return of each task; None where the model infers it.

    Args:
        tasks: the tasks to play.
        plan: ``targets`` says where targets come from, and ``target_multiple`` is their factor.

    Raises:
        SeqrlError: no paper states a target for one of the tasks.
    """
    if plan.targets == "infer":
        return [None for _ in tasks]
    stated = [task.best_return for task in tasks] if plan.targets == "data" else [_of_paper(task) for task in tasks]
    return [plan.target_multiple * target for target in stated]


def _of_paper(record: TaskRecord) -> float:
    """The target return that a paper asks for.

    Raises:
        SeqrlError: none does.
    """
    task = task_of(record.env_id)
    if task is None or task.paper_target is None:
        hint = "plan.targets=data asks for the best return of the data; --tasks chooses other tasks"
        raise SeqrlError(f"no paper states a target return for {record.env_id}", hint)
    return task.paper_target
