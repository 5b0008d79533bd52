"""Windows of whole transitions for policies that learn from returns-to-go, cut one batch at a time.

Batches are padded on the right only, so a causal model needs no mask of its own to keep real steps from seeing padding,
and can use fused attention kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrl_cli.data.episodes import Episodes


@dataclass(frozen=True)
class Trajectory:
    """One episode of T steps, as played.

    Attributes:
        observations: ``(T, observation_dim)`` float32, or images ``(T, *shape)`` uint8, before each action.
        actions: ``(T, action_dim)`` float32, or choices ``(T,)`` int64.
        rewards: ``(T,)`` float32.
        terminated: whether the environment ended it, rather than the step limit.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminated: bool = False

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.rewards)

    @property
    def total_reward(self) -> float:
        """The undiscounted return, summed in float64."""
        return float(self.rewards.sum(dtype=np.float64))

    @cached_property
    def returns_to_go(self) -> NDArray[np.float32]:
        """``(T,)``: for each step, the sum of the rewards from it to the end, undiscounted and unscaled."""
        return np.cumsum(self.rewards[::-1], dtype=np.float64)[::-1].astype(np.float32)


@dataclass(frozen=True)
class PolicyBatch:
    """Windows of K steps, filled with zeros past a trajectory's end, where ``mask`` is false.

    Attributes:
        observations: ``(batch, K, observation_dim)`` float32, or images ``(batch, K, *shape)`` uint8.
        actions: ``(batch, K, action_dim)`` float32, or choices ``(batch, K)`` int64.
        returns_to_go: ``(batch, K)`` float32, undiscounted and unscaled.
        timesteps: ``(batch, K)`` int64, the step in the trajectory.
        mask: ``(batch, K)`` bool, real steps first, then padding; every window has at least one real step.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    returns_to_go: NDArray[np.float32]
    timesteps: NDArray[np.int64]
    mask: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.mask)

    def part(self, windows: slice) -> PolicyBatch:
        """Some of the windows, as views."""
        return PolicyBatch(
            self.observations[windows],
            self.actions[windows],
            self.returns_to_go[windows],
            self.timesteps[windows],
            self.mask[windows],
        )


class PolicyWindows:
    """Every window that starts at a step of a trajectory; the last windows of a trajectory extend past its end.

    The windows are numbered through the steps of all trajectories in order, so a uniform draw below ``len(windows)``
    picks a trajectory in proportion to its length, and a uniform start in it (Zheng et al. 2022, algorithm 2).

    Args:
        trajectories: the trajectories, at least one, with equal sizes of observations and actions; they are not copied.
        context: steps per window (K).
    """

    def __init__(self, trajectories: Sequence[Trajectory], context: int) -> None:
        assert trajectories and context >= 1
        self.trajectories = trajectories
        self.context = context
        self._first_window = np.cumsum([0, *map(len, trajectories)])

    def __len__(self) -> int:
        """Number of windows: the steps of all trajectories."""
        return int(self._first_window[-1])

    def batch(self, indices: ArrayLike) -> PolicyBatch:
        """The windows with these ``(batch,)`` indices below ``len(self)``."""
        windows = np.asarray(indices, dtype=np.int64)
        assert windows.size == 0 or (windows.min() >= 0 and windows.max() < len(self))
        slots = np.searchsorted(self._first_window, windows, side="right") - 1
        chosen = [self.trajectories[slot] for slot in slots]
        return cut_windows(chosen, windows - self._first_window[slots], self.context)

    def real_steps(self, indices: ArrayLike) -> int:
        """How many steps of the windows with these indices are not padding, without reading them."""
        windows = np.asarray(indices, dtype=np.int64)
        ends = self._first_window[np.searchsorted(self._first_window, windows, side="right")]
        return int(np.minimum(ends - windows, self.context).sum())


def cut_windows(trajectories: Sequence[Trajectory], starts: ArrayLike, context: int) -> PolicyBatch:
    """Cut one window out of each trajectory.

    Args:
        trajectories: the trajectories, at least one; a trajectory may occur several times.
        starts: ``(batch,)``, the step at which each window starts.
        context: steps per window (K); the rest is padded on the right.
    """
    first = np.asarray(starts, dtype=np.int64)
    batch = len(trajectories)
    observations, actions = (
        np.zeros((batch, context, *rows.shape[1:]), rows.dtype)
        for rows in (trajectories[0].observations, trajectories[0].actions)
    )
    returns_to_go = np.zeros((batch, context), np.float32)
    lengths = np.minimum(np.array([len(one) for one in trajectories]) - first, context)
    for row, (one, start, length) in enumerate(zip(trajectories, first.tolist(), lengths.tolist(), strict=True)):
        observations[row, :length] = one.observations[start : start + length]
        actions[row, :length] = one.actions[start : start + length]
        returns_to_go[row, :length] = one.returns_to_go[start : start + length]
    steps = np.arange(context)
    mask = steps < lengths[:, None]
    return PolicyBatch(observations, actions, returns_to_go, np.where(mask, first[:, None] + steps, 0), mask)


def trajectories_of(episodes: Episodes) -> list[Trajectory]:
    """The episodes one by one, as views into the flat arrays."""
    bounds = zip(episodes.offsets[:-1].tolist(), episodes.offsets[1:].tolist(), strict=True)
    return [
        Trajectory(
            episodes.observations[begin:end],
            episodes.actions[begin:end],
            episodes.rewards[begin:end],
            bool(episodes.terminals[end - 1]),
        )
        for begin, end in bounds
    ]


def best_fraction(trajectories: Sequence[Trajectory], fraction: float) -> list[Trajectory]:
    """The trajectories of highest return that together have a fraction of all steps, for percentile behaviour cloning.

    Whole trajectories are taken, best first, until they have that many (Chen et al. 2021, section 5.1: the top X %
    of steps, ordered by the return of their episode).

    Args:
        trajectories: the trajectories, at least one.
        fraction: fraction of all steps, in (0, 1].

    Returns:
        At least one trajectory, in the original order.
    """
    assert 0 < fraction <= 1
    order = np.argsort([-one.total_reward for one in trajectories], kind="stable")
    steps = np.cumsum([len(trajectories[index]) for index in order])
    count = int(np.searchsorted(steps, fraction * steps[-1])) + 1
    return [trajectories[index] for index in sorted(order[:count])]
