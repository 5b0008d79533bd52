"""A small fine-tuning job: a tiny odt and episodes of a dozen steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from seqrl_cli.data.policy_windows import Trajectory
from seqrl_cli.envs.vector.vector import SeededVectorEnv
from seqrl_cli.models.decision.decision_transformer import DecisionTransformer
from seqrl_cli.online.buffer import ReplayBuffer, best_trajectories
from seqrl_cli.online.buffer_files import BufferFolder
from seqrl_cli.online.collector import EpisodeCollector
from seqrl_cli.online.context import EvaluationSummary, FinetuneContext, OnlineSettings
from seqrl_cli.online.loop import FinetuneOutcome, finetune
from seqrl_cli.online.players import VectorPlayer
from seqrl_cli.planning.policy_agent import PolicyAgent
from seqrl_cli.tracking.sinks import JsonlSink
from seqrl_cli.training.policy_learner import PolicyLearner, PolicySettings
from tests.online.trajectories import trajectory

SIZES = (11, 3)  # of Hopper
STEPS = 12
CONTEXT = 5


def small_learner() -> PolicyLearner:
    """A tiny odt that was "pretrained" for a hundred updates already."""
    generator = torch.Generator().manual_seed(0)
    sizes = dict(observation_shape=(SIZES[0],), action_dim=SIZES[1], context=CONTEXT, n_layer=1, n_head=2, width=16)
    model = DecisionTransformer(**sizes, generator=generator)
    learner = PolicyLearner(model, PolicySettings(seed=1, learning_rate=1e-2, warmup_updates=110, precision="float32"))
    learner.step = 100
    return learner


def hopper(learner: PolicyLearner, episodes: int, seed: int, explores: bool) -> EpisodeCollector:
    """Episodes of at most STEPS steps, two at once."""
    vector = SeededVectorEnv("Hopper-v4", 2, max_episode_steps=STEPS)
    agent = partial(PolicyAgent, learner.model, target_return=20.0, context=3, stochastic=explores)
    return EpisodeCollector(agent, VectorPlayer(vector), episodes, seed, fresh=explores)


def score(trajectories: Sequence[Trajectory]) -> EvaluationSummary:
    returns = [one.total_reward for one in trajectories]
    return EvaluationSummary(float(np.mean(returns)), None, float(np.mean([len(one) for one in trajectories])))


def small_settings(iterations: int = 6, **changes) -> OnlineSettings:
    values = dict(seed=3, episodes=2, updates=4, batch_size=8, context=CONTEXT)
    often = dict(evaluate_every=2, checkpoint_every=2, keep_checkpoints=2)
    return OnlineSettings(iterations=iterations, **{**values, **often, **changes})


def finetune_context(folder: Path, capacity: int = 5, **parts) -> FinetuneContext:
    """A job in a folder; the buffer begins with four trajectories of six."""
    learner = small_learner()
    offline = [trajectory(length, length, sizes=SIZES) for length in (3, 7, 4, 9, 2, 6)]
    usual = dict(
        learner=learner,
        explore=hopper(learner, 2, 5, explores=True),
        evaluate=hopper(learner, 1, 6, explores=False),
        score=score,
        buffer=ReplayBuffer(capacity),
        offline=best_trajectories(offline, 4),
        buffer_files=BufferFolder(folder / "buffer", "Hopper-v4"),
        checkpoints=folder / "checkpoints",
    )
    return FinetuneContext(**{**usual, **parts})


def tune(
    folder: Path, settings: OnlineSettings, context: FinetuneContext | None = None, **callbacks
) -> FinetuneOutcome:
    """A job in a folder, with its log beside its checkpoints."""
    return finetune(
        context or finetune_context(folder), settings, sinks=[JsonlSink(folder / "metrics.jsonl")], **callbacks
    )
