"""Whether a model for many tasks can go on with another task."""

from __future__ import annotations

from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision.multi_domain import MultiDomainTransformer
from seqrl_cli.runs.record import TaskRecord


def check_task(model: MultiDomainTransformer, task: TaskRecord, run: str) -> None:
    """Raise SeqrlError if a model cannot read or do a task."""
    hint = "continue from a run that was trained on tasks of this kind"
    if task.input not in model.encoders:
        known = ", ".join(model.encoders)
        raise SeqrlError(f"{task.dataset} is of the domain {task.input}, but {run} reads {known}", hint)
    bodies = model.bodies(task.input)
    if task.body not in bodies:
        known = ", ".join(bodies)
        raise SeqrlError(f"{task.dataset} observes {task.body}, but {run} knows {known}", hint)
    if task.choices is None and task.action_dim > model.max_action_dim:
        numbers = f"{task.action_dim} numbers per action, but {run} predicts {model.max_action_dim} at most"
        raise SeqrlError(f"{task.dataset} has {numbers}", hint)
    if (task.choices or 0) > model.tokens.choices:
        raise SeqrlError(f"{task.dataset} has {task.choices} choices, but {run} knows {model.tokens.choices}", hint)
