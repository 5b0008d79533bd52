"""Policies from configuration and episodes, and back from a run's checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqrl_cli.artifacts.policy_data import PolicyData
from seqrl_cli.artifacts.trained_run import SavedRun
from seqrl_cli.config.model_sections import PAPERS_RETURN_SCALE, PolicySection
from seqrl_cli.config.owners import has_key
from seqrl_cli.config.schema import Config
from seqrl_cli.data.return_scale import return_scale, times
from seqrl_cli.data.space import DiscreteSpace
from seqrl_cli.data.spaces import Spaces
from seqrl_cli.data.terminals import is_locomotion
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import load_weights
from seqrl_cli.models.decision.build import build_policy, policy_sizes
from seqrl_cli.models.decision.decoder import Policy
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord


@dataclass(frozen=True)
class TrainedPolicy:
    """A run's policy, ready for use; see :class:`~seqrl_cli.artifacts.trained_run.TrainedRun`.

    Attributes:
        model: the policy, on its device, in evaluation mode.
        step: the checkpoint's updates.
        config: the run's configuration.
        record: the run's record.
    """

    model: Policy
    step: int
    config: Config
    record: RunRecord

    @property
    def spaces(self) -> Spaces:
        """The observations that it reads and the actions that it chooses."""
        form = self.model.normalizer
        return Spaces.of_shapes(form.observation_shape, form.action_dim, form.action_dim if form.discrete else None)

    def observation_size(self, of_dataset: Callable[[], int | None]) -> int | None:
        """How many dimensions of longer observations are kept; only the dataset records it."""
        return of_dataset()


def pin_target(config: Config, return_range: tuple[float, float] | None, source: object) -> Config:
    """The configuration with its target return as a number, and ``target_multiple``, which that contains, back at 1.

    Null stands for ``target_multiple`` times the best return of the data.

    Args:
        config: the run's configuration; it is returned unchanged if its architecture takes no target return.
        return_range: worst and best return of the data's episodes; None if unknown.
        source: name of what should state the returns, for errors.

    Raises:
        SeqrlError: the return is null, and those of the data are unknown.
    """
    if not has_key(config.model.arch, "plan.target_return"):
        return config
    target = config.plan.target_return
    if target is None:
        if return_range is None:
            message = f"the target return depends on the dataset's best, but {source} does not state it"
            raise SeqrlError(message, "give one: --target-return 3600")
        target = rounded_return(times(return_range[1], config.plan.target_multiple))
    pinned = {"target_return": target, "target_multiple": 1.0}
    return config.model_copy(update={"plan": config.plan.model_copy(update=pinned)})


def rounded_return(value: float) -> float:
    """A return with one decimal, or with four significant digits if these are finer."""
    if value == 0:
        return 0.0  # not -0.0, which would have another name
    decimals = 3 - math.floor(math.log10(abs(value)))
    return round(value, max(1, decimals))


def pin_return_scale(config: Config, data: PolicyData) -> Config:
    """The configuration with a factor of returns-to-go in place of ``auto``: see :func:`return_scale`.

    Args:
        config: the run's configuration; it is returned unchanged if its architecture takes no target return.
        data: the training data.
    """
    if not has_key(config.model.arch, "policy.return_scale") or config.policy.return_scale != "auto":
        return config
    usual = PAPERS_RETURN_SCALE if is_locomotion(data.env_id) else None
    known = {"return_scale": return_scale(data.trajectories, usual)}
    return config.model_copy(update={"policy": config.policy.model_copy(update=known)})


def make_policy(config: Config, data: PolicyData, step_limit: int) -> Policy:
    """A policy with fresh weights, drawn from the run's seed.

    Args:
        config: the run's configuration.
        data: the training data.
        step_limit: most steps of an episode in the environment; longer episodes in the data count, too.

    Raises:
        SeqrlError: the model settings are invalid.
    """
    spaces = data.episodes.spaces
    discrete = isinstance(spaces.action, DiscreteSpace)
    sizes: dict[str, Any] = {
        "observation_shape": spaces.observation.shape,
        "action_dim": spaces.action.n if isinstance(spaces.action, DiscreteSpace) else spaces.action.size,
        "discrete": discrete,
    }
    if config.policy.time_embedding:
        sizes["max_timestep"] = max(step_limit, data.longest)
    return _build(config, sizes, torch.Generator().manual_seed(config.seed))


def _build(config: Config, sizes: Mapping[str, Any], generator: torch.Generator | None = None) -> Policy:
    section = config.model
    assert isinstance(section, PolicySection)
    return build_policy(section.arch, **section.arguments(config.policy), **sizes, generator=generator)


def load_policy(
    run: RunFolder | SavedRun,
    device: torch.device,
    checkpoint: int | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> TrainedPolicy:
    """Load a run's policy; its dataset is not needed.

    Args:
        run: the run.
        device: the device to put the policy on.
        checkpoint: updates of the checkpoint; None = the newest whole one.
        on_warning: called with a message for each damaged checkpoint that is skipped.

    Raises:
        SeqrlError: a file is missing or damaged, or contains another architecture.
    """
    run = SavedRun.of(run)
    step, weights, source = run.weights(checkpoint, on_warning)
    policy = restore_policy(run.config, weights, source)
    return TrainedPolicy(policy.to(device).eval(), step, run.config, run.record)


def restore_policy(config: Config, weights: Mapping[str, Tensor], source: object) -> Policy:
    """A policy as it was saved; its sizes are those of the weights.

    Args:
        config: the run's configuration.
        weights: the policy's state dict.
        source: where the weights come from, for errors.

    Raises:
        SeqrlError: they are another architecture's, or do not fit the configuration.
    """
    policy = _build(config, policy_sizes(config.model.arch, weights, source))
    load_weights(policy, weights, source)
    return policy
