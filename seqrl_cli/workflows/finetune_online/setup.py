"""Set-up of fine-tuning: the policy and its learner, environments, offline data and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from seqrl_cli.artifacts.locate import locate
from seqrl_cli.artifacts.policy import TrainedPolicy, load_policy
from seqrl_cli.artifacts.policy_family import policy_settings
from seqrl_cli.console import Console, counted
from seqrl_cli.data.policy_windows import Trajectory, trajectories_of
from seqrl_cli.envs.scores import percent_score
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision.decoder import Policy, check_context
from seqrl_cli.online.buffer import ReplayBuffer, best_trajectories
from seqrl_cli.online.buffer_files import BufferFolder
from seqrl_cli.online.collector import EpisodeCollector
from seqrl_cli.online.context import EvaluationSummary, FinetuneContext
from seqrl_cli.planning.policy_agent import PolicyAgent
from seqrl_cli.planning.target_return import warn_of_return
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.store import RunStore
from seqrl_cli.tracking.metrics import read_online_lines
from seqrl_cli.training.checkpoints import newest_checkpoint, reading_state
from seqrl_cli.training.policy_learner import PolicyLearner
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.workflows.finetune_online.players import Players
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineJob


def load_initial_policy(
    job: FinetuneOnlineJob, console: Console, on_warning: Callable[[str], None] | None = None
) -> TrainedPolicy:
    """The policy to start from: the fine-tuned run's own, else its parent's.

    Args:
        job: the resolved job.
        console: receives a warning when the parent is unfinished.
        on_warning: receives a warning for each damaged checkpoint; None if reading the learner's state will do so.

    Raises:
        SeqrlError: there is no complete checkpoint.
    """
    trained = load_policy(job.parent if job.from_parent else job.run, job.device, on_warning=on_warning)
    if job.from_parent and trained.record.status != "finished":
        done = f"{trained.step:,} of its {counted(trained.config.train.updates or 0, 'update')}"
        console.warn(f"{job.parent.path} is unfinished: fine-tuning starts from {done}")
    return trained


def make_context(
    store: RunStore, job: FinetuneOnlineJob, trained: TrainedPolicy, players: Players, console: Console
) -> FinetuneContext:
    """Everything that the fine-tuning loop needs; call inside ``preserve_rng_state``.

    Raises:
        SeqrlError: the dataset has other sizes than the policy, or the policy's context is too short.
    """
    policy = trained.model
    capacity = job.config.online.capacity
    warn_of_settings(job, console.warn)
    learner = _make_learner(job, policy, console.warn)
    offline = best_trajectories(_read_offline(store, job, trained, console), capacity) if job.from_parent else []
    explore, evaluate = _make_collectors(job, policy, players, console.warn)
    return FinetuneContext(
        learner=learner,
        explore=explore,
        evaluate=evaluate,
        score=lambda episodes: _summarize_evaluation(episodes, job.references),
        buffer=ReplayBuffer(capacity),
        offline=offline,
        buffer_files=BufferFolder(job.run.buffer, job.env_id),
        checkpoints=job.run.checkpoints,
    )


def move_context(context: FinetuneContext, job: FinetuneOnlineJob, folder: RunFolder) -> FinetuneContext:
    """The same context with an empty buffer, and with its files in another run folder."""
    return replace(
        context,
        buffer=ReplayBuffer(job.config.online.capacity),
        buffer_files=BufferFolder(folder.buffer, job.env_id),
        checkpoints=folder.checkpoints,
    )


def warn_of_settings(job: FinetuneOnlineJob, on_warning: Callable[[str], None]) -> None:
    """Warn about target returns far from the data, and about a buffer smaller than a batch."""
    capacity = job.config.online.capacity
    batch_size = job.config.train.batch_size
    if capacity < batch_size:
        on_warning(
            f"the buffer holds {counted(capacity, 'episode')}, fewer than train.batch_size = {batch_size:,}: "
            "each update repeats some of them"
        )
    warn_of_return("the target return", job.target_return, job.record, on_warning)
    warn_of_return("the exploration return", job.exploration_return, job.record, on_warning)


def _make_learner(job: FinetuneOnlineJob, policy: Policy, on_warning: Callable[[str], None]) -> PolicyLearner:
    """The policy's learner in its state after pretraining; a resumed run restores its own state later."""
    settings = policy_settings(job.config)
    if job.config.online.learning_rate is not None:
        settings = replace(settings, learning_rate=job.config.online.learning_rate)
    learner = PolicyLearner(policy, settings)
    if job.from_parent:
        pretrained = newest_checkpoint(job.parent.checkpoints, on_warning)
        assert pretrained is not None, "the policy was loaded from it"
        with reading_state(job.parent.checkpoints, pretrained):
            learner.restore(pretrained, on_warning)
        if job.seed != job.config.seed:  # otherwise dropout and entropy continue the pretraining's random stream
            torch.manual_seed(job.seed)
    return learner


def _make_collectors(
    job: FinetuneOnlineJob, policy: Policy, players: Players, on_warning: Callable[[str], None]
) -> tuple[EpisodeCollector, EpisodeCollector]:
    """The collectors of exploration and of evaluation episodes.

    Raises:
        SeqrlError: the policy's context is too short.
    """
    online = job.config.online
    agent = partial(PolicyAgent, policy, context=job.config.plan.max_context_transitions)
    explorer = partial(agent, target_return=job.exploration_return, stochastic=True, noise=online.noise)
    evaluator = partial(agent, target_return=job.target_return)
    check_context(policy, job.config.plan.max_context_transitions)  # before anything is written
    seeds = np.random.SeedSequence([job.seed, SeedStream.EPISODES]).generate_state(2)
    explore_seed, evaluate_seed = (int(seed) for seed in seeds)
    explore = EpisodeCollector(
        explorer, players.exploration, online.envs, explore_seed, fresh=True, on_warning=on_warning
    )
    evaluate = EpisodeCollector(
        evaluator, players.evaluation, online.eval_episodes, evaluate_seed, fresh=False, on_warning=on_warning
    )
    return explore, evaluate


def _read_offline(
    store: RunStore, job: FinetuneOnlineJob, trained: TrainedPolicy, console: Console
) -> list[Trajectory]:
    """The dataset's trajectories; the dataset is fetched or made again if it is gone.

    Raises:
        SeqrlError: they have other sizes than the policy.
    """
    dataset = locate(store, job.record.dataset)
    dataset.ensure(job.config.data, console)
    episodes = dataset.load_readable(images=True)
    hint = f"train again on the present data: seqrl train {dataset.id} --arch odt --force"
    episodes.spaces.require_fit(dataset.id, trained.spaces, str(job.parent.path), hint)
    return trajectories_of(episodes)


def _summarize_evaluation(episodes: Sequence[Trajectory], references: tuple[float, float] | None) -> EvaluationSummary:
    """Means over evaluation episodes.

    Raises:
        SeqrlError: every episode was dropped.
    """
    if not episodes:
        raise SeqrlError("no evaluation episode had finite numbers", "the simulation diverged; lower the learning rate")
    mean_return = float(np.mean([episode.total_reward for episode in episodes]))
    mean_length = float(np.mean([len(episode) for episode in episodes]))
    return EvaluationSummary(mean_return, percent_score(mean_return, references), mean_length)


def iterations_done(run: RunFolder) -> int:
    """Iterations that a fine-tuned run has logged."""
    lines = read_online_lines(run.metrics)
    return lines[-1].iteration if lines else 0
