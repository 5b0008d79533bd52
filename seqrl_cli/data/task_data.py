"""The episodes of one task among several, as a multi-domain model is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.domains import task_of
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.spaces import DiscreteSpace
from seqrl_cli.runs.record import TaskRecord

REWARD_SCALES = {"metaworld": 200.0, "dmc": 100.0, "atari": 20.0, "procgen": 10.0}
"""Divisors of rewards and returns by domain; the first three are L2M's (arXiv 2306.14884, appendix)."""

_OTHER_SCALE = 1000.0  # of Gym-MuJoCo's returns, as in the Decision Transformer


@dataclass(frozen=True)
class TaskData:
    """A task with its episodes.

    Attributes:
        facts: what the model needs to know about it.
        episodes: the data.
    """

    facts: TaskRecord
    episodes: Episodes

    @classmethod
    def of(
        cls, dataset: str, env_id: str, episodes: Episodes, bounds: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> TaskData:
        """Describe the episodes of a dataset.

        Args:
            dataset: its id.
            env_id: gymnasium id of its environment.
            episodes: the data.
            bounds: lowest and highest continuous action, (action_dim,) each; ignored for choices.
        """
        task = task_of(env_id)
        action = episodes.spaces.action
        choices = action.n if isinstance(action, DiscreteSpace) else None
        low, high = ((), ()) if choices is not None else (tuple(bounds[0].tolist()), tuple(bounds[1].tolist()))
        returns = episodes.returns
        facts = TaskRecord(
            dataset=dataset,
            env_id=env_id,
            input=task.domain if task else env_id.replace(".", "_"),
            body=task.body if task else env_id,
            shape=episodes.observations.shape[1:],
            action_dim=episodes.action_dim,
            choices=choices,
            action_low=low,
            action_high=high,
            reward_scale=REWARD_SCALES[task.domain] if task else _OTHER_SCALE,
            best_return=float(returns.max()),
            worst_return=float(returns.min()),
        )
        return cls(facts, episodes)

    @cached_property
    def returns_to_go(self) -> NDArray[np.float32]:
        """The sum of rewards from each row to the end of its episode, scaled, (transitions,)."""
        rewards = self.episodes.rewards.astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(rewards)])
        ends = sums[np.repeat(self.episodes.offsets[1:], self.episodes.lengths)]
        scaled: NDArray[np.float32] = ((ends - sums[:-1]) / self.facts.reward_scale).astype(np.float32)
        return scaled

    @cached_property
    def timesteps(self) -> NDArray[np.int64]:
        """Steps since the start of the episode, (transitions,)."""
        starts = np.repeat(self.episodes.offsets[:-1], self.episodes.lengths)
        steps: NDArray[np.int64] = np.arange(self.episodes.transitions) - starts
        return steps

    @property
    def group(self) -> tuple[str, int, int | None]:
        """Tasks of one group can share a batch: equal encoder, action dimensions and choices."""
        return self.facts.input, self.facts.action_dim, self.facts.choices

    def select(self, indices: NDArray[np.int64]) -> TaskData:
        """The task with some of its episodes; its facts stay those of all."""
        return TaskData(self.facts, self.episodes.select(indices))

    def some_episodes(self, transitions: int, rng: np.random.Generator) -> TaskData:
        """The task with random whole episodes, the fewest with at least ``transitions`` together, or all of them."""
        order = rng.permutation(len(self.episodes))
        enough = int(np.searchsorted(np.cumsum(self.episodes.lengths[order]), transitions)) + 1
        return self.select(np.sort(order[:enough]))


class TaskMixture(Sequence[TaskData]):
    """The tasks of a run; its length is the number of its windows.

    Args:
        tasks: at least one.
    """

    def __init__(self, tasks: Sequence[TaskData]) -> None:
        self.tasks = list(tasks)

    def __len__(self) -> int:
        """Number of windows: one starts at each transition."""
        return sum(task.episodes.transitions for task in self.tasks)

    def __getitem__(self, index: Any) -> Any:
        """A task."""
        return self.tasks[index]
