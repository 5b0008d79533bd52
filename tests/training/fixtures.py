"""Small, patterned data and models for the tests of training."""

from __future__ import annotations

import numpy as np
import torch

from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.policy_windows import PolicyWindows
from seqrl_cli.data.task_data import TaskData
from seqrl_cli.data.windows import Windows
from seqrl_cli.models.decision.decoder import Policy
from seqrl_cli.models.gpt.model import GPT
from seqrl_cli.tracking.metrics import TrainingLine, Values
from seqrl_cli.training.policy_learner import PolicySettings
from seqrl_cli.training.policy_trainer import PolicyTrainSettings
from seqrl_cli.training.schedule import scaled_schedule
from seqrl_cli.training.token_trainer import TrainSettings
from tests.models.policies import CONTEXT, make_choices, make_policy, make_trajectories

BINS, OBSERVATION_DIM, ACTION_DIM, SEQUENCE_LENGTH = 8, 3, 2, 4
TRANSITION_DIM = OBSERVATION_DIM + ACTION_DIM + 2


def pattern_windows(episodes: int = 6, length: int = 20) -> Windows:
    """Episodes that count: dimension d of step t is (start + t + d) modulo the bins."""
    starts = np.arange(episodes)[:, None, None]
    steps = np.arange(length)[None, :, None]
    tokens = (starts + steps + np.arange(TRANSITION_DIM)) % BINS
    offsets = np.arange(episodes + 1) * length
    return Windows(tokens.reshape(-1, TRANSITION_DIM).astype(np.uint8), offsets, SEQUENCE_LENGTH, BINS)


def tiny_gpt(seed: int = 0) -> GPT:
    return GPT(
        bins=BINS,
        observation_dim=OBSERVATION_DIM,
        action_dim=ACTION_DIM,
        block_size=SEQUENCE_LENGTH * TRANSITION_DIM - 1,
        n_layer=2,
        n_head=2,
        width=16,
        generator=torch.Generator().manual_seed(seed),
    )


def tiny_settings(updates: int, **changes) -> TrainSettings:
    """Settings that log, validate and save often."""
    schedule = scaled_schedule("clamped", 40, 16, SEQUENCE_LENGTH * TRANSITION_DIM - 1)
    often = dict(log_every=3, checkpoint_every=5, batch_size=16, precision="float32", learning_rate=3e-3)
    return TrainSettings(updates=updates, schedule=schedule, seed=7, **{**often, **changes})


class Recorder:
    """A sink that keeps what it was sent."""

    def __init__(self) -> None:
        self.calls: list[str | int] = []
        self.lines: list[TrainingLine] = []

    def start(self, resume_step: int) -> None:
        self.calls.append(f"start {resume_step}")

    def log(self, step: int, values: Values) -> None:
        self.calls.append(step)
        self.lines.append(TrainingLine(step, values))

    def close(self) -> None:
        self.calls.append("close")


def policy_windows(count: int = 6, seed: int = 0) -> PolicyWindows:
    return PolicyWindows(make_trajectories(count, seed), CONTEXT)


def choice_windows(count: int = 6, seed: int = 0, shape: tuple[int, ...] = (4,)) -> PolicyWindows:
    """Windows of discrete actions; observations are vectors or images."""
    return PolicyWindows(make_choices(count, seed, shape), CONTEXT)


def tiny_policy(arch: str, seed: int = 0, **form) -> Policy:
    return make_policy(arch, seed, **form)


def tiny_policy_settings(updates: int, **changes) -> PolicyTrainSettings:
    """Settings that log, validate and save often, with a temperature that moves."""
    quick = dict(learning_rate=3e-3, warmup_updates=8, temperature_rate=0.02, precision="float32")
    learner = PolicySettings(seed=7, **{**quick, **changes})
    return PolicyTrainSettings(updates, learner, batch_size=16, log_every=3, checkpoint_every=5)


def tiny_task(env_id: str, action_dim: int, seed: int = 0) -> TaskData:
    """Three short episodes of a task that a multi-domain model can learn."""
    rng = np.random.default_rng(seed)
    ends = np.isin(np.arange(15), [3, 8, 14])
    observations = rng.normal(size=(15, 3))
    actions = np.tanh(np.repeat(observations[:, :1], action_dim, axis=1))
    episodes = Episodes.from_flags(observations, actions, np.ones(15), np.zeros(15), ends)
    bound = np.ones(action_dim)
    return TaskData.of(f"local/{env_id}", env_id, episodes, (-bound, bound))
