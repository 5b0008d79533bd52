"""The episodes of a dataset, as a policy is trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.policy_windows import Trajectory, trajectories_of
from seqrl_cli.envs.limits import ActionBounds


@dataclass(frozen=True)
class PolicyData:
    """The episodes of a dataset, as a policy is trained on them.

    Attributes:
        episodes: the data.
        env_id: gymnasium id of its environment; None if unknown.
        action_bounds: bounds (low, high) of the actions, (action_dim,) each: the environment's box, or the range of the
            data; None if actions are discrete.
    """

    episodes: Episodes
    env_id: str | None
    action_bounds: ActionBounds | None

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
        """Steps of the longest episode."""
        return int(self.episodes.lengths.max())


def ensure_policy_data(dataset: DatasetRef, data: DataConfig, console: Console) -> PolicyData:
    """The episodes of a dataset, which is made if it is missing.

    Raises:
        SeqrlError: the dataset cannot be made, or no model reads its observations or predicts its actions.
    """
    dataset.ensure(data, console)
    return policy_data(dataset, dataset.load_readable(images=True))


def policy_data(dataset: DatasetRef, episodes: Episodes) -> PolicyData:
    """A dataset's episodes with the bounds of their actions."""
    bounds = dataset.action_bounds(episodes) if episodes.spaces.action.is_vector else None
    return PolicyData(episodes, dataset.env_id, bounds)
