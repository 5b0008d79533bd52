"""Policies from configuration and episodes, and back from a run's checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.artifacts.policy_data import PolicyData
from seqrl_cli.artifacts.token_model import read_weights
from seqrl_cli.config.owners import OWNERS
from seqrl_cli.config.presets import load_config
from seqrl_cli.config.schema import Config
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.decision.build import Policy, build_policy, load_policy_weights, policy_sizes
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record
from seqrl_cli.training.checkpoints import step_folder


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


def make_policy(config: Config, data: PolicyData, step_limit: int) -> Policy:
    """A policy with fresh weights, drawn from the run's seed.

    Args:
        config: the run's.
        data: what it will be trained on.
        step_limit: most steps of an episode in the environment; longer ones in the data count, too.

    Raises:
        SeqrlError: the configuration makes no model.
    """
    sizes: dict[str, Any] = {"observation_dim": data.episodes.observation_dim, "action_dim": data.episodes.action_dim}
    if config.policy.time_embedding:
        sizes["max_timestep"] = max(step_limit, data.longest)
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
