"""The interface of a vector environment's backend: E environments of one kind, wherever they run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from seqrl_cli.data.spaces import Spaces


@dataclass(frozen=True)
class EnvSpec:
    """Which environments to make, in plain values that JSON can carry to another process.

    Attributes:
        env_id: gymnasium id.
        num_envs: number of environments (E).
        max_episode_steps: step limit; None = that of ``make_env``.
        observation_size: number of leading observation dimensions to keep; None = all.
        goals: ``seen`` or ``held-out``, for environments whose goals are split; None = their default.
        render_mode: gymnasium render mode, for environments that shall draw.
    """

    env_id: str
    num_envs: int
    max_episode_steps: int | None = None
    observation_size: int | None = None
    goals: str | None = None
    render_mode: str | None = None


@dataclass(frozen=True)
class EnvLayout:
    """What each of the environments takes and returns.

    Attributes:
        spaces: observations and actions.
        max_episode_steps: the step limit.
        nq, nv: sizes of MuJoCo's positions and velocities; 0 in any other simulator.
        registered_steps: the step limit that the environment was registered with; None if it has none.
    """

    spaces: Spaces
    max_episode_steps: int
    nq: int
    nv: int
    registered_steps: int | None = None

    @classmethod
    def from_json(cls, text: bytes) -> EnvLayout:
        """The inverse of :meth:`to_json`."""
        values = json.loads(text)
        return cls(Spaces.from_json(values.pop("spaces")), **values)

    def to_json(self) -> bytes:
        """The layout for another process."""
        names = ("max_episode_steps", "nq", "nv", "registered_steps")
        numbers = {name: getattr(self, name) for name in names}
        return json.dumps({"spaces": self.spaces.to_json(), **numbers}).encode()

    @property
    def row(self) -> np.dtype:
        """The state of one environment, as one record without gaps."""
        return np.dtype(
            [
                ("observation", self.spaces.observation.dtype, self.spaces.observation.shape),
                ("reward", np.float64),
                ("terminated", np.bool_),
                ("truncated", np.bool_),
                ("success", np.int8),
                ("qpos", np.float64, (self.nq,)),
                ("qvel", np.float64, (self.nv,)),
            ]
        )


class Columns(NamedTuple):
    """The fields of all rows but the simulator's state, as views; to look a field up by its name takes longer."""

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    successes: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Columns:
        """The columns of rows ``(E,)`` of ``EnvLayout.row``."""
        return cls(*(rows[name] for name in ("observation", "reward", "terminated", "truncated", "success")))

    def forget_step(self) -> None:
        """Clear rewards and ends of the latest step."""
        self.rewards.fill(0.0)
        self.terminated.fill(False)
        self.truncated.fill(False)
        self.successes.fill(-1)


class EnvBackend(Protocol):
    """E environments, here or in another process.

    Attributes:
        layout: layout of each environment: what it takes and returns.
        rows: ``(E,)`` of ``layout.row``, the state of each one, updated by ``start`` and ``step``: its last
            observation and simulator state, zeros before its first episode, and the reward and end of the latest
            step, 0 and false if it was not stepped. It stays the same array.
    """

    layout: EnvLayout
    rows: np.ndarray

    def start(self, index: int, seed: int) -> None:
        """Reset one environment."""

    def step(self, actions: np.ndarray, chosen: np.ndarray) -> None:
        """Step the environments where ``chosen`` ``(E,)`` is true, with actions ``(E, *action_shape)``."""

    def close(self) -> None:
        """Free all environments."""
