"""The replay buffer of online fine-tuning: whole trajectories, first in, first out.

Zheng, Zhang, Grover: Online Decision Transformer (arXiv 2202.05607), section 4. The buffer starts with the best offline
trajectories, the worst of them first, so that new experience replaces the worst. Trajectories are relabelled in
hindsight: whatever return the exploration aimed at, the returns-to-go in the buffer are sums of the real rewards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from seqrl_cli.data.policy_windows import PolicyWindows, Trajectory


def best_trajectories(trajectories: Sequence[Trajectory], count: int) -> list[Trajectory]:
    """The ``count`` trajectories of highest return, or all of them when there are fewer, in ascending order of return.

    (Both published implementations differ: one always drops the worst trajectory, the other keeps the worst thousand.)
    """
    order = np.argsort([trajectory.total_reward for trajectory in trajectories], kind="stable")
    return [trajectories[index] for index in order[max(0, len(order) - count) :]]


class ReplayBuffer:
    """The last ``capacity`` trajectories added, oldest first.

    Trajectories are numbered from 0 in the order in which they are added. The buffer holds the numbers ``first`` to
    ``added - 1``.

    Args:
        capacity: most trajectories that it holds, at least 1.
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
        """Number of the oldest trajectory held."""
        return self.added - len(self)

    @property
    def mean_return(self) -> float:
        """Mean return of the trajectories held; the buffer must not be empty."""
        return float(np.mean([trajectory.total_reward for trajectory in self]))

    def add(self, trajectories: Sequence[Trajectory]) -> None:
        """Append trajectories; when the buffer is full, the oldest are evicted."""
        self._trajectories.extend(trajectories)
        self.added += len(trajectories)

    def windows(self, context: int) -> PolicyWindows:
        """Windows of the trajectories held now; a uniform draw selects a trajectory in proportion to its length.

        Args:
            context: steps per window.
        """
        return PolicyWindows(list(self), context)
