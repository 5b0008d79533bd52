"""The episodes of one task among several, as a multi-domain model is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl_cli.data.domains import task_of
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.space import DiscreteSpace
from seqrl_cli.files.mapped import PageLimit, release, row_ranges
from seqrl_cli.runs.record import TaskRecord

REWARD_SCALES = {"metaworld": 200.0, "dmc": 100.0, "atari": 20.0, "procgen": 10.0}
"""Divisors of rewards and returns by domain; the first three are L2M's (arXiv 2306.14884, appendix)."""

_OTHER_SCALE = 1000.0  # of Gym-MuJoCo's returns, as in the Decision Transformer


@dataclass(frozen=True)
class TaskData:
    """A task with its episodes, or with some of them.

    Attributes:
        facts: facts about the task that the model needs.
        stored: the data; observations and actions may be mapped from the disk.
        chosen: (episodes,) indices of the stored episodes that belong to this part, in order; None: all.
        pages: limits the memory of mapped observations and actions; None if all are in memory.
    """

    facts: TaskRecord
    stored: Episodes
    chosen: NDArray[np.int64] | None = None
    pages: PageLimit | None = None

    @classmethod
    def of(
        cls, dataset: str, env_id: str, episodes: Episodes, bounds: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> TaskData:
        """Describe the episodes of a dataset.

        Args:
            dataset: id of the dataset.
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
            mean_return=float(returns.mean(dtype=np.float64)),
        )
        return cls(facts, episodes)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each episode, (episodes,)."""
        return self._of_chosen(self.stored.lengths)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where episodes begin among the rows of this part, and the number of its rows, (episodes + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def shifts(self) -> NDArray[np.int64]:
        """How many rows each episode lies further behind in the stored data than in this part, (episodes,)."""
        return self._of_chosen(self.stored.offsets[:-1]) - self.offsets[:-1]

    @property
    def transitions(self) -> int:
        """Number of rows."""
        return int(self.offsets[-1])

    @cached_property
    def returns(self) -> NDArray[np.float64]:
        """Undiscounted return of each episode, (episodes,)."""
        return self._of_chosen(self.stored.returns)

    @cached_property
    def solved(self) -> NDArray[np.bool_] | None:
        """Whether the task is solved after any step of an episode, (episodes,); None where nothing states it."""
        if self.stored.successes is None:
            return None
        return self._of_chosen(np.logical_or.reduceat(self.stored.successes, self.stored.offsets[:-1]))

    @cached_property
    def returns_to_go(self) -> NDArray[np.float32]:
        """The sum of rewards from each row to the end of its episode, scaled, (transitions,)."""
        rewards = self.stored.rewards[self._stored_rows(np.arange(self.transitions))].astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(rewards)])
        ends = sums[np.repeat(self.offsets[1:], self.lengths)]
        scaled: NDArray[np.float32] = ((ends - sums[:-1]) / self.facts.reward_scale).astype(np.float32)
        return scaled

    @property
    def group(self) -> tuple[str, int, int | None]:
        """Tasks of one group can share a batch: equal encoder, action dimensions and choices."""
        return self.facts.input, self.facts.action_dim, self.facts.choices

    def select(self, indices: NDArray[np.int64]) -> TaskData:
        """The task with some of its episodes; its facts stay those of all, and nothing is copied."""
        return replace(self, chosen=self._of_chosen(np.arange(len(self.stored)))[indices])

    def observation_blocks(self) -> Iterator[NDArray[Any]]:
        """The observations (rows, *shape) in order, a few megabytes at a time."""
        for start, stop in row_ranges(self.stored.observations):
            rows = self._stored_rows(np.arange(start, min(stop, self.transitions)))
            if len(rows):
                yield self.stored.observations[rows]
                release(self.stored.observations)

    def _of_chosen(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the stored episodes, for those of this part."""
        return values if self.chosen is None else values[self.chosen]

    def _stored_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where some rows of this part, which increase, lie in the stored data."""
        return rows + self.shifts[np.searchsorted(self.offsets, rows, side="right") - 1]

    def states(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The observations (rows, *shape) at some rows of this part, which increase."""
        found: NDArray[Any] = self.stored.observations[self._stored_rows(rows)]
        release(self.stored.observations)
        return found

    def some_episodes(self, transitions: int, rng: np.random.Generator) -> TaskData:
        """The task with random whole episodes, added until they have at least ``transitions`` steps, or all of them."""
        order = rng.permutation(len(self.lengths))
        enough = int(np.searchsorted(np.cumsum(self.lengths[order]), transitions)) + 1
        return self.select(np.sort(order[:enough]))


class TaskMixture:
    """The tasks of a run; its length is the number of its windows.

    Args:
        tasks: the tasks, at least one.
    """

    def __init__(self, tasks: Sequence[TaskData]) -> None:
        self.tasks = list(tasks)

    def __len__(self) -> int:
        """Number of windows: one starts at each transition."""
        return sum(task.transitions for task in self.tasks)


def mean_and_deviation(tasks: Sequence[TaskData]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each number of the observations of some tasks, (observation_dim,) each.

    Args:
        tasks: the tasks, at least one; their observations are vectors of one size.
    """
    count = sum(task.transitions for task in tasks)
    mean = _sums(tasks, lambda block: block) / count
    variance = _sums(tasks, lambda block: (block - mean) ** 2) / count
    return mean, np.sqrt(variance)


def _sums(tasks: Sequence[TaskData], of: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.float64]:
    """The sums over all rows of some tasks, task by task."""
    total = np.zeros(tasks[0].facts.shape)
    for task in tasks:
        total = total + _column_sums(task, of)
    return total


def _column_sums(task: TaskData, of: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.float64]:
    """The sums over all rows, added in the order of the rows, however they are cut into blocks."""
    total: NDArray[np.float64] = np.zeros((0, *task.facts.shape))
    for block in task.observation_blocks():
        total = np.concatenate([total, of(block)]).sum(axis=0, keepdims=True, dtype=np.float64)
    found: NDArray[np.float64] = total[0]
    return found
