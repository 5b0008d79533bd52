"""The replay buffer of online fine-tuning: whole trajectories, first in, first out.

Zheng, Zhang, Grover: Online Decision Transformer (arXiv 2202.05607), section 4. The buffer begins with the best offline
trajectories, the worst of them first, so that new experience drives out the worst. A trajectory in it is relabelled by
hindsight: whatever return the exploration aimed at, the returns-to-go to learn from are sums of the real rewards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from seqrl_cli.data.policy_windows import PolicyWindows, Trajectory


def best_trajectories(trajectories: Sequence[Trajectory], count: int) -> list[Trajectory]:
    """The ``count`` trajectories of highest return, or all of them when there are fewer, in ascending order of return.

    (The originals differ from this and from each other: one always drops the worst, one keeps the worst thousand.)
    """
    order = np.argsort([trajectory.total_reward for trajectory in trajectories], kind="stable")
    return [trajectories[index] for index in order[max(0, len(order) - count) :]]


class ReplayBuffer:
    """The latest ``capacity`` trajectories of all that were added, oldest first.

    Trajectories are counted from 0 in the order in which they were added; the buffer holds number ``first`` to number
    ``added - 1``, whether one was added at a time or many.

    Args:
        capacity: trajectories that it holds at most, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        assert capacity >= 1
        self.capacity = capacity
        self.added = 0
        self._trajectories: deque[Trajectory] = deque(maxlen=capacity)

    def __len__(self) -> int:
        """Number of trajectories held."""
        return len(self._trajectories)

    def __iter__(self) -> Iterator[Trajectory]:
        """The trajectories held, oldest first."""
        return iter(self._trajectories)

    @property
    def first(self) -> int:
        """Number of the oldest trajectory that is held."""
        return self.added - len(self)

    @property
    def mean_return(self) -> float:
        """Mean return of the trajectories held, at least one."""
        return float(np.mean([trajectory.total_reward for trajectory in self]))

    def add(self, trajectories: Sequence[Trajectory]) -> None:
        """Take in trajectories; as many of the oldest go as there is no room for."""
        self._trajectories.extend(trajectories)
        self.added += len(trajectories)

    def windows(self, context: int) -> PolicyWindows:
        """The windows of what is held now: a uniform draw takes a trajectory in proportion to its length.

        Windows are drawn with replacement, so a batch may be larger than the buffer.

        Args:
            context: steps a window.
        """
        return PolicyWindows(list(self), context)
