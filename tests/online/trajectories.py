"""Small trajectories that tell which one they are."""

from __future__ import annotations

import numpy as np

from seqrl_cli.data.policy_windows import Trajectory


def trajectory(length: int, total: float, terminated: bool = True, sizes: tuple[int, int] = (2, 1)) -> Trajectory:
    """Its first observation column and its return are ``total``."""
    observations = np.full((length, sizes[0]), total, np.float32)
    rewards = np.zeros(length, np.float32)
    rewards[-1] = total
    return Trajectory(observations, np.full((length, sizes[1]), 0.5, np.float32), rewards, terminated)
