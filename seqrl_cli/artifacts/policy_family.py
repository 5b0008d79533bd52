"""Policies as a family of architectures: their data, their training and their runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.policy import TrainedPolicy, load_policy, make_policy, pin_return_scale, pin_target
from seqrl_cli.artifacts.policy_data import PolicyData, ensure_policy_data, policy_data
from seqrl_cli.artifacts.sizes import Sizes
from seqrl_cli.artifacts.train_job import OTHER_SIZES_HINT, TrainJob, held_out_generator
from seqrl_cli.artifacts.trained_run import SavedRun
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.policy_windows import PolicyWindows, Trajectory, best_fraction
from seqrl_cli.data.windows import split_episodes
from seqrl_cli.models.decision.decoder import Policy
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.training.policy_learner import PolicySettings
from seqrl_cli.training.policy_trainer import PolicyTrainer, PolicyTrainSettings


class PolicyFamily:
    """Policies; see :class:`~seqrl_cli.artifacts.families.Family`."""

    def ensure(self, dataset: DatasetRef, config: Config, console: Console) -> PolicyData:
        """See :meth:`Family.ensure`."""
        return ensure_policy_data(dataset, config.data, console)

    def current(self, dataset: DatasetRef, config: Config, console: Console) -> PolicyData | None:
        """See :meth:`Family.current`."""
        if not dataset.exists:
            return None
        return policy_data(dataset, dataset.load_readable(images=True))

    def placeholder(self, dataset: DatasetRef, config: Config, sizes: Sizes, offsets: np.ndarray) -> PolicyData | None:
        """See :meth:`Family.placeholder`."""
        if sizes.spaces is None:
            return None
        sizes.spaces.require_readable(dataset.id, images=True)
        transitions = int(offsets[-1])
        observations, actions = (
            np.zeros((transitions, *space.shape), space.stored_dtype)  # zeros take no memory until they are written
            for space in (sizes.spaces.observation, sizes.spaces.action)
        )
        ends = np.isin(np.arange(transitions), offsets[1:] - 1)
        never = np.zeros_like(ends)
        blank = Episodes.from_flags(observations, actions, np.zeros(transitions), never, ends)
        return policy_data(dataset, replace(blank, declared=sizes.spaces))

    def facts(self, data: PolicyData | None) -> dict[str, object]:
        """See :meth:`Family.facts`."""
        return {}

    def data_bytes(self, config: Config, sizes: Sizes) -> int | None:
        """See :meth:`Family.data_bytes`; episodes are used as they are."""
        return 0

    def complete(self, config: Config, data: PolicyData, source: object) -> Config:
        """See :meth:`Family.complete`."""
        return pin_return_scale(pin_target(config, data.return_range, source), data)

    def prepare(self, config: Config, data: PolicyData, step_limit: int, device: torch.device) -> TrainJob:
        """See :meth:`Family.prepare`."""
        policy = make_policy(config, data, step_limit)
        trained, held_out = _split(config, data)
        if not policy.normalizer.reads_images:
            policy.normalizer.fit_observations(np.concatenate([one.observations for one in trained]))
        if data.action_bounds is not None:
            policy.normalizer.fit_actions(*data.action_bounds)
        return _job(policy.to(device), config, data, trained, held_out)

    def data_like(self, base: TrainedPolicy, dataset: DatasetRef, config: Config) -> PolicyData:
        """See :meth:`Family.data_like`."""
        data = policy_data(dataset, dataset.load_readable(images=True))
        data.episodes.spaces.require_alike(dataset.id, base.spaces, base.record.name, OTHER_SIZES_HINT)
        return data

    def prepare_from(self, base: TrainedPolicy, config: Config, data: PolicyData, step_limit: int) -> TrainJob:
        """See :meth:`Family.prepare_from`."""
        return _job(base.model, config, data, *_split(config, data))

    def fine_tuned(self, base: TrainedPolicy, run: SavedRun, step: int) -> TrainedPolicy:
        """See :meth:`Family.fine_tuned`."""
        return TrainedPolicy(base.model, step, run.config, run.record)

    def as_run(self, model: Policy, data: object, config: Config, record: RunRecord) -> TrainedPolicy:
        """See :meth:`Family.as_run`."""
        return TrainedPolicy(model, 0, config, record)

    def load(
        self,
        run: SavedRun,
        device: torch.device,
        checkpoint: int | None,
        on_warning: Callable[[str], None] | None,
    ) -> TrainedPolicy:
        """See :meth:`Family.load`."""
        return load_policy(run, device, checkpoint, on_warning)


def _split(config: Config, data: PolicyData) -> tuple[list[Trajectory], list[Trajectory]]:
    """Episodes to train on, and held-out ones."""
    used = best_fraction(data.trajectories, config.policy.top_share)
    parts = split_episodes(len(used), config.train.validation_share, held_out_generator(config))
    trained, held_out = ([used[index] for index in part] for part in parts)
    return trained, held_out


def _job(
    policy: Policy, config: Config, data: PolicyData, trained: list[Trajectory], held_out: list[Trajectory]
) -> TrainJob:
    """The training of a policy on some episodes."""
    train = PolicyWindows(trained, policy.context)
    validation = PolicyWindows(held_out, policy.context) if held_out else None
    return TrainJob(policy, train, validation, policy_train_settings(config), PolicyTrainer, data, data.return_range)


def policy_settings(config: Config) -> PolicySettings:
    """How a policy learns, offline and online."""
    train, policy = config.train, config.policy
    return PolicySettings(
        seed=config.seed,
        optimizer=policy.optimizer,
        learning_rate=train.learning_rate,
        warmup_updates=policy.warmup_updates,
        betas=(train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        grad_clip=train.grad_clip,
        entropy_samples=policy.entropy_samples,
        target_entropy=policy.target_entropy,
        initial_temperature=policy.initial_temperature,
        temperature_rate=policy.temperature_rate,
        precision=train.precision,
        compile=train.compile,
    )


def policy_train_settings(config: Config) -> PolicyTrainSettings:
    """The loop's settings for a policy."""
    train = config.train
    assert train.updates is not None, "the schema gives every policy a number of updates"
    return PolicyTrainSettings(
        updates=train.updates,
        learner=replace(policy_settings(config), curve=config.policy.curve, updates=train.updates),
        batch_size=train.batch_size,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        keep_checkpoints=train.keep_checkpoints,
    )
