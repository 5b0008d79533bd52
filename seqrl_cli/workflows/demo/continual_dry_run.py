"""Dry run of ``demo continual``: what it would make, and how long it would take on this machine."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import numpy as np

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.sizes import estimate_sizes
from seqrl_cli.artifacts.task_loading import MultiTaskData
from seqrl_cli.artifacts.train_job import estimate_seconds
from seqrl_cli.console import Console, duration
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.data.task_memory import MemoryPlan
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.models.device import choose_device, use_threads
from seqrl_cli.training.checkpoint_folders import saved_steps
from seqrl_cli.workflows.demo.continual import (
    BACKBONE_UPDATES,
    EPISODES,
    METHODS,
    PRETRAINING,
    RETENTION,
    TASKS,
    UPDATES,
    backbone,
    suite,
)
from seqrl_cli.workflows.demo.setup import DemoRequest

_TIMED_STEPS, _EPISODES = 50, 4


def dry_run(request: DemoRequest, console: Console) -> None:
    """Print what the demo would do.

    Raises:
        SeqrlError: the package of the tasks is not installed.
    """
    use_threads(request.threads)
    suites = {name: suite(request.store, name, request.seed)[0] for name in (PRETRAINING, TASKS)}
    missing = [part for one in suites.values() for part in one.members if request.force or not part.exists]
    task, per_step = _timed_task(suites[TASKS].members[0])
    per_update = _seconds_per_update(request, task)
    data = backbone(request).config.data
    simulating = per_step * sum(estimate_sizes(part, data, console).transitions or 0 for part in missing)
    training = per_update * max(0, BACKBONE_UPDATES - _made(request))
    tasks, others = len(suites[TASKS].members), len(suites[PRETRAINING].members)
    steps = (tasks + 1) * (tasks * EPISODES + others * RETENTION) * suites[TASKS].members[0].step_limit
    # its batches are a quarter of the backbone's; a decision takes about as long as a step of the simulation
    learning = len(METHODS) * (tasks * UPDATES * per_update / 2 + 2 * steps * per_step)
    facts: dict[str, Any] = {
        "backbone": f"{PRETRAINING}: {BACKBONE_UPDATES} updates",
        "tasks": ", ".join(part.id for part in suites[TASKS].members),
        "methods": ", ".join(METHODS),
        "updates": f"{UPDATES} per task",
        "episodes": f"{EPISODES} per task after each task",
        "datasets to simulate": len(missing),
        "to": str(request.store.root),
        "estimated time": f"{duration(simulating)} to simulate in one process, {duration(training)} to train, at most "
        f"{duration(learning)} to learn and play, as measured now",
    }
    console.emit({**facts, "seconds": simulating + training + learning})
    console.show_facts(facts)


def _made(request: DemoRequest) -> int:
    """Updates of the backbone that are saved."""
    return 0 if request.force else max(saved_steps(backbone(request).run.checkpoints), default=0)


def _timed_task(dataset: DatasetRef) -> tuple[TaskData, float]:
    """A few episodes of a task under random actions, and the seconds that a step took with its share of a reset."""
    env_id = dataset.environment()
    rng = np.random.default_rng(0)
    with closing(SeededVectorEnv(env_id, _EPISODES, max_episode_steps=_TIMED_STEPS)) as vector:
        size = vector.spaces.action.shape
        start = time.perf_counter()
        for episode in range(_EPISODES):
            vector.start(episode, episode)
        actions = rng.uniform(-1, 1, (_TIMED_STEPS, _EPISODES, *size)).astype(np.float32)
        observed = np.stack([vector.step(action).observations for action in actions], axis=1)
        seconds = (time.perf_counter() - start) / (_TIMED_STEPS * _EPISODES)
    rows = _TIMED_STEPS * _EPISODES
    ends = np.arange(rows) % _TIMED_STEPS == _TIMED_STEPS - 1
    flat = observed.reshape(rows, -1), actions.swapaxes(0, 1).reshape(rows, -1)
    episodes = Episodes.from_flags(*flat, np.zeros(rows), np.zeros(rows), ends)
    return TaskData.of(dataset.id, env_id, episodes, (-np.ones(size), np.ones(size))), seconds


def _seconds_per_update(request: DemoRequest, task: TaskData) -> float:
    """Seconds of an update of the backbone, which depend little on the data."""
    config = backbone(request).config
    data = MultiTaskData((task,), MemoryPlan(0, (False,), 0, 0, 0))
    job = family_of(config.model.arch).prepare(config, data, _TIMED_STEPS, choose_device("auto"))
    return estimate_seconds(job) / job.settings.updates
