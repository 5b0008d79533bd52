"""An episode that was played: what was observed, done and planned at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EpisodeRecord:
    """One finished episode of T steps; agents that plan look H transitions ahead.

    Attributes:
        episode: number of the episode.
        seed: the environment's seed.
        terminated: whether the environment ended it rather than the step limit.
        seconds_per_step: mean wall time per step, which includes the episodes that run beside it.
        observations: (T + 1, observation_dim) float32, or images (T + 1, *shape) uint8.
        actions: (T, action_dim) float32, as executed, or discrete choices (T,) int64.
        rewards: (T,) float32.
        qpos: (T + 1, nq) float64, simulator positions.
        qvel: (T + 1, nv) float64, simulator velocities.
        successes: (T,) bool, whether the task is solved after each step; None if the environment does not report it.
        plan_observations: (T, H, observation_dim) float32, the plan made at each step, whose first row is the current
            step; NaN at steps that followed an older plan.
        plan_actions: (T, H, action_dim) float32.
        plan_rewards: (T, H) float32.
        plan_values: (T, H) float32. All four are None if the agent does not plan.
    """

    episode: int
    seed: int
    terminated: bool
    seconds_per_step: float
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray
    successes: np.ndarray | None = None
    plan_observations: np.ndarray | None = None
    plan_actions: np.ndarray | None = None
    plan_rewards: np.ndarray | None = None
    plan_values: np.ndarray | None = None

    @property
    def not_finite(self) -> str | None:
        """The first number that is not finite, for example ``rewards of step 7``; None when all are finite."""
        found = {}
        for kind in ("observations", "actions", "rewards"):  # the order within a step
            broken = np.argwhere(~np.isfinite(getattr(self, kind)))
            if len(broken):
                found[kind] = int(broken[0][0])
        kind = min(found, key=found.__getitem__, default="")
        return f"{kind} of step {found[kind]:,}" if found else None

    @property
    def plan_length(self) -> float | None:
        """Mean number of transitions of the plans that were made; None if the agent does not plan."""
        if self.plan_values is None:
            return None
        lengths = np.isfinite(self.plan_values).sum(axis=1)
        return float(lengths[lengths > 0].mean())

    @property
    def total_reward(self) -> float:
        """The episode's return."""
        return float(self.rewards.sum(dtype=np.float64))
