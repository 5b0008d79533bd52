"""What a run consists of before it begins: data, model, settings; one way for models of tokens, one for policies."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.policy import make_policy, pin_target
from seqrl_cli.artifacts.policy_data import PolicyData, ensure_policy_data
from seqrl_cli.artifacts.settings import policy_settings
from seqrl_cli.artifacts.token_model import make_model
from seqrl_cli.artifacts.tokens import ensure_tokens
from seqrl_cli.config.architectures import POLICIES
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.policy_windows import PolicyWindows, best_fraction
from seqrl_cli.data.tokens import TokenizedDataset
from seqrl_cli.data.windows import Windows, split_episodes
from seqrl_cli.training.loop import seconds_per_update
from seqrl_cli.training.optimizer import trainable_parameters
from seqrl_cli.training.policy_trainer import PolicyTrainer, PolicyTrainSettings
from seqrl_cli.training.rng import SeedStream
from seqrl_cli.training.schedule import paper_schedule, paper_updates, scaled_schedule
from seqrl_cli.training.token_trainer import TokenTrainer, TrainSettings
from seqrl_cli.training.trainer import LoopSettings, TrainerFactory

TrainingData = TokenizedDataset | PolicyData
"""What models of tokens, and what policies are trained on; both know their environment and their fingerprint."""


@dataclass(frozen=True)
class TrainJob:
    """Everything that the loop needs, made from a request.

    Attributes:
        model: on its device, with fresh weights.
        train: windows to train on.
        validation: held-out windows; None when there are none.
        settings: how to train.
        trainer: what makes the updates.
        data: what the windows were cut from.
    """

    model: nn.Module
    train: Sized
    validation: Sized | None
    settings: LoopSettings
    trainer: TrainerFactory
    data: TrainingData


def ensure_data(located: DatasetRef, config: Config, console: Console) -> TrainingData:
    """The data that a configuration trains on, made if it is missing.

    Raises:
        SeqrlError: the dataset cannot be had, or was made with other settings.
    """
    if config.model.arch in POLICIES:
        return ensure_policy_data(located, config.data, console)
    return ensure_tokens(located, config.data, console)


def pinned(located: DatasetRef, config: Config, data: TrainingData | None = None) -> Config:
    """The configuration with what the dataset at hand settles, so that it repeats the run elsewhere."""
    stated = located.facts.attributes if located.facts else {}
    settled: dict[str, Any] = {"env_id": located.env_id}
    if located.spec.source == "sim":
        settled |= {key: stated[key] for key in ("transitions", "seed") if key in stated}
    config = config.model_copy(update={"data": config.data.model_copy(update=settled)})
    return pin_target(config, data.return_range, located.id) if isinstance(data, PolicyData) else config


def prepare(config: Config, data: TrainingData, step_limit: int, device: torch.device) -> TrainJob:
    """Model, windows and settings of a run; the same request gives the same job.

    Args:
        config: of the run.
        data: what to train on.
        step_limit: most steps of an episode in its environment.
        device: where to put the model.

    Raises:
        SeqrlError: the configuration makes no model, or the dataset has no window.
    """
    rng = np.random.default_rng([config.seed, SeedStream.HELD_OUT])
    if isinstance(data, PolicyData):
        return _policy_job(config, data, step_limit, rng, device)
    return _token_job(config, data, step_limit, rng, device)


def _token_job(
    config: Config, tokens: TokenizedDataset, step_limit: int, rng: np.random.Generator, device: torch.device
) -> TrainJob:
    parts = split_episodes(len(tokens.returns), config.train.validation_share, rng)
    length = config.model.sequence_length
    train, validation = (
        Windows(tokens.tokens, tokens.offsets, length, tokens.bins, step_limit, episodes=episodes) for episodes in parts
    )
    model = make_model(config, tokens).to(device)
    return TrainJob(
        model, train, validation, train_settings(config, len(train), train.block_size), TokenTrainer, tokens
    )


def _policy_job(
    config: Config, data: PolicyData, step_limit: int, rng: np.random.Generator, device: torch.device
) -> TrainJob:
    used = best_fraction(data.trajectories, config.policy.top_share)
    kept, held_out = (
        [used[index] for index in part] for part in split_episodes(len(used), config.train.validation_share, rng)
    )
    policy = make_policy(config, data, step_limit)
    low, high = data.action_bounds
    policy.normalizer.fit(np.concatenate([one.observations for one in kept]), low, high)
    train = PolicyWindows(kept, policy.context)
    validation = PolicyWindows(held_out, policy.context) if held_out else None
    return TrainJob(policy.to(device), train, validation, policy_train_settings(config), PolicyTrainer, data)


def train_settings(config: Config, windows: int, block_size: int) -> TrainSettings:
    """The loop's settings: the paper's number of updates and schedule, or a given number and one scaled to it.

    Args:
        config: the resolved configuration.
        windows: those that are trained on. The papers hold nothing out and count all; here the held-out episodes' do
            not count, so that warm-up and decay last the epochs that the papers give them.
        block_size: targets a window.
    """
    train = config.train
    if train.updates is None:
        updates = paper_updates(windows, train.batch_size, train.n_epochs_ref)
        schedule = paper_schedule(train.schedule, windows, block_size)
    else:
        updates = train.updates
        schedule = scaled_schedule(train.schedule, updates, train.batch_size, block_size)
    return TrainSettings(
        updates=updates,
        schedule=schedule,
        seed=config.seed,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        betas=(train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        grad_clip=train.grad_clip,
        action_weight=train.action_weight,
        reward_weight=train.reward_weight,
        value_weight=train.value_weight,
        precision=train.precision,
        compile=train.compile,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        keep_checkpoints=train.keep_checkpoints,
    )


def policy_train_settings(config: Config) -> PolicyTrainSettings:
    """The loop's settings for a policy."""
    train = config.train
    assert train.updates is not None, "the schema gives every policy a number of updates"
    return PolicyTrainSettings(
        updates=train.updates,
        learner=policy_settings(config),
        batch_size=train.batch_size,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        keep_checkpoints=train.keep_checkpoints,
    )


def estimate_seconds(job: TrainJob, done: int = 0) -> float:
    """Seconds that the updates after the first ``done`` take here, from a few updates of a copy of the model."""
    left = max(0, job.settings.updates - done)
    return seconds_per_update(job.model, job.train, job.settings, trainer=job.trainer) * left


def count_parameters(model: nn.Module) -> int:
    """Numbers in a model, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_trainable(model: nn.Module) -> int:
    """Numbers in a model that learn."""
    return sum(parameter.numel() for parameter in trainable_parameters(model).values())


def parameters_text(model: nn.Module) -> str:
    """``85,000 parameters``; where some are frozen also how many learn."""
    total, trainable = count_parameters(model), count_trainable(model)
    return f"{total:,} parameters" + (f", {trainable:,} trainable" if trainable != total else "")
