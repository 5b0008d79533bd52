"""What a backend of a vector of environments is: E environments of one kind, wherever they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seqrl_cli.errors import SeqrlError


class EnvironmentFailedError(SeqrlError):
    """An environment broke while it was made, reset or stepped."""


@dataclass(frozen=True)
class EnvSpec:
    """Which environments to make; plain values, which JSON can carry to another process.

    Attributes:
        env_id: gymnasium id.
        slots: how many (E).
        max_episode_steps: step limit; None = that of ``make_env``.
        observation_size: observation dimensions kept, the first ones; None = all.
    """

    env_id: str
    slots: int
    max_episode_steps: int | None = None
    observation_size: int | None = None


@dataclass(frozen=True)
class EnvLayout:
    """What each of the environments takes and gives; plain values again.

    Attributes:
        observation_dim, action_dim: sizes.
        observation_dtype, action_dtype: as numpy spells them, for example ``<f8``.
        low, high: bounds of an action, ``action_dim`` numbers each.
        max_episode_steps: the step limit.
        nq, nv: sizes of MuJoCo's positions and velocities; 0 of any other simulator.
    """

    observation_dim: int
    observation_dtype: str
    action_dim: int
    action_dtype: str
    low: list[float]
    high: list[float]
    max_episode_steps: int
    nq: int
    nv: int

    @property
    def row(self) -> np.dtype:
        """What a slot shows, as one record without gaps."""
        return np.dtype(
            [
                ("observation", self.observation_dtype, (self.observation_dim,)),
                ("reward", np.float64),
                ("terminated", np.bool_),
                ("truncated", np.bool_),
                ("qpos", np.float64, (self.nq,)),
                ("qvel", np.float64, (self.nv,)),
            ]
        )


class EnvBackend(Protocol):
    """E environments, here or in another process.

    Attributes:
        layout: of each of them.
        rows: ``(E,)`` of ``layout.row``, what each slot shows, brought up to date by ``start`` and ``step``: its last
            observation and simulator state, zeros before its first episode, and the reward and the end of the latest
            step, 0 and false where that was none of its own.
    """

    layout: EnvLayout
    rows: np.ndarray

    def start(self, slot: int, seed: int) -> None:
        """Reset one."""

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step those that ``(E,)`` bool chooses with their rows of ``(E, action_dim)``."""

    def close(self) -> None:
        """Free all."""


def forget_step(rows: np.ndarray) -> None:
    """No slot has earned anything or ended, as long as nothing else is noted."""
    rows["reward"], rows["terminated"], rows["truncated"] = 0.0, False, False
