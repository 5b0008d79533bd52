"""What a method needs in memory, and what it keeps of each task, known before anything is learned."""

from __future__ import annotations

from dataclasses import dataclass

from seqrl_cli.console import byte_size
from seqrl_cli.continual.learner import Learner

_FLOAT, _DOUBLE = 4, 8


@dataclass(frozen=True)
class ContinualMemory:
    """Bytes, without the data, the windows of an update and what the network computes from them.

    Attributes:
        model: the backbone and all adapters.
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


def memory_of(learner: Learner, pretraining: int) -> ContinualMemory:
    """What a learner that has begun a task will need.

    Args:
        learner: the learner of the whole suite.
        pretraining: number of tasks of the pretraining whose data are here.
    """
    numbers = [one.numel() for one in learner.model.parameters() if one.requires_grad]
    model = _FLOAT * sum(one.numel() for one in learner.model.parameters())
    return ContinualMemory(model, 3 * _FLOAT * sum(numbers), _kept(learner, pretraining))


def _kept(learner: Learner, pretraining: int) -> int:
    method, tasks = learner.method, len(learner.tasks)
    kept = 0
    if method.penalty:
        anchors = tasks + pretraining if method.separate else 1
        kept += 2 * _FLOAT * anchors * sum(one.numel() for one in learner.learned_parameters().values())
    width = learner.model.head.in_features
    if learner.infers:
        kept += _DOUBLE * (tasks + pretraining) * width * (width + 1)
    if method.choice == "inferred":
        kept += _FLOAT * sum(2 * width * _classes(learner, task) for task in range(tasks))
    if method.replays:
        kept += sum(learner.settings.replay_transitions * _step(learner, task) for task in range(tasks))
    return kept


def _classes(learner: Learner, task: int) -> int:
    """Classes of a task's actions, at most."""
    facts = learner.tasks[task]
    allowed = learner.model.tokens.allowed(facts.choices)
    return len(range(*allowed.indices(learner.model.tokens.size))) * (1 if facts.choices else facts.action_dim)


def _step(learner: Learner, task: int) -> int:
    """Bytes of a transition."""
    facts = learner.tasks[task]
    wide = 1
    for size in facts.shape:
        wide *= size
    return (1 if len(facts.shape) > 1 else _FLOAT) * wide + _FLOAT * (facts.action_dim + 2)
