"""One stage of a continual run: learn a task, keep what it needs, evaluate; each part is done once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import nn

from seqrl_cli.continual.guides import Contrast
from seqrl_cli.continual.learned import learned_tensors, restore_learned
from seqrl_cli.continual.learner import Learner
from seqrl_cli.continual.play import play_tasks
from seqrl_cli.continual.run_files import Evaluation, StageFolder, write_evaluation
from seqrl_cli.continual.tensor_file import read_tensors, write_tensors
from seqrl_cli.data.task_data import TaskData, TaskMixture
from seqrl_cli.data.task_sampler import SamplingRules
from seqrl_cli.data.windows import split_episodes
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.runs.record import TaskRecord
from seqrl_cli.tracking.metrics import Values, read_evaluation_lines
from seqrl_cli.tracking.sinks import JsonlSink, Sink
from seqrl_cli.training.evaluation import Evaluation as PlayedCurve
from seqrl_cli.training.evaluation import in_place
from seqrl_cli.training.loop import FitOutcome, fit
from seqrl_cli.training.rates import RateSchedule
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.training.task_settings import TaskTrainSettings
from seqrl_cli.training.task_trainer import TaskTrainer

HELD_OUT = 0.1
"""Fraction of a task's episodes that validation uses."""


@dataclass(frozen=True)
class Arena:
    """Tasks with their environments, open for the whole run.

    Attributes:
        tasks: the tasks of the suite.
        vectors: the environments of these tasks.
        pretraining: tasks of the backbone.
        pretraining_vectors: the environments of the backbone's tasks.
    """

    tasks: Sequence[TaskRecord]
    vectors: Sequence[SeededVectorEnv]
    pretraining: Sequence[TaskRecord]
    pretraining_vectors: Sequence[SeededVectorEnv]


