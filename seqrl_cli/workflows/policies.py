"""Policies from configuration and episodes, and back from a run's checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrl_cli.config.owners import OWNERS
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.schema import Config, DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import EPISODE_STEPS
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.policy_windows import Trajectory, trajectories_of
from seqrl_cli.envs.make import action_bounds, episode_limit, make_env
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision.build import Policy, build_policy, load_policy_weights, policy_sizes
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.training.checkpoints import step_folder
from seqrl_cli.workflows.datasets import Located, ensure_dataset, environment_or_none, load_episodes
from seqrl_cli.workflows.models import read_weights


@dataclass(frozen=True)
class PolicyData:
    """The episodes of a dataset, as a policy is trained on them.

    Attributes:
        episodes: the data.
        env_id: gymnasium id of its environment; None when nobody says.
        action_bounds: (low, high) of the actions, (action_dim,) each: the environment's box, or what the data span.
    """

    episodes: Episodes
    env_id: str | None
    action_bounds: tuple[np.ndarray, np.ndarray]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the data."""
        return self.episodes.fingerprint()

    @cached_property
    def trajectories(self) -> list[Trajectory]:
        """The episodes one by one."""
        return trajectories_of(self.episodes)

    @property
    def return_range(self) -> tuple[float, float]:
        """Worst and best return."""
        returns = self.episodes.returns
        return float(returns.min()), float(returns.max())

    @property
    def longest(self) -> int:
        """Steps of the longest episode that there is, or can be in the environment."""
        limit = (episode_limit(self.env_id) if self.env_id else None) or EPISODE_STEPS
        return max(limit, int(self.episodes.lengths.max()))


@dataclass(frozen=True)
class TrainedPolicy:
    """A run's policy, ready for use.

    Attributes:
        model: on its device, in evaluation mode.
        step: the checkpoint's updates.
        config: the run's configuration.
        record: the run's record.
    """

    model: Policy
    step: int
    config: Config
    record: RunRecord


def ensure_policy_data(located: Located, data: DataConfig, console: Console) -> PolicyData:
    """The episodes of a dataset, which is made if it is missing.

    Raises:
        SeqrlError: the dataset cannot be had, or its environment's actions are not a box.
    """
    ensure_dataset(located, data, console)
    return policy_data(load_episodes(located), environment_or_none(located))


def policy_data(episodes: Episodes, env_id: str | None) -> PolicyData:
    """Episodes with the bounds of their actions.

    Raises:
        SeqrlError: the environment's actions are not a box.
    """
    low, high = episodes.actions.min(axis=0), episodes.actions.max(axis=0)
    flat = high - low < 1e-6  # an action that the data never vary
    low, high = np.where(flat, low - 1, low), np.where(flat, high + 1, high)
    box = _box(env_id) if env_id is not None else None
    if box is not None:
        low, high = (np.where(np.isfinite(wall), wall, seen) for wall, seen in zip(box, (low, high), strict=True))
    return PolicyData(episodes, env_id, (low, high))


def _box(env_id: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The bounds of an environment's actions; None where it is not installed, which only a rollout needs."""
    try:
        env = make_env(env_id)
    except SeqrlError:
        return None
    try:
        return action_bounds(env)
    finally:
        env.close()


def pin_target(config: Config, return_range: tuple[float, float] | None, source: object) -> Config:
    """The configuration with the return that a policy is to be asked for, in the place of null: the data's best.

    Args:
        config: the run's; of an architecture that is asked for no return it stays as it is.
        return_range: worst and best return of the data's episodes; None = not known.
        source: what should know them, to be named in errors.

    Raises:
        SeqrlError: the return is null, and those of the data are not known.
    """
    if config.model.arch not in OWNERS["plan.target_return"] or config.plan.target_return is not None:
        return config
    if return_range is None:
        message = f"plan.target_return is null, which stands for the dataset's best, but {source} does not state it"
        raise SeqrlError(message, "give one: --target-return 3600")
    best = round(return_range[1], 1)
    return config.model_copy(update={"plan": config.plan.model_copy(update={"target_return": best})})


def make_policy(config: Config, data: PolicyData) -> Policy:
    """A policy with fresh weights, drawn from the run's seed.

    Raises:
        SeqrlError: the configuration makes no model.
    """
    sizes: dict[str, Any] = {"observation_dim": data.episodes.observation_dim, "action_dim": data.episodes.action_dim}
    if config.policy.time_embedding:
        sizes["max_timestep"] = data.longest
    return _build(config, sizes, torch.Generator().manual_seed(config.seed))


def _build(config: Config, sizes: dict[str, Any], generator: torch.Generator | None = None) -> Policy:
    model, policy = config.model, config.policy
    sizes = {**sizes, "n_layer": model.n_layer, "width": model.width, "generator": generator}
    if model.arch == "bc":
        return build_policy("bc", dropout=model.residual_dropout, **sizes)
    return build_policy(
        model.arch,
        context=model.sequence_length,
        squash=policy.stochastic_tanh,
        return_scale=policy.return_scale,
        n_head=model.n_head,
        embedding_dropout=model.embedding_dropout,
        residual_dropout=model.residual_dropout,
        attention_dropout=model.attention_dropout,
        **sizes,
    )


def load_policy(
    run: RunFolder,
    device: torch.device,
    checkpoint: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> TrainedPolicy:
    """Load a run's policy; its dataset is not needed.

    Args:
        run: the run.
        device: where to put the policy.
        checkpoint: updates of the checkpoint; None = the newest whole one.
        on_warning: told of damaged checkpoints that are passed over.

    Raises:
        SeqrlError: a file is missing or damaged, or holds another architecture.
    """
    record, config = read_record(run.record), load_config(run.config)
    step, weights = read_weights(run, checkpoint, on_warning)
    policy = restore_policy(config, weights, step_folder(run.checkpoints, step))
    return TrainedPolicy(policy.to(device).eval(), step, config, record)


def restore_policy(config: Config, weights: dict[str, Tensor], source: object) -> Policy:
    """A policy as it was saved; its sizes are those of the weights.

    Args:
        config: the run's configuration.
        weights: the policy's state dict.
        source: where they come from, to be named in errors.

    Raises:
        SeqrlError: they are another architecture's, or do not fit the configuration.
    """
    policy = _build(config, policy_sizes(config.model.arch, weights, source))
    load_policy_weights(policy, weights, source)
    return policy
