"""What a method needs in memory, and what it keeps of each task, known before anything is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seqrl_cli.console import byte_size
from seqrl_cli.continual.learner import Learner
from seqrl_cli.runs.record import TaskRecord

_FLOAT, _DOUBLE = 4, 8


@dataclass(frozen=True)
class ContinualMemory:
    """Bytes, without the data, the windows of an update and what the network computes from them.

    Attributes:
        model: the backbone and all adapters; with a method that restarts from the backbone, its copy too.
        training: the gradients and the optimizer's two moments.
        kept: the tensors that protect or recognize tasks once they are learned, for all tasks.
    """

    model: int
    training: int
    kept: int

    @property
    def text(self) -> str:
        """The memory in a few words."""
        parts = {"model": self.model, "training": self.training, "kept of the tasks": self.kept}
        return ", ".join(f"{byte_size(size)} {name}" for name, size in parts.items() if size)


def memory_of(learner: Learner, pretraining: Sequence[TaskRecord]) -> ContinualMemory:
    """What a learner that has begun a task will need.

    Args:
        learner: the learner of the whole suite.
        pretraining: the tasks of the pretraining.
    """
    weights = sum(one.numel() for one in learner.model.parameters())
    trained = sum(one.numel() for one in learner.model.parameters() if one.requires_grad)
    copied = sum(one.numel() for one in learner.backbone.values())
    return ContinualMemory(_FLOAT * (weights + copied), 3 * _FLOAT * trained, _kept(learner, pretraining))


def _kept(learner: Learner, pretraining: Sequence[TaskRecord]) -> int:
    method, tasks = learner.method, learner.tasks
    number = len(tasks) + len(pretraining)
    kept = 0
    if method.penalty:
        anchors = number if method.separate else 1
        kept += 2 * _FLOAT * anchors * sum(one.numel() for one in learner.learned_parameters().values())
    width = learner.model.head.in_features
    if learner.infers:
        kept += _DOUBLE * number * width * (width + 1)
    if method.choice == "inferred":
        kept += _FLOAT * sum(2 * width * _classes(learner, task) for task in tasks)
    if method.replays:
        names = [task.dataset for task in tasks]
        replayed = [*tasks, *(task for task in pretraining if task.dataset not in names)]
        kept += learner.settings.replay_transitions * sum(map(_transition_bytes, replayed))
    return kept


def _classes(learner: Learner, task: TaskRecord) -> int:
    """Classes of a task's actions, at most."""
    allowed = learner.model.tokens.allowed(task.choices)
    return len(range(*allowed.indices(learner.model.tokens.size))) * (1 if task.choices else task.action_dim)


def _transition_bytes(task: TaskRecord) -> int:
    return (1 if len(task.shape) > 1 else _FLOAT) * math.prod(task.shape) + _FLOAT * (task.action_dim + 2)
