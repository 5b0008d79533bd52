"""A tiny model and tasks that it can learn."""

from __future__ import annotations

import torch

from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.config.sections import TasksConfig
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.methods import METHODS
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.models.decision.multi_domain import Input, MultiDomainTransformer
from tests.training.fixtures import tiny_task

NAMES = ("A-v0", "B-v0")


def tiny_model() -> MultiDomainTransformer:
    return MultiDomainTransformer(
        inputs={name: Input((3,), (name,), (0.0, 0.01)) for name in NAMES},
        context=2,
        n_layer=1,
        n_head=2,
        width=16,
        bins=8,
        max_timestep=10,
        choices=0,
        generator=torch.Generator().manual_seed(0),
    )


def tiny_tasks(seed: int = 0) -> list[TaskData]:
    return [tiny_task("A-v0", 1, seed), tiny_task("B-v0", 3, seed)]


def learner_for(method: str, **settings: object) -> Learner:
    """A learner of the two tasks."""
    sizes = {"updates": 4, "batch_size": 8, "rank": 2, "pool": 6, "prompt_length": 2, "fisher_windows": 5}
    config = ContinualConfig.model_validate({"method": method, **sizes, **settings})
    model = tiny_model().eval()
    return Learner(model, METHODS[method], config, [task.facts for task in tiny_tasks()], TasksConfig())
