"""The tasks of a dataset, loaded into memory or mapped from the disk, as far as a limit allows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.config.sections import TasksConfig
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.data.task_memory import MemoryNeed, MemoryPlan, plan_memory
from seqrl_cli.files.mapped import PageLimit
from seqrl_cli.models.device import available_memory


@dataclass(frozen=True)
class MultiTaskData:
    """The tasks of a suite or mixture, with their episodes.

    Attributes:
        tasks: the tasks, at least one.
        memory: the plan of which tasks are in memory.
    """

    tasks: tuple[TaskData, ...]
    memory: MemoryPlan

    @property
    def env_id(self) -> str | None:
        """The environment, if there is only one task."""
        return self.tasks[0].facts.env_id if len(self.tasks) == 1 else None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the data of all tasks."""
        lines = (f"{task.facts.dataset} {task.stored.fingerprint()}\n" for task in self.tasks)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_tasks(dataset: DatasetRef, settings: TasksConfig) -> MultiTaskData:
    """The tasks of a dataset that exists.

    Raises:
        SeqrlError: a part is damaged, or does not state its environment, or the data do not fit the memory.
    """
    sizes = [part.stored_size() for part in dataset.members]
    limit = settings.max_memory or available_memory(torch.device("cpu")) // 2
    memory = plan_memory([MemoryNeed(size.transitions, size.wide_bytes) for size in sizes], limit)
    pages = PageLimit(memory.pages)
    tasks = [
        _load(part, pages if is_mapped else None)
        for part, is_mapped in zip(dataset.members, memory.is_mapped, strict=True)
    ]
    return MultiTaskData(tuple(tasks), memory)


def _load(part: DatasetRef, pages: PageLimit | None) -> TaskData:
    """One task; mapped if there is a limit for its pages."""
    episodes = part.load_episodes(mapped=pages is not None)
    bounds = part.action_bounds(episodes) if episodes.spaces.action.is_vector else (np.zeros(0), np.zeros(0))
    task = TaskData.of(part.id, part.environment(), episodes, bounds)
    if pages is not None:
        pages.watch(episodes.observations, episodes.actions)
    return replace(task, pages=pages)