def learn_stage(
    learner: Learner,
    stage: StageFolder,
    task: int,
    data: Sequence[TaskData],
    *,
    sinks: Sequence[Sink] = (),
    on_progress: Callable[[int, int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    evaluation: PlayedCurve | None = None,
) -> FitOutcome:
    """Learn one task, or all at once, and write ``learned.safetensors``; resumes at the newest checkpoint.

    Args:
        learner: the learner as the stage before left it.
        stage: folder of the stage, which is written.
        task: number of the task, from 0.
        data: data of the task; of all tasks for a joint method.
        sinks: receive the log steps, besides ``metrics.jsonl``.
        on_progress: called with (updates made, all updates).
        on_warning: see :func:`~seqrl_cli.training.loop.fit`.
        evaluation: plays the task while it is learned.
    """
    settings = stage_settings(learner, task, len(data))
    train, held_out = _split(data, learner.settings.seed, task)
    if learner.earlier:
        settings = replace(settings, rules=_replaying(learner, train, settings.rules))
        train = [*train, *learner.earlier]
    guide = learner.begin(task, data[0])
    try:
        outcome = fit(
            learner.model,
            TaskMixture(train),
            TaskMixture(held_out) if held_out else None,
            settings,
            trainer=partial(TaskTrainer, guide=guide),
            checkpoints=stage.checkpoints,
            sinks=[JsonlSink(stage.metrics), *sinks],
            on_progress=on_progress,
            on_warning=on_warning,
            evaluation=evaluation,
        )
    finally:
        if isinstance(guide, Contrast):
            guide.close()
    if not outcome.interrupted:
        learner.finish(task, data[0])
        write_tensors(stage.learned, learned_tensors(learner))
    return outcome


def restore_stage(learner: Learner, stage: StageFolder, task: int, data: Sequence[TaskData]) -> None:
    """Bring a learner to the end of a stage that was learned.

    Args:
        learner: the learner as the stage before left it.
        stage: folder of the stage that was learned.
        task: number of the task, from 0; -1 for the stage before the first task.
        data: data of the task, or of the pretraining's tasks; used by methods that replay.
    """
    restore_learned(learner, read_tensors(stage.learned), stage.learned)
    for one in data:
        learner.remember(one, task + 1)


class _StoppedError(Exception):
    """The user stopped the run in the middle of an evaluation."""


def during_stage(learner: Learner, stage: StageFolder, arena: Arena, task: int) -> PlayedCurve | None:
    """Evaluations of a task while it is learned, in its ``metrics.jsonl``; None if none are wanted.

    Args:
        learner: the learner of the task.
        stage: folder of the task's stage.
        arena: the tasks and their environments.
        task: number of the task, from 0.
    """
    settings = learner.settings
    if settings.eval_every is None or learner.method.joint:
        return None

    def play(_model: nn.Module, should_stop: Callable[[], bool]) -> Values | None:
        started = time.perf_counter()

        def on_step(_running: int, _finished: int) -> None:
            if should_stop():
                raise _StoppedError

        if learner.adapters:
            learner.adapters.select(None)
        try:
            (score,) = play_tasks(
                learner.model,
                learner.present_chooser(task),
                arena.tasks[task : task + 1],
                arena.vectors[task : task + 1],
                context=learner.model.context,
                decode=settings.decode,
                seed=settings.seed,
                members=None,
                on_step=on_step,
            )
        except _StoppedError:
            return None
        values: dict[str, float | None] = {
            "evaluation_episodes": score.episodes,
            "evaluation_return": score.mean_return,
        }
        if score.success is not None:
            values |= {"evaluation_success": score.success, "evaluation_success_at_end": score.success_at_end}
        return {**values, "evaluation_seconds": time.perf_counter() - started}

    def is_done(step: int) -> bool:
        return any(line.step == step for line in read_evaluation_lines(stage.metrics))

    return PlayedCurve(settings.eval_every, in_place(play), is_done)


def evaluate_stage(
    learner: Learner, stage: StageFolder, arena: Arena, on_step: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Play all tasks and write ``evaluation.json``."""
    started = time.perf_counter()
    settings = learner.settings
    if learner.adapters:
        learner.adapters.select(None)  # the chooser says which
    scores = play_tasks(
        learner.model,
        learner.chooser(),
        [*arena.tasks, *arena.pretraining],
        [*arena.vectors, *arena.pretraining_vectors],
        context=learner.model.context,
        decode=settings.decode,
        seed=settings.seed,
        members=learner.right_members,
        on_step=on_step,
    )
    count = len(arena.tasks)
    evaluation = Evaluation(
        tasks=tuple(scores[:count]), pretraining=tuple(scores[count:]), seconds=time.perf_counter() - started
    )
    write_evaluation(stage, evaluation)
    return evaluation


def stage_settings(learner: Learner, task: int, tasks: int) -> TaskTrainSettings:
    """How one stage trains; a stage of several tasks has as many updates as they would have one by one."""
    settings, recipe = learner.settings, learner.recipe
    updates = settings.updates * tasks
    return TaskTrainSettings(
        updates=updates,
        seed=int(np.random.SeedSequence([settings.seed, task]).generate_state(1)[0]),
        schedule=RateSchedule("cosine", min(settings.warmup_updates, updates - 1), updates, 0.05),
        batch_size=settings.batch_size,
        rules=SamplingRules(early_starts=recipe.early_starts),
        mean_weight=recipe.mean_weight,
        learning_rate=settings.learning_rate or learner.method.learning_rate,
        weight_decay=settings.weight_decay,
        grad_clip=settings.grad_clip,
        precision=settings.precision,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        keep_checkpoints=1,
    )


def _replaying(learner: Learner, train: Sequence[TaskData], rules: SamplingRules) -> SamplingRules:
    """Rules by which a fraction of the windows are of earlier tasks, all of them alike, whatever their domains."""
    share = learner.settings.replay_share
    present = {task.facts.dataset: (1 - share) / len(train) for task in train}
    earlier = {task.facts.dataset: share / len(learner.earlier) for task in learner.earlier}
    tasks = {**present, **earlier}
    domains: dict[str, float] = {}
    for task in (*train, *learner.earlier):
        domains[task.facts.input] = domains.get(task.facts.input, 0.0) + tasks[task.facts.dataset]
    if len(domains) == 1:
        return replace(rules, tasks=tasks)
    return replace(rules, tasks=tasks, mixing="weighted", weights=domains)


def _split(data: Sequence[TaskData], seed: int, task: int) -> tuple[list[TaskData], list[TaskData]]:
    """The episodes to train on, and those that are held out."""
    rng = np.random.default_rng([seed, SeedStream.HELD_OUT, task])
    train, held_out = [], []
    for one in data:
        parts = split_episodes(len(one.lengths), HELD_OUT, rng)
        train.append(one.select(parts[0]))
        if len(parts[1]):
            held_out.append(one.select(parts[1]))
    return train, held_out
