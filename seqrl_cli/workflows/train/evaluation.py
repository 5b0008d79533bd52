"""Evaluations during ``seqrl train``: the model plays episodes as ``seqrl plan`` would let it play."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from seqrl_cli.artifacts.multi_task_family import TrainedMultiTask
from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.run_environment import environment_of_run, observation_size_of_run
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.train_job import TrainJob
from seqrl_cli.artifacts.trained_run import TrainedRun
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.envs.scores import percent_score
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.planning.profile import Profile
from seqrl_cli.planning.rollout import EpisodeRecord, Rollout, play_together
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.task_choice import chosen_tasks
from seqrl_cli.tracking.metrics import Values, read_evaluation_lines
from seqrl_cli.training.evaluation import Evaluation
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.workflows.plan.agents import AgentOptions, make_agent_spec
from seqrl_cli.workflows.plan.setup import PlanSession
from seqrl_cli.workflows.plan.tasks import task_sessions


class _StoppedError(Exception):
    """The user stopped the run in the middle of an evaluation."""


@contextmanager
def evaluations(
    folder: RunFolder, config: Config, job: TrainJob, store: RunStore, console: Console
) -> Iterator[Evaluation | None]:
    """The evaluations of a run that has its record, while its environments are open; None if it wants none.

    Args:
        folder: the run's.
        config: its complete configuration.
        job: its model and data.
        store: where its dataset is.
        console: receives warnings.
    """
    every = config.train.eval_every
    if every is None:
        yield None
        return
    with ExitStack() as opened:
        player = _Player(folder, config, job, store, console, opened)
        yield Evaluation(
            every, player.play, lambda step: _logged(folder, step) is not None, lambda step: _logged(folder, step)
        )


def check_evaluations(config: Config, job: TrainJob) -> None:
    """Raise UsageError if ``train.eval_tasks`` names tasks that a run does not have."""
    if config.train.eval_every is not None and job.tasks:
        chosen_tasks(job.tasks, config.train.eval_tasks)


def _logged(folder: RunFolder, step: int) -> Values | None:
    """The numbers of the evaluation after so many updates; None if it has not been logged."""
    return next((line.values for line in read_evaluation_lines(folder.metrics) if line.step == step), None)


@dataclass
class _Player:
    """Plays a run's model as it is now; its environments stay open from one evaluation to the next."""

    folder: RunFolder
    config: Config
    job: TrainJob
    store: RunStore
    console: Console
    opened: ExitStack
    vectors: list[SeededVectorEnv] = field(default_factory=list)

    def play(self, model: nn.Module, should_stop: Callable[[], bool]) -> Values | None:
        """See :class:`~seqrl_cli.training.evaluation.Evaluation`."""
        start = time.perf_counter()
        sessions = self._sessions(model)
        if not self.vectors:
            self.vectors = [self._open(session) for session in sessions]
        profile = Profile()
        rollouts = [
            Rollout(session.agent.make(len(vector), profile), vector, seed=session.seed, purpose=[SeedStream.PLAN])
            for session, vector in zip(sessions, self.vectors, strict=True)
        ]
        records: list[list[EpisodeRecord]] = [[] for _ in rollouts]

        def on_step(running: int, finished: int) -> None:
            if should_stop():
                raise _StoppedError

        episodes = [range(self.config.train.eval_episodes)] * len(rollouts)
        try:
            play_together(rollouts, episodes, lambda index, record: records[index].append(record), on_step)
        except _StoppedError:
            return None
        return {**summarized(sessions, records), "evaluation_seconds": time.perf_counter() - start}

    def _sessions(self, model: nn.Module) -> list[PlanSession]:
        """How each task is played; one session for a run of one task."""
        record = read_record(self.folder.record)
        trained = _trained(model, self.job, self.config, record)
        spec = make_agent_spec(trained, self.config.plan, AgentOptions(), self.console.warn)
        if record.tasks:
            env_id, references, size, task = record.tasks[0].env_id, None, None, record.tasks[0]
        else:
            env_id, references = environment_of_run(self.store, record)
            size, task = observation_size_of_run(self.store, trained), None
        seed = int(np.random.SeedSequence([self.config.seed, SeedStream.EPISODES]).generate_state(1)[0])
        base = PlanSession(
            self.folder,
            spec,
            self.config.plan,
            env_id,
            references,
            size,
            seed,
            on_warning=self.console.warn,
            task=task,
        )
        return task_sessions(base, self.config.train.eval_tasks) if record.tasks else [base]

    def _open(self, session: PlanSession) -> SeededVectorEnv:
        plan = self.config.plan
        vector = session.make_vector(min(plan.envs, self.config.train.eval_episodes), plan.max_steps)
        self.opened.callback(vector.close)
        if session.task is None:
            hint = "train without --eval-every"
            vector.spaces.require_alike(session.env_id, session.trained.spaces, session.trained.record.dataset, hint)
        return vector


def summarized(sessions: Sequence[PlanSession], records: Sequence[Sequence[EpisodeRecord]]) -> dict[str, float | None]:
    """The numbers of an evaluation: means over tasks, and those of each task if there are several."""
    tasks = {session.env_id: _of_task(session, played) for session, played in zip(sessions, records, strict=True)}
    names = list(dict.fromkeys(name for values in tasks.values() for name in values))
    found: dict[str, float | None] = {"evaluation_episodes": sum(map(len, records))}
    for name in names:
        values = [task[name] for task in tasks.values() if task.get(name) is not None]
        found[f"evaluation_{name}"] = float(np.mean([value for value in values if value is not None]))
    if len(tasks) > 1:
        found |= {f"evaluation_{name}/{task}": value for task, own in tasks.items() for name, value in own.items()}
    return found


def _of_task(session: PlanSession, played: Sequence[EpisodeRecord]) -> dict[str, float | None]:
    """Means over the episodes of a task; None where an episode diverged."""
    mean = float(np.mean([record.total_reward for record in played]))
    values: dict[str, float | None] = {"return": mean if math.isfinite(mean) else None}
    if session.references is not None:
        values["score"] = None if values["return"] is None else percent_score(mean, session.references)
    successes = [record.successes for record in played if record.successes is not None]
    if successes:
        values["success"] = float(np.mean([one.any() for one in successes]))
        values["success_at_end"] = float(np.mean([one[-1] for one in successes]))
    return values


def _trained(model: Any, job: TrainJob, config: Config, record: RunRecord) -> TrainedRun:
    """A model in training as a run's model; its step does not matter here."""
    kind = ARCHITECTURES[config.model.arch].kind.name
    if kind == "multi-task":
        return TrainedMultiTask(model, 0, config, record)
    if kind == "policy":
        return TrainedPolicy(model, 0, config, record)
    tokens: Any = job.data
    return TrainedModel(model, 0, tokens, config, record)
